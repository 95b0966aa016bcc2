"""Near-identical images: films resized, recompressed, brightened, inverted or turned, by their fine structure."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

SIDE = 32
RADIUS = 2
THRESHOLD = 0.95
FLAT = 0.5
_CHUNK = 256
_BASIS = 96


def details(images: np.ndarray) -> np.ndarray:
    """Descriptors float32 [N, SIDE²] of length 1 of images uint8 [N,C,S,S]: a small copy less its blur.

    Chest films resemble each other in their broad shades, so these are left out; brightness and contrast go too.
    An image without structure (less than ``FLAT`` gray levels) becomes zeros, which resemble nothing.
    """
    descriptors = np.empty((len(images), SIDE * SIDE), np.float32)
    for start in range(0, len(images), _CHUNK):
        block = _small(np.asarray(images[start : start + _CHUNK]))
        fine = block - _blurred(block)
        flat = (fine - fine.mean((1, 2), keepdims=True)).reshape(len(block), -1)
        length = np.linalg.norm(flat, axis=1, keepdims=True)
        descriptors[start : start + _CHUNK] = np.where(length < FLAT * SIDE, 0, flat / np.maximum(length, 1e-9))
    return descriptors


def _small(images: np.ndarray) -> np.ndarray:
    """Shrink [N,C,S,S] to float64 [N,SIDE,SIDE] by area means."""
    count, _, side, _ = images.shape
    gray = images[:, 0] if images.shape[1] == 1 else images.mean(1, dtype=np.float32)
    if side % SIDE == 0:
        step = side // SIDE
        rows = gray.reshape(count, SIDE, step, side).sum(2, dtype=np.float32)
        return rows.reshape(count, SIDE, SIDE, step).sum(3, dtype=np.float64) / step**2
    pictures = [Image.fromarray(image.astype(np.float32)) for image in gray]
    return np.stack([np.asarray(p.resize((SIDE, SIDE), Image.Resampling.BOX), np.float64) for p in pictures])


def _blurred(images: np.ndarray) -> np.ndarray:
    """Box blur over 2 · RADIUS + 1 pixels, edges repeated."""
    wide = 2 * RADIUS + 1
    padded = np.pad(images, ((0, 0), (RADIUS, RADIUS), (RADIUS, RADIUS)), mode="edge")
    rows = np.sum([padded[:, i : i + SIDE] for i in range(wide)], axis=0) / wide
    return np.asarray(np.sum([rows[:, :, i : i + SIDE] for i in range(wide)], axis=0) / wide)


def turned(descriptors: np.ndarray) -> Iterator[np.ndarray]:
    """Descriptors of the images as they are, flipped, and turned by quarters: the eight ways to lay a film."""
    pictures = descriptors.reshape(-1, SIDE, SIDE)
    for side in (pictures, pictures[:, :, ::-1]):
        for quarters in range(4):
            yield np.rot90(side, quarters, (1, 2)).reshape(len(descriptors), -1)


def alike(ones: np.ndarray, candidates: np.ndarray, basis: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield (row of ``ones``, row of ``candidates``) of details that correlate by ±THRESHOLD, turned in any way.

    A negative correlation is that of a film and its negative. Only pairs that are near enough in the directions of
    ``basis`` are compared in full: a projection brings no two details further apart, so none is missed.
    """
    if not len(ones) or not len(candidates):
        return
    pairs: set[tuple[int, int]] = set()
    far = 2 * (1 - THRESHOLD) + 1e-3
    short = ones @ basis
    lengths = (short**2).sum(1)
    for variant in turned(candidates):
        for start in range(0, len(variant), 1024):
            block = variant[start : start + 1024]
            small = block @ basis
            distance = lengths[:, None] + (small**2).sum(1)[None] - 2 * np.abs(short @ small.T)
            for one, other in np.argwhere(distance <= far):
                if abs(float(ones[one] @ block[other])) >= THRESHOLD:
                    pairs.add((int(one), start + int(other)))
    yield from sorted(pairs)


def directions(descriptors: np.ndarray) -> np.ndarray:
    """Orthonormal directions [SIDE², ≤ _BASIS] in which the details differ most."""
    sample = descriptors[:: max(1, len(descriptors) // 512)]
    # By the products of the sample with itself: a third of the time of its singular values.
    weights = np.linalg.eigh(sample @ sample.T)[1][:, -_BASIS:]
    return np.linalg.qr(sample.T @ weights)[0]
