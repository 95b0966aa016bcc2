"""Effects of the components of a factorial on each metric."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mmtk import stats
from mmtk.errors import MmtkError, listing
from mmtk.report.headlines import Labels, at
from mmtk.report.intervals import bounded, independent, sensible, two_way_test
from mmtk.scores import ScoreInfo, shown
from mmtk.stats import Effect, Interval, Test
from mmtk.stats.designs import Weights as Table
from mmtk.stats.designs import factorial_weights, shapley_weights
from mmtk.study.axes import NO_LEVEL
from mmtk.study.jackknives import Weights
from mmtk.study.results import Cell, Study
from mmtk.tasks import labels_text

Subset = frozenset[str]
Values = Mapping[tuple[str, ...], Mapping[int, float]]


@dataclass(frozen=True)
class Effects:
    """Estimate what the components of a factorial do to one metric at one budget.

    ``effects`` have the interval and p that a report leads with: two-way, or Student's t over seeds where the
    score has no values per image. ``trainings`` are the same effects with Student's t over seeds, ``intervals``
    the two-way ones; ``weights`` says of each which sum of cells it is. ``adjusted`` holds Holm's p for every
    effect. ``shares`` are Shapley values of the way from ``start`` (all components off) to ``full``, and
    ``share_trainings`` the same with Student's t; there are none where an axis has more than two levels.
    ``missing`` says in a sentence why there is no number.
    """

    labels: Labels
    domain: str
    task: str
    metric: str
    info: ScoreInfo
    effects: Sequence[Effect] = ()
    adjusted: Sequence[float | None] = ()
    trainings: Sequence[Effect] = ()
    intervals: Sequence[Interval | None] = ()
    weights: Sequence[Weights] = ()
    shares: Sequence[Effect] = ()
    share_trainings: Sequence[Effect] = ()
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
    for labels, domain, task in itertools.product(study.budgets, study.domains, study.tasks):
        declared = study.declared.get(task, {})
        for metric in shown(declared, "tests"):
            every_cell = _cells(study, labels)
            cells = {levels: cell for levels, cell in every_cell.items() if cell.values(domain, task, metric)}
            if cells:
                contrast = partial(study.jackknives.contrast, domain=domain, task=task, metric=metric)
                score = _Design(
                    study.axes, cells, Effects(labels, domain, task, metric, declared[metric]), contrast
                )
                results.append(score.on_off() if two else score.levels())
    return _adjusted(results)


def _cells(study: Study, labels: Labels) -> dict[tuple[str, ...], Cell]:
    """The cells of the factorial by their levels; a reference that stands beside it is none."""
    return {
        tuple(cell.levels.get(key, "") for key in study.axes): cell
        for cell in at(study, labels)
        if not cell.beside
    }


@dataclass(frozen=True)
class _Design:
    """One score of a factorial.

    axes: levels by key
    cells: with the score, by their levels
    effects: without numbers
    contrast: the two-way interval of a weighted sum of cells
    """

    axes: Mapping[str, Sequence[str]]
    cells: Mapping[tuple[str, ...], Cell]
    effects: Effects
    contrast: Callable[[Weights], Interval | None]

    @property
    def values(self) -> Values:
        """The score by seed of every cell."""
        one = self.effects
        return {levels: cell.values(one.domain, one.task, one.metric) for levels, cell in self.cells.items()}

    def on_off(self) -> Effects:
        """Effects, interactions and shares of components that are on or off."""
        names, axes = [factor(key, *levels) for key, levels in self.axes.items()], self.axes.values()
        levels_of = {
            frozenset(n for n, level, both in zip(names, levels, axes, strict=True) if level == both[1]): levels
            for levels in self.cells
            if all(level in both for level, both in zip(levels, axes, strict=True))
        }
        cells = {subset: self.values[levels] for subset, levels in levels_of.items()}
        try:
            effects, shares = stats.factorial(cells, names), stats.shapley(cells, names)
        except MmtkError as error:
            return replace(self.effects, missing=error.message)
        shared = sorted(set.intersection(*(set(by_seed) for by_seed in cells.values())))
        start, full = (float(np.mean([cells[s][seed] for seed in shared])) for s in (Subset(), Subset(names)))

        def weights(table: Table) -> list[Weights]:
            on = [self.cells[levels_of[subset]] for subset in table.cells]
            return [list(zip(row.tolist(), on, strict=True)) for row in table.table]

        led = self._led(effects, weights(factorial_weights(names)))
        both = self._led(shares, weights(shapley_weights(names)))
        return replace(led, shares=both.effects, share_trainings=both.trainings, start=start, full=full)

    def levels(self) -> Effects:
        """Each level against the first of its axis: per seed the difference, averaged over the other axes."""
        effects: list[Effect] = []
        weights: list[Weights] = []
        missing, values = "", self.values
        for index, (key, levels) in enumerate(self.axes.items()):
            for level in levels[1:]:
                name, pairs = factor(key, levels[0], level), self._pairs(index, (levels[0], level))
                try:
                    first, second = (_average([pair[k] for pair in pairs], values) for k in (0, 1))
                    effects += stats.factorial({Subset(): first, Subset({name}): second}, [name])
                except MmtkError as error:
                    missing = missing or error.message
                    continue
                share = 1 / len(pairs)
                cells = [(sign * share, self.cells[pair[k]]) for pair in pairs for k, sign in ((0, -1), (1, 1))]
                weights.append(cells)
        return replace(self._led(effects, weights), missing=missing)

    def _pairs(self, index: int, both: tuple[str, str]) -> list[list[tuple[str, ...]]]:
        """The cells at two levels of an axis, in pairs that agree in all other axes."""
        rest = [names for k, names in enumerate(self.axes.values()) if k != index]
        pairs = [
            [_representative((*o[:index], level, *o[index:]), self.values) for level in both]
            for o in itertools.product(*rest)
        ]
        return [pair for pair in pairs if all(one[index] != NO_LEVEL for one in pair)]

    def _led(self, trainings: Sequence[Effect], weights: Sequence[Weights]) -> Effects:
        """Effects with the interval that leads."""
        info = self.effects.info
        trainings = [sensible(effect, info) for effect in trainings]
        contrasts = [self.contrast(cells) for cells in weights]
        intervals = [one if one is None else bounded(one, info) for one in contrasts]
        trainings = [independent(effect, one) for effect, one in zip(trainings, intervals, strict=True)]
        effects = [_led(effect, one) for effect, one in zip(trainings, intervals, strict=True)]
        return replace(self.effects, effects=effects, trainings=trainings, intervals=intervals, weights=weights)


def _led(effect: Effect, interval: Interval | None) -> Effect:
    """An effect with its two-way interval and p, where it has one."""
    if interval is None:
        return effect
    test = two_way_test(interval)
    return Effect(effect.factors, test.difference, test.low, test.high, test.p, test.n)


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
        reasons.setdefault((one.domain, labels_text(one.labels), one.missing), []).append(one.metric)
    return [
        f"No effects on {', '.join(metrics)} ({domain}, {labels}): {why}"
        for (domain, labels, why), metrics in reasons.items()
    ]


def on_fewer_seeds(effects_list: Sequence[Effects], seeds: int) -> list[str]:
    """A sentence for the effects that rest on fewer than ``seeds``, since a system in them lacks a run."""
    names: dict[str, dict[int, dict[str, None]]] = {}
    for one in effects_list:
        for effect in one.effects:
            names.setdefault(labels_text(one.labels), {}).setdefault(effect.n, {})[" × ".join(effect.factors)] = (
                None
            )
    return [
        f"{'All effects' if len(by_seeds) == 1 else f'Effects of {listing(effects)}'} ({labels}) are over "
        f"{n} of {seeds} seeds, those of which all systems in them have a run."
        for labels, by_seeds in names.items()
        for n, effects in by_seeds.items()
        if n < seeds
    ]


def _adjusted(effects_list: Sequence[Effects]) -> list[Effects]:
    adjusted: dict[tuple[int, int], float | None] = {}
    for metric in dict.fromkeys(one.metric for one in effects_list):
        keys = [
            (i, k) for i, one in enumerate(effects_list) if one.metric == metric for k in range(len(one.effects))
        ]
        effects = [effects_list[i].effects[k] for i, k in keys]
        tests = [Test("", e.p, None, e.n, "seeds", e.value, e.low, e.high, None, "") for e in effects]
        adjusted |= {key: test.adjusted for key, test in zip(keys, stats.holm(tests), strict=True)}
    return [
        replace(one, adjusted=[adjusted[i, k] for k in range(len(one.effects))])
        for i, one in enumerate(effects_list)
    ]
