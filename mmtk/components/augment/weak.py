"""Weak augmentation: flip and crop."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Generator, Tensor

from mmtk.api import Augment, Field
from mmtk.components.augment._operations import Swap, check, flip_and_crop


class Weak(Augment):
    """Flip left to right, then crop the full size from the reflection-padded image.

    flip: probability of the flip, 0…1
    padding: width added on every side, as a share of the image size, 0…0.5

    Masks move along; a flipped image's masks exchange the channel pairs of ``swap``. Nothing happens with
    ``geometric=False``. Three numbers are drawn per image.
    """

    uint8 = True

    def __init__(
        self,
        swap: Swap = (),
        *,
        flip: Annotated[float, Field(ge=0, le=1)] = 0.5,
        padding: Annotated[float, Field(ge=0, lt=0.5)] = 0.125,
    ) -> None:
        self.swap, self.flip, self.padding = swap, flip, padding

    def __call__(
        self, images: Tensor, generator: Generator, masks: Tensor | None = None, geometric: bool = True
    ) -> tuple[Tensor, Tensor | None]:
        """[B,C,H,W] in [0, 1] or uint8 (and masks [B,K,H,W]) → new tensors of the same shapes and dtypes."""
        check(images, masks, self.swap)
        draws = torch.rand(len(images), 3, generator=generator, dtype=torch.float64)
        if not geometric:
            return images, masks
        return flip_and_crop(images, masks, draws, self.flip, self.padding, self.swap)
