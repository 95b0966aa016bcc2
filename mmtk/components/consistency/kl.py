"""The paper's consistency between labelled and unlabelled segmentations."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor
from torch.nn import functional as F

from mmtk.api import Consistency, Field, Labelled, Segment, StepContext, Supervised, Term, Terms, Unlabelled


def bernoulli_kl(p_logits: Tensor, q_logits: Tensor) -> Tensor:
    """Mean over pixels of p log(p/q) + (1−p) log((1−p)/(1−q)), p and q the sigmoids; finite for any logits."""
    log_p, log_not_p = F.logsigmoid(p_logits), F.logsigmoid(-p_logits)
    log_q, log_not_q = F.logsigmoid(q_logits), F.logsigmoid(-q_logits)
    return (log_p.exp() * (log_p - log_q) + log_not_p.exp() * (log_not_p - log_not_q)).mean()


def categorical_kl(p_logits: Tensor, q_logits: Tensor) -> Tensor:
    """Mean over pixels of Σ_k p_k log(p_k/q_k), p and q the softmaxes over the channels."""
    log_p, log_q = p_logits.log_softmax(1), q_logits.log_softmax(1)
    return (log_p.exp() * (log_p - log_q)).sum(1).mean()


class KL(Consistency):
    """KL divergence from the labelled image's mask to its unlabelled partner's, gradient through both (eq. 2).

    weight: factor in the total (β in the paper).
    """

    def __init__(
        self, supervised: Supervised, exclusive: bool, *, weight: Annotated[float, Field(ge=0)] = 0.01
    ) -> None:
        super().__init__()
        self.supervised, self.weight = supervised, weight
        self.divergence = categorical_kl if exclusive else bernoulli_kl

    def terms(self, segment: Segment, labelled: Labelled, unlabelled: Unlabelled, now: StepContext) -> Terms:
        """The supervised loss; the divergence of labelled image i and unlabelled image i (the first of each)."""
        pairs = min(len(labelled.image), len(unlabelled.image))
        logits = segment(labelled.image)
        unlabelled_logits = segment(unlabelled.image[:pairs])
        terms = self.supervised(segment, labelled, logits)
        terms["kl"] = Term(self.divergence(logits[:pairs], unlabelled_logits), self.weight)
        return terms
