"""A metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from torch import Tensor

from mmtk.api import Field, Metric, MmtkError, ScoreInfo


class Example(Metric):
    """The share of images whose class is among the k likeliest.

    k: how many classes count; all of them where there are fewer.
    """

    task = "classification"

    def __init__(self, *, k: Annotated[int, Field(ge=1)] = 1) -> None:
        self.k = k
        self.scores = {f"top-{k}": ScoreInfo(f"top-{k} accuracy", low=0, high=1, leads=True, selects=True)}
        self.hits: dict[str, int] = {}

    def update(self, logits: Tensor, target: Tensor, ids: Sequence[str]) -> None:
        """Add logits [B,C] and class indices [B]."""
        likeliest = logits.topk(min(self.k, logits.shape[1]), dim=1).indices
        hits = (likeliest == target[:, None]).any(1)
        self.hits |= zip(ids, hits.int().tolist(), strict=True)

    def merge(self, other: Metric) -> None:
        """Add the images of another instance."""
        if not isinstance(other, Example):
            raise MmtkError(f"{type(self).__name__} cannot be merged with {type(other).__name__}.")
        self.hits |= other.hits

    def compute(self) -> dict[str, float]:
        """``top-k`` in [0, 1], and the number ``n`` of images; no score of no image."""
        n = len(self.hits)
        return {"n": n, f"top-{self.k}": sum(self.hits.values()) / n} if n else {"n": n}

    def per_image(self) -> dict[str, list[Any]]:
        """1 or 0 per image, ordered by id."""
        ids = sorted(self.hits)
        return {"id": ids, f"top-{self.k}": [self.hits[each] for each in ids]}
