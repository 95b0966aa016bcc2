"""FixMatch (Sohn et al., NeurIPS 2020)."""

from __future__ import annotations

from typing import Annotated

import torch
from mmtk.api import SSL, Classify, Field, Labelled, StepContext, Supervised, Terms, Unlabelled
from torch.nn import functional as F

from mmtk_ssl_zoo.confident import confident
from mmtk_ssl_zoo.state import align, uniform


class FixMatch(SSL):
    """Train the strong view towards the weak view's class where that is confident.

    threshold: probability from which a pseudo-label counts.
    weight: factor of the unlabelled loss.
    alignment: scale the weak predictions by the labelled classes' share over the predicted ones' first.
    momentum: of the running means behind the alignment, per step.
    """

    views = {"weak": 1, "strong": 1}

    def __init__(
        self,
        supervised: Supervised,
        classes: int,
        *,
        threshold: Annotated[float, Field(ge=0, le=1)] = 0.95,
        weight: Annotated[float, Field(ge=0)] = 1.0,
        alignment: bool = False,
        momentum: Annotated[float, Field(ge=0, lt=1)] = 0.999,
    ) -> None:
        super().__init__()
        self.supervised, self.classes, self.threshold, self.weight = supervised, classes, threshold, weight
        self.alignment, self.momentum = alignment, momentum
        self.predicted, self.labelled = uniform(classes), uniform(classes)

    def terms(self, classify: Classify, labelled: Labelled, unlabelled: Unlabelled, now: StepContext) -> Terms:
        """Supervised loss; mean over all unlabelled images of 1(max p ≥ τ) · CE(argmax p, strong logits)."""
        terms = self.supervised(classify, labelled)
        with torch.no_grad():
            p = classify(unlabelled["weak"][0]).softmax(1)
            if self.alignment:
                known = F.one_hot(now.gather(labelled.target), self.classes).to(p)
                target = self.labelled.average(known.mean(0), self.momentum, now)
                p = align(p, self.predicted.average(now.gather(p).mean(0), self.momentum, now), target)
            confidence, pseudo = p.max(1)
            accepted = (confidence >= self.threshold).float()
        strong = classify(unlabelled["strong"][0])
        return terms | confident("fixmatch", strong, pseudo, accepted, self.weight, unlabelled, now)
