"""Polygons as masks, and the type of annotations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from mmtk.api import Item

# Channel names, files by id, and the reader of a mask [K,H,W].
Annotations = tuple[tuple[str, ...], dict[str, tuple[Path, ...]], Callable[[Item], np.ndarray]]


def fill(polygon: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Draw uint8 [H,W]: 1 where a pixel's centre lies inside the polygon [N,2] of x and y in pixels (even-odd)."""
    height, width = shape
    start, end = polygon, np.roll(polygon, -1, axis=0)
    centres = np.arange(height) + 0.5
    above = start[:, 1] <= centres[:, None]
    rows, edges = np.nonzero(above != (end[:, 1] <= centres[:, None]))
    (x, y), (x2, y2) = start[edges].T, end[edges].T
    crossings = x + (centres[rows] - y) / (y2 - y) * (x2 - x)
    turns = np.zeros((height, width + 1), np.int64)
    np.add.at(turns, (rows, np.clip(np.ceil(crossings - 0.5), 0, width).astype(int)), 1)
    return np.asarray(turns.cumsum(1)[:, :width] % 2, np.uint8)
