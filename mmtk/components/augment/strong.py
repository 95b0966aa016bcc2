"""Strong augmentation: weak, then random operations from a pool."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from torch import Generator, Tensor

from mmtk.api import Augment, Field
from mmtk.components.augment._operations import (
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

    uint8 = True

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
        """[B,C,H,W] in [0, 1] or uint8 (and masks [B,K,H,W]) → new tensors of the same shapes and dtypes."""
        check(images, masks, self.swap)
        slots = len(self.pool) if self.n == "any" else self.n
        draws = torch.rand(len(images), 3 + 4 * slots, generator=generator, dtype=torch.float64)
        exact = images.dtype == torch.uint8
        gray = images.clone() if exact else (images * 255).round_().clamp_(0, 255).to(torch.uint8)
        if geometric:
            gray, masks = flip_and_crop(gray, masks, draws[:, :3], self.flip, self.padding, self.swap)

        for names, levels, signs in self._decide(draws[:, 3:].reshape(-1, 4, slots), geometric):
            # In place: gray is this call's own copy, and so are masks since flip_and_crop.
            operate(names, gray, masks, levels, signs)
        return gray if exact else gray.to(images.dtype).div_(255), masks

    def _decide(self, draws: Tensor, geometric: bool) -> Iterator[tuple[list[Operation], list[int], list[int]]]:
        """Draws [B,4,slots] in [0, 1) → slot by slot every image's operation, level and sign."""
        choice, chance, level, sign = draws.unbind(1)
        if self.n == "any":
            which = choice.argsort(1)
            count = (chance[:, :1] * (len(self.pool) + 1)).long()
            applied = torch.arange(len(self.pool)) < count
        else:
            which = (choice * len(self.pool)).long()
            applied = chance < self.probability
        levels, signs = 1 + (level * 9).long(), 2 * (sign < 0.5).long() - 1
        lists = (column.T.tolist() for column in (which, applied, levels, signs))
        for numbers, used, level_of, sign_of in zip(*lists, strict=True):
            names: list[Operation] = []
            for number, on in zip(numbers, used, strict=True):
                name = self.pool[number]
                names.append(name if on and (geometric or name not in MATRICES) else "identity")
            yield names, level_of, sign_of
