"""The released consistency loss: a KL divergence that is zero for a mask of one channel."""

from __future__ import annotations

from typing import Annotated

from mmtk.api import Consistency, Field, Labelled, Segment, StepContext, Supervised, Term, Terms, Unlabelled


class ReleaseKL(Consistency):
    """KL between softmaxes over the channels, as released: over one channel both are 1, so nothing is trained.

    weight: factor in the total (β in the paper).
    """

    def __init__(self, supervised: Supervised, *, weight: Annotated[float, Field(ge=0)] = 0.01) -> None:
        super().__init__()
        self.supervised, self.weight = supervised, weight

    def terms(self, segment: Segment, labelled: Labelled, unlabelled: Unlabelled, now: StepContext) -> Terms:
        """The supervised loss; mean over images, channels and pixels of p (log p − log q), by pairs."""
        pairs = min(len(labelled.image), len(unlabelled.image))
        logits = segment(labelled.image)
        log_p = logits[:pairs].log_softmax(1)
        log_q = segment(unlabelled.image[:pairs]).log_softmax(1)
        terms = self.supervised(segment, labelled, logits)
        terms["kl"] = Term((log_p.exp() * (log_p - log_q)).mean(), self.weight)
        return terms
