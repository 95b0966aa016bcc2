"""A prior of the area: the size constraint of Kervadec et al. (Medical Image Analysis 2019)."""

from __future__ import annotations

from typing import Annotated

import torch
from mmtk.api import Consistency, Field, Labelled, Segment, StepContext, Supervised, Term, Terms, Unlabelled
from torch import Tensor

from mmtk_seg_zoo.classes import log_classes


class AreaPrior(Consistency):
    """Predict unlabelled masks no smaller and no larger than labelled ones are.

    weight: factor of the squared share of the image by which a mask leaves the bounds.
    slack: by which the smallest and the largest labelled mask seen so far are widened, as a share of them.
    """

    low: Tensor
    high: Tensor

    def __init__(
        self,
        supervised: Supervised,
        classes: int,
        exclusive: bool,
        *,
        weight: Annotated[float, Field(ge=0)] = 1.0,
        slack: Annotated[float, Field(ge=0, le=1)] = 0.1,
    ) -> None:
        super().__init__()
        self.supervised, self.exclusive, self.weight, self.slack = supervised, exclusive, weight, slack
        self.register_buffer("low", torch.ones(classes))
        self.register_buffer("high", torch.zeros(classes))

    def terms(self, segment: Segment, labelled: Labelled, unlabelled: Unlabelled, now: StepContext) -> Terms:
        """Supervised loss; mean over images and channels of (lower bound − area)₊² + (area − upper bound)₊²."""
        terms = self.supervised(segment, labelled)
        known = (labelled.target >= 0).float()
        shares = now.gather((labelled.target * known).sum((-2, -1)) / known.sum((-2, -1)).clamp_min(1))
        self.low.copy_(torch.minimum(self.low, shares.amin(0)))
        self.high.copy_(torch.maximum(self.high, shares.amax(0)))
        p = log_classes(segment(unlabelled.image), self.exclusive).exp()
        area = (p if self.exclusive else p[:, 1]).mean((-2, -1))
        small = ((1 - self.slack) * self.low - area).clamp_min(0)
        large = (area - (1 + self.slack) * self.high).clamp_min(0)
        outside = ((small + large) > 0).float().mean()
        terms["area"] = Term((small.square() + large.square()).mean(), self.weight, active=outside)
        return terms
