"""What the oracle tests draw: logits, classes and masks in float64, small, with extremes drawn often."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

TOLERANCE = 1e-6  # absolute, in float64
FEW = settings(max_examples=40)
EXTREMES = [-1e4, -40.0, -1.0, 0.0, 1.0, 40.0, 1e4]
LOGIT = st.sampled_from(EXTREMES) | st.floats(-6, 6, width=32)
SEEDS = st.integers(0, 2**32 - 1)


def spread(shape: tuple[int, ...], seed: int, scale: float) -> np.ndarray:
    """Normal numbers times ``scale``, every value different."""
    return scale * np.random.default_rng(seed).standard_normal(shape)


def logits(*shape: int) -> st.SearchStrategy[np.ndarray]:
    """Logits of a shape: few values many times (easy to shrink), or all different; up to 1e4 and beyond."""
    repeated = hnp.arrays(np.float64, shape, elements=LOGIT, fill=LOGIT)
    return repeated | st.builds(spread, st.just(shape), SEEDS, st.sampled_from([1e-3, 1.0, 4.0, 1e4]))


def moderate(*shape: int) -> st.SearchStrategy[np.ndarray]:
    """Logits all different and within a few units: for gradients by finite differences."""
    return st.builds(spread, st.just(shape), SEEDS, st.sampled_from([0.3, 1.0, 2.0]))


def pattern(*shape: int) -> st.SearchStrategy[np.ndarray]:
    """True and false per pixel: none, all, a single one, a share, or few pixels unlike the others."""

    def share(seed: int, of: float) -> np.ndarray:
        return np.random.default_rng(seed).random(shape) < of

    def single(place: int) -> np.ndarray:
        return np.arange(np.prod(shape)).reshape(shape) == place

    return (
        st.sampled_from([False, True]).map(lambda value: np.full(shape, value))
        | st.integers(0, int(np.prod(shape)) - 1).map(single)
        | st.builds(share, SEEDS, st.sampled_from([0.1, 0.5, 0.9]))
        | hnp.arrays(bool, shape, elements=st.booleans(), fill=st.booleans())
    )


@st.composite
def class_batches(draw: st.DrawFn, ignore: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Logits [B,C] and classes [B], one to four images, two to four classes; −1 is ignored."""
    images, classes = draw(st.integers(1, 4)), draw(st.integers(2, 4))
    lowest = -1 if ignore else 0
    target = draw(hnp.arrays(np.int64, images, elements=st.integers(lowest, classes - 1)))
    return draw(logits(images, classes)), target


@st.composite
def masks(draw: st.DrawFn, images: int, channels: int, height: int, width: int, exclusive: bool) -> np.ndarray:
    """Masks [B,K,H,W] in {0, 1}: empty, full, single pixels; exclusive ones with one channel per pixel."""
    shape = (images, channels, height, width)
    if not exclusive:
        return draw(pattern(*shape)).astype(np.float64)
    index = draw(
        hnp.arrays(
            np.int64,
            (images, height, width),
            elements=st.integers(0, channels - 1),
            fill=st.integers(0, channels - 1),
        )
    )
    if draw(st.booleans()):
        index = np.random.default_rng(draw(SEEDS)).integers(0, channels, index.shape)
    return np.moveaxis(np.eye(channels)[index], -1, 1)


@st.composite
def holes(draw: st.DrawFn, shape: tuple[int, ...], exclusive: bool) -> np.ndarray:
    """What is ignored: nothing, pixels, an image, a channel, all; of exclusive masks a pixel in all channels."""
    where = np.zeros(shape, bool)
    kind = draw(st.sampled_from(["none", "pixels", "image", "channel", "all"]))
    if kind == "pixels":
        where |= draw(pattern(shape[0], 1 if exclusive else shape[1], *shape[2:]))
    elif kind == "image":
        where[draw(st.integers(0, shape[0] - 1))] = True
    elif kind == "channel" and not exclusive:
        where[:, draw(st.integers(0, shape[1] - 1))] = True
    elif kind == "all":
        where[:] = True
    return where


@st.composite
def mask_batches(
    draw: st.DrawFn, exclusive: bool, channels: int | None = None, least: int = 1, ignore: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Logits and target [B,K,H,W]: one to four images of ``least`` to 6×7 pixels; −1 is ignored."""
    images, count = draw(st.integers(1, 4)), channels or draw(st.integers(2 if exclusive else 1, 4))
    shape = (images, count, draw(st.integers(least, 6)), draw(st.integers(least, 7)))
    target = draw(masks(*shape, exclusive=exclusive))
    if ignore:
        target = np.where(draw(holes(shape, exclusive)), -1.0, target)
    return draw(logits(*shape)), target


def tensors(*arrays: np.ndarray) -> list[Tensor]:
    """Tensors of their own memory, float64 or int64."""
    return [torch.from_numpy(np.array(array)) for array in arrays]


class Pixels:
    """Class logits are the first pixels of an image [B,1,1,W]; notes what it was given."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.given: list[Tensor] = []

    def __call__(self, images: Tensor, *, statistics: bool = True) -> Tensor:
        """[B,1,1,W] → [B,classes]."""
        self.given.append(images.detach())
        return images[:, 0, 0, : self.classes]


class Identity:
    """Mask logits are the image itself."""

    def __call__(self, images: Tensor, *, statistics: bool = True) -> Tensor:
        """[B,K,H,W] → [B,K,H,W]."""
        return images


def as_images(logits: np.ndarray) -> Tensor:
    """[B,W] → images [B,1,1,W] that carry gradient."""
    return torch.from_numpy(np.array(logits))[:, None, None].clone().requires_grad_()
