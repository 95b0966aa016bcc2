"""Seeds added one by one: levels of every look, p over all looks, and when to stop."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from mmtk.errors import MmtkError
from mmtk.stats.comparisons import adjusted_p
from mmtk.stats.make_levels import FILE, FIRST, table
from mmtk.stats.two_way import Interval
from mmtk.stats.verdicts import ALPHA, Verdict, checked_margin, verdict

State = Literal["settled", "more seeds", "more patients", "no more seeds"]
Step = tuple[Interval, tuple[float, float]]  # an interval, and the levels of its look
EXPONENT = 1.13  # of repeated p: holds the error for up to 10 comparisons (simulated)
WORTH = 10  # seeds at most, below which no early look pays
WITHOUT_INTERVAL = {"too few patients", "undefined"}  # whatever the number of seeds
ENOUGH_SEEDS = 5  # from which a stop for want of patients is considered


@dataclass(frozen=True)
class Looks:
    """The levels of a study that adds seeds, fixed before its first run.

    maximum: J_max, the most seeds that it may have
    levels: by seeds, of the test of a difference and of equivalence; with few seeds at most one look, at the end
    """

    maximum: int
    levels: Mapping[int, tuple[float, float]]

    def at(self, seeds: int, is_last: bool = False) -> tuple[float, float] | None:
        """The levels of a look; None where none is planned.

        seeds: that have run; MmtkError for more than the maximum
        is_last: whether no further seed will run, for a reason that is not the scores; for a plan with one look
        """
        if seeds > self.maximum:
            raise MmtkError(
                f"{seeds} seeds are more than the {self.maximum} that were planned before the first run.",
                hint="The levels of the looks hold for the planned number only; plan a new study with new seeds.",
            )
        if is_last and len(self.levels) == 1 and seeds > 1:
            return self.levels[self.maximum]
        return self.levels.get(seeds)


@lru_cache(maxsize=16)
def looks(maximum: int, cache: Path | None = None) -> Looks:
    """The levels for J_max seeds: shipped, or simulated once and stored in the user's cache.

    maximum: from 2; below 10 there is one look, at the end, at 5 %
    cache: its folder; by default that of ``mmtk.io.cache``

    Linear spending: by J seeds α · J / J_max of the error may be spent (Kim and DeMets 1987, ρ = 1, of Lan and
    DeMets 1983). Any subset of the looks keeps the error.
    """
    if maximum < 2:
        raise MmtkError(f"a study of {maximum} seeds tests nothing.", hint="Plan two seeds or more.")
    if maximum < WORTH:
        return Looks(maximum, {maximum: (ALPHA, 2 * ALPHA)})
    shipped_tables = json.loads(FILE.read_text(encoding="utf-8"))
    parts = shipped_tables.get(str(maximum)) or _stored(maximum, cache)
    pairs = zip(parts["difference"], parts["equivalence"], strict=True)
    return Looks(maximum, dict(enumerate(pairs, FIRST)))


def _stored(maximum: int, cache: Path | None) -> dict[str, list[float]]:
    from mmtk.io.cache import cached_folder

    def build(folder: Path) -> None:
        (folder / "levels.json").write_text(json.dumps(table(maximum)))

    folder = cached_folder(f"levels-{maximum}", build, 4096, cache)
    levels: dict[str, list[float]] = json.loads((folder / "levels.json").read_text())
    return levels


def repeated_p(tests: Sequence[tuple[float, float]], is_single: bool = False) -> float:
    """p of a comparison over its looks: min over them of 0.05 (p / α)^(1/1.13), at most 1.

    tests: p and level of every look
    is_single: whether the plan has this look alone, so that p is itself

    At most 0.05 where p is at most α at some look; Holm over these holds the error of several comparisons that are
    looked at several times (Jennison and Turnbull 1984; Maurer and Bretz 2013), which Holm at each look does not.
    """
    if is_single:
        return min((p for p, _ in tests), default=1.0)
    return min((min(1.0, ALPHA * (p / level) ** (1 / EXPONENT)) for p, level in tests), default=1.0)


def shared_level(level: float, comparisons: int) -> float:
    """The level of a look for intervals of several comparisons at once: α (1/m)^1.13."""
    return float(level * (1 / comparisons) ** EXPONENT)


def lacks_patients(interval: Interval, margin: float | None) -> bool:
    """Whether more seeds cannot settle it and more patients can, from 5 seeds on.

    interval: of the difference
    margin: the largest difference that does not matter, or None

    t(P − 1; 0.975) √V_P, which no seed shortens, is above |est| and above margin − |est|. Never raises the error.
    """
    limit, size = interval.patient_half, abs(interval.est)
    if limit is None or interval.seeds < ENOUGH_SEEDS:
        return False
    return limit > size and (margin is None or limit > margin - size)


@dataclass(frozen=True)
class Outcome:
    """State of a comparison after its looks.

    verdict: by the levels of the looks; ``open`` until one of them settles it
    p: over all its looks and, by Holm, over all comparisons
    seeds: number of the look that settled it, or of the last one; 0 before the first look
    state: ``settled``, ``more seeds``, ``more patients`` (that alone can settle it) or ``no more seeds`` (all have
        run)
    interval: at that look, with the level that it holds there; None before the first look
    is_early: whether it was settled before the last planned seed, where its estimate is too large on average
    """

    verdict: Verdict
    p: float
    seeds: int
    state: State
    interval: Interval | None
    is_early: bool


def settle(
    history: Mapping[str, Sequence[Interval]],
    margins: Mapping[str, float | None],
    plan: Looks,
    better: Mapping[str, Literal["higher", "lower"]] | None = None,
    is_last: bool = False,
) -> dict[str, Outcome]:
    """Judge every comparison of a family by its looks.

    history: intervals of a comparison at growing numbers of seeds; those where no look is planned are passed over
    margins: by comparison, the largest difference that does not matter
    plan: the levels
    better: by comparison, the direction in which the score improves; by default higher
    is_last: whether no further seed will run, for a reason that is not the scores

    A difference is found where Holm's p over the p of all looks is at most 5 %, in the direction of the first look
    that suffices for it; equivalence at the first look whose interval lies within the margin. A comparison may
    stop while others go on. What was found stays found.
    """
    steps_of = {
        name: [(one, pair) for one in intervals if (pair := plan.at(one.seeds, is_last))]
        for name, intervals in history.items()
    }
    tests = {
        name: [(one.p, pair[0]) for one, pair in steps if one.p is not None and "one seed" not in one.flags]
        for name, steps in steps_of.items()
    }
    p_values = [repeated_p(pairs, len(plan.levels) == 1) for pairs in tests.values()]
    adjusted = dict(zip(tests, adjusted_p(p_values), strict=True))
    outcomes = {
        name: _outcome(steps, adjusted[name], checked_margin(margins.get(name)), plan, (better or {}).get(name))
        for name, steps in steps_of.items()
    }
    ended_names = {name for name, one in outcomes.items() if is_last and one.state == "more seeds"}
    return outcomes | {name: replace(outcomes[name], state="no more seeds") for name in ended_names}


def _outcome(
    steps: Sequence[Step], p: float, margin: float | None, plan: Looks, better: Literal["higher", "lower"] | None
) -> Outcome:
    if not steps:
        return Outcome(Verdict("open", False, None), p, 0, "more seeds", None, False)
    look = steps[-1]
    if p <= ALPHA:
        look = _first(steps, p)
    else:
        equivalent = (
            step for step in steps if verdict(step[0], margin, adjusted=1.0, alphas=step[1]).within_margin
        )
        look = next(equivalent, look)
    interval, levels = look
    result = verdict(interval, margin, better or "higher", p, levels)
    half = interval.half(1 - levels[0])
    if half is not None:
        interval = replace(interval, low=interval.est - half, high=interval.est + half)
    last = steps[-1][0]
    state: State = "more seeds"
    if result.word != "open":
        state = "settled"
    elif lacks_patients(last, margin) or last.flags & WITHOUT_INTERVAL:
        state = "more patients"
    elif last.seeds >= plan.maximum:
        state = "no more seeds"
    is_early = state == "settled" and interval.seeds < plan.maximum
    return Outcome(result, p, interval.seeds, state, interval, is_early)


def _first(steps: Sequence[Step], adjusted: float) -> Step:
    """The first look whose p alone would have been enough, by the factor that Holm gave to the smallest."""
    p_values = [repeated_p([] if one.p is None else [(one.p, levels[0])]) for one, levels in steps]
    enough = (step for step, p in zip(steps, p_values, strict=True) if p * adjusted <= ALPHA * min(p_values))
    return next(enough)
