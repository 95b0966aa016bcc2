"""Cross entropy over classes or over the pixels of masks."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from mmtk.api import Field, Loss, MmtkError


class CrossEntropy(Loss):
    """Cross entropy: softmax for classes and exclusive masks, sigmoid per channel for independent masks.

    smoothing: share of each target that is spread evenly over its alternatives, 0 to 1

    The mean over what is not ignored, weighted by ``class_weights``; 0 where all is ignored.
    """

    def __init__(
        self,
        classes: int,
        exclusive: bool,
        class_weights: Tensor | None,
        *,
        smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        require_softmax("cross-entropy", classes, exclusive)
        self.exclusive, self.weights, self.smoothing = exclusive, class_weights, smoothing

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        """Classes: [B,C], [B]. Masks: [B,K,H,W], [B,K,H,W] in {0, 1} with −1 ignored."""
        logits = at_least_float32(logits)
        weights = logits.new_ones(logits.shape[1]) if self.weights is None else self.weights.to(logits)
        if self.exclusive or target.ndim == 1:
            index = class_index(target)
            loss = F.cross_entropy(
                logits, index, weights, ignore_index=-1, label_smoothing=self.smoothing, reduction="sum"
            )
            total = (weights[index.clamp_min(0)] * (index >= 0)).sum()
        else:
            share = weights[:, None, None] * (target >= 0)
            soft = target.clamp_min(0).to(logits) * (1 - self.smoothing) + self.smoothing / 2
            loss = F.binary_cross_entropy_with_logits(logits, soft, share, reduction="sum")
            total = share.sum()
        return loss / total.clamp_min(1e-12)


def class_index(target: Tensor) -> Tensor:
    """Class of each image or pixel, int64, −1 where ignored: [B] as it is, one-hot [B,K,H,W] → [B,H,W]."""
    if target.ndim == 1:
        return target.long()
    return target.argmax(1).masked_fill((target < 0).any(1), -1)


def at_least_float32(logits: Tensor) -> Tensor:
    """Half precision cannot hold sums over an image."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def require_softmax(loss: str, classes: int, exclusive: bool) -> None:
    """Refuse a softmax over one channel: it is 1 everywhere, so its loss is constant."""
    if exclusive and classes < 2:
        raise MmtkError(
            f"loss/{loss}: a softmax over {classes} channel is always 1 and teaches nothing.",
            hint="Give the source a background channel, or exclusive = False for independent masks.",
        )


def require_masks(loss: str, target: Tensor) -> None:
    """Refuse class labels [B] where only masks [B,K,H,W] make sense."""
    if target.ndim != 4:
        raise MmtkError(
            f"loss/{loss} compares masks, not class labels.",
            hint='Set use = "cross-entropy" in [loss.classification].',
        )
