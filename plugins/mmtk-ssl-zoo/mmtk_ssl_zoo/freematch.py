"""FreeMatch (Wang et al., ICLR 2023)."""

from __future__ import annotations

from typing import Annotated

import torch
from mmtk.api import SSL, Classify, Field, Labelled, StepContext, Supervised, Term, Terms, Unlabelled
from torch.nn import functional as F

from mmtk_ssl_zoo.confident import confident
from mmtk_ssl_zoo.fairness import fairness
from mmtk_ssl_zoo.state import State, uniform


class FreeMatch(SSL):
    """FixMatch with thresholds that follow the model's own confidence, and a term for fairness among classes.

    weight: factor of the unlabelled loss (w_u in the paper).
    fairness: factor of the fairness term (w_f in the paper).
    momentum: of the running means, per step (λ in the paper).
    """

    views = {"weak": 1, "strong": 1}

    def __init__(
        self,
        supervised: Supervised,
        classes: int,
        *,
        weight: Annotated[float, Field(ge=0)] = 1.0,
        fairness: Annotated[float, Field(ge=0)] = 0.001,
        momentum: Annotated[float, Field(ge=0, lt=1)] = 0.999,
    ) -> None:
        super().__init__()
        self.supervised, self.classes = supervised, classes
        self.weight, self.fairness, self.momentum = weight, fairness, momentum
        self.confidence = State(torch.tensor(1 / classes))
        self.predicted, self.histogram = uniform(classes), uniform(classes)

    def terms(self, classify: Classify, labelled: Labelled, unlabelled: Unlabelled, now: StepContext) -> Terms:
        """Supervised loss; mean of 1(max p ≥ τ(argmax p)) · CE(argmax p, strong logits); fairness (eq. 11)."""
        terms = self.supervised(classify, labelled)
        with torch.no_grad():
            p = classify(unlabelled["weak"][0]).softmax(1)
            top, pseudo = p.max(1)
            counts = F.one_hot(now.gather(pseudo), self.classes).to(p).mean(0)
            level = self.confidence.average(now.gather(top).mean(), self.momentum, now)
            predicted = self.predicted.average(now.gather(p).mean(0), self.momentum, now)
            expected = predicted / self.histogram.average(counts, self.momentum, now).clamp_min(1e-6)
            accepted = (top >= (level * predicted / predicted.max())[pseudo]).float()
        strong = classify(unlabelled["strong"][0])
        terms |= confident("freematch", strong, pseudo, accepted, self.weight, unlabelled, now)
        loss, support = fairness(expected, strong.softmax(1), accepted, now)
        terms["fairness"] = Term(loss, self.fairness, active=support)
        return terms
