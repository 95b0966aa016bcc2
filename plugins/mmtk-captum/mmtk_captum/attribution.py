"""Any of Captum's attributions as the bridge."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from mmtk.api import Bridge, Classify, Field
from torch import Tensor

from mmtk_captum import maps
from mmtk_captum.join import beside


class Attribution(Bridge):
    """The size of an attribution of the best class beside the image, joined to the decoder.

    method: saliency, input-x-gradient, integrated-gradients, smoothgrad or grad-cam.
    steps: of integrated gradients on the way from a black image.
    samples: noisy copies of smoothgrad.
    noise: their standard deviation as a share of the range of gray levels.
    stride: the skip that it joins; the paper's 8 is the first block of the decoder.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        method: Literal[
            "saliency", "input-x-gradient", "integrated-gradients", "smoothgrad", "grad-cam"
        ] = "integrated-gradients",
        steps: Annotated[int, Field(ge=1)] = 8,
        samples: Annotated[int, Field(ge=1)] = 8,
        noise: Annotated[float, Field(ge=0)] = 0.15,
        stride: Annotated[int, Field(ge=1)] = 8,
    ) -> None:
        super().__init__()
        self.channels, self.stride, self.method = in_channels + 1, stride, method
        self.steps, self.samples, self.noise = steps, samples, noise

    def forward(self, x: Tensor, classify: Classify) -> tuple[Tensor, Tensor | None]:
        """[B,C,H,W] → (image and map [B,C+1,H/stride,W/stride], map [B,1,H,W]), both detached."""
        with torch.enable_grad(), torch.autocast(x.device.type, enabled=False):
            found = self._attribute(x.detach().requires_grad_(), classify)
        shown = found.detach().abs().amax(1, keepdim=True)
        return beside(x, shown, self.stride), shown

    def _attribute(self, x: Tensor, classify: Classify) -> Tensor:
        if self.method == "integrated-gradients":
            return maps.integrated_gradients(x, classify, self.steps)
        if self.method == "smoothgrad":
            return maps.smoothgrad(x, classify, self.samples, self.noise)
        plain = {"saliency": maps.saliency, "input-x-gradient": maps.input_x_gradient, "grad-cam": maps.grad_cam}
        return plain[self.method](x, classify)
