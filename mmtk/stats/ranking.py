"""AUROC and average precision of one class, on all images and without each patient, of several seeds at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Deletions(NamedTuple):
    """A score [seeds] on all images, and [seeds, patients] without each patient; NaN where it is undefined."""

    score: np.ndarray
    without: np.ndarray


class Pairs(NamedTuple):
    """Pairs of a positive and a negative image, counted 1, ½ or 0 where the positive one lies above, level, below.

    wins: [seeds] sum over all pairs
    by_patient: [seeds, patients] of the pairs in which the patient has an image
    positives, negatives: [patients] images of each class
    misranked: [seeds] patients of the smaller class with an image in a pair that counts less than 1
    """

    wins: np.ndarray
    by_patient: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray
    misranked: np.ndarray


def pairs(values: np.ndarray, positive: np.ndarray, patients: np.ndarray, count: int) -> Pairs:
    """Count the pairs of positive and negative images.

    values: [seeds, images] of what ranks them
    positive: [images], whether an image is of the class
    patients: [images], numbers from 0
    count: of the patients

    A pair inside one patient stands in the patient's row and in its column; w_p takes it out once.
    """
    ranks = _steps(values)
    above, below = ranks[:, positive], ranks[:, ~positive]
    of_positive, of_negative = patients[positive], patients[~positive]
    rows = _level(below, above)
    columns = above.shape[1] - _level(above, below)
    by_patient = (
        _sums(rows, of_positive, count)
        + _sums(columns, of_negative, count)
        - _inside(above, below, of_positive, of_negative, count)
    )
    first, second = np.bincount(of_positive, minlength=count), np.bincount(of_negative, minlength=count)
    if np.count_nonzero(first) <= np.count_nonzero(second):
        errors = _sums(rows < below.shape[1], of_positive, count)
    else:
        errors = _sums(columns < above.shape[1], of_negative, count)
    return Pairs(rows.sum(1), by_patient, first, second, np.count_nonzero(errors, axis=1))


def auroc(counts: Pairs) -> Deletions:
    """Area under the ROC curve (Mann and Whitney 1947): (W − r_p − c_p + w_p) / ((n⁺ − n⁺_p) (n⁻ − n⁻_p))."""
    positives, negatives = counts.positives.sum(), counts.negatives.sum()
    left = (positives - counts.positives) * (negatives - counts.negatives)
    with np.errstate(divide="ignore", invalid="ignore"):
        without = np.where(left > 0, (counts.wins[:, None] - counts.by_patient) / left, np.nan)
        return Deletions(counts.wins / (positives * negatives), without)


def average_precision(values: np.ndarray, positive: np.ndarray, patients: np.ndarray, count: int) -> Deletions:
    """Mean precision at the positives, equal values as one step.

    values: [seeds, images] of what ranks them
    positive: [images], whether an image is of the class
    patients: [images], numbers from 0
    count: of the patients

    Between two images of a patient every step has the same b images and a positives fewer above it. A stretch of
    steps is therefore a difference of running sums, one of each for every b: Σ hits · above / (ranked − b) and
    Σ hits / (ranked − b).
    """
    step = _steps(-values)
    length = int(step.max()) + 1
    hits, images = (_sums(one, step, length) for one in (positive, np.ones(len(positive))))
    above, ranked = hits.cumsum(1), images.cumsum(1)
    total, of_patient = positive.sum(), np.bincount(patients, positive, count)
    part = _stretches(step, positive, patients, count)
    sums, seed = np.zeros(len(part.patient)), part.patient // count
    for b in np.unique(part.images):
        share = np.divide(1.0, ranked - b, out=np.zeros(ranked.shape), where=ranked > b)
        weighted, plain = (_running(hits * one) for one in (above * share, share))
        at = part.images == b
        row, start, end, a = seed[at], part.start[at], part.end[at], part.positives[at]
        # The first step of a stretch has hits of the patient.
        excess = part.hits[at] * (above[row, start] - a) * share[row, start]
        sums[at] = weighted[row, end] - weighted[row, start] - a * (plain[row, end] - plain[row, start]) - excess
    of_steps = hits * above / ranked
    with np.errstate(divide="ignore", invalid="ignore"):
        by_patient = np.bincount(part.patient, sums).reshape(-1, count)
        without = np.where(total > of_patient, by_patient / (total - of_patient), np.nan)
        score = [one[: last + 1].sum() / total for one, last in zip(of_steps, step.max(1), strict=True)]
        return Deletions(np.array(score), without)


class Stretches(NamedTuple):
    """Stretches of steps from one step with images of a patient to its next one; one before the first.

    patient: of each stretch, ascending; those of each seed are numbered behind those of the seed before
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
    steps, all_patients = int(step.max()) + 1, len(step) * count
    width = steps + 1  # place 0 of a patient: before its first image
    of_seed = patients + count * np.arange(len(step))[:, None]
    places = np.concatenate([np.arange(all_patients) * width, (of_seed * width + step + 1).ravel()])
    codes, which = np.unique(places, return_inverse=True)
    patient, position = np.divmod(codes, width)
    is_last = np.append(patient[1:] != patient[:-1], True)
    end = np.where(is_last, steps, np.append(position[1:], 0) - 1)
    images = np.bincount(which[all_patients:], minlength=len(codes))
    hits = np.bincount(which[all_patients:], np.tile(positive, len(step)), len(codes))
    first = np.searchsorted(patient, np.arange(all_patients))[patient]
    # The first place of a patient has none of its images.
    images_above, positives = (sums.cumsum() - sums.cumsum()[first] for sums in (images, hits))
    return Stretches(patient, np.maximum(position - 1, 0), end, images_above, positives, hits)


