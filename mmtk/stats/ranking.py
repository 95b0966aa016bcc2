"""AUROC and average precision of one class, on all images and without each patient."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

CHUNK = 4_000_000  # numbers in the largest table of average precision


class Deletions(NamedTuple):
    """A score on all images, and [patients] without each patient; NaN where it is undefined."""

    score: float
    without: np.ndarray


class Pairs(NamedTuple):
    """Pairs of a positive and a negative image, counted 1, ½ or 0 where the positive one lies above, level, below.

    wins: sum over all pairs
    by_patient: [patients] of the pairs in which the patient has an image
    positives, negatives: [patients] images of each class
    misranked: patients of the smaller class with an image in a pair that counts less than 1
    """

    wins: float
    by_patient: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray
    misranked: int


def pairs(values: np.ndarray, positive: np.ndarray, patients: np.ndarray, count: int) -> Pairs:
    """Count the pairs of positive and negative images.

    values: [images] of what ranks them
    positive: [images], whether an image is of the class
    patients: [images], numbers from 0
    count: of the patients

    A pair inside one patient stands in the patient's row and in its column; w_p takes it out once.
    """
    above, below = values[positive], values[~positive]
    of_positive, of_negative = patients[positive], patients[~positive]
    rows = _level(below, above)
    columns = len(above) - _level(above, below)
    by_patient = (
        np.bincount(of_positive, rows, count)
        + np.bincount(of_negative, columns, count)
        - _inside(above, below, of_positive, of_negative, count)
    )
    first, second = np.bincount(of_positive, minlength=count), np.bincount(of_negative, minlength=count)
    if np.count_nonzero(first) <= np.count_nonzero(second):
        misranked = np.unique(of_positive[rows < len(below)])
    else:
        misranked = np.unique(of_negative[columns < len(above)])
    return Pairs(float(rows.sum()), by_patient, first, second, len(misranked))


def auroc(counts: Pairs) -> Deletions:
    """Area under the ROC curve (Mann and Whitney 1947): (W − r_p − c_p + w_p) / ((n⁺ − n⁺_p) (n⁻ − n⁻_p))."""
    positives, negatives = counts.positives.sum(), counts.negatives.sum()
    left = (positives - counts.positives) * (negatives - counts.negatives)
    with np.errstate(divide="ignore", invalid="ignore"):
        without = np.where(left > 0, (counts.wins - counts.by_patient) / left, np.nan)
    return Deletions(counts.wins / (positives * negatives) if positives * negatives else np.nan, without)


def average_precision(values: np.ndarray, positive: np.ndarray, patients: np.ndarray, count: int) -> Deletions:
    """Mean precision at the positives, equal values as one step.

    values: [images] of what ranks them
    positive: [images], whether an image is of the class
    patients: [images], numbers from 0
    count: of the patients
    """
    _, step = np.unique(-values, return_inverse=True)
    steps = int(step.max()) + 1
    hits = np.bincount(step, positive, steps)
    every = np.bincount(step, minlength=steps).astype(float)
    score = float(_precision(hits[None], every[None])[0])
    without, rows = np.empty(count), max(1, CHUNK // steps)
    order = np.argsort(patients, kind="stable")
    for start in range(0, count, rows):
        end = min(start + rows, count)
        images = order[slice(*np.searchsorted(patients[order], [start, end]))]
        place = (patients[images] - start) * steps + step[images]
        size, shape = (end - start) * steps, (end - start, steps)
        removed = np.bincount(place, minlength=size).reshape(shape)
        removed_hits = np.bincount(place, positive[images], size).reshape(shape)
        without[start:end] = _precision(hits - removed_hits, every - removed)
    return Deletions(score, without)


def _precision(hits: np.ndarray, every: np.ndarray) -> np.ndarray:
    """Average precision of rows of counts [rows, steps], best step first; NaN without a positive."""
    hits_above, images_above = hits.cumsum(1), every.cumsum(1)
    total = hits_above[:, -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 0, (hits * hits_above / np.maximum(images_above, 1)).sum(1) / total, np.nan)


def _level(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """[others] Number of values below each, equal ones as ½."""
    ordered = np.sort(values)
    return (np.searchsorted(ordered, others, "left") + np.searchsorted(ordered, others, "right")) / 2


def _inside(
    above: np.ndarray, below: np.ndarray, of_positive: np.ndarray, of_negative: np.ndarray, count: int
) -> np.ndarray:
    """w_p [patients]: sum over the pairs of which both images are of one patient."""
    order = np.argsort(of_negative, kind="stable")
    sizes = np.bincount(of_negative, minlength=count)
    starts, lengths = (np.cumsum(sizes) - sizes)[of_positive], sizes[of_positive]
    row = np.repeat(np.arange(len(above)), lengths)
    position = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + np.repeat(starts, lengths)
    gap = above[row] - below[order[position]]
    return np.bincount(of_positive[row], (np.sign(gap) + 1) / 2, count)
