"""Structural similarity of many masks with one reference, several times faster than of each pair by itself."""

from __future__ import annotations

from functools import cache

import numpy as np

from mmtk.components.metric._structure import _C1, _C2, REACH, _kernel, _seen

STRIP = 32  # rows that are weighted at once: wide enough for a product of matrices, narrow enough for few zeros


class SimilarityReference:
    """A reference mask [H,W], bool, and its Gaussian means, which every prediction of the case shares."""

    def __init__(self, mask: np.ndarray) -> None:
        self.mask = mask
        rows, columns = (_mirrored(np.arange(-REACH, size + REACH), size) for size in mask.shape)
        self.means = _windowed([mask[rows][:, columns]])

    def ssim(self, predicted: np.ndarray) -> float:
        """SSIM of a mask [H,W], bool, by the definition of ``mmtk.components.metric._structure.ssim``.

        It is 1 where no window sees a difference, so only the rest is looked at. Of masks the mean of the squares
        is the mean itself, and the mean of the product that of the pixels which both have.
        """
        differ = predicted ^ self.mask
        if not differ.any():
            return 1.0
        rows, columns = _seen(differ.any(1)), _seen(differ.any(0))
        some = predicted[rows][:, columns]
        means = _windowed([some, some & self.mask[rows][:, columns]])
        width = len(columns) - 2 * REACH
        mean, both = means[:, :width], means[:, width:]
        middle = slice(REACH, -REACH)
        reference = self.means[_slice(rows[middle]), _slice(columns[middle])]
        product, squares = mean * reference, mean * mean
        squares += reference * reference
        variances = mean + reference
        variances -= squares
        covariances = both - product
        values = _plus(product, 2, _C1)
        values *= _plus(covariances, 2, _C2)
        values /= _plus(squares, 1, _C1) * _plus(variances, 1, _C2)
        return float(1 - (values.size - values.sum()) / differ.size)


def _mirrored(positions: np.ndarray, size: int) -> np.ndarray:
    """Positions beyond an axis as those inside it that a mirror at the first and last pixel shows."""
    return size - 1 - np.abs(size - 1 - np.abs(positions))


def _plus(values: np.ndarray, factor: float, constant: float) -> np.ndarray:
    """Values times a factor plus a constant, in their own memory."""
    values *= factor
    values += constant
    return values


def _slice(positions: np.ndarray) -> slice:
    return slice(int(positions[0]), int(positions[-1]) + 1)


def _windowed(masks: list[np.ndarray]) -> np.ndarray:
    """Gaussian means of masks [H,W], bool, side by side: over the windows that lie inside."""
    rows = np.concatenate([_weighted_rows(mask) for mask in masks], axis=1)
    height = len(rows) - 2 * REACH
    means = np.empty((height, rows.shape[1]))
    for first in range(0, height, STRIP):
        count = min(STRIP, height - first)
        inside = rows[first : first + count + 2 * REACH]
        np.matmul(_band()[:count, : count + 2 * REACH], inside, out=means[first : first + count])
    return means


def _weighted_rows(mask: np.ndarray) -> np.ndarray:
    """Gaussian means along the rows [H,W−10] of a mask; a window of 11 pixels is a number, with its sum."""
    pixels = mask.astype(np.uint16)
    width = mask.shape[1] - 2 * REACH
    two = pixels[:, :-1] | pixels[:, 1:] << 1
    four = two[:, :-2] | two[:, 2:] << 2
    windows = four[:, :width] | four[:, 4 : 4 + width] << 4
    windows |= two[:, 8 : 8 + width] << 8
    windows |= pixels[:, 10:] << 10
    return np.asarray(_sums().take(windows))


@cache
def _sums() -> np.ndarray:
    """[2048] Weights of the pixels that a window of 11 has, by the window as a number."""
    size = 2 * REACH + 1
    return np.asarray((np.arange(1 << size)[:, None] >> np.arange(size) & 1) @ _kernel())


@cache
def _band() -> np.ndarray:
    """[32,42] Weights of the rows of a strip and its surroundings in the mean of every row of the strip."""
    band = np.zeros((STRIP, STRIP + 2 * REACH))
    for row in range(STRIP):
        band[row, row : row + 2 * REACH + 1] = _kernel()
    return band
