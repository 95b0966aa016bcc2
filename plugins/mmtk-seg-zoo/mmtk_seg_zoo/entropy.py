"""Entropy minimisation (Grandvalet and Bengio, NIPS 2004; for segmentation Vu et al., CVPR 2019)."""

from __future__ import annotations

from typing import Annotated

from mmtk.api import Consistency, Field, Labelled, Segment, StepContext, Supervised, Term, Terms, Unlabelled

from mmtk_seg_zoo.classes import entropy, log_classes


class Entropy(Consistency):
    """Be sure of every pixel of an unlabelled image.

    weight: factor of the mean entropy after the ramp.
    ramp: share of the training over which the weight rises as exp(−5 (1 − x)²); 0 for none.
    """

    def __init__(
        self,
        supervised: Supervised,
        exclusive: bool,
        *,
        weight: Annotated[float, Field(ge=0)] = 0.1,
        ramp: Annotated[float, Field(ge=0, le=1)] = 0.4,
    ) -> None:
        super().__init__()
        self.supervised, self.exclusive = supervised, exclusive
        self.weight, self.ramp = weight, ramp

    def terms(self, segment: Segment, labelled: Labelled, unlabelled: Unlabelled, now: StepContext) -> Terms:
        """Supervised loss; mean over images, pixels (and independent channels) of −Σ p log p."""
        terms = self.supervised(segment, labelled)
        found = entropy(log_classes(segment(unlabelled.image), self.exclusive)).mean()
        terms["entropy"] = Term(found, self.weight * now.ramp(self.ramp, "sigmoid"))
        return terms
