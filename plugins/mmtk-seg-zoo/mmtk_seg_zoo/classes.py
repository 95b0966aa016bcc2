"""Masks of either sort as distributions over classes, so that every equation is written once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def log_classes(logits: Tensor, exclusive: bool) -> Tensor:
    """Log-probabilities with the classes in dimension 1, finite for any logits.

    [B,K,H,W] → [B,K,H,W] where a pixel has one of K classes (softmax), else [B,2,K,H,W]: each channel off or on.
    """
    if exclusive:
        return logits.log_softmax(1)
    return torch.stack([F.logsigmoid(-logits), F.logsigmoid(logits)], dim=1)


def entropy(log_p: Tensor) -> Tensor:
    """−Σ p log p over dimension 1, in nats: 0 where sure, ln C where uniform."""
    return -(log_p.exp() * log_p).sum(1)


def cross_entropy(log_p: Tensor, classes: Tensor) -> Tensor:
    """−log p of the class of every pixel; classes: as an argmax over dimension 1 gives them."""
    return -log_p.gather(1, classes.unsqueeze(1)).squeeze(1)
