"""An augmentation."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Generator, Tensor

from mmtk.api import Augment, Field


class Example(Augment):
    """Make every image brighter or darker by a factor of its own; no pixel moves.

    strength: the largest change: factors are drawn between 1 − strength and 1 + strength.
    """

    def __init__(self, *, strength: Annotated[float, Field(ge=0, le=1)] = 0.3) -> None:
        self.strength = strength

    def __call__(
        self, images: Tensor, generator: Generator, masks: Tensor | None = None, geometric: bool = True
    ) -> tuple[Tensor, Tensor | None]:
        """[B,C,H,W] in [0, 1] → the same shape, cut off at 0 and 1; masks as they are."""
        # Drawn on the CPU, so that every device draws the same.
        draws = torch.rand(len(images), 1, 1, 1, generator=generator)
        factors = 1 + self.strength * (2 * draws - 1)
        return (images * factors.to(images)).clamp(0, 1), masks
