"""Distances between the boundaries of two masks, as MONAI defines them, several times faster."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def boundaries(masks: np.ndarray) -> list[np.ndarray]:
    """Masks [N,H,W], bool → per mask the (row, column) of its boundary pixels, [points,2] float64.

    A boundary pixel is foreground with background, or the outside of the image, among its 4 neighbours.
    """
    count, height, width = masks.shape
    padded = np.zeros((count, height + 2, width + 2), bool)
    padded[:, 1:-1, 1:-1] = masks
    vertical = padded[:, :-2, 1:-1] & padded[:, 2:, 1:-1]
    horizontal = padded[:, 1:-1, :-2] & padded[:, 1:-1, 2:]
    edges = masks & ~(vertical & horizontal)
    return [_points(edge) for edge in edges]


def _points(edge: np.ndarray) -> np.ndarray:
    """Positions [points,2] of an edge [H,W], bool: those of ``np.argwhere``, in half the time."""
    points = np.empty((np.count_nonzero(edge), 2))
    points[:, 0], points[:, 1] = np.divmod(np.flatnonzero(edge), edge.shape[1])
    return points


def surface_distances(
    first: np.ndarray,
    second: np.ndarray,
    diagonal: float,
    to_second: Callable[[np.ndarray], np.ndarray] | None = None,
) -> tuple[float, float]:
    """Average Hausdorff distance and HD95 between two boundaries [points,axes], in the points' unit.

    first, second: the boundaries
    diagonal: distance where one of them is empty
    to_second: distances of points from the second, where something at hand gives them

    The first is the mean of the two directed average surface distances, the second the larger of the two
    directed 95th percentiles (linear interpolation). 0 if both are empty, ``diagonal`` if one is.
    """
    from scipy.spatial import KDTree

    if not len(first) or not len(second):
        empty = 0.0 if len(first) == len(second) else diagonal
        return empty, empty
    # A tree that is not balanced is built in half the time, and finds the same distances.
    other = KDTree(first, compact_nodes=False, balanced_tree=False)
    forward = KDTree(second).query(first)[0] if to_second is None else to_second(first)
    back = other.query(second)[0]
    average = (forward.mean() + back.mean()) / 2
    return float(average), max(_percentile95(forward), _percentile95(back))


def _percentile95(values: np.ndarray) -> float:
    """95th percentile as ``np.quantile`` has it, to the last digit, and ten times faster."""
    position = 0.95 * (len(values) - 1)
    low = int(position)
    high = min(low + 1, len(values) - 1)
    sorted_there = np.partition(values, [low, high])
    a, b = float(sorted_there[low]), float(sorted_there[high])
    share = position - low
    return b - (b - a) * (1 - share) if share >= 0.5 else a + (b - a) * share
