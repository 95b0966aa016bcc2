"""Decimal places of scores in print: the same in tables, pictures and cards."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import median_high

MORE = 2  # places beyond those of a score, at most: a spread below them is none that anybody asks for


def places(spreads: Iterable[float | None], least: int) -> int:
    """Decimal places at which the median spread of a column has two significant digits.

    One spread that is small by luck gives no column five places.

    spreads: standard deviations, or widths of intervals, of what stands in the column; those that are None, not
        finite or too small to be printed do not count
    least: places of the score itself; the result is at most ``MORE`` more
    """
    printed = [one for one in spreads if one is not None and 0.5 * 10 ** -(least + MORE) <= one < math.inf]
    needed = 1 - math.floor(math.log10(median_high(printed))) if printed else least
    return min(max(least, needed), least + MORE)
