"""The released strong view."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated

from mmtk.api import Augment, Field
from torch import Generator, Tensor

from mmtk_release.films import Film, each, flip_and_crop
from mmtk_release.pool import INTENSITIES, MOVES, NAMES, planes


class ReleaseStrong(Augment):
    """Flip, crop by 4 pixels whatever the size, and two operations by Pillow, as released.

    padding: pixels on every side of the image that is cropped; 4 is an eighth of 32, the size of CIFAR images.
    """

    def __init__(self, swap: Sequence[tuple[int, int]] = (), *, padding: Annotated[int, Field(ge=0)] = 4) -> None:
        self.swap, self.padding = swap, padding

    def __call__(
        self, images: Tensor, generator: Generator, masks: Tensor | None = None, geometric: bool = True
    ) -> tuple[Tensor, Tensor | None]:
        """[B,C,H,W] in [0, 1] (and masks [B,K,H,W]) → the same shapes, on 8-bit gray levels."""

        def change(film: Film, mask: Film | None, draw: random.Random) -> tuple[Film, Film | None]:
            if geometric:
                film, mask = flip_and_crop(film, mask, draw, self.padding, self.swap)
            for name in draw.choices(NAMES, k=2):
                level, applied, sign = draw.randint(1, 9), draw.random() < 0.5, draw.choice((-1, 1))
                if not applied or (name in MOVES and not geometric):
                    continue
                if name in INTENSITIES:
                    film = planes(film, lambda plane, name=name, v=level: INTENSITIES[name](plane, v))
                else:
                    move, v = MOVES[name], level * sign
                    film = planes(film, lambda plane, move=move, v=v: move(plane, v, 0))
                    if mask is not None:
                        mask = planes(mask, lambda plane, move=move, v=v: move(plane, v, 255))
            return film, mask

        return each(images, masks, generator, change)
