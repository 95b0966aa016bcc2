"""Image operations on batches: the geometry that images and masks share, the pool of "strong", and ``lift``.

Parameters come from a CPU generator, are decided on there and only then moved to the images' device.
Operations of the pool work on 8-bit gray levels, uint8 [N,C,H,W], and do to each image what Pillow does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

from mmtk.counts import counted
from mmtk.errors import MmtkError

Operation = Literal[
    "autocontrast",
    "brightness",
    "contrast",
    "equalize",
    "identity",
    "posterize",
    "rotate",
    "sharpness",
    "shear-x",
    "shear-y",
    "solarize",
    "translate-x",
    "translate-y",
]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)
Swap = Sequence[tuple[int, int]]


def lift(function: Callable[[Tensor, Generator], Tensor]) -> Callable[[Tensor, Generator], Tensor]:
    """Make a batched function of ``function(image [C,H,W], generator) -> image`` of the same shape.

    Every image gets its own CPU generator, so that what one draws never shifts another's. The function
    may change its image in place.
    """

    def batched(images: Tensor, generator: Generator) -> Tensor:
        seeds = torch.randint(2**63 - 1, (len(images),), generator=generator).tolist()
        changed = [
            function(image, torch.Generator().manual_seed(seed))
            for image, seed in zip(images.clone(), seeds, strict=True)
        ]
        for image in changed:
            if image.shape != images.shape[1:]:
                name = getattr(function, "__name__", repr(function))
                raise MmtkError(
                    f"{name} made {list(image.shape)} of an image {list(images.shape[1:])}.",
                    hint="A lifted function has to keep the shape of its image.",
                )
        return torch.stack(changed)

    return batched


def check(images: Tensor, masks: Tensor | None, swap: Swap = ()) -> None:
    """Refuse what is not floating-point or uint8 images [B,C,H,W] with masks [B,K,H,W] that ``swap`` fits."""
    if images.dim() != 4 or not (images.is_floating_point() or images.dtype == torch.uint8):
        raise MmtkError(
            f"augmentation takes floating-point or uint8 [B,C,H,W], not {images.dtype} {list(images.shape)}.",
            hint="Scale images to [0, 1], or to the gray levels 0…255 of uint8, and add the missing axes.",
        )
    if masks is None:
        return
    if masks.dim() != 4 or len(masks) != len(images) or masks.shape[2:] != images.shape[2:]:
        raise MmtkError(
            f"masks {list(masks.shape)} do not fit images {list(images.shape)}.",
            hint="Give masks [B,K,H,W], of the images' number and size.",
        )
    if any(not 0 <= channel < masks.shape[1] for pair in swap for channel in pair):
        raise MmtkError(
            f"swap {list(swap)} names a channel that masks of {counted(masks.shape[1], 'channel')} do not have.",
            hint="Channels count from 0, in the order of the source's labels.",
        )


# Geometry: output pixels take source pixels by index, so that any dtype moves unchanged.


def flip_and_crop(
    images: Tensor, masks: Tensor | None, draws: Tensor, flip: float, padding: float, swap: Swap
) -> tuple[Tensor, Tensor | None]:
    """Crop each image at a random offset from its reflection-padded self, then flip it left to right.

    ``draws`` [B,3] in [0, 1): flip, row and column offset. Flipped masks exchange the channels of ``swap``.
    """
    flipped = draws[:, 0] < flip
    rows, columns = (_reflected(draws[:, 1 + axis], images.shape[2 + axis], padding) for axis in (0, 1))
    columns = torch.where(flipped[:, None], columns.flip(1), columns)
    rows, columns, flipped = (_to(parameter, images) for parameter in (rows, columns, flipped))
    images = _cross(images, rows, columns)
    if masks is None:
        return images, None
    masks = _cross(masks, rows, columns)
    if swap:
        order = list(range(masks.shape[1]))
        for one, other in swap:
            order[one], order[other] = order[other], order[one]
        exchanged = torch.stack([masks[:, channel] for channel in order], 1)
        masks = torch.where(flipped.view(-1, 1, 1, 1), exchanged, masks)
    return images, masks


def _cross(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Pixels [B,C,h,w] of images [B,C,H,W] where its rows [B,h] and columns [B,w] cross."""
    batch, channels, height, width = images.shape
    # Whole lines first: an index of every pixel would be read, made and thrown away for each batch.
    first = torch.arange(batch * channels, device=images.device).view(batch, channels, 1) * height
    lines = images.reshape(-1, width).index_select(0, (first + rows[:, None]).flatten())
    at = columns[:, None, None].expand(-1, channels, rows.shape[1], -1)
    return lines.view(batch, channels, -1, width).gather(3, at)


