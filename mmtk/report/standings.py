"""Standing of the questions of a study that adds seeds: what each look found, by the levels of the rule."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mmtk.report.effects import Effects
from mmtk.report.headlines import Labels, at
from mmtk.report.margins import margin_of
from mmtk.scores import ScoreInfo, leading
from mmtk.stats.looks import Outcome, looks, settle
from mmtk.stats.two_way import Interval
from mmtk.study.jackknives import Weights
from mmtk.study.results import Study
from mmtk.study.stopping import Stopping
from mmtk.tasks import IN_DOMAIN, TASKS, labels_text


@dataclass(frozen=True)
class Question:
    """Change that a component, or the reference, brings to a leading score in-domain.

    name: as tables and messages have it
    weights: the sum of cells that is the change
    task: of the score
    metric: name of the score
    info: its declaration
    systems: the two of which it is the difference; empty of a component
    """

    name: str
    weights: Weights
    task: str
    metric: str
    info: ScoreInfo
    systems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Standing:
    """A question, and where it stands after the looks so far; None where the score has no values per image."""

    question: Question
    outcome: Outcome | None


def standings(study: Study, effects: Sequence[Effects]) -> list[Standing]:
    """Standing of every question of a study that adds seeds; none of another study.

    study: with all that its rounds have asked for
    effects: those of its components, where it is a factorial
    """
    if study.stopping is None:
        return []
    asked = questions(study, effects)
    histories = {question.name: _history(study, question, study.stopping) for question in asked}
    margins = {one.name: margin_of(one.metric, one.info, study.stopping.margins) for one in asked}
    better = {one.name: one.info.better for one in asked}
    with_values = {name: history for name, history in histories.items() if history}
    outcomes = settle(with_values, margins, looks(study.stopping.max_seeds), better)
    return [Standing(question, outcomes.get(question.name)) for question in asked]


def questions(study: Study, effects: Sequence[Effects]) -> list[Question]:
    """The questions of a study: on its components, else on the reference beside the others."""
    return [*_of_components(study, effects)] or [*_of_reference(study)]


def _of_components(study: Study, effects: Iterable[Effects]) -> Iterator[Question]:
    for one in effects:
        if one.domain != IN_DOMAIN or one.metric != leading(study.declared[one.task]):
            continue
        for effect, weights in zip(one.effects, one.weights, strict=True):
            if len(effect.factors) == 1:
                name = f"{effect.factors[0]}, {one.info.label}{_labels(study, one.labels)}"
                yield Question(name, weights, one.task, one.metric, one.info)


def _of_reference(study: Study) -> Iterator[Question]:
    for labels in study.budgets:
        present = at(study, labels)
        for first in (cell for cell in present if cell.reference):
            for other in (cell for cell in present if cell is not first):
                for task in TASKS:
                    metric = leading(study.declared.get(task, {}))
                    if all(cell.values(IN_DOMAIN, task, metric) for cell in (first, other)):
                        info = study.declared[task][metric]
                        name = f"{first.name} − {other.name}, {info.label}{_labels(study, labels)}"
                        pair = (first.name, other.name)
                        yield Question(name, [(1.0, first), (-1.0, other)], task, metric, info, pair)


def _labels(study: Study, labels: Labels) -> str:
    return f", {labels_text(labels)}" if len(study.budgets) > 1 else ""


def _history(study: Study, question: Question, rule: Stopping) -> list[Interval]:
    """The interval at every look: of the first seeds that all its cells have."""
    shared = sorted(set.intersection(*(set(cell.runs) for _, cell in question.weights)))
    key = (IN_DOMAIN, question.task, question.metric)
    contrasts = (
        study.jackknives.contrast(question.weights, *key, seeds=shared[:count])
        for count in range(rule.first, len(shared) + 1)
    )
    return [interval for interval in contrasts if interval is not None]
