"""The Π-model (Laine and Aila, ICLR 2017)."""

from __future__ import annotations

from typing import Annotated

from mmtk.api import SSL, Classify, Field, Labelled, StepContext, Supervised, Term, Terms, Unlabelled
from torch.nn import functional as F


class PiModel(SSL):
    """Predict the same for two weak views of an unlabelled image, each with dropout of its own.

    weight: factor of the squared difference after the ramp.
    ramp: share of the training over which the weight rises as exp(−5 (1 − x)²); 0 for none.
    """

    views = {"weak": 2}

    def __init__(
        self,
        supervised: Supervised,
        *,
        weight: Annotated[float, Field(ge=0)] = 10.0,
        ramp: Annotated[float, Field(ge=0, le=1)] = 0.4,
    ) -> None:
        super().__init__()
        self.supervised, self.weight, self.ramp = supervised, weight, ramp

    def terms(self, classify: Classify, labelled: Labelled, unlabelled: Unlabelled, now: StepContext) -> Terms:
        """Supervised loss; mean over images and classes of (p − p')², gradient through both views."""
        terms = self.supervised(classify, labelled)
        one, other = (classify(view).softmax(1) for view in unlabelled["weak"])
        terms["consistency"] = Term(F.mse_loss(one, other), self.weight * now.ramp(self.ramp, "sigmoid"))
        return terms
