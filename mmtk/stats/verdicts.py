"""Verdicts on a component in four words, and how many more seeds would close an open one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from mmtk.errors import MmtkError
from mmtk.stats.folds import with_replicates
from mmtk.stats.two_way import Interval, from_variances

Word = Literal["helps", "harms", "no difference that matters", "open"]
ALPHA = 0.05  # chance of a false finding; two one-sided tests of 5 % each use an interval of 90 %
MOST_SEEDS = 1_000_000  # where the search for more seeds ends


@dataclass(frozen=True)
class Verdict:
    """Judgement of a component by a comparison.

    word: one of the four
    within_margin: whether the whole interval of equivalence lies within the margin
    reversal: probability that the order is the other way round; None without an interval and with one seed
    note: what has to be said beside the word; "" where there is nothing to say
    """

    word: Word
    within_margin: bool
    reversal: float | None
    note: str = ""

    @property
    def text(self) -> str:
        """The word as a reader sees it."""
        return f"{self.word}, by less than the margin" if self.decides and self.within_margin else self.word

    def between(self, first: str, second: str) -> str:
        """The word on the difference of two systems, the first minus the second: which of them is better."""
        if not self.decides:
            return self.text
        return self.text.replace(self.word, f"{first if self.word == 'helps' else second} is better", 1)

    @property
    def decides(self) -> bool:
        """Whether the component helps or harms."""
        return self.word in ("helps", "harms")


def checked_margin(margin: float | None) -> float | None:
    """The margin; MmtkError for one that is not a finite number above 0."""
    if margin is not None and not (math.isfinite(margin) and margin > 0):
        raise MmtkError(
            f"a margin is a number above 0, in units of the score; it is {margin}.",
            hint="Give the largest difference that would not matter to you, such as 0.01 of Dice.",
        )
    return margin


def verdict(
    interval: Interval,
    margin: float | None,
    better: Literal["higher", "lower"] = "higher",
    adjusted: float | None = None,
    alphas: tuple[float, float] = (ALPHA, 2 * ALPHA),
) -> Verdict:
    """The verdict on a difference: with the component minus without it.

    interval: of the difference
    margin: the largest difference that does not matter; None: equivalence is not tested
    better: the direction in which the score improves
    adjusted: p after Holm's adjustment over the family; by default the interval alone decides
    alphas: of the test of a difference and of equivalence; those of a look where seeds are added one by one

    It helps or harms where the interval of level 1 − α leaves out 0, and makes no difference that matters where
    the interval of level 1 − α' lies within ±margin: two one-sided tests (Schuirmann 1987), which a large p does
    not replace. Holm's adjustment is for differences and does not touch equivalence. One seed is open; near the
    ceiling there is no equivalence, since the interval may be too narrow there.

    ``reversal`` is half the two-sided p of the two-way t: the chance of a difference at least as far on this side
    if the systems were equal, and, with every difference equally likely beforehand, the chance that the true one
    has the other sign. It is not the chance that the component is useless, nor that the finding is repeated.
    """
    margin = checked_margin(margin)
    half, equivalence_half = interval.half(1 - alphas[0]), interval.half(1 - alphas[1])
    if half is None or equivalence_half is None or interval.p is None or "one seed" in interval.flags:
        return Verdict("open", False, None, interval.note)
    size = abs(interval.est)
    is_finding = size - half > 0 if adjusted is None else adjusted <= ALPHA
    within = margin is not None and size + equivalence_half < margin
    within = within and "near the ceiling" not in interval.flags
    notes = [interval.note] if interval.note else []
    if not is_finding and interval.p < alphas[0]:
        notes.append("shows alone, not after Holm's adjustment over all comparisons")
    word: Word = "no difference that matters" if within else "open"
    if is_finding:
        word = "helps" if (interval.est > 0) == (better == "higher") else "harms"
    return Verdict(word, within, interval.p / 2, "; ".join(notes))


def more_seeds(interval: Interval, margin: float | None) -> int | None:
    """Seeds to add until the verdict would close if the difference stayed as it is; None: more patients needed.

    interval: of an open difference
    margin: the largest difference that does not matter, or None

    V_S shrinks with the seeds, V_P does not. With one seed 2, since three are the first that can show anything.
    Of folds these are the folds of further repeats.
    """
    margin = checked_margin(margin)
    if "one seed" in interval.flags:
        return 2
    if interval.df is None or not _closes(interval, margin, MOST_SEEDS):
        return None
    low, high = interval.seeds, MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _closes(interval, margin, middle) else (middle, high)
    more = high - interval.seeds
    if interval.overlap:
        folds = round(1 / interval.overlap) + 1
        more = -(-more // folds) * folds
    return more


def _closes(interval: Interval, margin: float | None, seeds: int) -> bool:
    if interval.overlap:
        return verdict(with_replicates(interval, seeds), margin).word != "open"
    seed_variance = interval.seed_variance * interval.seeds / seeds
    if not seed_variance + interval.patient_variance:
        return False
    counts = (seeds, interval.patients)
    then = from_variances(interval.est, (seed_variance, interval.patient_variance), counts, flags=interval.flags)
    return verdict(then, margin).word != "open"
