"""The paper's decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from torch import Tensor, nn
from torch.nn import functional as F

from mmtk.api import Decoder, Field
from mmtk.components._blocks import Block


class UNetDecoder(Decoder):
    """The paper's U-Net decoder: bilinear doubling, skip, block; then a 1×1 convolution (Table 5).

    width: channels of the finest block; every coarser one doubles them. The paper has 16.
    dropout: probability behind every block.
    """

    def __init__(
        self,
        channels: Sequence[int],
        classes: int,
        *,
        width: Annotated[int, Field(ge=1)] = 16,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.25,
    ) -> None:
        super().__init__()
        coarsest, *skips = reversed(list(channels))
        outputs = [width * 2**level for level in reversed(range(len(skips)))]
        inputs = [coarsest, *outputs[:-1]]
        self.blocks = nn.ModuleList(
            Block(below + skip, out, dropout) for below, skip, out in zip(inputs, skips, outputs, strict=True)
        )
        self.last = nn.Conv2d(outputs[-1], classes, 1)

    def forward(self, features: list[Tensor], size: tuple[int, int]) -> Tensor:
        """Features fine → coarse → logits [B,classes,*size]; a first stride above 1 is upsampled at the end."""
        x, *skips = reversed(features)
        for block, skip in zip(self.blocks, skips, strict=True):
            x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=True)
            x = block(x, skip)
        logits = self.last(x)
        if tuple(logits.shape[-2:]) != tuple(size):
            logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=True)
        return logits
