"""A bridge from the images and the class branch to the decoder."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor
from torch.nn import functional as F

from mmtk.api import Bridge, Classify, Field


class Example(Bridge):
    """Show the decoder where the image has edges: the size of its gradient.

    stride: the skip that it joins, one of the encoder's strides.
    """

    def __init__(self, *, stride: Annotated[int, Field(ge=1)] = 8) -> None:
        super().__init__()
        self.channels, self.stride = 1, stride

    def forward(self, x: Tensor, classify: Classify) -> tuple[Tensor, Tensor | None]:
        """[B,C,H,W] → (edges [B,1,H/stride,W/stride], edges [B,1,H,W]), both detached; no class is asked for."""
        gray = x.detach().mean(1, keepdim=True)
        down, right = F.pad(gray.diff(dim=2), (0, 0, 0, 1)), F.pad(gray.diff(dim=3), (0, 1))
        edges = (down.square() + right.square()).sqrt()
        return F.avg_pool2d(edges, self.stride), edges
