"""The paper's encoder."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor, nn
from torch.nn import functional as F

from mmtk.api import Encoder, Field, MmtkError
from mmtk.components._blocks import Block


class UNetEncoder(Encoder):
    """The paper's U-Net encoder: 5 blocks at strides 1 to 16, each doubling the channels (Table 4).

    width: channels of the first block; the paper has 16 (1,178,480 parameters).
    depth: blocks.
    dropout: probability behind every block.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        width: Annotated[int, Field(ge=1)] = 16,
        depth: Annotated[int, Field(ge=2, le=7)] = 5,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.25,
    ) -> None:
        super().__init__()
        self.channels = [width * 2**level for level in range(depth)]
        self.strides = [2**level for level in range(depth)]
        inputs = [in_channels, *self.channels[:-1]]
        self.blocks = nn.ModuleList(Block(i, o, dropout) for i, o in zip(inputs, self.channels, strict=True))

    def forward(self, x: Tensor) -> list[Tensor]:
        """[B,C,H,W] → features [B,channels[i],H/strides[i],W/strides[i]], fine → coarse."""
        smallest = 2 * self.strides[-1]  # instance norm needs more than one pixel
        if min(x.shape[-2:]) < smallest:
            raise MmtkError(
                f"encoder/unet of depth {len(self.blocks)} takes images from {smallest} × {smallest} up, "
                f"got {x.shape[-2]} × {x.shape[-1]}.",
                hint=f"Set data.size = {smallest} or more, or a smaller encoder.depth.",
            )
        features = []
        for level, block in enumerate(self.blocks):
            x = block(F.max_pool2d(x, 2) if level else x)
            features.append(x)
        return features
