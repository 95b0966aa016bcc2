"""Intervals that a report shows: none from too few seeds, and none beyond what a score can be."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TypeVar

from mmtk.scores import ScoreInfo
from mmtk.stats import Effect, Summary, Test

ENOUGH = 3  # seeds that an interval needs: Student's t with one degree of freedom says nothing

Interval = TypeVar("Interval", Summary, Test, Effect)


def sensible(one: Interval, info: ScoreInfo, few: bool | None = None) -> Interval:
    """The same with an interval that can be: none from fewer seeds than ENOUGH, none beyond the bounds of a score.

    A score has the bounds that are declared; between two of them lies at most the distance of the bounds.
    """
    if one.low is None or one.high is None:
        return one
    if one.n < ENOUGH if few is None else few:
        return replace(one, low=None, high=None)
    low, high = (-math.inf if info.low is None else info.low), (math.inf if info.high is None else info.high)
    lowest, highest = (low, high) if isinstance(one, Summary) else (low - high, high - low)
    return replace(one, low=max(one.low, lowest), high=min(one.high, highest))
