"""Scores on images that are weighted so that what they are matched by tells nothing of their class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmtk.stats.formulas import Columns
from mmtk.stats.jackknife import Jackknife

SCORES = ("auroc", "balanced-accuracy")
LAST = -1  # column of the class that AUROC ranks, of two


@dataclass(frozen=True)
class Weighting:
    """Weights of images, with what they count.

    weights: [images], 0 of those that do not count
    strata: with all classes
    lone: strata that lack a class, and their images
    effective: number of equally weighted images that would be as certain, (Σ w)² / Σ w²
    """

    weights: np.ndarray
    strata: int
    lone: tuple[int, int]

    @property
    def effective(self) -> float:
        """(Σ w)² / Σ w² (Kish 1965)."""
        squares = float((self.weights**2).sum())
        return float(self.weights.sum()) ** 2 / squares if squares else 0.0


def weighting(strata: np.ndarray, classes: np.ndarray) -> Weighting:
    """Weights n_s / (C n_sc): in every stratum s all C classes weigh the same, and s weighs its n_s images.

    strata: [images], numbers; images below 0 do not count
    classes: [images], numbers from 0

    A stratum that lacks a class does not count: nothing in it can be compared.
    """
    names, place = np.unique(classes[strata >= 0], return_inverse=True)
    weights, used, lone, lone_images = np.zeros(len(strata)), 0, 0, 0
    inside = np.flatnonzero(strata >= 0)
    for stratum in np.unique(strata[inside]):
        rows = strata[inside] == stratum
        counts = np.bincount(place[rows], minlength=len(names))
        if (counts == 0).any() or len(names) < 2:
            lone, lone_images = lone + 1, lone_images + int(rows.sum())
            continue
        used += 1
        weights[inside[rows]] = rows.sum() / (len(names) * counts[place[rows]])
    return Weighting(weights, used, (lone, lone_images))


def joint_strata(codes: list[np.ndarray]) -> np.ndarray:
    """[images] A number for every combination of groups that occurs; −1 where a group is not known.

    codes: [images] group of each attribute, −1 where it is not known
    """
    table = np.stack(codes, axis=1)
    numbers = np.unique(table, axis=0, return_inverse=True)[1].reshape(-1)
    return np.where((table < 0).any(1), -1, numbers)


def matched(score: str, columns: Columns, strata: np.ndarray, patients: np.ndarray) -> Jackknife:
    """A score of weighted images, and the same without each patient, with the weights of those that are left.

    score: of ``SCORES``
    columns: [seeds, images] ``target``, ``predicted`` and ``p-CLASS``
    strata: [images], numbers; images below 0 do not count
    patients: [images], numbers of all patients
    """
    names, codes = np.unique(patients, return_inverse=True)
    parts = [np.ones(len(codes), bool), *(codes != patient for patient in range(len(names)))]
    scores = np.full((len(columns["target"]), len(parts)), np.nan)
    for part, rows in enumerate(parts):
        weights = weighting(strata[rows], columns["target"][0][rows].astype(int)).weights
        for seed in range(len(scores)) if weights.any() else ():
            values = {name: column[seed][rows] for name, column in columns.items()}
            scores[seed, part] = FORMULAS[score](values, weights)
    note = "" if np.isfinite(scores[:, 0]).all() else "no stratum has all classes"
    return Jackknife(scores[:, 0], scores[:, 1:], note=note)


def _auroc(values: dict[str, np.ndarray], weights: np.ndarray) -> float:
    """Σ w_i w_j [p_i > p_j] over pairs of both classes, ties half, by the weight of all pairs."""
    ranked = values[[name for name in values if name.startswith("p-")][LAST]]
    levels, place = np.unique(ranked, return_inverse=True)
    positive = values["target"] == 1
    above, below = (np.bincount(place, weights * side, len(levels)) for side in (positive, ~positive))
    wins = (above * (below.cumsum() - below / 2)).sum()
    return float(wins / (above.sum() * below.sum()))


def _balanced_accuracy(values: dict[str, np.ndarray], weights: np.ndarray) -> float:
    """Weighted share of right images, in which all classes weigh the same."""
    return float((weights * (values["target"] == values["predicted"])).sum() / weights.sum())


FORMULAS = {"auroc": _auroc, "balanced-accuracy": _balanced_accuracy}
