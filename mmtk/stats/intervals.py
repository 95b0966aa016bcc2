"""Means over seeds, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mmtk.errors import MmtkError

LEVEL = 0.95
# Scores are of order 1: what differs by less is rounding, and a t-test on it would report certainty.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Summary:
    """A mean with its spread over seeds and its interval.

    ``sd`` has the divisor n − 1. ``n`` counts seeds. ``sd`` is None with one seed. ``low`` and ``high`` are None
    where nothing varies or there is one value. ``method`` says in words what the interval is, or why there is
    none.
    """

    mean: float
    sd: float | None
    low: float | None
    high: float | None
    n: int
    method: str


class TMean(NamedTuple):
    """Student's t for the mean of one sample against zero: interval, statistic, two-sided p."""

    low: float
    high: float
    t: float
    p: float


def numbers(values: Sequence[float] | np.ndarray, what: str = "the scores") -> np.ndarray:
    """A vector of floats; MmtkError if it is empty, not a vector, or has a number that is not finite."""
    vector = np.asarray(values, float)
    if vector.ndim != 1 or not vector.size:
        raise MmtkError(f"{what} must be one or more numbers; their shape is {vector.shape}.")
    if not np.isfinite(vector).all():
        which = int(np.flatnonzero(~np.isfinite(vector))[0])
        raise MmtkError(
            f"{what} must be finite; number {which + 1} of {vector.size} is {vector[which]}.",
            hint="Leave out the runs that have no score.",
        )
    return vector


def constant(values: np.ndarray) -> bool:
    """Whether the values differ by no more than rounding."""
    return bool(np.ptp(values) <= ROUNDING * max(1.0, np.abs(values).max()))


def t_mean(values: np.ndarray, level: float = LEVEL) -> TMean | None:
    """mean ± t(n − 1) · sd / √n, t = √n · mean / sd (Student 1908); None with one value or without variation."""
    n = len(values)
    if n < 2 or constant(values):
        return None
    return student_t(float(values.mean()), math.sqrt(variance(values) / n), n - 1, level)


def student_t(value: float, error: float, df: float, level: float = LEVEL) -> TMean:
    """A value with its standard ``error`` against zero, with ``df`` degrees of freedom: value ± t(df) · error.

    SciPy's distribution without ``scipy.stats``, which takes half a second to import and a millisecond to call;
    tests compare every digit with it. MmtkError for a ``level`` outside (0, 1).
    """
    from scipy.special import stdtr, stdtrit

    t, tail = value / error, (1 - checked(level)) / 2
    low, high = (float(stdtrit(df, share)) * error + value for share in (tail, 1 - tail))
    return TMean(low, high, t, float(2 * stdtr(df, -abs(t))))


def variance(values: np.ndarray) -> float:
    """Variance with the divisor n − 1."""
    n = len(values)
    return float(np.square(values - values.mean()).mean()) * (n / (n - 1))


def checked(level: float) -> float:
    """The level of an interval; MmtkError outside (0, 1)."""
    if not 0 < level < 1:
        raise MmtkError(f"the level of an interval lies between 0 and 1; it is {level}.", hint="Usual: 0.95.")
    return level


def summary(values: Sequence[float], level: float = LEVEL) -> Summary:
    """Mean of one score per seed with Student's t interval: mean ± t(n − 1) · sd / √n (Student 1908).

    Covers normal scores at the stated rate at every n ≥ 2; exponential ones, at 95 % with 3 to 5 seeds, in 88 to
    89 % (simulated). With one seed, or equal scores, there is no interval. MmtkError for an empty list or a number
    that is not finite.
    """
    scores = numbers(values)
    n, mean = len(scores), float(scores.mean())
    spread = float(scores.std(ddof=1)) if n > 1 else None
    interval = t_mean(scores, level)
    if interval is None:
        why = "one seed, so no interval" if n == 1 else "the same score with every seed, so no interval"
        return Summary(mean, spread, None, None, n, why)
    return Summary(mean, spread, interval.low, interval.high, n, "Student's t over seeds")
