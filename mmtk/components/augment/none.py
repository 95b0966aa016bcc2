"""No augmentation."""

from __future__ import annotations

from torch import Generator, Tensor

from mmtk.api import Augment


class NoAugment(Augment):
    """Leave images and masks as they are."""

    uint8 = True

    def __call__(
        self, images: Tensor, generator: Generator, masks: Tensor | None = None, geometric: bool = True
    ) -> tuple[Tensor, Tensor | None]:
        """The same images and masks; draws nothing."""
        return images, masks
