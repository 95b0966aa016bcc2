"""The released weak view."""

from __future__ import annotations

from collections.abc import Sequence

from mmtk.api import Augment
from torch import Generator, Tensor

from mmtk_release.films import Change, each, flip_and_crop


class ReleaseWeak(Augment):
    """Flip, then crop by an eighth of the size, and leave out the normalisation, as released for classification.

    normalise: give the network [−1, 1] as everywhere else; the released training images stay in [0, 1].
    """

    def __init__(self, swap: Sequence[tuple[int, int]] = (), *, normalise: bool = False) -> None:
        self.swap, self.normalise = swap, normalise

    def __call__(
        self, images: Tensor, generator: Generator, masks: Tensor | None = None, geometric: bool = True
    ) -> tuple[Tensor, Tensor | None]:
        """[B,C,H,W] in [0, 1] (and masks [B,K,H,W]) → the same shapes, on 8-bit gray levels."""
        padding = int(images.shape[-1] * 0.125)
        change: Change = lambda film, mask, draw: (  # noqa: E731
            flip_and_crop(film, mask, draw, padding, self.swap) if geometric else (film, mask)
        )
        return each(images, masks, generator, self.normalise, change)
