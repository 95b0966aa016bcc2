"""Interval over folds, whose training sets overlap and whose patients come again in every repeat."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mmtk.counts import counted
from mmtk.errors import MmtkError
from mmtk.stats.intervals import LEVEL, checked, numbers
from mmtk.stats.two_way import LEAST_PATIENTS, ZERO, Flag, Interval, reservations


def overlap(folds: int) -> float:
    """n_test / n_train of K folds: 1 / (K − 1); the validation images are training images of another fold."""
    if folds < 2:
        raise MmtkError(
            f"patients are divided into two folds or more; {folds} were given.", hint="Usual: 5 or 10."
        )
    return 1 / (folds - 1)


@dataclass(frozen=True)
class FoldPatients:
    """Patients that the folds of a repeat test together.

    patients: of all folds
    errors: patients whose images the score counts as wrong; None where none is right or wrong
    smaller_class: patients of the smallest class; None of a score without classes
    """

    patients: int
    errors: float | None = None
    smaller_class: int | None = None


def corrected(scores: Sequence[float], folds: int, tested: FoldPatients, level: float = LEVEL) -> Interval:
    """The corrected resampled t: est ± t(J − 1) √((1/J + n_test/n_train) S²) (Nadeau and Bengio 2003).

    scores: of J replicates, a score or a contrast on the fold that each has tested; of one repeat or several
    folds: K of each repeat
    tested: patients of them
    level: of the interval

    S² is the variance of the scores, and n_test/n_train = 1/(K − 1) (Bouckaert and Frank 2004, for repeats).
    Student's t over folds takes them as independent; but their training sets share patients, and further repeats
    test the same patients again. No estimate of this variance is without bias (Bengio and Grandvalet 2004); this
    one is rather too large. Of the variance, ``seed_variance`` S²/J is what repeats shorten, ``patient_variance``
    S²/(K − 1) what patients alone do.
    """
    values = numbers(scores)
    count, ratio = len(values), overlap(folds)
    spread = float(values.var(ddof=1)) if count > 1 else 0.0
    spread = spread if spread >= ZERO else 0.0
    flags, note = reservations(tested.patients, tested.errors, tested.smaller_class)
    one = Interval(
        float(values.mean()),
        None,
        None,
        None,
        None,
        spread / count,
        spread * ratio,
        count,
        tested.patients,
        flags,
        note,
        ratio,
    )
    if count < 2:
        return _without(one, "one seed", "one fold, so no interval")
    if tested.patients < LEAST_PATIENTS:
        why = f"{counted(tested.patients, 'patient')}: too few for an interval, which takes {LEAST_PATIENTS}"
        return _without(one, "too few patients", why)
    if not spread:
        return _without(one, "no variation", "the same with every fold, so no interval")
    return with_replicates(one, count, level)


def with_replicates(one: Interval, count: int, level: float = LEVEL) -> Interval:
    """The interval if there were ``count`` replicates of the same spread.

    one: with its variances
    count: of replicates, 2 or more
    level: of the interval
    """
    from scipy.special import stdtr, stdtrit

    seed_variance = one.seed_variance * one.seeds / count
    error = math.sqrt(seed_variance + one.patient_variance)
    half = float(stdtrit(count - 1, (1 + checked(level)) / 2)) * error
    p = 2 * float(stdtr(count - 1, -abs(one.est) / error))
    return replace(
        one, low=one.est - half, high=one.est + half, p=p, df=count - 1.0, seed_variance=seed_variance, seeds=count
    )


def _without(one: Interval, flag: Flag, why: str) -> Interval:
    return replace(one, flags=frozenset({flag}), note=why)
