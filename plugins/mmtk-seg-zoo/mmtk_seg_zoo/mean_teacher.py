"""Mean Teacher for segmentation (Tarvainen and Valpola, NIPS 2017)."""

from __future__ import annotations

from typing import Annotated

import torch
from mmtk.api import Consistency, Field, Labelled, Segment, StepContext, Supervised, Term, Terms, Twin, Unlabelled
from torch.nn import functional as F

from mmtk_seg_zoo.classes import log_classes
from mmtk_seg_zoo.noise import noisy


class MeanTeacher(Consistency):
    """Predict what the average of the network over past steps predicts for a noisy copy.

    decay: largest decay α of the teacher's weights; the host takes min(1 − 1/(t + 1), decay) after step t.
    weight: factor of the squared difference after the ramp.
    ramp: share of the training over which the weight rises as exp(−5 (1 − x)²); 0 for none.
    noise: standard deviation of the noise on the teacher's images, which lie in [−1, 1].
    """

    def __init__(
        self,
        supervised: Supervised,
        twin: Twin,
        exclusive: bool,
        *,
        decay: Annotated[float, Field(ge=0, lt=1)] = 0.99,
        weight: Annotated[float, Field(ge=0)] = 0.1,
        ramp: Annotated[float, Field(ge=0, le=1)] = 0.4,
        noise: Annotated[float, Field(ge=0)] = 0.1,
    ) -> None:
        super().__init__()
        self.supervised, self.teacher, self.exclusive = supervised, twin(decay), exclusive
        self.weight, self.ramp, self.noise = weight, ramp, noise

    def terms(self, segment: Segment, labelled: Labelled, unlabelled: Unlabelled, now: StepContext) -> Terms:
        """Supervised loss; mean over images, pixels and classes of (p student − p teacher)²."""
        terms = self.supervised(segment, labelled)
        with torch.no_grad():
            logits = self.teacher(noisy(unlabelled.image, self.noise, now, "noise"))
            target = log_classes(logits, self.exclusive).exp()
        p = log_classes(segment(unlabelled.image), self.exclusive).exp()
        terms["consistency"] = Term(F.mse_loss(p, target), self.weight * now.ramp(self.ramp, "sigmoid"))
        return terms
