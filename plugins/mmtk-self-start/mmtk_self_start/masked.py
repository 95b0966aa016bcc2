"""Masked image modelling for convolutional encoders, after MAE (He et al. 2022) and SimMIM (Xie et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from mmtk.api import SSL, Classify, Field, Labelled, StepContext, Supervised, Term, Terms, Unlabelled
from torch import Tensor, nn
from torch.nn import functional as F

from mmtk_self_start.common import pooled, probe, refuse_collapse, spread


class Masked(SSL):
    """Squares of an image are grayed, and the features of all levels have to say what was there.

    A convolution cannot leave a square out, as MAE does: it is set to mid-gray, as in SimMIM. The decoder is a
    1 × 1 convolution of each level, summed at full size: what it knows, the encoder has to know. No label reaches
    the encoder; the class head learns beside it.

    patch: side of a square in pixels
    share: of the squares that are grayed
    width: channels of the decoder
    collapse: spread of the features below which the run ends; 0: never
    """

    views = {"weak": 1}

    def __init__(
        self,
        supervised: Supervised,
        channels: Sequence[int],
        in_channels: int,
        *,
        patch: Annotated[int, Field(ge=1)] = 8,
        share: Annotated[float, Field(gt=0, lt=1)] = 0.6,
        width: Annotated[int, Field(ge=1)] = 32,
        collapse: Annotated[float, Field(ge=0, lt=1)] = 0.02,
    ) -> None:
        super().__init__()
        self.supervised, self.patch, self.share, self.collapse = supervised, patch, share, collapse
        self.levels = nn.ModuleList(nn.Conv2d(count, width, 1) for count in channels)
        self.pixels = nn.Sequential(nn.GELU(), nn.Conv2d(width, in_channels, 1))

    def terms(self, classify: Classify, labelled: Labelled, unlabelled: Unlabelled, now: StepContext) -> Terms:
        """The probe's loss, the squared error on grayed pixels, and the spread of the features."""
        terms = probe(self.supervised, classify, labelled)
        (images,) = unlabelled["weak"]
        hidden = squares(images, self.patch, self.share, now.generator("squares"))
        features = classify.features(images.masked_fill(hidden, 0.0))
        value = spread(pooled(features))
        refuse_collapse(value, self.collapse, now)
        error = (self._decoded(features, images).float() - images) ** 2
        count = hidden.sum().clamp(min=1) * images.shape[1]
        return terms | {"masked": Term((error * hidden).sum() / count), "spread": Term(value, 0.0)}

    def _decoded(self, features: list[Tensor], images: Tensor) -> Tensor:
        """Pixels [B,C,H,W] from the feature maps."""
        size = images.shape[-2:]
        maps = [
            F.interpolate(level(feature_map), size, mode="bilinear", align_corners=False)
            for level, feature_map in zip(self.levels, features, strict=True)
        ]
        pixels: Tensor = self.pixels(torch.stack(maps).sum(0))
        return pixels


def squares(images: Tensor, patch: int, share: float, generator: torch.Generator) -> Tensor:
    """Grayed pixels [B,1,H,W] of boolean, drawn by squares.

    images: [B,C,H,W]
    patch: side of a square in pixels
    share: chance of a square
    generator: of the CPU
    """
    height, width = images.shape[-2:]
    counts = -(-height // patch), -(-width // patch)
    chosen = torch.rand(len(images), 1, *counts, generator=generator) < share
    whole = chosen.repeat_interleave(patch, 2).repeat_interleave(patch, 3)
    return whole[:, :, :height, :width].to(images.device)
