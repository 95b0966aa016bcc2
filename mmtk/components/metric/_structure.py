"""Structural similarity of two masks, as torchmetrics defines it, many times faster."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from mmtk.errors import MmtkError

if TYPE_CHECKING:
    from torch import Tensor

REACH = 5  # pixels on each side of the middle of an 11×11 window
_C1, _C2 = 0.01**2, 0.03**2  # of Wang et al., for L = 1


def ssim(predicted: Tensor, reference: Tensor) -> float:
    """Mean SSIM of masks [K,H,W], bool: 11×11 Gaussian window, σ 1.5, L = 1 (Wang et al. 2004).

    The mean is over all pixels, the image being mirrored at its border (torchmetrics' definition).
    Raises MmtkError below 6×6 pixels, where the window has nothing to mirror.
    """
    if min(predicted.shape[1:]) <= REACH:
        raise MmtkError(
            f"SSIM needs 6×6 pixels or more, not {tuple(predicted.shape[1:])}.", hint="Use larger images."
        )
    pairs = zip(predicted.numpy(), reference.numpy(), strict=True)
    return float(np.mean([_of_pair(a, b) for a, b in pairs]))


def _of_pair(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM of two masks [H,W]. It is 1 where no window sees a difference, so only the rest is looked at."""
    differ = a ^ b
    if not differ.any():
        return 1.0
    rows, columns = _seen(differ.any(1)), _seen(differ.any(0))
    a, b = a[np.ix_(rows, columns)], b[np.ix_(rows, columns)]
    # Of masks the mean of the squares is the mean itself. Double precision: the variances of nearly full
    # masks are differences of nearly equal numbers.
    mean_a, mean_b, mean_both = _windowed(np.stack([a, b, a & b]).astype(np.float64))
    product, squares = mean_a * mean_b, mean_a**2 + mean_b**2
    variances = np.maximum(mean_a - mean_a**2, 0) + np.maximum(mean_b - mean_b**2, 0)
    values = (2 * product + _C1) * (2 * (mean_both - product) + _C2) / ((squares + _C1) * (variances + _C2))
    return float(1 - (1 - values).sum() / differ.size)


def _seen(occupied: np.ndarray) -> np.ndarray:
    """The positions whose window sees one that is occupied, and ``REACH`` more on each side, mirrored."""
    at, last = np.flatnonzero(occupied), len(occupied) - 1
    low, high = max(int(at[0]) - REACH, 0), min(int(at[-1]) + REACH, last)
    return last - np.abs(last - np.abs(np.arange(low - REACH, high + REACH + 1)))


def _windowed(fields: np.ndarray) -> np.ndarray:
    """Gaussian means [N,H,W] → [N,H−10,W−10], over the windows that lie inside."""
    from scipy.ndimage import correlate1d

    inner = slice(REACH, -REACH)
    rows = correlate1d(fields, _kernel(), axis=2, mode="constant")[:, :, inner]
    return np.asarray(correlate1d(rows, _kernel(), axis=1, mode="constant")[:, inner])


@cache
def _kernel() -> np.ndarray:
    weights = np.exp(-((np.arange(-REACH, REACH + 1) / 1.5) ** 2) / 2)
    return np.asarray(weights / weights.sum())
