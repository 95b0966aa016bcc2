"""Analysis of a study: scores over seeds and images, and tests against the reference."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mmtk import stats
from mmtk.io import status_line
from mmtk.report.effects import Effects, factorial_effects, on_fewer_seeds, without_effects
from mmtk.report.headlines import Labels, at
from mmtk.report.intervals import ENOUGH, sensible
from mmtk.scores import ScoreInfo, shown
from mmtk.stats import Summary, Test
from mmtk.study.axes import NO_LEVEL
from mmtk.study.results import Cell, Study
from mmtk.tasks import DOMAINS, TASKS

KINDS = ("student", "paired", "cases")


@dataclass(frozen=True)
class Score:
    """One metric of one cell: over its seeds, and for values per image also over seeds and images.

    ``chance`` is what needs no look at the image, as the metric declares it. ``images`` counts the test images.
    """

    cell: Cell
    domain: str
    task: str
    metric: str
    seeds: Summary
    cases: Summary | None
    chance: float | None
    images: int
    info: ScoreInfo


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
    info: ScoreInfo


@dataclass(frozen=True)
class Analysis:
    """All that the tables of a study rest on; ``notes`` says what cannot be said, and why."""

    study: Study
    scores: list[Score]
    comparisons: list[Comparison]
    effects: list[Effects]
    notes: list[str] = field(default_factory=list)

    def score(self, cell: Cell, domain: str, task: str, metric: str) -> Score | None:
        """One score, if the cell has it.

        cell: system at a budget
        domain: ``in-domain`` or ``cross-domain``
        task: of the score
        metric: name of the score
        """
        key = (domain, task, metric)
        matches = (s for s in self.scores if s.cell is cell and (s.domain, s.task, s.metric) == key)
        return next(matches, None)


def analyse(study: Study) -> Analysis:
    """Scores, tests and effects; MmtkError where the runs were tested on other images or data."""
    status_line.stage("computing the statistics")
    study.comparable()
    study.read()
    effects = factorial_effects(study)
    notes = [*without_effects(effects), *on_fewer_seeds(effects, len(study.seeds))]
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


# --- scores ---------------------------------------------------------------------------------------------------


def case_values(cell: Cell, seeds: Sequence[int], domain: str, task: str, metric: str) -> np.ndarray | None:
    """Values per image [seeds, images], images ordered by id; None for a metric that has none.

    cell: system at a budget
    seeds: of the runs, in the order of the rows
    domain: ``in-domain`` or ``cross-domain``
    task: of the score
    metric: name of the score

    Accuracy per image is 1 where the predicted class is the right one, else 0.
    """
    cases = cell.cases.get((domain, task), {})
    from_classes = metric == "accuracy" and metric not in cases
    if not ({"target", "predicted"} if from_classes else {metric}) <= cases.keys():
        return None
    row_of_seed = {seed: row for row, seed in enumerate(sorted(cell.runs))}
    rows = [row_of_seed[seed] for seed in seeds]
    if from_classes:
        labels, predicted = cases["target"][rows], cases["predicted"][rows]
        values = np.where(np.isnan(labels + predicted), np.nan, labels == predicted)
    else:
        values = cases[metric][rows]
    return None if np.isnan(values).all(1).any() else values


def scores(study: Study) -> list[Score]:
    """Every score of every cell, in the order of the cells."""
    return [score for cell in study.cells if cell.runs for score in _scores_of(cell)]


def _scores_of(cell: Cell) -> Iterator[Score]:
    first = next(iter(cell.runs.values()))
    for domain, task in itertools.product(DOMAINS, TASKS):
        first_scores = first.scores.get(domain, {}).get(task, {})
        for metric in first_scores:
            declared = first.score_info(task, metric)
            if "scores" not in declared.shown:
                continue
            values = cell.values(domain, task, metric)
            cases = case_values(cell, sorted(cell.runs), domain, task, metric)
            yield Score(
                cell,
                domain,
                task,
                metric,
                sensible(stats.summary(list(values.values())), declared),
                None if cases is None else stats.bootstrap(cases),
                declared.level(first_scores),
                int(first_scores.get("n", 0)),
                declared,
            )


# --- the reference against the others ---------------------------------------------------------------------------


def comparisons(study: Study) -> list[Comparison]:
    """The reference against every other cell of its budget that has the task, on every headline metric.

    Holm's family: all comparisons of the study by the same kind of test on the same metric, that is over all
    systems, budgets and both domains.
    """
    results = []
    for labels in study.budgets:
        present = at(study, labels)
        for first in (cell for cell in present if cell.reference):
            for other, domain, task in itertools.product(present, DOMAINS, TASKS):
                declared = study.declared.get(task, {})
                for metric in shown(declared, "tests") if other is not first else ():
                    info = declared[metric]
                    if tests := _tests(first, other, domain, task, metric, info):
                        results.append(Comparison(first, other, labels, domain, task, metric, tests, info))
    families = itertools.product(KINDS, dict.fromkeys(one.metric for one in results))
    adjusted: dict[tuple[int, str], Test] = {}
    for kind, metric in families:
        indices = [i for i, one in enumerate(results) if one.metric == metric and kind in one.tests]
        after = stats.holm([results[i].tests[kind] for i in indices])
        adjusted |= {(i, kind): test for i, test in zip(indices, after, strict=True)}
    return [
        replace(one, tests={kind: adjusted[i, kind] for kind in KINDS if kind in one.tests})
        for i, one in enumerate(results)
    ]


def _tests(first: Cell, other: Cell, domain: str, task: str, metric: str, declared: ScoreInfo) -> dict[str, Test]:
    first_values, other_values = first.values(domain, task, metric), other.values(domain, task, metric)
    if not first_values or not other_values:
        return {}
    few = min(len(first_values), len(other_values)) < ENOUGH
    tests = {
        "student": sensible(stats.student(list(first_values.values()), list(other_values.values())), declared, few)
    }
    # Cells are paired by seed: the same splits, labels, batches and initial weights.
    if shared := sorted(first_values.keys() & other_values.keys()):
        pairs = stats.paired([first_values[seed] for seed in shared], [other_values[seed] for seed in shared])
        tests["paired"] = sensible(pairs, declared)
        a, b = (case_values(cell, shared, domain, task, metric) for cell in (first, other))
        if a is not None and b is not None:
            tests["cases"] = stats.paired_cases(a, b)
    return tests
