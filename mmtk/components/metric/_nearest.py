"""Distances from pixels to the nearest of others: looks around every pixel, and a tree for those far away."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np

_RADII = (-1.0, 1.5, 3.0, 6.0, 12.0)  # each look goes around what the one before has seen
_REACH = int(_RADII[-1])
_MOST = 30_000  # pixels in a look that cost less than a tree


def pixel_distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """[N] Distance from every point to the nearest of the others: those of a tree, to the last digit.

    points: [N,2] whole numbers of pixels, at least one
    others: [M,2] the same
    """
    axes = list(zip(points.T, others.T, strict=True))
    low = [int(min(a.min(), b.min())) - _REACH for a, b in axes]
    rows, columns = (
        int(max(a.max(), b.max())) + _REACH + 1 - start for start, (a, b) in zip(low, axes, strict=True)
    )
    occupied = np.zeros(rows * columns, bool)
    occupied[_positions(others, low, columns)] = True
    positions, left = _positions(points, low, columns), np.arange(len(points))
    result = np.empty(len(points))
    for steps, distances in _looks(columns):
        if len(left) * len(steps) > _MOST:
            break
        present = occupied.take(positions[:, None] + steps)
        nearest = present.argmax(1)
        result[left] = distances[nearest]
        absent = np.flatnonzero(~present.ravel()[np.arange(0, present.size, len(steps)) + nearest])
        positions, left = positions[absent], left[absent]
        if not len(left):
            return result
    from scipy.spatial import KDTree

    # A tree that is not balanced is built in half the time, and finds the same distances.
    result[left] = KDTree(others, compact_nodes=False, balanced_tree=False).query(points[left])[0]
    return result


def _positions(points: np.ndarray, low: Sequence[int], columns: int) -> np.ndarray:
    """[N] Places of points in a flattened field that begins at ``low``."""
    return np.asarray((points[:, 0] - low[0]) * columns + (points[:, 1] - low[1]))


@lru_cache(64)
def _looks(columns: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Steps and distances of the pixels of every look in a field of so many columns, the nearest first."""
    rows_away, columns_away = (one.ravel() for one in np.mgrid[-_REACH : _REACH + 1, -_REACH : _REACH + 1])
    squares = rows_away**2 + columns_away**2
    order = np.argsort(squares, kind="stable")
    steps, distances = (rows_away * columns + columns_away)[order], np.sqrt(squares[order])
    rings = [(low < distances) & (distances <= high) for low, high in pairwise(_RADII)]
    return [(steps[ring], distances[ring]) for ring in rings]
