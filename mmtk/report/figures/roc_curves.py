"""ROC curves: of one class against the rest, their mean over classes and over seeds, with bands and areas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 200

Points = tuple[np.ndarray, np.ndarray]


def roc_points(target: np.ndarray, score: np.ndarray) -> Points | None:
    """False and true positive rates from (0, 0) to (1, 1), one point per distinct score; None for one class.

    ``target`` [N] is 1 for the positive class, ``score`` [N] its probability.
    """
    order = np.argsort(-score, kind="stable")
    hits, ranked = np.cumsum(target[order] == 1), score[order]
    if not len(hits) or not 0 < hits[-1] < len(hits):
        return None
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    false = last + 1 - hits[last]
    return np.append(0, false / false[-1]), np.append(0, hits[last] / hits[-1])


@dataclass(frozen=True)
class Curve:
    """False and true positive rates, and the area: the AUROC of ``results.json``."""

    false: np.ndarray
    true: np.ndarray
    area: float


def curve(target: np.ndarray, probabilities: np.ndarray) -> Curve | None:
    """The ROC curve of the last of two classes, or the mean over more classes, each against the rest.

    ``target`` [N] holds class indices, ``probabilities`` is [N,C]. The mean is over the classes that occur, at
    every false positive rate that one of them has; None where no class can be told from others.
    """
    count = probabilities.shape[1]
    class_curves = [
        points
        for k in ([1] if count == 2 else range(count))
        if (points := roc_points(target == k, probabilities[:, k])) is not None
    ]
    if not class_curves:
        return None
    area = float(np.mean([np.trapezoid(true, false) for false, true in class_curves]))
    if len(class_curves) == 1:
        return Curve(*class_curves[0], area)
    false = np.unique(np.concatenate([one for one, _ in class_curves]))
    mean = np.mean([np.interp(false, *points) for points in class_curves], axis=0)
    return Curve(np.append(0, false), np.append(0, mean), area)


def band(
    target: np.ndarray, probabilities: np.ndarray, patients: np.ndarray, grid: np.ndarray
) -> np.ndarray | None:
    """True positive rates [2, grid] that hold 95 % of bootstrap samples of the patients; None for one class.

    target: [N] class indices
    probabilities: [N,C] of the classes
    patients: [N] numbers; the images of one patient are drawn together
    grid: false positive rates
    """
    draw, rates = np.random.default_rng(0), []
    order = np.argsort(patients, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(patients[order])) + 1)
    for _ in range(RESAMPLES):
        rows = np.concatenate([groups[k] for k in draw.integers(0, len(groups), len(groups))])
        if one := curve(target[rows], probabilities[rows]):
            rates.append(np.interp(grid, one.false, one.true))
    return np.percentile(rates, [2.5, 97.5], axis=0) if rates else None


@dataclass(frozen=True)
class MeanRoc:
    """True positive rates [seeds, points] on a common grid of false positive rates, and the area of every seed.

    ``ends`` [2, points] bound one standard deviation over seeds; of one seed, 95 % of resampled patients.
    """

    grid: np.ndarray
    rates: np.ndarray
    areas: np.ndarray
    ends: np.ndarray | None = None


def mean_roc(runs: Sequence[np.ndarray], patients: np.ndarray, points: int = 201) -> MeanRoc | None:
    """ROC curves of runs, each [images, 1 + classes] of target and probabilities, on one grid; areas are exact.

    ``patients`` are those of the images of a single run, for its band.
    """
    curves = [one for run in runs if (one := curve(run[:, 0], run[:, 1:]))]
    if not curves:
        return None
    grid = np.linspace(0, 1, points)
    rates = np.array([np.interp(grid, one.false, one.true) for one in curves])
    areas = np.array([one.area for one in curves])
    if len(curves) == 1:
        ends = band(runs[0][:, 0], runs[0][:, 1:], patients, grid) if len(runs) == 1 else None
        return MeanRoc(grid, rates, areas, ends)
    mean, spread = rates.mean(0), rates.std(0, ddof=1)
    return MeanRoc(grid, rates, areas, np.clip([mean - spread, mean + spread], 0, 1))
