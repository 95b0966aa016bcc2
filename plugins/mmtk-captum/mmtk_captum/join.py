"""What every bridge here joins to the decoder."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def beside(x: Tensor, shown: Tensor, stride: int) -> Tensor:
    """Image and map [B,C+1,H/stride,W/stride], resized as the paper's saliency is (eq. 4)."""
    size = [side // stride for side in x.shape[-2:]]
    return F.interpolate(torch.cat([x.detach(), shown], 1), size=size, mode="bilinear", align_corners=True)