def _reflected(draw: Tensor, size: int, padding: float) -> Tensor:
    """Source positions [B,size] of a crop of the full size at an offset of at most ``padding · size``."""
    most = round(padding * size)
    offset = (draw.numpy() * (2 * most + 1)).astype(np.int64) - most
    position = np.abs(np.arange(size) + offset[:, None])
    return torch.from_numpy(size - 1 - np.abs(size - 1 - position))


# Pillow's six coefficients (output → input pixels) for a signed level v at height h and width w.
_Matrix = tuple[float, float, float, float, float, float]


def _rotation(v: float, h: int, w: int) -> _Matrix:
    cos, sin = math.cos(math.radians(-3 * v)), math.sin(math.radians(-3 * v))
    x, y = w / 2, h / 2
    return cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y


MATRICES: dict[str, Callable[[float, int, int], _Matrix]] = {
    "rotate": _rotation,
    "shear-x": lambda v, h, w: (1, 0.03 * v, 0, 0, 1, 0),
    "shear-y": lambda v, h, w: (1, 0, 0, 0.03 * v, 1, 0),
    "translate-x": lambda v, h, w: (1, 0, 0.03 * v * w, 0, 1, 0),
    "translate-y": lambda v, h, w: (1, 0, 0, 0, 1, 0.03 * v * h),
}


def warp(images: Tensor, masks: Tensor | None, matrices: Sequence[_Matrix]) -> tuple[Tensor, Tensor | None]:
    """Affine transform with nearest pixels, in Pillow's own 16-bit fixed-point arithmetic.

    From outside come 0 (black) in images and −1 (ignored) in masks; 0 in masks of an unsigned dtype.
    """
    height, width = images.shape[2:]
    a, b, c, d, e, f = torch.tensor(matrices, dtype=torch.float64).unbind(1)
    fixed = torch.stack([a, b, c + (a + b) / 2, d, e, f + (d + e) / 2]) * 65536 + 0.5
    # 32 bits are enough up to 16,000 pixels a side, and several times faster than 64.
    a, b, c, d, e, f = _to(fixed.floor().int(), images).view(6, -1, 1, 1).unbind()
    x = torch.arange(width, dtype=torch.int32, device=images.device)
    y = torch.arange(height, dtype=torch.int32, device=images.device)[:, None]
    column = (a * x + (b * y + c)).bitwise_right_shift_(16).clamp_(-1, width)
    row = (d * x + (e * y + f)).bitwise_right_shift_(16).clamp_(-1, height)
    # A border of one pixel holds what comes from outside.
    source = row.mul_(width + 2).add_(column).add_(width + 3)
    images = _pick(pad(images, (1, 1, 1, 1)), source)
    if masks is not None:
        masks = _pick(pad(masks, (1, 1, 1, 1), value=-1 if masks.dtype.is_signed else 0), source)
    return images, masks


def _pick(images: Tensor, source: Tensor) -> Tensor:
    """Pixels [B,C,h,w] of images [B,C,H,W] at the flat positions ``source`` [B,h,w]."""
    at = source.flatten(1).long()[:, None].expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, at).view(*images.shape[:2], *source.shape[1:])


def _to(parameters: Tensor, images: Tensor) -> Tensor:
    return parameters.to(images.device, non_blocking=True)


# Intensity: (uint8 images [N,C,H,W], level v [N,1,1,1]) → uint8 images; channels are treated alike.


def _autocontrast(images: Tensor, level: Tensor) -> Tensor:
    low, high = images.amin((2, 3)).int()[..., None], images.amax((2, 3)).int()[..., None]
    gray = _grays(images)
    stretched = (gray - low) * 255 // (high - low).clamp_min(1)
    return _mapped(images, torch.where(high > low, stretched, gray))


