"""Weak-to-strong consistency of pixels (FixMatch, Sohn et al. 2020; for masks Yang et al., CVPR 2023)."""

from __future__ import annotations

from typing import Annotated

import torch
from mmtk.api import Consistency, Field, Labelled, Segment, StepContext, Supervised, Term, Terms, Unlabelled, View

from mmtk_seg_zoo.classes import cross_entropy, log_classes


class WeakStrong(Consistency):
    """Train the strong view towards the weak view's class of every pixel that is confident.

    threshold: probability from which a pixel's class counts.
    weight: factor of the unlabelled loss.
    """

    # The strong view starts from the weak one and moves no pixel, so that the two masks lie on each other.
    views = {"weak": 1, "strong": View(on="weak", geometric=False)}

    def __init__(
        self,
        supervised: Supervised,
        exclusive: bool,
        *,
        threshold: Annotated[float, Field(ge=0, le=1)] = 0.95,
        weight: Annotated[float, Field(ge=0)] = 1.0,
    ) -> None:
        super().__init__()
        self.supervised, self.exclusive = supervised, exclusive
        self.threshold, self.weight = threshold, weight

    def terms(self, segment: Segment, labelled: Labelled, unlabelled: Unlabelled, now: StepContext) -> Terms:
        """Supervised loss; mean over all pixels of 1(max p ≥ τ) · CE(argmax p, strong); others count 0."""
        terms = self.supervised(segment, labelled)
        with torch.no_grad():
            confidence, pseudo = log_classes(segment(unlabelled["weak"][0]), self.exclusive).exp().max(1)
            accepted = (confidence >= self.threshold).float()
        strong = log_classes(segment(unlabelled["strong"][0]), self.exclusive)
        value = (accepted * cross_entropy(strong, pseudo)).mean()
        terms["weak-strong"] = Term(value, self.weight, active=accepted.mean())
        terms["mask-rate"] = Term(accepted.mean(), 0)
        return terms
