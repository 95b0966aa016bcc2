"""FlexMatch (Zhang et al., NeurIPS 2021)."""

from __future__ import annotations

from typing import Annotated

import torch
from mmtk.api import SSL, Classify, Field, Labelled, StepContext, Supervised, Terms, Unlabelled
from torch import Tensor

from mmtk_ssl_zoo.confident import confident
from mmtk_ssl_zoo.state import State


class FlexMatch(SSL):
    """FixMatch with a lower threshold for classes of which fewer images are learned.

    threshold: probability from which an image counts as learned; the classes' thresholds rise to it.
    weight: factor of the unlabelled loss.
    """

    views = {"weak": 1, "strong": 1}

    def __init__(
        self,
        supervised: Supervised,
        classes: int,
        unlabelled_size: int,
        *,
        threshold: Annotated[float, Field(ge=0, le=1)] = 0.95,
        weight: Annotated[float, Field(ge=0)] = 1.0,
    ) -> None:
        super().__init__()
        self.supervised, self.classes, self.threshold, self.weight = supervised, classes, threshold, weight
        # The class that each image was last learned as; −1 for none yet.
        self.learned = State(torch.full((unlabelled_size,), -1))

    def terms(self, classify: Classify, labelled: Labelled, unlabelled: Unlabelled, now: StepContext) -> Terms:
        """Supervised loss; mean over unlabelled images of 1(max p ≥ T(argmax p)) · CE(argmax p, strong logits)."""
        terms = self.supervised(classify, labelled)
        with torch.no_grad():
            confidence, pseudo = classify(unlabelled["weak"][0]).softmax(1).max(1)
            learned = self.learned.before(now)
            accepted = (confidence >= self.thresholds(learned)[pseudo]).float()
            sure = now.gather(confidence) > self.threshold
            index, classes = now.gather(unlabelled.index)[sure], now.gather(pseudo)[sure]
            # Whatever the order, an image that a batch holds twice gets the same class: the larger one.
            self.learned.value.copy_(learned.scatter_reduce(0, index, classes, "amax", include_self=False))
        strong = classify(unlabelled["strong"][0])
        return terms | confident("flexmatch", strong, pseudo, accepted, self.weight, unlabelled, now)

    def thresholds(self, learned: Tensor) -> Tensor:
        """T = τ · β/(2 − β) by class, β = σ / max(max σ, N − Σσ), σ the images learned as that class."""
        counts = torch.bincount(learned + 1, minlength=self.classes + 1)
        beta = counts[1:] / counts.max()
        return self.threshold * beta / (2 - beta)
