"""A strategy for semi-supervised classification."""

from __future__ import annotations

from typing import Annotated

from mmtk.api import SSL, Classify, Field, Labelled, StepContext, Supervised, Term, Terms, Unlabelled


class Entropy(SSL):
    """Add the mean entropy of the predictions on unlabelled images (Grandvalet and Bengio 2004).

    weight: factor of the entropy in the total.
    """

    views = {"weak": 1}

    def __init__(self, supervised: Supervised, *, weight: Annotated[float, Field(ge=0)] = 0.1) -> None:
        super().__init__()
        self.supervised, self.weight = supervised, weight

    def terms(self, classify: Classify, labelled: Labelled, unlabelled: Unlabelled, now: StepContext) -> Terms:
        """The supervised loss; the mean over all unlabelled images of −Σ p log p."""
        terms = self.supervised(classify, labelled)
        log_p = classify(unlabelled["weak"][0]).log_softmax(1)
        entropy = -(log_p.exp() * log_p).sum(1).mean()
        terms["entropy"] = Term(entropy, self.weight)
        return terms
