"""Cross pseudo supervision (Chen et al., CVPR 2021)."""

from __future__ import annotations

from typing import Annotated

import torch
from mmtk.api import Consistency, Field, Labelled, Segment, StepContext, Supervised, Term, Terms, Twin, Unlabelled

from mmtk_seg_zoo.classes import cross_entropy, log_classes


class CPS(Consistency):
    """Two networks with other starts, each trained towards the other's classes; the first is the one evaluated.

    weight: factor of the cross-entropy in both directions.
    """

    def __init__(
        self, supervised: Supervised, twin: Twin, exclusive: bool, *, weight: Annotated[float, Field(ge=0)] = 1.5
    ) -> None:
        super().__init__()
        self.supervised, self.second, self.exclusive = supervised, twin(), exclusive
        self.weight = weight

    def terms(self, segment: Segment, labelled: Labelled, unlabelled: Unlabelled, now: StepContext) -> Terms:
        """Supervised loss of both; CE(p₁, argmax p₂) + CE(p₂, argmax p₁), mean over all pixels of both streams."""
        known = segment(labelled.image), self.second(labelled.image)
        terms = self.supervised(segment, labelled, known[0])
        for name, term in self.supervised(self.second, labelled, known[1]).items():
            terms[f"{name}-second"] = term
        other = segment(unlabelled.image), self.second(unlabelled.image)
        one, two = (log_classes(torch.cat(both), self.exclusive) for both in zip(known, other, strict=True))
        # An argmax has no gradient, so neither network is pulled towards the other's doubts.
        cross = cross_entropy(one, two.argmax(1)).mean() + cross_entropy(two, one.argmax(1)).mean()
        terms["cps"] = Term(cross, self.weight)
        terms["agreement"] = Term((one.argmax(1) == two.argmax(1)).float().mean(), 0)
        return terms
