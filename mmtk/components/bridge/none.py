"""No bridge."""

from __future__ import annotations

from torch import Tensor

from mmtk.api import Bridge, Classify


class NoBridge(Bridge):
    """The decoder sees the encoder's features only."""

    channels = 0
    stride = 1

    def forward(self, x: Tensor, classify: Classify) -> tuple[Tensor, Tensor | None]:
        """Images → nothing to join, nothing to show."""
        return x[:, :0], None
