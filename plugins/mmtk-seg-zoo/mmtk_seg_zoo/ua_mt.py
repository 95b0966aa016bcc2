"""Uncertainty-aware Mean Teacher (Yu et al., MICCAI 2019)."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from mmtk.api import Consistency, Field, Labelled, Segment, StepContext, Supervised, Term, Terms, Twin, Unlabelled
from torch import Tensor

from mmtk_seg_zoo.classes import entropy, log_classes
from mmtk_seg_zoo.noise import noisy


class UAMT(Consistency):
    """Mean Teacher that learns only where several noisy passes of the teacher agree.

    decay: largest decay α of the teacher's weights; the host takes min(1 − 1/(t + 1), decay) after step t.
    weight: factor of the squared difference after the ramp.
    ramp: share of the training over which weight and threshold rise as exp(−5 (1 − x)²); 0 for none.
    noise: standard deviation of the noise on the teacher's images, which lie in [−1, 1].
    passes: of the teacher, each with dropout and noise of its own, whose mean tells the uncertainty.
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
        passes: Annotated[int, Field(ge=1)] = 8,
    ) -> None:
        super().__init__()
        self.supervised, self.teacher, self.exclusive = supervised, twin(decay), exclusive
        self.weight, self.ramp, self.noise, self.passes = weight, ramp, noise, passes

    def terms(self, segment: Segment, labelled: Labelled, unlabelled: Unlabelled, now: StepContext) -> Terms:
        """Supervised loss; Σ m Σ_c (p − p̂)² / (C Σ m), m = 1(u < (0.75 + 0.25 ramp) ln C), u the entropy of p̄."""
        terms, rise = self.supervised(segment, labelled), now.ramp(self.ramp, "sigmoid")
        with torch.no_grad():
            target, *others = (self._predict(unlabelled.image, now, i) for i in range(self.passes + 1))
            doubt = entropy(torch.stack(others).mean(0).clamp_min(torch.finfo(target.dtype).tiny).log())
            sure = (doubt < (0.75 + 0.25 * rise) * math.log(target.shape[1])).to(target)
        gap = (log_classes(segment(unlabelled.image), self.exclusive).exp() - target).square().sum(1)
        count = now.gather(sure.sum()[None]).mean()
        value = (sure * gap).sum() / (target.shape[1] * count.clamp_min(1))
        terms["consistency"] = Term(value, self.weight * rise, active=sure.mean())
        terms["mask-rate"] = Term(sure.mean(), 0)
        return terms

    def _predict(self, images: Tensor, now: StepContext, number: int) -> Tensor:
        return log_classes(self.teacher(noisy(images, self.noise, now, f"noise-{number}")), self.exclusive).exp()
