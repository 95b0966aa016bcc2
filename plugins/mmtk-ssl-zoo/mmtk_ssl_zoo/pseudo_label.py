"""Pseudo-labels of the network itself (Lee, ICML workshops 2013)."""

from __future__ import annotations

from typing import Annotated

from mmtk.api import SSL, Classify, Field, Labelled, StepContext, Supervised, Terms, Unlabelled

from mmtk_ssl_zoo.confident import confident


class PseudoLabel(SSL):
    """Train an unlabelled image towards the class that it is predicted to have, where that is confident.

    threshold: probability from which a pseudo-label counts; 0 for all, as published.
    weight: factor of the unlabelled loss after the ramp.
    ramp: share of the training over which the weight rises linearly from 0; 0 for none.
    """

    views = {"weak": 1}

    def __init__(
        self,
        supervised: Supervised,
        *,
        threshold: Annotated[float, Field(ge=0, le=1)] = 0.95,
        weight: Annotated[float, Field(ge=0)] = 1.0,
        ramp: Annotated[float, Field(ge=0, le=1)] = 0.4,
    ) -> None:
        super().__init__()
        self.supervised, self.threshold, self.weight, self.ramp = supervised, threshold, weight, ramp

    def terms(self, classify: Classify, labelled: Labelled, unlabelled: Unlabelled, now: StepContext) -> Terms:
        """Supervised loss; mean over all unlabelled images of 1(max p ≥ τ) · CE(argmax p, p), of one forward."""
        terms = self.supervised(classify, labelled)
        logits = classify(unlabelled["weak"][0])
        confidence, pseudo = logits.detach().softmax(1).max(1)
        accepted = (confidence >= self.threshold).float()
        weight = self.weight * now.ramp(self.ramp)
        return terms | confident("pseudo-label", logits, pseudo, accepted, weight, unlabelled, now)
