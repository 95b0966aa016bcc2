"""Scores on a part of the images, and AUROC within groups of images, without each patient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mmtk.stats.formulas import Columns
from mmtk.stats.jackknife import Jackknife, combine, jackknife
from mmtk.stats.ranking import pairs
from mmtk.stats.two_way import LEAST_PATIENTS, Interval, two_way


def on_part(formula: str, columns: Columns, patients: np.ndarray, part: np.ndarray) -> Jackknife:
    """A score on some of the images; a patient without any of them leaves it as it is.

    formula: of the score
    columns: values [seeds, images] by name
    patients: [images], numbers of all patients
    part: [images], whether an image counts
    """
    all_patients = np.unique(patients)
    deleted = jackknife(formula, {name: values[:, part] for name, values in columns.items()}, patients[part])
    without = np.repeat(deleted.score[:, None], len(all_patients), axis=1)
    without[:, np.searchsorted(all_patients, np.unique(patients[part]))] = deleted.without
    return replace(deleted, without=without)


def interval_on_part(sample: Jackknife, patients: np.ndarray, part: np.ndarray) -> Interval:
    """The interval of a score of ``on_part``, which rests on the patients of that part alone."""
    inside = np.isin(np.unique(patients), patients[part])
    return two_way(replace(sample, without=sample.without[:, inside]))


def gap(one: Jackknife, other: Jackknife, least: int) -> Interval | None:
    """The interval of the difference of two parts; None where one of them has too few patients.

    one, other: as of ``on_part``
    least: patients of the smaller part
    """
    if least < LEAST_PATIENTS:
        return None
    return two_way(combine((1, -1), (one, other)))


def auroc_within(values: np.ndarray, positive: np.ndarray, groups: np.ndarray, patients: np.ndarray) -> Jackknife:
    """AUROC of pairs of which both images lie in one group: Σ wins / Σ pairs over the groups (van Elteren 1960).

    values: [seeds, images] of what ranks them
    positive: [images], whether an image is of the class
    groups: [images], numbers; images of groups below 0 do not count
    patients: [images], numbers of all patients
    """
    names, codes = np.unique(patients, return_inverse=True)
    wins, total, misranked = np.zeros(len(values)), 0, np.zeros(len(values))
    left_wins, left_total = np.zeros((len(values), len(names))), np.zeros(len(names))
    for group in np.unique(groups[groups >= 0]):
        inside = groups == group
        counts = pairs(values[:, inside], positive[inside], codes[inside], len(names))
        above, below = counts.positives.sum(), counts.negatives.sum()
        wins, total = wins + counts.wins, total + above * below
        left_wins += counts.wins[:, None] - counts.by_patient
        left_total += (above - counts.positives) * (below - counts.negatives)
        misranked += counts.misranked if above * below else 0
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = wins / total if total else np.full(len(values), np.nan)
        without = np.where(left_total > 0, left_wins / left_total, np.nan)
    is_used = groups >= 0
    smaller = min(len(np.unique(codes[is_used & side])) for side in (positive, ~positive))
    note = "" if np.isfinite(scores).all() else "no group has images of both sides"
    return Jackknife(scores, without, float(misranked.mean()), smaller, note)
