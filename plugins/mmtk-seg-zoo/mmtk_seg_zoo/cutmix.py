"""CutMix consistency (French et al., BMVC 2020)."""

from __future__ import annotations

from typing import Annotated

import torch
from mmtk.api import Consistency, Field, Labelled, Segment, StepContext, Supervised, Term, Terms, Twin, Unlabelled

from mmtk_seg_zoo.boxes import boxes
from mmtk_seg_zoo.classes import log_classes


class CutMix(Consistency):
    """Predict for two images cut together what an averaged network predicts for each.

    decay: largest decay α of the teacher's weights; the host takes min(1 − 1/(t + 1), decay) after step t.
    weight: factor of the squared difference.
    threshold: the loss is scaled by the share of pixels that the teacher is surer of than this.
    area: share of the image that the box covers.
    """

    def __init__(
        self,
        supervised: Supervised,
        twin: Twin,
        exclusive: bool,
        *,
        decay: Annotated[float, Field(ge=0, lt=1)] = 0.99,
        weight: Annotated[float, Field(ge=0)] = 1.0,
        threshold: Annotated[float, Field(ge=0, le=1)] = 0.97,
        area: Annotated[float, Field(gt=0, lt=1)] = 0.5,
    ) -> None:
        super().__init__()
        self.supervised, self.teacher, self.exclusive = supervised, twin(decay), exclusive
        self.weight, self.threshold, self.area = weight, threshold, area

    def terms(self, segment: Segment, labelled: Labelled, unlabelled: Unlabelled, now: StepContext) -> Terms:
        """Supervised loss; share of sure pixels times the mean over pixels of Σ_c (p(mix) − mix of p teacher)²."""
        terms, x = self.supervised(segment, labelled), unlabelled.image
        box = boxes(len(x), (x.shape[-2], x.shape[-1]), self.area, now.generator("cutmix")).to(x)
        with torch.no_grad():
            p = log_classes(self.teacher(x), self.exclusive).exp()
            inside = box if self.exclusive else box[:, None]
            target = inside * p + (1 - inside) * p.roll(1, 0)
            sure = (target.max(1).values > self.threshold).float().mean()
            sure = now.gather(sure[None]).mean()
        mixed = log_classes(segment(box * x + (1 - box) * x.roll(1, 0)), self.exclusive).exp()
        value = sure * (mixed - target).square().sum(1).mean()
        terms["cutmix"] = Term(value, self.weight, active=sure)
        terms["mask-rate"] = Term(sure, 0)
        return terms
