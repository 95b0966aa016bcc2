"""Soft Dice loss."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from mmtk.api import Field, Loss
from mmtk.components.loss.cross_entropy import at_least_float32, require_masks, require_softmax


class Dice(Loss):
    """Soft Dice per image and channel, 1 − (2 Σ p g + s) / (Σ p + Σ g + s), then the mean.

    smoothing: s, in pixels, above 0

    p is the sigmoid; of exclusive channels the softmax, without the background channel 0. Ignored pixels
    take no part, nor does a channel of an image that is all ignored.
    """

    tasks = ("segmentation",)

    def __init__(self, classes: int, exclusive: bool, *, smoothing: Annotated[float, Field(gt=0)] = 1.0) -> None:
        require_softmax("dice", classes, exclusive)
        self.exclusive, self.smoothing = exclusive, smoothing

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        """Masks: [B,K,H,W], [B,K,H,W] in {0, 1} with −1 ignored."""
        require_masks("dice", target)
        logits = at_least_float32(logits)
        valid = target >= 0
        if self.exclusive:
            p = logits.softmax(1)[:, 1:]
            target, valid = target[:, 1:], valid.all(1, keepdim=True).expand_as(target)[:, 1:]
        else:
            p = logits.sigmoid()
        p, g = p * valid, target.to(p) * valid
        pixels = (2, 3)
        score = (2 * (p * g).sum(pixels) + self.smoothing) / (p.sum(pixels) + g.sum(pixels) + self.smoothing)
        labelled = valid.any(3).any(2)
        return ((1 - score) * labelled).sum() / labelled.sum().clamp_min(1)
