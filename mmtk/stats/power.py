"""Differences that a study can see, before it is run."""

from __future__ import annotations

import math
from dataclasses import replace

from mmtk.errors import MmtkError
from mmtk.stats.two_way import from_variances
from mmtk.stats.verdicts import ALPHA

POWER = 0.8
MOST_SEEDS = 10_000  # where the search for a number of seeds ends


def smallest_difference(
    seeds: int,
    patients: int,
    seed_variance: float,
    patient_variance: float,
    power: float = POWER,
    overlap: float = 0.0,
) -> float:
    """The smallest true difference that the two-way interval leaves out 0 for with a chance of ``power``.

    seeds: of the study, at least 2
    patients: of its test set, at least 2
    seed_variance: of the difference of one seed, that is J · V_S of an earlier study
    patient_variance: V_P, of the mean over these patients
    power: chance to see it, in (0.05, 1)
    overlap: n_test / n_train, where the seeds are folds and the interval is their corrected t

    From the non-central t with the degrees of freedom of these variances. MmtkError without a variance.
    """
    from scipy.optimize import brentq
    from scipy.special import nctdtr

    if seeds < 2 or patients < 2 or not seed_variance + patient_variance > 0:
        raise MmtkError(
            "power needs two seeds, two patients and a variance.", hint="Take them from a study of such runs."
        )
    planned = from_variances(0.0, (seed_variance / seeds, patient_variance), (seeds, patients))
    if overlap:
        parts = (seed_variance / seeds, seed_variance * overlap)
        planned = replace(planned, seed_variance=parts[0], patient_variance=parts[1], df=seeds - 1.0)
    error = math.sqrt(planned.seed_variance + planned.patient_variance)
    df, critical = planned.df or 1.0, (planned.half(1 - ALPHA) or 0.0) / error
    shift = brentq(lambda nc: 1 - nctdtr(df, nc, critical) - power, 0.0, 10 * critical + 10)
    return float(shift) * error


def seeds_for(
    difference: float,
    patients: int,
    seed_variance: float,
    patient_variance: float,
    power: float = POWER,
    overlap: float = 0.0,
) -> int | None:
    """The fewest seeds, from 3, that see a true difference with a chance of ``power``; None: more patients needed.

    difference: above 0, in units of the score
    patients: of the test set
    seed_variance: of the difference of one seed
    patient_variance: V_P, of the mean over these patients
    power: chance to see it
    overlap: n_test / n_train, where the seeds are folds
    """

    def sees(seeds: int) -> bool:
        parts = (patients, seed_variance, patient_variance)
        return smallest_difference(seeds, *parts, power, overlap) <= difference

    if not sees(MOST_SEEDS):
        return None
    low, high = 2, MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if sees(middle) else (middle, high)
    return high
