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
        self.windows = _windows(mask[rows][:, columns])
        self.means = _over_rows(_sums()[self.windows])

    def ssim(self, predicted: np.ndarray) -> float:
        """SSIM of a mask [H,W], bool, by the definition of ``mmtk.components.metric._structure.ssim``.

        It is 1 where no window sees a difference, so only the rest is looked at. Of masks the mean of the squares
        is the mean itself, and the mean of the product that of the pixels which both have.
        """
        differ = predicted ^ self.mask
        if not differ.any():
            return 1.0
        rows, columns = _seen(differ.any(1)), _seen(differ.any(0))
        inside = _slice(rows[REACH:-REACH]), _slice(columns[REACH:-REACH])
        around = slice(inside[0].start, inside[0].stop + 2 * REACH), inside[1]
        windows = _windows(_part(predicted, rows, columns))
        shared = self.windows[around]
        positions = np.flatnonzero(_any_of_rows(windows != shared))
        mean, both = (_over_rows(_sums()[some]).take(positions) for some in (windows, windows & shared))
        values = np.ones((len(windows) - 2 * REACH, windows.shape[1]))
        values.put(positions, _similarities(mean, both, self.means[inside].take(positions)))
        return float(1 - (values.size - values.sum()) / differ.size)


def _part(mask: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Part of a mask by its rows and columns: a view, unless the mirror at its border repeats some of them."""
    if all(len(one) == one[-1] - one[0] + 1 for one in (rows, columns)):
        return mask[_slice(rows), _slice(columns)]
    return mask[rows][:, columns]


def _similarities(mean: np.ndarray, both: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Similarity at every position.

    mean: Gaussian means of a mask
    both: of what it shares with the reference
    reference: of the reference
    """
    product, squares = mean * reference, mean * mean
    squares += reference * reference
    variances = mean + reference
    variances -= squares
    covariances = both - product
    values = _plus(product, 2, _C1)
    values *= _plus(covariances, 2, _C2)
    values /= _plus(squares, 1, _C1) * _plus(variances, 1, _C2)
    return values


def _any_of_rows(changed: np.ndarray) -> np.ndarray:
    """Whether any of the 11 rows of a window has changed: [H+10,W] → [H,W]."""
    two = changed[:-1] | changed[1:]
    four = two[:-2] | two[2:]
    eight = four[:-4] | four[4:]
    return np.asarray(eight[:-3] | eight[3:])


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


def _over_rows(weighted: np.ndarray) -> np.ndarray:
    """Gaussian means over the rows [H+10,W] → [H,W] of means along them."""
    height = len(weighted) - 2 * REACH
    means = np.empty((height, weighted.shape[1]))
    for first in range(0, height, STRIP):
        count = min(STRIP, height - first)
        inside = weighted[first : first + count + 2 * REACH]
        np.matmul(_band()[:count, : count + 2 * REACH], inside, out=means[first : first + count])
    return means


def _windows(mask: np.ndarray) -> np.ndarray:
    """Windows of 11 pixels along the rows [H,W−10] of a mask [H,W], bool, as numbers below 2048."""
    count = mask.size
    pixels = np.zeros(
        count + 2 * REACH, np.uint8
    )  # in one line, which is faster than rows: ends of rows do not count
    pixels[:count].reshape(mask.shape)[:] = mask
    two = pixels[:-1] + 2 * pixels[1:]  # products of bytes take a quarter of the time of shifts
    four = two[:-2] + 4 * two[2:]
    windows = np.uint16(256) * (two[8:-1] + 4 * pixels[10:])
    windows[:-1] += four[: count - 1] + 16 * four[4 : count + 3]
    return windows.reshape(mask.shape)[:, : -2 * REACH]


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
