"""One interval for new trainings and new patients: seeds and patients as two crossed sources of chance.

It is the multi-reader multi-case analysis of radiology with seeds as readers (Dorfman, Berbaum and Metz 1992;
Obuchowski and Rockette 1995; Hillis 2007), on pseudo-values by patient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mmtk.counts import counted
from mmtk.stats.intervals import LEVEL, checked
from mmtk.stats.jackknife import Jackknife

Flag = Literal["one seed", "no variation", "too few patients", "few patients", "near the ceiling", "undefined"]
ZERO = 1e-24  # variances below it are rounding
LEAST_PATIENTS = 10  # below it no interval
ENOUGH_PATIENTS = 35  # below it the interval says that it rests on few
ONE_SEED = "one seed: new patients for these networks only, not new trainings"
ENOUGH_ERRORS = 5.0  # patients; below it the interval may be too narrow


@dataclass(frozen=True)
class Interval:
    """A score or a contrast of scores, with its interval for new trainings on new patients.

    est: mean over seeds of the score on all images
    low, high: interval; None where there is none, and ``note`` says why
    p: two-sided, against 0; just below 1 − level where the interval just misses 0
    df: degrees of freedom of both sources together
    seed_variance: V_S, squared standard error that new trainings give
    patient_variance: V_P, what new patients add
    seeds, patients: numbers of both
    flags: what has to be said of it, for programs
    note: the same in words, for readers; "" where there is nothing to say
    overlap: n_test / n_train of folds, whose corrected t it is (mmtk.stats.folds); 0 for seeds on one test set
    """

    est: float
    low: float | None
    high: float | None
    p: float | None
    df: float | None
    seed_variance: float
    patient_variance: float
    seeds: int
    patients: int
    flags: frozenset[Flag] = frozenset()
    note: str = ""
    overlap: float = 0.0

    def half(self, level: float) -> float | None:
        """Half the width of the interval of a level in (0, 1); None where there is no interval."""
        if self.df is None:
            return None
        return _half(checked(level), self.seed_variance, self.patient_variance, self.df, self.seeds)

    @property
    def patient_half(self) -> float | None:
        """t(P − 1; 0.975) √V_P: what would remain of the half width with seeds without end."""
        from scipy.special import stdtrit

        if self.df is None:
            return None
        return float(stdtrit(self.patients - 1, (1 + LEVEL) / 2)) * math.sqrt(self.patient_variance)


def two_way(sample: Jackknife, level: float = LEVEL) -> Interval:
    """The interval of a score or contrast: est ± max(t(df) √(V_S + V_P), t(J − 1) √V_S).

    sample: the score [seeds], and [seeds, patients] without each patient
    level: of the interval

    V_S is the squared error of the paired t over seeds; V_P = max(MS_P − MS_SP, 0) / (J P) of the pseudo-values
    Y = P θ − (P − 1) θ(−p) is what new patients add; df = V² / (V_S² / (J − 1) + V_P² / (P − 1)) (Satterthwaite
    1946). Never narrower than the paired t: more sources of chance make no finding more certain. With one seed
    V = MS_P / P, and it speaks of new patients for these networks alone. ``est`` is the score itself, not the mean
    pseudo-value, which differs from it where patients have several images.
    """
    seeds, patients = sample.without.shape
    est = float(sample.score.mean()) if seeds else math.nan
    if patients == 1 and np.isfinite(est):  # no score is defined without the only patient
        return _nothing(est, _variance(sample.score), 0.0, sample, "too few patients", _few(patients))
    if sample.note or not np.isfinite(sample.without).all() or not np.isfinite(est):
        why = sample.note or "the score is undefined without one of the patients"
        return _nothing(est, 0.0, 0.0, sample, "undefined", why)
    seed_variance, patient_variance = variances(sample)
    if patients < LEAST_PATIENTS:
        return _nothing(est, seed_variance, patient_variance, sample, "too few patients", _few(patients))
    if seed_variance + patient_variance == 0:
        return _nothing(est, 0.0, 0.0, sample, "no variation", "no variation, so no interval")
    flags, note = reservations(patients, sample.errors, sample.smaller_class)
    if seeds == 1:
        flags |= {"one seed"}
        note = "; ".join(filter(None, (ONE_SEED, note)))
    return from_variances(est, (seed_variance, patient_variance), (seeds, patients), level, flags, note)


def _few(patients: int) -> str:
    return f"{counted(patients, 'patient')}: too few for an interval, which takes {LEAST_PATIENTS}"


def variances(sample: Jackknife) -> tuple[float, float]:
    """V_S and V_P; those that are rounding as 0."""
    seeds, patients = sample.without.shape
    if patients < 2:
        return _variance(sample.score), 0.0
    pseudo = patients * sample.score[:, None] - (patients - 1) * sample.without
    by_patient, mean = pseudo.mean(0), pseudo.mean()
    between = seeds * float(((by_patient - mean) ** 2).sum()) / (patients - 1)
    if seeds == 1:
        return 0.0, _floored(between / patients)
    rest = pseudo - pseudo.mean(1, keepdims=True) - by_patient + mean
    within = float((rest**2).sum()) / ((seeds - 1) * (patients - 1))
    return _variance(sample.score), _floored(max(between - within, 0.0) / (seeds * patients))


def from_variances(
    est: float,
    parts: tuple[float, float],
    counts: tuple[int, int],
    level: float = LEVEL,
    flags: frozenset[Flag] = frozenset(),
    note: str = "",
) -> Interval:
    """The interval from its variances.

    est: the score or contrast
    parts: V_S and V_P, not both 0
    counts: seeds and patients
    level: of the interval
    flags: what has to be said of it
    note: the same in words
    """
    from scipy.special import stdtr

    (seed_variance, patient_variance), (seeds, patients) = parts, counts
    variance = seed_variance + patient_variance
    spread = patient_variance**2 / (patients - 1) + (seed_variance**2 / (seeds - 1) if seeds > 1 else 0.0)
    df = variance**2 / spread
    half = _half(checked(level), seed_variance, patient_variance, df, seeds)
    p = 2 * float(stdtr(df, -abs(est) / math.sqrt(variance)))
    if seed_variance > 0:
        p = max(p, 2 * float(stdtr(seeds - 1, -abs(est) / math.sqrt(seed_variance))))
    return Interval(
        est, est - half, est + half, p, df, seed_variance, patient_variance, seeds, patients, flags, note
    )


def _half(level: float, seed_variance: float, patient_variance: float, df: float, seeds: int) -> float:
    from scipy.special import stdtrit

    upper = (1 + level) / 2
    both = float(stdtrit(df, upper)) * math.sqrt(seed_variance + patient_variance)
    if not seed_variance:
        return both
    return max(both, float(stdtrit(seeds - 1, upper)) * math.sqrt(seed_variance))


def _variance(score: np.ndarray) -> float:
    """Squared standard error of the mean over seeds; 0 with one."""
    return _floored(float(score.var(ddof=1)) / len(score)) if len(score) > 1 else 0.0


def _floored(variance: float) -> float:
    return variance if variance >= ZERO else 0.0


def reservations(patients: int, errors: float | None, smaller_class: int | None) -> tuple[frozenset[Flag], str]:
    """Flags of an interval, and the same in words.

    patients: that it rests on
    errors: patients whose images the score counts as wrong; None where none is right or wrong
    smaller_class: patients of the smallest class; None of a score without classes
    """
    notes: dict[Flag, str] = {}
    if patients < ENOUGH_PATIENTS:
        notes["few patients"] = f"rests on {patients} patients only"
    elif smaller_class is not None and smaller_class < LEAST_PATIENTS:
        notes["few patients"] = f"rests on {counted(smaller_class, 'patient')} of the smallest class only"
    if errors is not None and errors < ENOUGH_ERRORS:
        notes["near the ceiling"] = "near the ceiling: few errors, so the interval may be too narrow"
    return frozenset(notes), "; ".join(notes.values())


def _nothing(
    est: float, seed_variance: float, patient_variance: float, sample: Jackknife, flag: Flag, why: str
) -> Interval:
    seeds, patients = sample.without.shape
    flags = frozenset({flag})
    return Interval(est, None, None, None, None, seed_variance, patient_variance, seeds, patients, flags, why)
