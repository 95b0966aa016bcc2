"""The paper's saliency bridge module."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from mmtk.api import Bridge, Classify, Field
from mmtk.gradients import input_gradient


class Saliency(Bridge):
    """Input gradient of the best class beside the image, joined to the decoder (eqs. 3, 4).

    stride: the skip that it joins; the paper's 8 is the first block of the decoder.
    """

    def __init__(self, in_channels: int, *, stride: Annotated[int, Field(ge=1)] = 8) -> None:
        super().__init__()
        self.channels, self.stride = in_channels + 1, stride

    def forward(self, x: Tensor, classify: Classify) -> tuple[Tensor, Tensor | None]:
        """[B,C,H,W] → (image and saliency [B,C+1,H/stride,W/stride], saliency [B,1,H,W]), both detached."""
        saliency = input_gradient(x, classify)
        size = [side // self.stride for side in x.shape[-2:]]
        both = torch.cat([x.detach(), saliency], dim=1)
        return F.interpolate(both, size=size, mode="bilinear", align_corners=True), saliency
