"""Effects of the components of a factorial on each metric."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mmtk import stats
from mmtk.errors import MmtkError, listing
from mmtk.report.headlines import Labels, at, budget
from mmtk.report.intervals import sensible
from mmtk.scores import ScoreInfo, shown
from mmtk.stats import Effect, Test
from mmtk.study.axes import NO_LEVEL
from mmtk.study.results import Cell, Study
from mmtk.tasks import DOMAINS, TASKS

Subset = frozenset[str]
Values = Mapping[tuple[str, ...], Mapping[int, float]]


@dataclass(frozen=True)
class Effects:
    """Estimate what the components of a factorial do to one metric at one budget.

    ``adjusted`` holds Holm's p for every effect. ``shares`` are Shapley values of the way from ``start`` (all
    components off) to ``full``; there are none where an axis has more than two levels. ``missing`` says in a
    sentence why there is no number.
    """

    labels: Labels
    domain: str
    task: str
    metric: str
    info: ScoreInfo
    effects: Sequence[Effect] = ()
    adjusted: Sequence[float | None] = ()
    shares: Sequence[Effect] = ()
    start: float | None = None
    full: float | None = None
    missing: str = ""


def factor(key: str, off: str, on: str) -> str:
    """Name of a component as an effect: ``bridge: saliency``, or both levels where the first is not none."""
    return f"{key}: {on}" if off == "none" else f"{key}: {off} → {on}"


def factorial_effects(study: Study) -> list[Effects]:
    """Effects and shares of a factorial's components on every headline metric; nothing for other designs.

    Holm's family: all effects of the study on the same metric, over all budgets and both domains.
    """
    if study.design != "factorial" or not study.axes:
        return []
    two = all(len(levels) == 2 for levels in study.axes.values())
    two = two and not any(NO_LEVEL in cell.levels.values() for cell in study.cells)
    results = []
    for labels, domain, task in itertools.product(study.budgets, DOMAINS, TASKS):
        declared = study.declared.get(task, {})
        for metric in shown(declared, "tests"):
            cells = _design(study, labels)
            values = {levels: cell.values(domain, task, metric) for levels, cell in cells.items()}
            values = {levels: by_seed for levels, by_seed in values.items() if by_seed}
            if values:
                one = Effects(labels, domain, task, metric, declared[metric])
                results.append(_on_off(one, study.axes, values) if two else _levels(one, study.axes, values))
    return _adjusted(
        [
            replace(
                one,
                effects=[sensible(effect, one.info) for effect in one.effects],
                shares=[sensible(share, one.info) for share in one.shares],
            )
            for one in results
        ]
    )


def _design(study: Study, labels: Labels) -> dict[tuple[str, ...], Cell]:
    """The cells of the factorial by their levels; a reference that stands beside it is none."""
    return {
        tuple(cell.levels.get(key, "") for key in study.axes): cell
        for cell in at(study, labels)
        if not cell.beside
    }


def _on_off(one: Effects, axes: Mapping[str, Sequence[str]], values: Values) -> Effects:
    names = [factor(key, *levels) for key, levels in axes.items()]
    on_levels = {
        levels: frozenset(
            name
            for name, level, axis_levels in zip(names, levels, axes.values(), strict=True)
            if level == axis_levels[1]
        )
        for levels in values
        if all(level in axis_levels for level, axis_levels in zip(levels, axes.values(), strict=True))
    }
    cells = {subset: values[levels] for levels, subset in on_levels.items()}
    try:
        effects, shares = stats.factorial(cells, names), stats.shapley(cells, names)
    except MmtkError as error:
        return replace(one, missing=error.message)
    shared = sorted(set.intersection(*(set(by_seed) for by_seed in cells.values())))
    start, full = (float(np.mean([cells[s][seed] for seed in shared])) for s in (Subset(), Subset(names)))
    return replace(one, effects=effects, shares=shares, start=start, full=full)


def _levels(one: Effects, axes: Mapping[str, Sequence[str]], values: Values) -> Effects:
    """Each level against the first of its axis: per seed the difference, averaged over the other axes."""
    effects: list[Effect] = []
    missing = ""
    for index, (key, levels) in enumerate(axes.items()):
        rest = [names for k, names in enumerate(axes.values()) if k != index]
        for level in levels[1:]:
            name = factor(key, levels[0], level)
            pairs = [
                [
                    _representative((*o[:index], level_of_axis, *o[index:]), values)
                    for level_of_axis in (levels[0], level)
                ]
                for o in itertools.product(*rest)
            ]
            pairs = [pair for pair in pairs if all(one[index] != NO_LEVEL for one in pair)]
            try:
                first, second = (_average([pair[k] for pair in pairs], values) for k in (0, 1))
                effects += stats.factorial({Subset(): first, Subset({name}): second}, [name])
            except MmtkError as error:
                missing = missing or error.message
    return replace(one, effects=effects, missing=missing)


def _representative(levels: tuple[str, ...], values: Values) -> tuple[str, ...]:
    """The levels of the cell that stands for a combination: its own, or those with NO_LEVEL for some of them."""
    fits = (
        combination
        for combination in values
        if all(b in (a, NO_LEVEL) for a, b in zip(levels, combination, strict=True))
    )
    return next(fits, levels)


def _average(combinations: Sequence[tuple[str, ...]], values: Values) -> dict[int, float]:
    """The mean over cells by seed; MmtkError naming the cells that are not there."""
    if absent := [", ".join(levels) for levels in combinations if levels not in values]:
        raise MmtkError(f"no run of {'; '.join(absent)}.")
    seeds = set.intersection(*(set(values[levels]) for levels in combinations))
    if not seeds:
        raise MmtkError(f"no seed that all have of {'; '.join(', '.join(levels) for levels in combinations)}.")
    shared = sorted(seeds)
    means = np.array([[values[levels][seed] for seed in shared] for levels in combinations]).mean(0)
    return dict(zip(shared, means.tolist(), strict=True))


def without_effects(effects_list: Sequence[Effects]) -> list[str]:
    """A sentence for every reason why effects could not be computed, with the scores that it concerns."""
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for one in (one for one in effects_list if one.missing):
        reasons.setdefault((one.domain, budget(one.labels), one.missing), []).append(one.metric)
    return [
        f"No effects on {', '.join(metrics)} ({domain}, {labels} labels): {why}"
        for (domain, labels, why), metrics in reasons.items()
    ]


def on_fewer_seeds(effects_list: Sequence[Effects], seeds: int) -> list[str]:
    """A sentence for the effects that rest on fewer than ``seeds``, since a system in them lacks a run."""
    names: dict[tuple[str, int], dict[str, None]] = {}
    for one in effects_list:
        for effect in (effect for effect in one.effects if effect.n < seeds):
            names.setdefault((budget(one.labels), effect.n), {})[" × ".join(effect.factors)] = None
    return [
        f"Effects of {listing(effects)} ({labels} labels) are over {n} of {seeds} seeds, those of which all "
        "systems in them have a run."
        for (labels, n), effects in names.items()
    ]


def _adjusted(effects_list: Sequence[Effects]) -> list[Effects]:
    adjusted: dict[tuple[int, int], float | None] = {}
    for metric in dict.fromkeys(one.metric for one in effects_list):
        keys = [
            (i, k) for i, one in enumerate(effects_list) if one.metric == metric for k in range(len(one.effects))
        ]
        effects = [effects_list[i].effects[k] for i, k in keys]
        tests = [Test("t over seeds", e.p, None, e.n, "seeds", e.value, e.low, e.high, None, "") for e in effects]
        adjusted |= {key: test.adjusted for key, test in zip(keys, stats.holm(tests), strict=True)}
    return [
        replace(one, adjusted=[adjusted[i, k] for k in range(len(one.effects))])
        for i, one in enumerate(effects_list)
    ]
