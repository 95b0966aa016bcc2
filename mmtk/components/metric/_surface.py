"""Distances between the boundaries of two masks, as MONAI defines them, several times faster."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mmtk.components.metric._nearest import pixel_distances


def boundaries(masks: np.ndarray) -> list[np.ndarray]:
    """Masks [N,H,W], bool → per mask the (row, column) of its boundary pixels, [points,2] int64.

    A boundary pixel is foreground with background, or the outside of the image, among its 4 neighbours.
    """
    return [_boundary(mask) for mask in masks]


def _boundary(mask: np.ndarray) -> np.ndarray:
    """Positions [points,2] of the boundary of a mask [H,W]: those of ``np.argwhere``, several times faster."""
    height, width = mask.shape[0], mask.shape[1] + 2
    padded = np.zeros((height + 2) * width, bool)  # in one line, which is faster than rows
    padded.reshape(height + 2, width)[1:-1, 1:-1] = mask
    inside = padded[: -2 * width] & padded[2 * width :]
    inside &= padded[width - 1 : -width - 1]
    inside &= padded[width + 1 : 1 - width]
    rows, columns = np.divmod(np.flatnonzero(padded[width:-width] > inside), width)
    return np.stack((rows, columns - 1)).T


def surface_distances(
    first: np.ndarray,
    second: np.ndarray,
    diagonal: float,
    to_second: Callable[[np.ndarray], np.ndarray] | None = None,
) -> tuple[float, float]:
    """Average Hausdorff distance and HD95 between two boundaries [points,axes], in the points' unit.

    first, second: the boundaries; [points,2] whole numbers are pixels, which are searched faster
    diagonal: distance where one of them is empty
    to_second: distances of points from the second, where something at hand gives them

    The first is the mean of the two directed average surface distances, the second the larger of the two
    directed 95th percentiles (linear interpolation). 0 if both are empty, ``diagonal`` if one is.
    """
    if not len(first) or not len(second):
        empty = 0.0 if len(first) == len(second) else diagonal
        return empty, empty
    forward = _nearest(first, second) if to_second is None else to_second(first)
    back = _nearest(second, first)
    average = (forward.mean() + back.mean()) / 2
    return float(average), max(_percentile95(forward), _percentile95(back))


def _nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """[points] Distance from every point to the nearest of the others."""
    from scipy.spatial import KDTree

    if points.dtype.kind == others.dtype.kind == "i" and points.shape[1] == 2:
        return pixel_distances(points, others)
    # A tree that is not balanced is built in half the time, and finds the same distances.
    return np.asarray(KDTree(others, compact_nodes=False, balanced_tree=False).query(points)[0])


def _percentile95(values: np.ndarray) -> float:
    """95th percentile as ``np.quantile`` has it, to the last digit, and ten times faster."""
    position = 0.95 * (len(values) - 1)
    low = int(position)
    high = min(low + 1, len(values) - 1)
    sorted_there = np.partition(values, [low, high])
    a, b = float(sorted_there[low]), float(sorted_there[high])
    share = position - low
    return b - (b - a) * (1 - share) if share >= 0.5 else a + (b - a) * share
