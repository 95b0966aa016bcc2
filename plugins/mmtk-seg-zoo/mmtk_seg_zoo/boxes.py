"""The boxes of CutMix."""

from __future__ import annotations

import torch
from torch import Tensor


def boxes(count: int, size: tuple[int, int], share: float, generator: torch.Generator) -> Tensor:
    """One box per image, of ``share`` of its area, any place and aspect that fits: [B,1,H,W], 1 inside."""
    aspect, top, left = torch.rand(3, count, 1, 1, 1, generator=generator)
    # The height's logarithm is uniform between that of the share (a box as wide as the image) and 0.
    height = share**aspect
    width = share / height
    top, left = top * (1 - height), left * (1 - width)
    y = ((torch.arange(size[0]) + 0.5) / size[0])[:, None]
    x = ((torch.arange(size[1]) + 0.5) / size[1])[None, :]
    return ((y >= top) & (y < top + height) & (x >= left) & (x < left + width)).float()
