"""Analysis of a study: scores over seeds and images, and tests against the reference."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mmtk import stats
from mmtk.io import status_line
from mmtk.report.effects import Effects, factorial_effects, on_fewer_seeds, without_effects
from mmtk.report.headlines import Labels, at, worded
from mmtk.report.intervals import ENOUGH, FOLDS, TWO_WAY, bounded, independent, sensible, two_way_test
from mmtk.report.margins import margins_of
from mmtk.report.matching import Matches, matches
from mmtk.report.patients import on_patients
from mmtk.report.readings import Readings, readings
from mmtk.report.saliency import MapResults, map_results
from mmtk.report.strata import Strata, scored_images, strata
from mmtk.report.worth import Answer, Difference, answers
from mmtk.scores import ScoreInfo, leading, shown
from mmtk.stats import Interval, Summary, Test
from mmtk.study.axes import NO_LEVEL
from mmtk.study.results import Cell, Study

KINDS = (TWO_WAY, FOLDS, "paired", "student")


@dataclass(frozen=True)
class Score:
    """One metric of one cell: over its seeds, and where it has values per image also over seeds and patients.

    ``chance`` is what needs no look at the image, as the metric declares it. ``images`` counts the test images.
    """

    cell: Cell
    domain: str
    task: str
    metric: str
    seeds: Summary
    interval: Interval | None
    chance: float | None
    images: int
    info: ScoreInfo


@dataclass(frozen=True)
class Comparison:
    """The reference against another cell; ``tests`` by kind, the leading one first: two-way, paired, student.

    Of folds, in-domain, the corrected t alone: the others take folds as independent.

    Every difference is the reference's value minus the other's. ``interval`` is that of the two-way test, which a
    score without values per image has not.
    """

    reference: Cell
    other: Cell
    labels: Labels
    domain: str
    task: str
    metric: str
    tests: Mapping[str, Test]
    info: ScoreInfo
    interval: Interval | None = None

    @property
    def lead(self) -> Test:
        """The test that a report leads with."""
        return next(iter(self.tests.values()))


@dataclass(frozen=True)
class Analysis:
    """All that the tables of a study rest on; ``notes`` says what cannot be said, and why.

    ``margins`` are the largest differences that do not matter to the user, by score; ``worths`` what components
    are worth in labels, where there are several budgets. ``before`` is the analysis of the same systems before
    they were tuned, of a study that tuned them. ``strata`` says where a system holds, ``readings`` what it may
    read in place of the class, ``maps`` what its saliency maps highlight.
    ``memory`` keeps what tables, summary and figures ask for several times.
    """

    study: Study
    scores: list[Score]
    comparisons: list[Comparison]
    effects: list[Effects]
    notes: list[str] = field(default_factory=list)
    margins: Mapping[str, float] = field(default_factory=dict)
    worths: list[Answer] = field(default_factory=list)
    before: Analysis | None = None
    strata: Strata = field(default_factory=Strata)
    readings: Readings = field(default_factory=Readings)
    maps: MapResults = field(default_factory=MapResults)
    matches: Matches = field(default_factory=Matches)
    memory: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

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


def analyse(study: Study, margins: Mapping[str, float] | None = None, match: Sequence[str] = ()) -> Analysis:
    """Scores, tests and effects; MmtkError where the runs were tested on other images or data.

    ``margins``: the largest differences that do not matter, by score; others are those that the metrics declare.
    ``match``: attributes that test images are matched by; default: those of the recipe.
    """
    status_line.stage("computing the statistics")
    before = analyse(study.before, margins) if study.before else None
    margins = margins_of(study, margins or {})
    study.comparable()
    study.read()
    effects = factorial_effects(study)
    notes = [*without_effects(effects), *on_fewer_seeds(effects, len(study.seeds)), *on_patients(study)]
    most = max((len(cell.runs) for cell in study.cells), default=0)  # those planned may not have run
    if most == 2:
        notes.append(
            "Two seeds: intervals are wide, a dash where none is narrower than the scale of its score, and those "
            f"over seeds alone need {ENOUGH}."
        )
    if most < 2:
        notes.append(
            "One seed: intervals speak of new patients for these networks alone, and nothing can be concluded."
        )
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
    notes = [worded(note, study) for note in notes]
    compared = comparisons(study)
    worths = answers(study.jackknives, differences(study, effects, compared))
    sets = scored_images(study)
    groups, shortcuts = strata(study, sets, effects), readings(study, sets)
    maps, by_match = map_results(study), matches(study, match)
    notes += [*maps.notes, *by_match.notes]
    of_images = groups, shortcuts, maps, by_match
    return Analysis(study, scores(study), compared, effects, notes, margins, worths, before, *of_images)


def differences(study: Study, effects: Sequence[Effects], compared: Sequence[Comparison]) -> Iterator[Difference]:
    """Components, else the reference beside others, on the leading scores: what may be worth labels.

    study: with its budgets
    effects: of its components
    compared: its reference against others, where it has no effects
    """
    for one in effects:
        if one.metric == leading(study.declared[one.task]):
            key = (one.info, one.task, one.domain, one.metric, one.labels)
            for effect, weights in zip(one.effects, one.weights, strict=True):
                if len(effect.factors) == 1:
                    yield Difference(effect.factors[0], *key, weights)
    for pair in compared if not effects else ():
        if pair.metric == leading(study.declared[pair.task]):
            name = f"{pair.reference.name} beside {pair.other.name}"
            weights = [(1.0, pair.reference), (-1.0, pair.other)]
            yield Difference(name, pair.info, pair.task, pair.domain, pair.metric, pair.labels, weights)


# --- scores ---------------------------------------------------------------------------------------------------


def scores(study: Study) -> list[Score]:
    """Every score of every cell, in the order of the cells."""
    return [score for cell in study.cells if cell.runs for score in _scores_of(study, cell)]


def _scores_of(study: Study, cell: Cell) -> Iterator[Score]:
    first = next(iter(cell.runs.values()))
    for domain, task in itertools.product(study.domains, study.tasks):
        first_scores = first.scores.get(domain, {}).get(task, {})
        for metric in first_scores:
            declared = first.score_info(task, metric)
            if "scores" not in declared.shown:
                continue
            values = cell.values(domain, task, metric)
            interval = study.jackknives.contrast([(1.0, cell)], domain, task, metric)
            yield Score(
                cell,
                domain,
                task,
                metric,
                independent(sensible(stats.summary(list(values.values())), declared), interval),
                None if interval is None else bounded(interval, declared, difference=False),
                cell.level(declared, domain, task),
                cell.images(domain, task),
                declared,
            )


# --- the reference against the others ---------------------------------------------------------------------------


def comparisons(study: Study) -> list[Comparison]:
    """The reference against every other cell of its budget that has the task, on every headline metric.

    Holm's families: all comparisons of the study on the same metric by their leading test, and by each other kind
    of test; that is over all systems, budgets and both domains.
    """
    results: list[Comparison] = []
    for labels in study.budgets:
        present = at(study, labels)
        for first in (cell for cell in present if cell.reference):
            for other, domain, task in itertools.product(present, study.domains, study.tasks):
                declared = study.declared.get(task, {})
                for metric in shown(declared, "tests") if other is not first else ():
                    one = Comparison(first, other, labels, domain, task, metric, {}, declared[metric])
                    results += _tested(study, one)
    return _adjusted(results)


def _adjusted(results: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with Holm's p in their tests."""
    adjusted: dict[tuple[int, str], Test] = {}
    for metric in dict.fromkeys(one.metric for one in results):
        members = [i for i, one in enumerate(results) if one.metric == metric]
        for kind in KINDS:
            indices = [i for i in members if kind in results[i].tests]
            after = stats.holm([results[i].tests[kind] for i in indices])
            adjusted |= {(i, kind): test for i, test in zip(indices, after, strict=True)}
        leads = stats.holm([results[i].lead for i in members])  # one family, whichever test leads
        adjusted |= {(i, next(iter(results[i].tests))): test for i, test in zip(members, leads, strict=True)}
    return [replace(one, tests={kind: adjusted[i, kind] for kind in one.tests}) for i, one in enumerate(results)]


def _tested(study: Study, one: Comparison) -> Iterator[Comparison]:
    """A comparison with its tests; nothing where a system lacks the score."""
    key = (one.domain, one.task, one.metric)
    first_values, other_values = one.reference.values(*key), one.other.values(*key)
    if not first_values or not other_values:
        return
    tests, interval = {}, None
    # Cells are paired by seed: the same splits, labels, batches and initial weights.
    if shared := sorted(first_values.keys() & other_values.keys()):
        interval = study.jackknives.contrast([(1.0, one.reference), (-1.0, one.other)], *key)
        if interval is not None:
            interval = bounded(interval, one.info)
            tests[FOLDS if interval.overlap else TWO_WAY] = two_way_test(interval)
            if interval.overlap:
                yield replace(one, tests=tests, interval=interval)
                return
        pairs = stats.paired([first_values[seed] for seed in shared], [other_values[seed] for seed in shared])
        tests["paired"] = sensible(pairs, one.info)
    few = min(len(first_values), len(other_values)) < ENOUGH
    student = stats.student(list(first_values.values()), list(other_values.values()))
    yield replace(one, tests=tests | {"student": sensible(student, one.info, few)}, interval=interval)
