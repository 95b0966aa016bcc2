"""Strong augmentation: weak, then random operations from a pool."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Generator, Tensor

from mmtk.api import Augment, Field
from mmtk.components.augment.operations import (
    MATRICES,
    OPERATIONS,
    Operation,
    Swap,
    check,
    flip_and_crop,
    operate,
)


class Strong(Augment):
    """Flip and crop as weak does, then apply random operations at random levels.

    n: operations drawn per image, with replacement; "any": 0…all of the pool, distinct, in random order
    probability: with which each drawn operation is applied, 0…1; "any" applies all that it draws
    flip: probability of the flip, 0…1
    padding: width added on every side, as a share of the image size, 0…0.5
    pool: names of the operations to draw from

    Each operation has a level v of 1…9: brightness, contrast and sharpness by the factor 0.05 + 0.09 v,
    posterize to 4 + ⌊0.4 v⌋ bits, rotate ±3 v degrees, shear ±0.03 v, translate ±0.03 v of the image size,
    solarize from 256 − ⌊25.6 v⌋ up. They work on 8-bit gray levels, as Pillow does. Masks move with rotate,
    shear and translate; from outside come 0 in images and −1 (ignored) in masks, for 0 would leave exclusive
    masks without a class. ``geometric=False`` keeps the draws and leaves out all that moves pixels.
    Source: the released code of Haque et al. (MELBA 2021) after RandAugment (Cubuk et al., 2020).
    """

    def __init__(
        self,
        swap: Swap = (),
        *,
        n: Annotated[int, Field(ge=1)] | Literal["any"] = 2,
        probability: Annotated[float, Field(ge=0, le=1)] = 0.5,
        flip: Annotated[float, Field(ge=0, le=1)] = 0.5,
        padding: Annotated[float, Field(ge=0, lt=0.5)] = 0.125,
        pool: Annotated[tuple[Operation, ...], Field(min_length=1)] = OPERATIONS,
    ) -> None:
        self.swap, self.flip, self.padding = swap, flip, padding
        self.n, self.probability, self.pool = n, probability, pool

    def __call__(
        self, images: Tensor, generator: Generator, masks: Tensor | None = None, geometric: bool = True
    ) -> tuple[Tensor, Tensor | None]:
        """[B,C,H,W] in [0, 1] (and masks [B,K,H,W]) → new images in [0, 1], same shapes and dtypes."""
        check(images, masks, self.swap)
        slots = len(self.pool) if self.n == "any" else self.n
        draws = torch.rand(len(images), 3 + 4 * slots, generator=generator, dtype=torch.float64)
        gray = (images * 255).round_().clamp_(0, 255).to(torch.uint8)
        if geometric:
            gray, masks = flip_and_crop(gray, masks, draws[:, :3], self.flip, self.padding, self.swap)

        which, applied, level, sign = self._decide(draws[:, 3:].reshape(-1, 4, slots))
        for slot in range(slots):
            for number in sorted(set(which[applied[:, slot], slot].tolist())):
                name = self.pool[number]
                moves = name in MATRICES
                if name == "identity" or (moves and not geometric):
                    continue
                mine = (applied[:, slot] & (which[:, slot] == number)).nonzero()[:, 0]
                rows = mine.to(images.device, non_blocking=True)
                some = masks[rows] if masks is not None and moves else None
                # Both are this call's own copies: gray always, masks since flip_and_crop.
                gray[rows], moved = operate(name, gray[rows], some, level[mine, slot], sign[mine, slot])
                if masks is not None and moved is not None:
                    masks[rows] = moved
        return gray.to(images.dtype).div_(255), masks

    def _decide(self, draws: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draws [B,4,slots] in [0, 1) → operation, whether applied, level and sign, each [B,slots]."""
        choice, chance, level, sign = draws.unbind(1)
        if self.n == "any":
            which = choice.argsort(1)
            count = (chance[:, :1] * (len(self.pool) + 1)).long()
            applied = torch.arange(len(self.pool)) < count
        else:
            which = (choice * len(self.pool)).long()
            applied = chance < self.probability
        return which, applied, 1 + (level * 9).long(), 2 * (sign < 0.5).long() - 1
