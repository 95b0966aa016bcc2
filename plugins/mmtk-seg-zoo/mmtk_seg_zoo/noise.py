"""Gaussian noise on images: the perturbation of Mean Teacher and UA-MT."""

from __future__ import annotations

import torch
from mmtk.api import StepContext
from torch import Tensor


def noisy(images: Tensor, sd: float, now: StepContext, purpose: str) -> Tensor:
    """Images plus noise of standard deviation ``sd``, cut off at 2 sd; images lie in [−1, 1]."""
    draw = torch.randn(images.shape, generator=now.generator(purpose)).clamp(-2, 2)
    return images + sd * draw.to(images)
