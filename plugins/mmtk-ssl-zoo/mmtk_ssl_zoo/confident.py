"""The loss that six of the strategies share: cross-entropy of the images that count, each by its share."""

from __future__ import annotations

import torch
from mmtk.api import StepContext, Term, Terms, Unlabelled
from torch import Tensor
from torch.nn import functional as F


def confident(
    name: str,
    logits: Tensor,
    target: Tensor,
    share: Tensor,
    weight: float,
    unlabelled: Unlabelled,
    now: StepContext,
) -> Terms:
    """Mean over all images of share · CE(target, logits), and what to log of it.

    logits: [B,C]; target: classes [B] or probabilities [B,C]; share: [B] in [0, 1], 0 for a rejected image.
    Logged where they can be: ``mask-rate``, the mean share, and ``pseudo-label-accuracy``, by share.
    """
    losses = F.cross_entropy(logits, target, reduction="none")
    rate = share.mean()
    terms = {name: Term((share * losses).mean(), weight, active=rate), "mask-rate": Term(rate, 0)}
    everyones = now.gather(share)
    if unlabelled.truth is not None:
        pseudo = target if target.ndim == 1 else target.argmax(1)
        right = everyones * now.gather(pseudo == unlabelled.truth)
        found = right.sum() / everyones.sum().clamp_min(torch.finfo(everyones.dtype).tiny)
        terms["pseudo-label-accuracy"] = Term(found, 0, active=everyones.mean())
    return terms
