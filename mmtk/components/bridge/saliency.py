"""The paper's saliency bridge module."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from mmtk.api import Bridge, Classify, Field


def input_gradient(x: Tensor, classify: Classify, classes: Tensor | None = None) -> Tensor:
    """|∂ s_k / ∂x| of the class scores s, k the best class (or ``classes`` [B]): [B,1,H,W], no gradient (eq. 3).

    With several input channels the largest gradient of a pixel counts. Asks for input gradients only, so no
    parameter's ``.grad`` is touched; works under an outer ``no_grad``.
    """
    # Autocast would run parts of the backward pass (matrix products) in half precision too.
    with torch.enable_grad(), torch.autocast(x.device.type, enabled=False):
        x = x.detach().requires_grad_()
        scores = classify(x)
        class_scores = scores.amax(1) if classes is None else scores.gather(1, classes[:, None])
        (gradient,) = torch.autograd.grad(class_scores.sum(), x)
    return gradient.abs().amax(1, keepdim=True)


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
