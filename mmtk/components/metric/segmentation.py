"""Scores of predicted masks, per image and then averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import hypot
from statistics import fmean
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from mmtk import builtin_scores
from mmtk.api import Field, Metric
from mmtk.components.metric._inputs import check_batch
from mmtk.components.metric._structure import ssim
from mmtk.components.metric._surface import boundaries, surface_distances
from mmtk.errors import MmtkError

COUNTS = ("pixels-reference", "pixels-predicted", "empty-predictions")


class Segmentation(Metric):
    """Dice, Jaccard, SSIM, average Hausdorff distance, HD95, precision and recall per image, then averaged.

    threshold: probability from which a pixel is foreground, 0…1; exclusive channels take the likeliest

    Channels are averaged within an image; of exclusive masks channel 0, the background, is left out
    (``names`` counts it). Pixels with target −1 are background in both masks. Distances are in pixels, with
    ``-mm`` in millimetres, the latter only if the spacing of every image is known.
    An empty prediction or reference has the image diagonal √(H² + W²) as its distances and 0 as its Dice,
    Jaccard, precision and recall; two empty masks have 0 and 1. ``empty-predictions`` counts masks.
    """

    task = "segmentation"

    def __init__(
        self,
        names: Sequence[str],
        exclusive: bool,
        spacing: Mapping[str, tuple[float, float]],
        *,
        threshold: Annotated[float, Field(ge=0, le=1)] = 0.5,
    ) -> None:
        self.names, self.exclusive, self.spacing, self.threshold = tuple(names), exclusive, spacing, threshold
        if exclusive and len(self.names) < 2:
            raise MmtkError(f"Exclusive masks need a background and a name besides {', '.join(self.names)}.")
        self.scores = builtin_scores.segmentation(self.names[1:] if exclusive else self.names)
        self.rows: list[dict[str, Any]] = []

    def update(self, logits: Tensor, target: Tensor, ids: Sequence[str]) -> None:
        """Add logits [B,K,H,W] and masks [B,K,H,W] in {0, 1} with −1 ignored.

        Raises MmtkError naming the ids for logits that are not finite and for other labels.
        """
        check_batch(logits, target, ids, self.names, range(-1, 2))
        if self.exclusive:
            predicted = one_hot(logits.argmax(1), len(self.names)).movedim(-1, 1)[:, 1:] == 1
            target = target[:, 1:]
        else:
            predicted = logits.sigmoid() >= self.threshold
        predicted, reference = predicted & (target != -1), target == 1
        overlap = _overlap(predicted, reference)
        for i, name in enumerate(ids):
            scores = {key: value[i] for key, value in overlap.items()}
            self.rows.append({"id": name, **self._row(name, predicted[i], reference[i], scores)})

    def _row(
        self, name: str, predicted: Tensor, reference: Tensor, overlap: dict[str, Tensor]
    ) -> dict[str, float]:
        row = {key: value.mean().item() for key, value in overlap.items()}
        row["ssim"] = ssim(predicted, reference)
        pairs = list(zip(boundaries(predicted.numpy()), boundaries(reference.numpy()), strict=True))
        row |= self._distances(pairs, (1, 1), predicted.shape[1:], "")
        if name in self.spacing:
            high, wide = self.spacing[name]
            if high == wide:  # the same distances in another unit
                row |= {f"{key}-mm": row[key] * high for key in ("average-hausdorff", "hd95")}
            else:
                row |= self._distances(pairs, (high, wide), predicted.shape[1:], "-mm")
        if len(pairs) > 1:
            channels = self.names[1:] if self.exclusive else self.names
            row |= {f"dice-{c}": d for c, d in zip(channels, overlap["dice"].tolist(), strict=True)}
        row["pixels-reference"], row["pixels-predicted"] = int(reference.sum()), int(predicted.sum())
        row["empty-predictions"] = int((~predicted.flatten(1).any(1)).sum())
        return row

    @staticmethod
    def _distances(
        pairs: list[tuple[np.ndarray, np.ndarray]], scale: tuple[float, float], size: Sequence[int], unit: str
    ) -> dict[str, float]:
        """Average Hausdorff distance and HD95 of an image, as means over its channels."""
        diagonal = hypot(size[0] * scale[0], size[1] * scale[1])
        distances = [surface_distances(a * scale, b * scale, diagonal) for a, b in pairs]
        average, hd95 = np.mean(distances, axis=0).tolist()
        return {f"average-hausdorff{unit}": average, f"hd95{unit}": hd95}

    def merge(self, other: Metric) -> None:
        """Add the images of another instance; scores do not depend on the order."""
        if not isinstance(other, Segmentation):
            raise MmtkError(f"a segmentation metric cannot be merged with {type(other).__name__}.")
        self.rows += other.rows

    def compute(self) -> dict[str, float]:
        """Means over all images (``n`` of them), and the number of ``empty-predictions``."""
        scores: dict[str, float] = {"n": len(self.rows)}
        if not self.rows:
            return scores
        for key in self.rows[0]:
            if key not in ("id", *COUNTS) and all(key in row for row in self.rows):
                scores[key] = fmean(row[key] for row in self.rows)
        scores["empty-predictions"] = sum(row["empty-predictions"] for row in self.rows)
        return scores

    def per_image(self) -> dict[str, list[Any]]:
        """Values per image, ordered by id; None in the ``-mm`` columns where an image has no spacing."""
        columns = ["id", *dict.fromkeys(key for row in self.rows for key in row if key != "id")]
        rows = sorted(self.rows, key=lambda row: row["id"])
        return {column: [row.get(column) for row in rows] for column in columns}


def _overlap(predicted: Tensor, reference: Tensor) -> dict[str, Tensor]:
    """Masks [B,K,H,W], bool → scores [B,K] from exact counts; 1 where both are empty, else 0/0 = 0."""
    both, p, r = ((m.sum((2, 3)).double()) for m in (predicted & reference, predicted, reference))
    ratios = {
        "dice": (2 * both, p + r),
        "jaccard": (both, p + r - both),
        "precision": (both, p),
        "recall": (both, r),
    }
    return {key: torch.where(p + r == 0, 1.0, a / b.clamp(min=1)) for key, (a, b) in ratios.items()}
