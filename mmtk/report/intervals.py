"""Intervals that a report shows: none from too few seeds, and none beyond what a score can be."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TypeVar

from mmtk.runs.score_names import is_share, unit
from mmtk.stats import Effect, Summary, Test

ENOUGH = 3  # seeds that an interval needs: Student's t with one degree of freedom says nothing

Interval = TypeVar("Interval", Summary, Test, Effect)


def sensible(one: Interval, metric: str, few: bool | None = None) -> Interval:
    """The same with an interval that can be: none from fewer seeds than ENOUGH, none beyond a share's range.

    A share lies in [0, 1], a difference of shares in [−1, 1]; a distance is at least 0.
    """
    if one.low is None or one.high is None:
        return one
    if one.n < ENOUGH if few is None else few:
        return replace(one, low=None, high=None)
    lowest = 0.0 if isinstance(one, Summary) else -1.0 if is_share(metric) else -math.inf
    lowest = lowest if is_share(metric) or unit(metric) else -math.inf
    highest = 1.0 if is_share(metric) else math.inf
    return replace(one, low=max(one.low, lowest), high=min(one.high, highest))
