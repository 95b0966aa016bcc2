"""Worth of components in labels: how many labels the systems without one need for the score of those with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from mmtk.errors import MmtkError
from mmtk.report.headlines import Labels
from mmtk.scores import ScoreInfo
from mmtk.stats import Interval
from mmtk.stats.worth import Worth, worth
from mmtk.study.jackknives import Jackknives, Weights
from mmtk.study.results import Cell
from mmtk.tasks import IN_DOMAIN, TASKS, budget

MOST = 6  # answers that sentences can hold


@dataclass(frozen=True)
class Answer:
    """Worth of a component at one budget.

    what: the component, or the two systems
    info: declaration of the score
    task, domain: of the score
    labels: the budget of all tasks
    count: labels of the task at this budget
    curve: mean score of the systems without it by labels
    score: of the systems with it
    worth: in labels of the task
    """

    what: str
    info: ScoreInfo
    task: str
    domain: str
    labels: Labels
    count: float
    curve: Mapping[float, float]
    score: float
    worth: Worth

    @property
    def where(self) -> str:
        """The score with its test set."""
        return f"{self.info.label} {self.domain}"

    @property
    def sentence(self) -> str:
        """The answer in words."""
        unit = TASKS[self.task].annotations
        text = f"{self.what} at {self.count:,.0f} {unit} ({self.where})"
        if self.worth.text == "cannot be said":
            return f"{text}: its worth in labels cannot be said"
        return f"{text} is worth {self.worth.text} without it"


@dataclass(frozen=True)
class Difference:
    """A component, or comparison, on a score at one budget: the systems with it (+) and those without it (−)."""

    what: str
    info: ScoreInfo
    task: str
    domain: str
    metric: str
    labels: Labels
    weights: Weights

    @property
    def curve(self) -> tuple[str, str, str, str]:
        """Key of a learning curve: all but the labels of the task."""
        return self.what, self.domain, self.metric, budget({**self.labels, self.task: 0})

    @property
    def count(self) -> float | None:
        """Labels of the task; of a full budget as a run counted them, None where it did not."""
        label = self.labels.get(self.task)
        return _full(self.weights[0][1], self.task) if label == "full" else None if label is None else float(label)


def answers(jackknives: Jackknives, differences: Iterable[Difference]) -> list[Answer]:
    """The worth of every component, or of the reference beside another system, at every budget of a task.

    jackknives: of the study
    differences: on the leading scores, at every budget; a task with one budget has no answer
    """
    by_curve: dict[tuple[str, str, str, str], dict[float, Difference]] = {}
    for one in differences:
        if one.count is not None:
            by_curve.setdefault(one.curve, {})[one.count] = one
    curves = [[members[count] for count in sorted(members)] for members in by_curve.values() if len(members) > 1]
    return [answer for members in curves for answer in _on_curve(jackknives, members)]


def _full(cell: Cell, task: str) -> float | None:
    with suppress(MmtkError, OSError, LookupError, StopIteration):
        run = next(iter(cell.runs.values()))
        return float(run.data[f"{task}/{IN_DOMAIN}"]["parts"]["labelled"])
    return None


def _on_curve(jackknives: Jackknives, members: Sequence[Difference]) -> Iterator[Answer]:
    """The worth at every budget of one learning curve."""
    key = (members[0].domain, members[0].task, members[0].metric)
    sign = 1.0 if members[0].info.better == "higher" else -1.0
    base = [[(-weight, cell) for weight, cell in one.weights if weight < 0] for one in members]
    levels = [jackknives.contrast(cells, *key) for cells in base]
    counts = [one.count or 0.0 for one in members]
    for one in members:
        above = [(weight, cell) for weight, cell in one.weights if weight > 0]
        level = jackknives.contrast(above, *key)
        if level is None or any(other is None for other in levels):
            continue

        def gap(weights: Sequence[float], above: Weights = above) -> Interval | None:
            parts = [(sign * weight, cell) for weight, cell in above]
            for share, cells in zip(weights, base, strict=True):
                parts += [(-sign * share * weight, cell) for weight, cell in cells if share]
            return jackknives.contrast(parts, *key)

        scores = [other.est for other in levels if other is not None]
        value = worth(counts, [sign * score for score in scores], sign * level.est, gap)
        curve = dict(zip(counts, scores, strict=True))
        facts = (one.what, one.info, one.task, one.domain, one.labels)
        yield Answer(*facts, one.count or 0.0, curve, level.est, value)


def worth_sentences(worths: Sequence[Answer]) -> list[str]:
    """The answers that can be given, in words; of many those in-domain at the smallest budget."""
    some = [one for one in worths if one.worth.text != "cannot be said"]
    if worths and not some:
        return ["At these budgets it cannot be said what a component is worth in labels; the table says why."]
    if len(some) > MOST:
        smallest = {one.what: min(other.count for other in some if other.what == one.what) for one in some}
        some = [one for one in some if one.domain == IN_DOMAIN and one.count == smallest[one.what]][:MOST]
    lines = [f"{one.sentence}." for one in some]
    return [f"{line[:1].upper()}{line[1:]}" for line in lines]
