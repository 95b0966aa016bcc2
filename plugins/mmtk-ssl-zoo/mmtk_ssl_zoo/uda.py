"""Unsupervised data augmentation (Xie et al., NeurIPS 2020)."""

from __future__ import annotations

from typing import Annotated

import torch
from mmtk.api import SSL, Classify, Field, Labelled, StepContext, Supervised, Terms, Unlabelled

from mmtk_ssl_zoo.confident import confident


class UDA(SSL):
    """Train the strong view towards the sharpened prediction for the weak view where that is confident.

    threshold: probability, before sharpening, from which a prediction counts (β in the paper).
    temperature: of the sharpening, softmax(logits / T): below 1 the target is surer.
    weight: factor of the unlabelled loss.
    """

    views = {"weak": 1, "strong": 1}

    def __init__(
        self,
        supervised: Supervised,
        *,
        threshold: Annotated[float, Field(ge=0, le=1)] = 0.8,
        temperature: Annotated[float, Field(gt=0)] = 0.4,
        weight: Annotated[float, Field(ge=0)] = 1.0,
    ) -> None:
        super().__init__()
        self.supervised, self.weight = supervised, weight
        self.threshold, self.temperature = threshold, temperature

    def terms(self, classify: Classify, labelled: Labelled, unlabelled: Unlabelled, now: StepContext) -> Terms:
        """Supervised loss; mean over all unlabelled images of 1(max p ≥ τ) · CE(p^(1/T)/Σ, strong logits)."""
        terms = self.supervised(classify, labelled)
        with torch.no_grad():
            logits = classify(unlabelled["weak"][0])
            accepted = (logits.softmax(1).max(1).values >= self.threshold).float()
            target = (logits / self.temperature).softmax(1)
        strong = classify(unlabelled["strong"][0])
        return terms | confident("uda", strong, target, accepted, self.weight, unlabelled, now)
