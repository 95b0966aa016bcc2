"""Intervals that a report shows: none from too few seeds, none that hold all that a score can be, or more."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TypeVar

from mmtk.scores import ScoreInfo
from mmtk.stats import Effect, Interval, Jackknife, Summary, Test, two_way

WHOLE_SCALE = "no interval narrower than the scale"
ENOUGH = 3  # seeds that an interval needs: Student's t with one degree of freedom says nothing

OverSeeds = TypeVar("OverSeeds", Summary, Test, Effect)

TWO_WAY = "two-way"
FOLDS = "corrected t"  # over folds (mmtk.stats.folds)
AUROC = ScoreInfo("AUROC", low=0.0, high=1.0)
# What is new where a test asks whether a difference would show again, by the kind of test.
QUESTIONS = {
    TWO_WAY: "new trainings, new patients",
    FOLDS: "new trainings, new patients",
    "paired": "new trainings on these patients",
    "student": "new trainings on these patients",
}


def sensible(one: OverSeeds, info: ScoreInfo, few: bool | None = None) -> OverSeeds:
    """The same with an interval that can be: none from fewer seeds than ENOUGH, none beyond the bounds of a score.

    A score has the bounds that are declared; between two of them lies at most the distance of the bounds. An
    interval that holds every value of them says nothing, and is none.
    """
    if one.low is None or one.high is None:
        return one
    if one.n < ENOUGH if few is None else few:
        return replace(one, low=None, high=None)
    low, high = _cut(one.low, one.high, _bounds(info, difference=not isinstance(one, Summary)))
    return replace(one, low=low, high=high)


def bounded(one: Interval, info: ScoreInfo, *, difference: bool = True) -> Interval:
    """A two-way interval cut where a score, or a difference of two, can no longer be; none that holds it all."""
    if one.low is None or one.high is None:
        return one
    low, high = _cut(one.low, one.high, _bounds(info, difference=difference))
    if low is None:
        return replace(one, low=None, high=None, note="; ".join(filter(None, (WHOLE_SCALE, one.note))))
    return replace(one, low=low, high=high)


def auroc_interval(jackknife: Jackknife, *, difference: bool = False) -> Interval:
    """The two-way interval of an AUROC, or of a ``difference`` of two, cut where neither can be."""
    return bounded(two_way(jackknife), AUROC, difference=difference)


def two_way_test(one: Interval) -> Test:
    """An interval for new patients as a test; without p from one seed, which says nothing of new trainings."""
    p = None if one.seeds < 2 else one.p
    name, unit = (FOLDS, "folds") if one.overlap else (TWO_WAY, "seeds")
    return Test(name, p, None, one.seeds, unit, one.est, one.low, one.high, None, "", one.note)


def independent(one: OverSeeds, interval: Interval | None) -> OverSeeds:
    """The same, without interval and p over folds: Student's t takes them as independent, which they are not.

    ``interval``: that leads, which knows whether the seeds are folds
    """
    if interval is None or not interval.overlap:
        return one
    if isinstance(one, Summary):
        return replace(one, low=None, high=None)
    return replace(one, low=None, high=None, p=None)


def _cut(low: float, high: float, bounds: tuple[float, float]) -> tuple[float, float] | tuple[None, None]:
    """An interval within the bounds of a score; none where it holds every value between them."""
    lowest, highest = bounds
    if low <= lowest and high >= highest:
        return None, None
    return max(low, lowest), min(high, highest)


def _bounds(info: ScoreInfo, *, difference: bool) -> tuple[float, float]:
    low, high = (-math.inf if info.low is None else info.low), (math.inf if info.high is None else info.high)
    return (low - high, high - low) if difference else (low, high)
