"""A decoder: feature maps to masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmtk.api import Decoder, Field


class Example(Decoder):
    """Bring every level to one width by a 1×1 convolution, enlarge to the finest, add up, and classify pixels.

    width: channels of the sum.
    """

    def __init__(self, channels: Sequence[int], classes: int, *, width: Annotated[int, Field(ge=1)] = 32) -> None:
        super().__init__()
        self.levels = nn.ModuleList(nn.Conv2d(each, width, 1) for each in channels)
        self.last = nn.Conv2d(width, classes, 1)

    def forward(self, features: list[Tensor], size: tuple[int, int]) -> Tensor:
        """Features fine → coarse → logits [B,classes,*size]."""
        finest = features[0].shape[-2:]
        levels = [
            F.interpolate(level(each), finest, mode="bilinear", align_corners=False)
            for level, each in zip(self.levels, features, strict=True)
        ]
        logits = self.last(torch.stack(levels).sum(0).relu())
        return F.interpolate(logits, size, mode="bilinear", align_corners=False)
