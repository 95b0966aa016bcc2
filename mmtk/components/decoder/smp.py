"""Decoders of segmentation-models-pytorch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from mmtk.api import Decoder, Field, MmtkError


class SmpDecoder(Decoder):
    """A decoder of segmentation-models-pytorch, with a 3×3 convolution to the mask logits.

    name: unet (a skip per level), fpn (the four coarsest levels) or segformer (all levels at 1/4)
    width: channels of the finest unet block, which double per level up to 16 × width; fpn has a pyramid of
        16 × width and 8 × width after it, segformer 16 × width
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        classes: int,
        *,
        name: Literal["unet", "fpn", "segformer"] = "unet",
        width: Annotated[int, Field(ge=4, le=256)] = 16,
    ) -> None:
        from segmentation_models_pytorch.base.initialization import initialize_decoder, initialize_head

        super().__init__()
        self.name, self.coarsest = name, strides[-1]
        build = {"unet": _unet, "fpn": _fpn, "segformer": _segformer}[name]
        self.body, self.empty, out = build(list(channels), list(strides), width)
        self.head = nn.Conv2d(out, classes, kernel_size=3, padding=1)
        initialize_decoder(self.body)
        initialize_head(self.head)

    def forward(self, features: list[Tensor], size: tuple[int, int]) -> Tensor:
        """Features fine → coarse → logits [B,classes,H,W] at ``size``."""
        if self.name == "fpn" and any(length % self.coarsest for length in size):
            raise MmtkError(
                f"The SMP decoder 'fpn' doubles its features level by level from 1/{self.coarsest} on, "
                f"which {size[0]} × {size[1]} does not divide into.",
                hint=f'Take an image size that is a multiple of {self.coarsest}, or name = "unet".',
            )
        finest = features[0]
        # SMP wants a level per halving, from the input on; those that the encoder has not carry no channels.
        empty = [
            finest.new_empty(len(finest), 0, *(-(-length // stride) for length in size)) for stride in self.empty
        ]
        logits: Tensor = self.head(self.body([*empty, *features]))
        if logits.shape[-2:] == tuple(size):
            return logits
        return F.interpolate(logits, size, mode="bilinear", align_corners=False)


Built = tuple[nn.Module, list[int], int]  # SMP's decoder, strides of the empty levels, channels it puts out


def _unet(channels: list[int], strides: list[int], width: int) -> Built:
    from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder

    # SMP ignores the first level and ends at its size: the input's, or that of features at stride 1.
    empty = [2**i for i in range(strides[0].bit_length() - 1)] or [1]
    levels = [0] * len(empty) + channels
    blocks = len(levels) - (2 if strides[0] == 1 else 1)
    widths = [width * min(16, 2**i) for i in reversed(range(blocks))]
    return UnetDecoder(levels, widths, n_blocks=blocks), empty, width


def _fpn(channels: list[int], strides: list[int], width: int) -> Built:
    from segmentation_models_pytorch.decoders.fpn.decoder import FPNDecoder

    coarsest = strides[-4:]
    if len(coarsest) < 4 or any(b != 2 * a for a, b in pairwise(coarsest)):
        raise MmtkError(
            f"The SMP decoder 'fpn' needs four levels, each half the size of the one before; got {strides}.",
            hint='Set name = "unet", or choose another encoder.',
        )
    if width % 4:
        raise MmtkError(
            f"The SMP decoder 'fpn' normalises 8 × width channels in 32 groups, not with width = {width}.",
            hint="Take a multiple of 4.",
        )
    return FPNDecoder(channels, pyramid_channels=16 * width, segmentation_channels=8 * width), [], 8 * width


def _segformer(channels: list[int], strides: list[int], width: int) -> Built:
    from segmentation_models_pytorch.decoders.segformer.decoder import SegformerDecoder

    decoder = SegformerDecoder([0, *channels], len(channels), segmentation_channels=16 * width)
    return decoder, [1], 16 * width
