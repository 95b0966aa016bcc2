"""Spatial attention as the bridge: learned, and without a gradient through the image."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from mmtk.api import Bridge, Classify, Field
from torch import Tensor, nn
from torch.nn import functional as F

from mmtk_captum.join import beside


class Attention(Bridge):
    """Spatial attention over the classifier's coarsest features beside the image (Woo et al., 2018).

    kernel: side of the convolution that makes the map: 3, 5 or 7.
    stride: the skip that it joins; the paper's 8 is the first block of the decoder.

    The convolution is trained by the segmentation loss; the features are detached, so the classifier is not.
    """

    def __init__(
        self, in_channels: int, *, kernel: Literal[3, 5, 7] = 7, stride: Annotated[int, Field(ge=1)] = 8
    ) -> None:
        super().__init__()
        self.channels, self.stride = in_channels + 1, stride
        self.conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2)

    def forward(self, x: Tensor, classify: Classify) -> tuple[Tensor, Tensor | None]:
        """[B,C,H,W] → (image and map [B,C+1,H/stride,W/stride], map [B,1,H,W] in (0, 1))."""
        with torch.no_grad():
            last = classify.features(x)[-1]
        both = torch.cat([last.mean(1, keepdim=True), last.amax(1, keepdim=True)], 1)
        gate = self.conv(both).sigmoid().to(x)
        shown = F.interpolate(gate, size=x.shape[-2:], mode="bilinear", align_corners=True)
        return beside(x, shown, self.stride), shown.detach()
