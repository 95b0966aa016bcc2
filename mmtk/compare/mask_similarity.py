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
        self.weighted = _sums().take(self.windows)
        self.means = _over_rows(self.weighted)

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
        windows, shared = _windows(predicted[rows][:, columns]), self.windows[around]
        is_changed = windows != shared
        changed, positions = np.flatnonzero(is_changed), np.flatnonzero(_any_of_rows(is_changed))
        windows = windows.take(changed)
        mean, both = (
            _over_rows(self._weighted(around, changed, some)).take(positions)
            for some in (windows, windows & shared.take(changed))
        )
        values = np.ones((inside[0].stop - inside[0].start, inside[1].stop - inside[1].start))
        values.put(positions, _similarities(mean, both, self.means[inside].take(positions)))
        return float(1 - (values.size - values.sum()) / differ.size)

    def _weighted(self, part: tuple[slice, slice], changed: np.ndarray, windows: np.ndarray) -> np.ndarray:
        """Means along the rows of a part of the image: the reference's, but those of windows that have changed.

        part: rows and columns
        changed: positions in the part
        windows: that are there instead
        """
        weighted = self.weighted[part].copy()
        weighted.put(changed, _sums().take(windows))
        return weighted


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
    pixels = mask.astype(np.uint16)
    width = mask.shape[1] - 2 * REACH
    two = pixels[:, :-1] | pixels[:, 1:] << 1
    four = two[:, :-2] | two[:, 2:] << 2
    windows = four[:, :width] | four[:, 4 : 4 + width] << 4
    windows |= two[:, 8 : 8 + width] << 8
    windows |= pixels[:, 10:] << 10
    return windows


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
