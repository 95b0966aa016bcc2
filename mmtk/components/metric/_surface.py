"""Distances between the boundaries of two masks, as MONAI defines them, several times faster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.spatial import KDTree


def boundaries(masks: np.ndarray) -> list[np.ndarray]:
    """Masks [N,H,W], bool → per mask the (row, column) of its boundary pixels, [points,2] float64.

    A boundary pixel is foreground with background, or the outside of the image, among its 4 neighbours.
    """
    padded = np.pad(masks, ((0, 0), (1, 1), (1, 1)))
    vertical = padded[:, :-2, 1:-1] & padded[:, 2:, 1:-1]
    horizontal = padded[:, 1:-1, :-2] & padded[:, 1:-1, 2:]
    edges = masks & ~(vertical & horizontal)
    return [np.argwhere(edge).astype(np.float64) for edge in edges]


def surface_distances(
    first: np.ndarray, second: np.ndarray, diagonal: float, tree: KDTree | None = None
) -> tuple[float, float]:
    """Average Hausdorff distance and HD95 between two boundaries [points,axes], in the points' unit.

    first, second: the boundaries
    diagonal: distance where one of them is empty
    tree: of the second, where it is at hand

    The first is the mean of the two directed average surface distances, the second the larger of the two
    directed 95th percentiles (linear interpolation). 0 if both are empty, ``diagonal`` if one is.
    """
    from scipy.spatial import KDTree

    if not len(first) or not len(second):
        empty = 0.0 if len(first) == len(second) else diagonal
        return empty, empty
    forward, back = (tree or KDTree(second)).query(first)[0], KDTree(first).query(second)[0]
    average = (forward.mean() + back.mean()) / 2
    return float(average), float(max(np.quantile(forward, 0.95), np.quantile(back, 0.95)))
