"""SoftMatch (Chen et al., ICLR 2023)."""

from __future__ import annotations

from typing import Annotated

import torch
from mmtk.api import SSL, Classify, Field, Labelled, StepContext, Supervised, Terms, Unlabelled

from mmtk_ssl_zoo.confident import confident
from mmtk_ssl_zoo.state import State, align, uniform


class SoftMatch(SSL):
    """FixMatch without a threshold: less confident images weigh less, by a Gaussian cut off at the mean.

    weight: factor of the unlabelled loss.
    n_sigma: n of the Gaussian exp(−n² (max p − μ)² / 2σ²); images above μ weigh 1.
    alignment: weigh by predictions that are scaled towards equal classes; pseudo-labels stay as predicted.
    momentum: of the running means, per step (m in the paper).
    """

    views = {"weak": 1, "strong": 1}

    def __init__(
        self,
        supervised: Supervised,
        classes: int,
        *,
        weight: Annotated[float, Field(ge=0)] = 1.0,
        n_sigma: Annotated[float, Field(gt=0)] = 2.0,
        alignment: bool = True,
        momentum: Annotated[float, Field(ge=0, lt=1)] = 0.999,
    ) -> None:
        super().__init__()
        self.supervised, self.classes, self.weight = supervised, classes, weight
        self.n_sigma, self.alignment, self.momentum = n_sigma, alignment, momentum
        self.mean, self.variance = State(torch.tensor(1 / classes)), State(torch.tensor(1.0))
        self.predicted = uniform(classes)

    def terms(self, classify: Classify, labelled: Labelled, unlabelled: Unlabelled, now: StepContext) -> Terms:
        """Supervised loss; mean of exp(−n² min(max p − μ, 0)² / 2σ²) · CE(argmax p, strong logits)."""
        terms = self.supervised(classify, labelled)
        with torch.no_grad():
            p = classify(unlabelled["weak"][0]).softmax(1)
            pseudo = p.argmax(1)
            if self.alignment:
                predicted = self.predicted.average(now.gather(p).mean(0), self.momentum, now)
                p = align(p, predicted, torch.full_like(predicted, 1 / self.classes))
            top = p.max(1).values
            everyone = now.gather(top)
            mean = self.mean.average(everyone.mean(), self.momentum, now)
            spread = everyone.var(correction=min(1, len(everyone) - 1))  # of a single image: 0
            variance = self.variance.average(spread, self.momentum, now).clamp_min(1e-12)
            share = (-(self.n_sigma * (top - mean).clamp_max(0)).square() / (2 * variance)).exp()
        strong = classify(unlabelled["strong"][0])
        return terms | confident("softmatch", strong, pseudo, share, self.weight, unlabelled, now)
