"""AUROC and average precision of one class, on all images and without each patient."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


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

    Between two images of a patient every step has the same b images and a positives fewer above it. A stretch of
    steps is therefore a difference of running sums, one of each for every b: Σ hits · above / (ranked − b) and
    Σ hits / (ranked − b).
    """
    _, step = np.unique(-values, return_inverse=True)
    hits, images = np.bincount(step, positive), np.bincount(step)
    above, ranked = hits.cumsum(), images.cumsum()
    total, of_patient = above[-1], np.bincount(patients, positive, count)
    part = _stretches(step, positive, patients, count)
    sums = np.zeros(len(part.patient))
    for b in np.unique(part.images):
        share = np.divide(1.0, ranked - b, out=np.zeros(len(ranked)), where=ranked > b)
        weighted, plain = (np.append(0.0, np.cumsum(hits * one)) for one in (above * share, share))
        at = part.images == b
        start, end, a = part.start[at], part.end[at], part.positives[at]
        # The first step of a stretch has hits of the patient.
        excess = part.hits[at] * (above[start] - a) * share[start]
        sums[at] = weighted[end] - weighted[start] - a * (plain[end] - plain[start]) - excess
    with np.errstate(divide="ignore", invalid="ignore"):
        without = np.where(total > of_patient, np.bincount(part.patient, sums) / (total - of_patient), np.nan)
        return Deletions(float((hits * above / ranked).sum() / total), without)


class Stretches(NamedTuple):
    """Stretches of steps from one step with images of a patient to its next one; one before the first.

    patient: of each stretch, ascending
    start, end: its steps, the end excluded
    images, positives: of the patient, up to the first step with it
    hits: positives of the patient at the first step
    """

    patient: np.ndarray
    start: np.ndarray
    end: np.ndarray
    images: np.ndarray
    positives: np.ndarray
    hits: np.ndarray


def _stretches(step: np.ndarray, positive: np.ndarray, patients: np.ndarray, count: int) -> Stretches:
    steps = int(step.max()) + 1
    width = steps + 1  # place 0 of a patient: before its first image
    places = np.concatenate([np.arange(count) * width, patients * width + step + 1])
    codes, which = np.unique(places, return_inverse=True)
    patient, position = np.divmod(codes, width)
    is_last = np.append(patient[1:] != patient[:-1], True)
    end = np.where(is_last, steps, np.append(position[1:], 0) - 1)
    images = np.bincount(which[count:], minlength=len(codes))
    hits = np.bincount(which[count:], positive, len(codes))
    first = np.searchsorted(patient, np.arange(count))[patient]
    # The first place of a patient has none of its images.
    images_above, positives = (sums.cumsum() - sums.cumsum()[first] for sums in (images, hits))
    return Stretches(patient, np.maximum(position - 1, 0), end, images_above, positives, hits)


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
