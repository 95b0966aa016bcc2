"""Test sets of patients with several images, and scores without a patient by hand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mmtk import stats
from mmtk.stats.formulas import Columns


def clusters(rng: np.random.Generator, count: int, most: int = 9) -> np.ndarray:
    """Patient of every image: one to ``most`` images of each, skewed, in a drawn order."""
    extra = (rng.random(count) < 0.1) * rng.integers(0, most, count)
    return rng.permutation(np.repeat(np.arange(count), np.minimum(rng.geometric(0.5, count) + extra, most)))


def classes(
    rng: np.random.Generator, patients: np.ndarray, seeds: int = 3, count: int = 2
) -> dict[str, np.ndarray]:
    """Columns of a classification [seeds, images]; a patient may have images of several."""
    target = rng.integers(0, count, len(patients))
    logits = rng.normal(0, 1, (seeds, len(patients), count)) + 1.2 * (target[:, None] == np.arange(count))
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    shares = shares.round(2) if rng.random() < 0.5 else shares  # with ties
    columns = {"target": np.tile(target, (seeds, 1)).astype(float), "predicted": shares.argmax(-1).astype(float)}
    return columns | {f"p-class {k}": shares[..., k] for k in range(count)}


def without(columns: Columns, patients: np.ndarray, patient: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Columns and patients of the images of all others."""
    rest = patients != patient
    return {name: values[:, rest] for name, values in columns.items()}, patients[rest]


def by_hand(formula: str, columns: Mapping[str, np.ndarray], patients: np.ndarray) -> np.ndarray:
    """The scores [seeds, patients], each computed anew on the images of the others."""
    sets = [without(columns, patients, patient) for patient in np.unique(patients)]
    return np.array([stats.jackknife(formula, *part).score for part in sets]).T
