"""Scores of predicted masks: of images those of the built-in metric, of volumes the same over the whole volume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import hypot
from typing import Any

import numpy as np

from mmtk.compare.mask_similarity import SimilarityReference
from mmtk.components.metric._structure import REACH
from mmtk.components.metric._surface import boundaries, surface_distances

OVERLAPS = ("dice", "jaccard", "precision", "recall")
FIELD = 20  # comparisons that cost as much as the distances of all pixels from a boundary


@dataclass
class Reference:
    """Reference masks of a case, with what every comparison needs of them.

    masks: [K, …] bool
    spacing: of the axes in mm; empty where it is not known
    comparisons: number of predictions that are compared with them
    """

    masks: np.ndarray
    spacing: Sequence[float] = ()
    comparisons: int = 1

    def __post_init__(self) -> None:
        self.points = surfaces(self.masks)
        scale = np.array(self.spacing) if self.is_volume and self.spacing else 1
        self.points = [points * scale for points in self.points]
        self.distances = [self._distance_from(points) for points in self.points]
        self.counts = counts(self.masks)

    @property
    def is_volume(self) -> bool:
        """Whether the case is a volume."""
        return self.masks.ndim == 4

    def scores(self, predicted: np.ndarray, names: Sequence[str]) -> dict[str, float]:
        """Scores of predicted masks [K, …]: means over structures, then Dice of each.

        predicted: of the same shape
        names: of the structures
        """
        sizes = counts(predicted)
        row = self._overlap(predicted, sizes, names)
        points = surfaces(predicted)
        if self.is_volume:
            scale = np.array(self.spacing) if self.spacing else 1.0
            return row | self._distances([one * scale for one in points], "-mm" if self.spacing else "")
        row["ssim"] = self._ssim(predicted)
        row |= self._distances(points, "")
        if self.spacing and len({*self.spacing}) == 1:
            row |= {f"{key}-mm": row[key] * self.spacing[0] for key in ("average-hausdorff", "hd95")}
        row["pixels-reference"], row["pixels-predicted"] = float(self.counts.sum()), float(sizes.sum())
        return row

    def informedness(self, predicted: np.ndarray) -> float:
        """Share of the reference that a prediction covers, minus that of the rest: −1 of inverted masks.

        predicted: masks [1, …] of one structure; NaN where the reference is empty or full
        """
        size, rest = self.counts[0], self.masks.size - self.counts[0]
        if len(self.masks) != 1 or not size or not rest:
            return float("nan")
        both, whole = np.count_nonzero(predicted & self.masks), np.count_nonzero(predicted)
        return float(both / size - (whole - both) / rest)

    def _overlap(self, predicted: np.ndarray, p: np.ndarray, names: Sequence[str]) -> dict[str, float]:
        """Scores of exact counts; 1 where both masks are empty, else 0/0 = 0.

        predicted: masks [K, …]
        p: their sizes
        names: of the structures
        """
        both, r = counts(predicted & self.masks), self.counts
        above = np.array([2 * both, both, both, both])
        below = np.array([p + r, p + r - both, p, r])
        values = np.where(p + r == 0, 1.0, above / np.maximum(below, 1))
        row = dict(zip(OVERLAPS, values.mean(1).tolist(), strict=True))
        if len(names) > 1:
            row |= {f"dice-{name}": float(dice) for name, dice in zip(names, values[0], strict=True)}
        return row

    def _distances(self, points: Sequence[np.ndarray], unit: str) -> dict[str, float]:
        """Average Hausdorff distance and HD95, means over structures; the diagonal where one mask is empty."""
        scale = self.spacing if unit and self.is_volume else [1.0] * (self.masks.ndim - 1)
        diagonal = hypot(*(size * step for size, step in zip(self.masks.shape[1:], scale, strict=True)))
        distances = [
            surface_distances(one, reference, diagonal, distance)
            for one, reference, distance in zip(points, self.points, self.distances, strict=True)
        ]
        average, hd95 = np.mean(distances, axis=0).tolist()
        return {f"average-hausdorff{unit}": average, f"hd95{unit}": hd95}

    def _distance_from(self, boundary: np.ndarray) -> Callable[[np.ndarray], np.ndarray] | None:
        """Function for the distances of points from a boundary [points,axes] that many comparisons share.

        None of an empty one, and of pixels with few comparisons. All ways give the same, to the last digit.
        """
        from scipy.ndimage import distance_transform_edt
        from scipy.spatial import KDTree

        if not len(boundary) or (not self.is_volume and self.comparisons < FIELD):
            return None
        if self.is_volume:
            tree = KDTree(boundary)
            return lambda points: tree.query(points)[0]
        outside = np.ones(self.masks.shape[1:], bool)
        outside[tuple(boundary.T)] = False
        field = distance_transform_edt(outside)
        return lambda points: field[tuple(points.T)]

    @cached_property
    def _similar(self) -> list[SimilarityReference]:
        return [SimilarityReference(mask) for mask in self.masks]

    def _ssim(self, predicted: np.ndarray) -> float:
        if min(predicted.shape[1:]) <= REACH:
            return float("nan")
        pairs = zip(self._similar, predicted, strict=True)
        return float(np.mean([reference.ssim(mask) for reference, mask in pairs]))


def counts(masks: np.ndarray) -> np.ndarray:
    """[K] Numbers of foreground pixels of masks [K, …]."""
    return np.array([np.count_nonzero(mask) for mask in masks], float)


def surfaces(masks: np.ndarray) -> list[Any]:
    """Boundary points [points, axes] of masks [K, …]: foreground beside background or the edge of the image."""
    if masks.ndim == 3:
        return boundaries(masks)
    padded = np.pad(masks, ((0, 0), (1, 1), (1, 1), (1, 1)))
    inner = np.ones_like(masks)
    center = (slice(1, -1),) * 3
    for axis in range(3):
        for side in (slice(None, -2), slice(2, None)):
            position = [*center]
            position[axis] = side
            inner &= padded[(slice(None), *position)]
    return [np.argwhere(edge).astype(np.float64) for edge in masks & ~inner]