def _steps(values: np.ndarray) -> np.ndarray:
    """Place of every value in its row [seeds, images], from 0; equal values share one."""
    seed, order = np.arange(len(values))[:, None], np.argsort(values, axis=1)
    ascending = values[seed, order]
    steps = np.empty(values.shape, int)
    steps[seed, order] = _running(ascending[:, 1:] > ascending[:, :-1])
    return steps


def _running(values: np.ndarray) -> np.ndarray:
    """[seeds, n + 1] Running sums of values [seeds, n], 0 first."""
    sums = np.zeros((len(values), values.shape[1] + 1), int if values.dtype == bool else float)
    np.cumsum(values, axis=1, out=sums[:, 1:])
    return sums


def _sums(values: np.ndarray, places: np.ndarray, count: int) -> np.ndarray:
    """[seeds, count] Sums of values at places, both [seeds, images]; one of them may be [images]."""
    values, places = np.broadcast_arrays(values, places)
    index = places + count * np.arange(len(places))[:, None]
    return np.bincount(index.ravel(), values.ravel(), len(places) * count).reshape(-1, count)


def _level(ranks: np.ndarray, others: np.ndarray) -> np.ndarray:
    """[seeds, others] Number of ranks [seeds, n] of ``_steps`` below each of the same seed, equal ones as ½."""
    seed, count = np.arange(len(ranks))[:, None], ranks.shape[1]
    above = (count + others.shape[1]) * seed  # each seed above the one before: one search for all
    ordered, queries = (np.sort(ranks, axis=1) + above).ravel(), others + above
    places = (np.searchsorted(ordered, queries, "left") + np.searchsorted(ordered, queries, "right")) / 2
    return np.asarray(places - count * seed)


def _inside(
    above: np.ndarray, below: np.ndarray, of_positive: np.ndarray, of_negative: np.ndarray, count: int
) -> np.ndarray:
    """w_p [seeds, patients]: sum over the pairs of which both images are of one patient."""
    order = np.argsort(of_negative, kind="stable")
    sizes = np.bincount(of_negative, minlength=count)
    starts, lengths = (np.cumsum(sizes) - sizes)[of_positive], sizes[of_positive]
    row = np.repeat(np.arange(len(of_positive)), lengths)
    position = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + np.repeat(starts, lengths)
    gap = above[:, row] - below[:, order[position]]
    return _sums((np.sign(gap) + 1) / 2, of_positive[row], count)
