"""Grad-CAM as the bridge, under a word of its own."""

from __future__ import annotations

from typing import Annotated

import torch
from mmtk.api import Bridge, Classify, Field
from torch import Tensor

from mmtk_captum import maps
from mmtk_captum.join import beside


class GradCAM(Bridge):
    """Grad-CAM of the best class beside the image, joined to the decoder (Selvaraju et al., 2017).

    stride: the skip that it joins; the paper's 8 is the first block of the decoder.
    """

    def __init__(self, in_channels: int, *, stride: Annotated[int, Field(ge=1)] = 8) -> None:
        super().__init__()
        self.channels, self.stride = in_channels + 1, stride

    def forward(self, x: Tensor, classify: Classify) -> tuple[Tensor, Tensor | None]:
        """[B,C,H,W] → (image and map [B,C+1,H/stride,W/stride], map [B,1,H,W]), both detached."""
        with torch.enable_grad(), torch.autocast(x.device.type, enabled=False):
            shown = maps.grad_cam(x, classify).detach()
        return beside(x, shown, self.stride), shown