def _equalize(images: Tensor, level: Tensor) -> Tensor:
    values = images.flatten(2).long()
    counts = values.new_zeros(*values.shape[:2], 256).scatter_add_(2, values, torch.ones_like(values))
    brightest = counts.gather(2, values.amax(2, keepdim=True))
    step = (counts.sum(2, keepdim=True) - brightest) // 255
    darker = counts.cumsum(2) - counts
    equalized = (darker + step // 2) // step.clamp_min(1)
    return _mapped(images, torch.where(step > 0, equalized, _grays(images)))


def _grays(images: Tensor) -> Tensor:
    return torch.arange(256, device=images.device)


def _mapped(images: Tensor, table: Tensor) -> Tensor:
    """Each gray level replaced by its entry in the image's table [N,C,256]."""
    entries = table.clamp(0, 255).to(torch.uint8)
    return entries.gather(2, images.flatten(2).long()).view(images.shape)


def _blend(images: Tensor, other: Tensor | float, level: Tensor) -> Tensor:
    """``other`` + factor · (images − other), cut to whole gray levels as Pillow does."""
    return (other + (5 + 9 * level) / 100 * (images.float() - other)).to(torch.uint8)


def _brightness(images: Tensor, level: Tensor) -> Tensor:
    return _blend(images, 0.0, level)


def _contrast(images: Tensor, level: Tensor) -> Tensor:
    pixels = images[0, 0].numel()
    mean = (2 * images.sum((2, 3), keepdim=True) + pixels) // (2 * pixels)
    return _blend(images, mean.float(), level)


def _sharpness(images: Tensor, level: Tensor) -> Tensor:
    # Pillow's SMOOTH filter: weights 1, in the middle 5, over 13; the border stays as it is.
    smooth = images.float()
    lines = smooth[..., :-2, :] + smooth[..., 1:-1, :] + smooth[..., 2:, :]
    box = lines[..., :-2] + lines[..., 1:-1] + lines[..., 2:]
    inner = (..., slice(1, -1), slice(1, -1))
    smooth[inner] = box.add_(4 * smooth[inner]).div_(13).add_(0.5).floor_()
    return _blend(images, smooth, level)


def _posterize(images: Tensor, level: Tensor) -> Tensor:
    bits = (4 - 2 * level // 5).to(torch.uint8)
    return (images >> bits) << bits


def _solarize(images: Tensor, level: Tensor) -> Tensor:
    # A limit of the images' own type: nothing is converted.
    return torch.where(images < (256 - 128 * level // 5).to(torch.uint8), images, 255 - images)


INTENSITIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "autocontrast": _autocontrast,
    "brightness": _brightness,
    "contrast": _contrast,
    "equalize": _equalize,
    "posterize": _posterize,
    "sharpness": _sharpness,
    "solarize": _solarize,
}


def operate(
    names: Sequence[Operation], images: Tensor, masks: Tensor | None, levels: Sequence[int], signs: Sequence[int]
) -> None:
    """Apply to each of the uint8 images [B,C,H,W] its operation, in place, and to its masks if it is geometric.

    Levels are 1…9; signs −1 or 1, for geometric operations only.
    """
    height, width = images.shape[2:]
    turns: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        if name != "identity":
            turns.setdefault("geometric" if name in MATRICES else name, []).append(i)
    for turn, matrix_rows in turns.items():
        rows = _to(torch.tensor(matrix_rows), images)
        if turn == "geometric":
            matrices = [MATRICES[names[i]](levels[i] * signs[i], height, width) for i in matrix_rows]
            warped, labels = warp(images[rows], None if masks is None else masks[rows], matrices)
            images.index_copy_(0, rows, warped)
            if masks is not None and labels is not None:
                masks.index_copy_(0, rows, labels)
        else:
            level = _to(torch.tensor([levels[i] for i in matrix_rows]).view(-1, 1, 1, 1), images)
            images.index_copy_(0, rows, INTENSITIES[turn](images[rows], level))
