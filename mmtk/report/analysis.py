"""What a study's numbers say: scores over seeds and images, tests against the reference, effects of components."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mmtk import activity, stats
from mmtk.ablation import NO_LEVEL
from mmtk.errors import MmtkError
from mmtk.report.intervals import ENOUGH, sensible
from mmtk.results import DOMAINS, Cell, Study
from mmtk.stats import Effect, Summary, Test

Labels = Mapping[str, int | str]
Subset = frozenset[str]

TASKS = ("classification", "segmentation")
# Accuracy and Dice lead in the paper; of accuracy, the balanced one has a chance level that no set can shift.
HEADLINE = {
    "classification": ("accuracy", "balanced-accuracy", "macro-f1", "auroc"),
    "segmentation": ("dice", "average-hausdorff"),
}
LEAD = {"classification": "balanced-accuracy", "segmentation": "dice"}
KINDS = ("student", "paired", "cases")
ALPHA = 0.05

# What results.json holds beside scores.
_NO_SCORE = ("n", "threshold", "majority-accuracy", "empty-predictions")


@dataclass(frozen=True)
class Score:
    """One metric of one cell: over its seeds, and for values per image also over seeds and images.

    ``chance`` is what needs no look at the image: the majority class for accuracy, 1/classes for balanced
    accuracy, 0.5 for AUROC. ``images`` is the size of the test set.
    """

    cell: Cell
    domain: str
    task: str
    metric: str
    seeds: Summary
    cases: Summary | None
    chance: float | None
    images: int


@dataclass(frozen=True)
class Comparison:
    """The reference against another cell; ``tests`` by kind: student, paired (over seeds) and cases.

    Every difference is the reference's value minus the other's.
    """

    reference: Cell
    other: Cell
    labels: Labels
    domain: str
    task: str
    metric: str
    tests: Mapping[str, Test]


@dataclass(frozen=True)
class Effects:
    """What the components of a factorial do to one metric at one budget.

    ``adjusted`` holds Holm's p for every effect. ``shares`` are Shapley values of the way from ``start`` (all
    components off) to ``full``; there are none where an axis has more than two levels. ``missing`` says in a
    sentence why there is no number.
    """

    labels: Labels
    domain: str
    task: str
    metric: str
    effects: Sequence[Effect] = ()
    adjusted: Sequence[float | None] = ()
    shares: Sequence[Effect] = ()
    start: float | None = None
    full: float | None = None
    missing: str = ""


@dataclass(frozen=True)
class Analysis:
    """All that the tables of a study rest on; ``notes`` says what cannot be said, and why."""

    study: Study
    scores: list[Score]
    comparisons: list[Comparison]
    effects: list[Effects]
    notes: list[str] = field(default_factory=list)

    def score(self, cell: Cell, domain: str, task: str, metric: str) -> Score | None:
        """One score, if the cell has it."""
        wanted = (domain, task, metric)
        found = (s for s in self.scores if s.cell is cell and (s.domain, s.task, s.metric) == wanted)
        return next(found, None)


def analyse(study: Study) -> Analysis:
    """Scores, tests and effects; MmtkError where the runs were tested on other images or data."""
    activity.stage("computing the statistics")
    study.comparable()
    study.read()
    effects = factorial_effects(study)
    notes = _without_effects(effects)
    if len(study.seeds) == 2:
        notes.append(f"Two seeds: points and tests, but no interval over seeds, which needs {ENOUGH}.")
    if len(study.seeds) < 2:
        notes.append("One seed: no test and no interval over seeds, so nothing can be concluded.")
    if study.design == "factorial" and any(len(levels) > 2 for levels in study.axes.values()):
        notes.append(
            "An axis has more than two levels: each level is compared with the first one; interactions and "
            "Shapley shares are defined here for components that are on or off only."
        )
    if any(NO_LEVEL in cell.levels.values() for cell in study.cells):
        notes.append(
            "A system for which an axis means nothing stands for all levels of that axis, and does not count in "
            "the effect of that axis."
        )
    if not any(cell.reference for cell in study.cells):
        notes.append("No system is marked as the reference, so no system is tested against another.")
    return Analysis(study, scores(study), comparisons(study), effects, notes)


def at(study: Study, labels: Labels) -> list[Cell]:
    """The cells at a budget; what a cell does not train does not count."""
    return [c for c in study.cells if all(labels.get(task) == label for task, label in c.labels.items())]


def budget(labels: Labels) -> str:
    """A budget as the paper writes it, classification first: 100-10; a dash for a task that is not trained."""
    return "-".join(str(labels.get(task, "–")) for task in TASKS)


# --- scores ---------------------------------------------------------------------------------------------------


def case_values(cell: Cell, seeds: Sequence[int], domain: str, task: str, metric: str) -> np.ndarray | None:
    """Values per image [seeds, images], images ordered by id; None for a metric that has none.

    Accuracy per image is 1 where the predicted class is the right one, else 0.
    """
    cases = cell.cases.get((domain, task), {})
    if not ({"target", "predicted"} if metric == "accuracy" else {metric}) <= cases.keys():
        return None
    place = {seed: row for row, seed in enumerate(sorted(cell.runs))}
    rows = [place[seed] for seed in seeds]
    if metric == "accuracy":
        known, predicted = cases["target"][rows], cases["predicted"][rows]
        values = np.where(np.isnan(known + predicted), np.nan, known == predicted)
    else:
        values = cases[metric][rows]
    return None if np.isnan(values).all(1).any() else values


def scores(study: Study) -> list[Score]:
    """Every score of every cell, in the order of the cells."""
    return [score for cell in study.cells if cell.runs for score in _scores_of(cell)]


def _scores_of(cell: Cell) -> Iterator[Score]:
    first = next(iter(cell.runs.values()))
    for domain, task in itertools.product(DOMAINS, TASKS):
        known = first.scores.get(domain, {}).get(task, {})
        for metric in known:
            if metric in _NO_SCORE or metric.startswith("count-") or metric.endswith("-at-threshold"):
                continue
            values = cell.values(domain, task, metric)
            cases = case_values(cell, sorted(cell.runs), domain, task, metric)
            yield Score(
                cell, domain, task, metric,
                sensible(stats.summary(list(values.values())), metric),
                None if cases is None else stats.bootstrap(cases),
                _chance(first.provenance, known, task, metric),
                int(known["n"]),
            )  # fmt: skip


def _chance(provenance: Mapping[str, Any], known: Mapping[str, float], task: str, metric: str) -> float | None:
    if metric == "balanced-accuracy":
        return 1 / len(provenance["targets"][task]["names"])
    return {"accuracy": known.get("majority-accuracy"), "auroc": 0.5}.get(metric)


# --- the reference against the others ---------------------------------------------------------------------------


def comparisons(study: Study) -> list[Comparison]:
    """The reference against every other cell of its budget that has the task, on every headline metric.

    Holm's family: all comparisons of the study by the same kind of test on the same metric, that is over all
    systems, budgets and both domains.
    """
    found = []
    for labels in study.budgets:
        present = at(study, labels)
        for first in (cell for cell in present if cell.reference):
            for other, domain, task in itertools.product(present, DOMAINS, TASKS):
                for metric in HEADLINE[task] if other is not first else ():
                    if tests := _tests(first, other, domain, task, metric):
                        found.append(Comparison(first, other, labels, domain, task, metric, tests))
    families = itertools.product(KINDS, dict.fromkeys(one.metric for one in found))
    adjusted: dict[tuple[int, str], Test] = {}
    for kind, metric in families:
        own = [i for i, one in enumerate(found) if one.metric == metric and kind in one.tests]
        after = stats.holm([found[i].tests[kind] for i in own])
        adjusted |= {(i, kind): test for i, test in zip(own, after, strict=True)}
    return [
        replace(one, tests={kind: adjusted[i, kind] for kind in KINDS if kind in one.tests})
        for i, one in enumerate(found)
    ]


def _tests(first: Cell, other: Cell, domain: str, task: str, metric: str) -> dict[str, Test]:
    ours, theirs = first.values(domain, task, metric), other.values(domain, task, metric)
    if not ours or not theirs:
        return {}
    few = min(len(ours), len(theirs)) < ENOUGH
    tests = {"student": sensible(stats.student(list(ours.values()), list(theirs.values())), metric, few)}
    # Cells are paired by seed: the same splits, labels, batches and initial weights.
    if shared := sorted(ours.keys() & theirs.keys()):
        pairs = stats.paired([ours[seed] for seed in shared], [theirs[seed] for seed in shared])
        tests["paired"] = sensible(pairs, metric)
        a, b = (case_values(cell, shared, domain, task, metric) for cell in (first, other))
        if a is not None and b is not None:
            tests["cases"] = stats.paired_cases(a, b)
    return tests


# --- effects of components --------------------------------------------------------------------------------------


def factor(key: str, off: str, on: str) -> str:
    """How an effect calls a component: ``bridge: saliency``, or both levels where the first is not none."""
    return f"{key}: {on}" if off == "none" else f"{key}: {off} → {on}"


def factorial_effects(study: Study) -> list[Effects]:
    """Effects and shares of a factorial's components on every headline metric; nothing for other designs.

    Holm's family: all effects of the study on the same metric, over all budgets and both domains.
    """
    if study.design != "factorial" or not study.axes:
        return []
    two = all(len(levels) == 2 for levels in study.axes.values())
    two = two and not any(NO_LEVEL in cell.levels.values() for cell in study.cells)
    found = []
    for labels, domain, task in itertools.product(study.budgets, DOMAINS, TASKS):
        for metric in HEADLINE[task]:
            cells = _design(study, labels)
            values = {levels: cell.values(domain, task, metric) for levels, cell in cells.items()}
            values = {levels: by_seed for levels, by_seed in values.items() if by_seed}
            if values:
                one = Effects(labels, domain, task, metric)
                found.append(_on_off(one, study.axes, values) if two else _levels(one, study.axes, values))
    return _adjusted(
        [
            replace(
                one,
                effects=[sensible(effect, one.metric) for effect in one.effects],
                shares=[sensible(share, one.metric) for share in one.shares],
            )
            for one in found
        ]
    )


def _design(study: Study, labels: Labels) -> dict[tuple[str, ...], Cell]:
    """The cells of the factorial by their levels; a reference that stands beside it is none."""
    return {
        tuple(cell.levels.get(key, "") for key in study.axes): cell
        for cell in at(study, labels)
        if not cell.beside
    }


Values = Mapping[tuple[str, ...], Mapping[int, float]]


def _on_off(one: Effects, axes: Mapping[str, Sequence[str]], values: Values) -> Effects:
    names = [factor(key, *levels) for key, levels in axes.items()]
    chosen = {
        levels: frozenset(name for name, level, known in zip(names, levels, axes.values(), strict=True)
                          if level == known[1])
        for levels in values
        if all(level in known for level, known in zip(levels, axes.values(), strict=True))
    }  # fmt: skip
    cells = {subset: values[levels] for levels, subset in chosen.items()}
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
    for place, (key, levels) in enumerate(axes.items()):
        rest = [names for k, names in enumerate(axes.values()) if k != place]
        for level in levels[1:]:
            name = factor(key, levels[0], level)
            pairs = [
                [_standing((*o[:place], own, *o[place:]), values) for own in (levels[0], level)]
                for o in itertools.product(*rest)
            ]
            pairs = [pair for pair in pairs if all(one[place] != NO_LEVEL for one in pair)]
            try:
                first, second = (_average([pair[k] for pair in pairs], values) for k in (0, 1))
                effects += stats.factorial({Subset(): first, Subset({name}): second}, [name])
            except MmtkError as error:
                missing = missing or error.message
    return replace(one, effects=effects, missing=missing)


def _standing(levels: tuple[str, ...], values: Values) -> tuple[str, ...]:
    """The levels of the cell that stands for a combination: its own, or those with NO_LEVEL for some of them."""
    fits = (known for known in values if all(b in (a, NO_LEVEL) for a, b in zip(levels, known, strict=True)))
    return next(fits, levels)


def _average(wanted: Sequence[tuple[str, ...]], values: Values) -> dict[int, float]:
    """The mean over cells by seed; MmtkError naming the cells that are not there."""
    if absent := [", ".join(levels) for levels in wanted if levels not in values]:
        raise MmtkError(f"no run of {'; '.join(absent)}.")
    seeds = set.intersection(*(set(values[levels]) for levels in wanted))
    if not seeds:
        raise MmtkError(f"no seed that all have of {'; '.join(', '.join(levels) for levels in wanted)}.")
    shared = sorted(seeds)
    means = np.array([[values[levels][seed] for seed in shared] for levels in wanted]).mean(0)
    return dict(zip(shared, means.tolist(), strict=True))


def _without_effects(found: Sequence[Effects]) -> list[str]:
    """A sentence for every reason why effects could not be computed, with the scores that it concerns."""
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for one in (one for one in found if one.missing):
        reasons.setdefault((one.domain, budget(one.labels), one.missing), []).append(one.metric)
    return [
        f"No effects on {', '.join(metrics)} ({domain}, {labels} labels): {why}"
        for (domain, labels, why), metrics in reasons.items()
    ]


def _adjusted(found: Sequence[Effects]) -> list[Effects]:
    adjusted: dict[tuple[int, int], float | None] = {}
    for metric in dict.fromkeys(one.metric for one in found):
        own = [(i, k) for i, one in enumerate(found) if one.metric == metric for k in range(len(one.effects))]
        effects = [found[i].effects[k] for i, k in own]
        tests = [Test("t over seeds", e.p, None, e.n, "seeds", e.value, e.low, e.high, None, "") for e in effects]
        adjusted |= {place: test.adjusted for place, test in zip(own, stats.holm(tests), strict=True)}
    return [
        replace(one, adjusted=[adjusted[i, k] for k in range(len(one.effects))]) for i, one in enumerate(found)
    ]
