"""A strategy for semi-supervised segmentation."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from mmtk.api import Consistency, Field, Labelled, Segment, StepContext, Supervised, Term, Terms, Unlabelled, View


class Example(Consistency):
    """Draw the masks of the strong view towards those of the weak view it was made from.

    weight: factor of the mean squared difference of the probabilities in the total.
    """

    # The strong view changes brightness and contrast only, so that its pixels stay where the weak view has them.
    views = {"weak": View(), "strong": View(on="weak", geometric=False)}

    def __init__(
        self, supervised: Supervised, exclusive: bool, *, weight: Annotated[float, Field(ge=0)] = 1.0
    ) -> None:
        super().__init__()
        self.supervised, self.exclusive, self.weight = supervised, exclusive, weight

    def terms(self, segment: Segment, labelled: Labelled, unlabelled: Unlabelled, now: StepContext) -> Terms:
        """The supervised loss; the mean over pixels of (p strong − p weak)², gradient through the strong view."""
        terms = self.supervised(segment, labelled)
        with torch.no_grad():
            target = self.probabilities(segment(unlabelled["weak"][0]))
        difference = self.probabilities(segment(unlabelled["strong"][0])) - target
        terms["difference"] = Term(difference.square().mean(), self.weight)
        return terms

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax over exclusive channels, sigmoid of independent ones."""
        return logits.softmax(1) if self.exclusive else logits.sigmoid()
