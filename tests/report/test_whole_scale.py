"""Intervals that hold every value of a score are none."""

from __future__ import annotations

import pytest

from mmtk.report.intervals import AUROC, WHOLE_SCALE, bounded, sensible
from mmtk.report.tables.strata import interval_entry
from mmtk.scores import ScoreInfo
from mmtk.stats import Interval, Summary

OPEN = ScoreInfo("loss")
CASES = [
    # low, high, score, a difference of two → low, high
    (-0.4, 1.2, AUROC, False, (None, None)),
    (0.0, 1.0, AUROC, False, (None, None)),
    (-0.4, 0.9, AUROC, False, (0.0, 0.9)),
    (0.1, 1.4, AUROC, False, (0.1, 1.0)),
    (-0.4, 1.2, AUROC, True, (-0.4, 1.0)),
    (-1.4, 1.2, AUROC, True, (None, None)),
    (-9.0, 9.0, OPEN, False, (-9.0, 9.0)),
]


@pytest.mark.parametrize(("low", "high", "info", "difference", "ends"), CASES)
def test_an_interval_of_the_whole_scale_is_a_dash(
    low: float, high: float, info: ScoreInfo, difference: bool, ends: tuple[float | None, float | None]
) -> None:
    one = Interval(0.5, low, high, 0.4, 3.0, 0.1, 0.1, 2, 40, note="few patients")
    cut = bounded(one, info, difference=difference)
    assert (cut.low, cut.high, cut.p) == (*ends, 0.4)
    assert cut.note == ("few patients" if ends[0] is not None else f"{WHOLE_SCALE}; few patients")
    assert (interval_entry(cut).note == "–") == (ends[0] is None)
    if not difference:
        over_seeds = sensible(Summary(0.5, 0.2, low, high, 5, "Student's t"), info)
        assert (over_seeds.low, over_seeds.high) == ends
