"""The paper's confidence-based augmentation (after FixMatch, Sohn et al. 2020)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch.nn import functional as F

from mmtk.api import SSL, Classify, Field, Labelled, StepContext, Supervised, Term, Terms, Unlabelled


class Confidence(SSL):
    """Train the strong view towards the weak view's class where that is confident (eq. 1).

    threshold: probability from which a pseudo-label counts (t in the paper).
    weight: factor of the unlabelled loss (λ in the paper).
    """

    views = {"weak": 1, "strong": 1}

    def __init__(
        self,
        supervised: Supervised,
        *,
        threshold: Annotated[float, Field(ge=0, le=1)] = 0.7,
        weight: Annotated[float, Field(ge=0)] = 0.25,
    ) -> None:
        super().__init__()
        self.supervised, self.threshold, self.weight = supervised, threshold, weight

    def terms(self, classify: Classify, labelled: Labelled, unlabelled: Unlabelled, now: StepContext) -> Terms:
        """Supervised loss; mean over all unlabelled images of 1(max p ≥ t) · CE(argmax p, strong logits)."""
        terms = self.supervised(classify, labelled)
        with torch.no_grad():
            confidence, pseudo = classify(unlabelled["weak"][0]).softmax(1).max(1)
            accepted = (confidence >= self.threshold).float()
        losses = F.cross_entropy(classify(unlabelled["strong"][0]), pseudo, reduction="none")
        rate = accepted.mean()
        terms["confidence"] = Term((accepted * losses).mean(), self.weight, active=rate)
        terms["mask-rate"] = Term(rate, 0)
        everyones = now.gather(accepted)
        if unlabelled.truth is not None:
            right = everyones * now.gather((pseudo == unlabelled.truth).float())
            # To ask whether there is any would let a GPU wait.
            accuracy = right.sum() / everyones.sum().clamp_min(1)
            terms["pseudo-label-accuracy"] = Term(accuracy, 0, active=everyones.mean())
        return terms
