"""Worth of a component in labels: how many labels the systems without it need for the same score."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mmtk.errors import MmtkError
from mmtk.stats.two_way import Interval

STEPS = 24  # between two budgets, at which the interval is computed

Gap = Callable[[Sequence[float]], Interval | None]


@dataclass(frozen=True)
class Worth:
    """Number of labels at which the base has the score, with its 95 % interval.

    labels: estimate; below the smallest budget 0, above the largest infinity; None where it cannot be said
    low, high: interval; 0 and infinity where it leaves the range of the budgets
    smallest, largest: budgets that the base was trained with
    note: why it cannot be said, or what has to be said beside it; "" where there is nothing to say
    """

    labels: float | None
    low: float
    high: float
    smallest: float
    largest: float
    note: str = ""

    @property
    def text(self) -> str:
        """The answer in words, no surer than the interval."""
        if self.labels is None or (self.low <= 0 and math.isinf(self.high)):
            return "cannot be said"
        if math.isinf(self.low):
            return self._count(math.inf)
        if self.high <= 0:
            return self._count(0)
        return f"{self._count(self.labels)} ({self._ends()})"

    def _ends(self) -> str:
        if math.isinf(self.high):
            return f"from {self._count(self.low)}"
        upper = self._count(self.high)
        return f"up to {upper}" if self.low <= 0 else f"{self._count(self.low)} to {upper}"

    def _count(self, labels: float) -> str:
        if math.isinf(labels):
            return f"more than {self.largest:,.0f}"
        return f"fewer than {self.smallest:,.0f}" if labels <= 0 else f"{_rounded(labels):,.0f}"


def worth(budgets: Sequence[float], base: Sequence[float], score: float, gap: Gap) -> Worth:
    """The labels that a score is worth on the learning curve of a base.

    budgets: labels of the base, two or more, growing
    base: its scores at these, higher is better
    score: that is to be reached
    gap: the interval of score − Σ weight · base, by the weights of the budgets; None without one

    The curve is a straight line between budgets on a logarithmic scale of labels. The estimate is read from the
    monotone curve that is nearest to the scores (isotonic regression; Barlow et al. 1972). The interval holds the
    labels N at which score − curve(N), a contrast of the systems, has a 95 % interval with 0 in it (Fieller 1954):
    it needs no curve to be steep, and is open where the budgets do not reach far enough. From the left the first
    such N counts, from the right the last: at the true N each is missed with 2.5 % at most.
    """
    if len(budgets) < 2 or any(one >= other for one, other in pairwise(budgets)):
        raise MmtkError(
            f"a worth in labels needs two growing budgets; they are {list(budgets)}.",
            hint="Train the study at several: --labels classification=50,100,400.",
        )
    smallest, largest = budgets[0], budgets[-1]
    curve = monotone(base)
    whole = [(labels, gap(weights)) for labels, weights in _places(budgets)]
    intervals = [(labels, one) for labels, one in whole if one is not None and one.low is not None]
    if len(intervals) < len(whole) or any("one seed" in one.flags for _, one in intervals):
        reasons = [one.note for _, one in whole if one is not None and one.note]
        return Worth(None, 0, math.inf, smallest, largest, next(iter(reasons), "no interval"))
    flat = curve[0] >= curve[-1]
    if flat:
        return Worth(None, 0, math.inf, smallest, largest, "more labels do not help the base")
    lows = [(labels, one.low or 0.0) for labels, one in intervals]
    highs = [(labels, one.high or 0.0) for labels, one in intervals]
    low = _first(lows, math.inf) if lows[0][1] > 0 else 0.0
    high = _first([(labels, -end) for labels, end in reversed(highs)], 0.0) if highs[-1][1] < 0 else math.inf
    note = "" if [*curve] == [*base] else "the scores of the base do not grow with every budget"
    return Worth(_inverse(budgets, curve, score), low, high, smallest, largest, note)


def monotone(scores: Sequence[float]) -> list[float]:
    """The nearest scores that never fall, by pooling neighbours that do (Barlow et al. 1972, section 1.2)."""
    blocks: list[tuple[float, int]] = []
    for score in scores:
        blocks.append((float(score), 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (first, few), (second, more) = blocks[-2:]
            blocks[-2:] = [((first * few + second * more) / (few + more), few + more)]
    return [mean for mean, count in blocks for _ in range(count)]


def _places(budgets: Sequence[float]) -> Iterator[tuple[float, list[float]]]:
    """Numbers of labels over the whole range, with the weights that interpolate between budgets."""
    logs = np.log(budgets)
    for index in range(len(budgets) - 1):
        for share in np.arange(STEPS) / STEPS:
            weights = [0.0] * len(budgets)
            weights[index : index + 2] = [1 - share, share]
            yield float(np.exp(logs[index] + share * (logs[index + 1] - logs[index]))), weights
    yield float(budgets[-1]), [*[0.0] * (len(budgets) - 1), 1.0]


def _first(ends: Sequence[tuple[float, float]], never: float) -> float:
    """Labels at which a positive end reaches 0, on a line between two places; ``never`` where it does not."""
    for (before, upper), (after, lower) in pairwise(ends):
        if lower <= 0:
            share = upper / (upper - lower)
            return float(math.exp(math.log(before) + share * (math.log(after) - math.log(before))))
    return never


def _inverse(budgets: Sequence[float], curve: Sequence[float], score: float) -> float:
    """Labels at which the curve has the score; the middle of a stretch that is level."""
    if score < curve[0]:
        return 0.0
    if score > curve[-1]:
        return math.inf
    logs, ends = np.log(budgets), []
    for index in range(len(curve) - 1):
        low, high = curve[index], curve[index + 1]
        if low <= score <= high:
            shares = [0.0, 1.0] if low == high else [(score - low) / (high - low)]
            ends += [logs[index] + share * (logs[index + 1] - logs[index]) for share in shares]
    return float(np.exp((min(ends) + max(ends)) / 2))


def _rounded(labels: float) -> float:
    """Two significant digits, as the interval is never sharper."""
    return labels if labels < 10 else round(labels, 1 - math.floor(math.log10(labels)))
