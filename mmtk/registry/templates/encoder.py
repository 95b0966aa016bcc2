"""An encoder: images to feature maps."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor, nn

from mmtk.api import Encoder, Field


class Example(Encoder):
    """Three stages of convolution, group norm and ReLU at strides 2, 4 and 8, each doubling the channels.

    width: channels of the first stage.
    """

    def __init__(self, in_channels: int, *, width: Annotated[int, Field(ge=1)] = 16) -> None:
        super().__init__()
        self.channels = [width, 2 * width, 4 * width]
        self.strides = [2, 4, 8]
        inputs = [in_channels, *self.channels[:-1]]
        self.stages = nn.ModuleList(_stage(i, o) for i, o in zip(inputs, self.channels, strict=True))

    def forward(self, x: Tensor) -> list[Tensor]:
        """[B,C,H,W] → features [B,channels[i],H/strides[i],W/strides[i]], fine → coarse."""
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


def _stage(inputs: int, outputs: int) -> nn.Module:
    """Halves the size; without a bias, which the norm would take away."""
    convolution = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(1, outputs), nn.ReLU())
