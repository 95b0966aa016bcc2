"""Entropy minimisation (Grandvalet and Bengio, NIPS 2004)."""

from __future__ import annotations

from typing import Annotated

from mmtk.api import SSL, Classify, Field, Labelled, StepContext, Supervised, Term, Terms, Unlabelled


class Entropy(SSL):
    """Make the predictions on unlabelled images sure of themselves: their mean entropy is a loss.

    weight: factor of the entropy (in nats) in the total.
    """

    views = {"weak": 1}

    def __init__(self, supervised: Supervised, *, weight: Annotated[float, Field(ge=0)] = 0.1) -> None:
        super().__init__()
        self.supervised, self.weight = supervised, weight

    def terms(self, classify: Classify, labelled: Labelled, unlabelled: Unlabelled, now: StepContext) -> Terms:
        """Supervised loss; mean over all unlabelled images of −Σ p log p."""
        terms = self.supervised(classify, labelled)
        log_p = classify(unlabelled["weak"][0]).log_softmax(1)
        terms["entropy"] = Term(-(log_p.exp() * log_p).sum(1).mean(), self.weight)
        return terms
