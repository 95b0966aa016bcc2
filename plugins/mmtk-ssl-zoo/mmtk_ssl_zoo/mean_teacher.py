"""Mean Teacher (Tarvainen and Valpola, NIPS 2017)."""

from __future__ import annotations

from typing import Annotated

import torch
from mmtk.api import SSL, Classify, Field, Labelled, StepContext, Supervised, Term, Terms, Twin, Unlabelled
from torch.nn import functional as F


class MeanTeacher(SSL):
    """Predict for one weak view what the average of the network over past steps predicts for another.

    decay: largest decay α of the teacher's weights; the host takes min(1 − 1/(t + 1), decay) after step t.
    weight: factor of the squared difference after the ramp.
    ramp: share of the training over which the weight rises as exp(−5 (1 − x)²); 0 for none.
    """

    views = {"weak": 2}

    def __init__(
        self,
        supervised: Supervised,
        twin: Twin,
        *,
        decay: Annotated[float, Field(ge=0, lt=1)] = 0.999,
        weight: Annotated[float, Field(ge=0)] = 50.0,
        ramp: Annotated[float, Field(ge=0, le=1)] = 0.4,
    ) -> None:
        super().__init__()
        self.supervised, self.teacher = supervised, twin(decay)
        self.weight, self.ramp = weight, ramp

    def terms(self, classify: Classify, labelled: Labelled, unlabelled: Unlabelled, now: StepContext) -> Terms:
        """Supervised loss; mean over images and classes of (p student − p teacher)², none through the teacher."""
        terms = self.supervised(classify, labelled)
        mine, others = unlabelled["weak"]
        with torch.no_grad():
            target = self.teacher(others).softmax(1)
        difference = F.mse_loss(classify(mine).softmax(1), target)
        terms["consistency"] = Term(difference, self.weight * now.ramp(self.ramp, "sigmoid"))
        return terms
