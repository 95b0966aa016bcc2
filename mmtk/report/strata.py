"""Strata of test images: the leading scores of a system in them, and what components do there."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mmtk.counts import counted
from mmtk.report.effects import Effects
from mmtk.report.intervals import auroc_interval, bounded
from mmtk.scores import ScoreInfo, leading
from mmtk.stats import Interval, Jackknife, combine
from mmtk.stats.comparisons import adjusted_p
from mmtk.stats.strata import auroc_within, gap, interval_on_part, on_part
from mmtk.stats.two_way import LEAST_PATIENTS
from mmtk.study.attributes import Attribute, attributes_of, cases_with_metadata
from mmtk.study.jackknives import Weights
from mmtk.study.results import Cell, Study

CLASSES = "classification"


@dataclass(frozen=True)
class TestImages:
    """Images of one test set of one system, with their attributes.

    cell: the system
    domain, task: of the test set
    attributes: of the images
    patients: [images], numbers
    notes: on attributes that have no groups
    """

    __test__ = False  # pytest would take the class for a test by its name

    cell: Cell
    domain: str
    task: str
    attributes: Sequence[Attribute]
    patients: np.ndarray
    notes: Sequence[str] = ()

    @property
    def name(self) -> str:
        """Test set in words."""
        return f"{self.domain} {self.task}"


@dataclass(frozen=True)
class Stratum:
    """A score on one group of images.

    images: of a test set
    info: of the score
    attribute, group: that the images share
    count, patients: of the group
    interval: of the score; None where it has none, and ``note`` says why
    difference: to all other images whose group is known
    adjusted: Holm's p of that difference
    worst: whether no group of the attribute is worse
    effect: component whose effect it is, in place of the score; "" for the score
    """

    images: TestImages
    info: ScoreInfo
    attribute: str
    group: str
    count: int
    patients: int
    interval: Interval | None = None
    difference: Interval | None = None
    adjusted: float | None = None
    worst: bool = False
    note: str = ""
    effect: str = ""


@dataclass(frozen=True)
class Within:
    """AUROC of the last of two classes on all images, and of pairs within the groups of one attribute."""

    images: TestImages
    attribute: str
    pooled: Interval
    within: Interval
    difference: Interval


@dataclass(frozen=True)
class Strata:
    """All of the section "Where it holds"."""

    scores: list[Stratum] = field(default_factory=list)
    within: list[Within] = field(default_factory=list)
    effects: list[Stratum] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def scored_images(study: Study) -> list[TestImages]:
    """Test sets with attributes of the reference, else of the first system, at its largest budget."""
    cells = [cell for cell in study.cells if cell.runs and cell.reference] or [c for c in study.cells if c.runs]
    result = []
    for domain, task in itertools.product(study.domains, study.tasks):
        cell = next((cell for cell in reversed(cells) if (domain, task) in cell.cases), None)
        if cell is None or domain == study.folded_set:
            continue
        attributes, notes = attributes_of(cases_with_metadata(cell, domain, task), domain, task)
        if attributes or notes:
            patients = study.jackknives.patients(cell, domain, task)
            result.append(TestImages(cell, domain, task, attributes, patients, notes))
    return result


def strata(study: Study, sets: Sequence[TestImages], effects: Sequence[Effects]) -> Strata:
    """Scores and effects in the groups of every test set."""
    result = Strata()
    for images in sets:
        result.notes.extend(f"{images.name.capitalize()}: {note}." for note in images.notes)
        metric = leading(study.declared[images.task])
        info = study.declared[images.task][metric]
        formula = study.jackknives.formula(images.cell, images.domain, images.task, metric)
        if formula:
            result.scores.extend(_adjusted(_scores(study, images, info, formula)))
            for name, weights in _components(effects, images, metric):
                result.effects.extend(_adjusted(_effects(study, images, info, formula, (name, weights))))
        result.within.extend(_within(study, images))
    return result


def class_values(study: Study, images: TestImages) -> tuple[np.ndarray, np.ndarray] | None:
    """Probabilities [seeds, images] of the last of two classes, and targets [images]; None of other labels."""
    formula = "auroc"
    _, columns = study.jackknives.values(images.cell, images.domain, images.task, formula)
    names = [name for name in columns if name.startswith("p-")]
    if images.task != CLASSES or len(names) != 2 or "target" not in columns or not len(columns[names[1]]):
        return None
    return columns[names[1]], columns["target"][0] == 1


def _scores(study: Study, images: TestImages, info: ScoreInfo, formula: str) -> Iterator[list[Stratum]]:
    """Rows of every attribute."""
    _, columns = study.jackknives.values(images.cell, images.domain, images.task, formula)
    if not len(next(iter(columns.values()), ())):
        return

    def score(part: np.ndarray) -> Jackknife:
        return on_part(formula, columns, images.patients, part)

    for attribute in images.attributes:
        yield _of_attribute(images, info, attribute, score)


def _of_attribute(
    images: TestImages,
    info: ScoreInfo,
    attribute: Attribute,
    score: Callable[[np.ndarray], Jackknife],
    effect: str = "",
) -> list[Stratum]:
    """Rows of one attribute, the worst one marked.

    images: of a test set
    info: of the score
    attribute: with the groups
    score: on the images of a part
    effect: component whose effect ``score`` gives; "" for a score of the system
    """
    rows = []
    for code, group in enumerate(attribute.groups):
        part, rest = attribute.codes == code, attribute.is_known & (attribute.codes != code)
        counts = [len(np.unique(images.patients[side])) for side in (part, rest)]
        row = Stratum(images, info, attribute.name, group, int(part.sum()), counts[0], effect=effect)
        if counts[0] < LEAST_PATIENTS or _lacks_class(images, part):
            few = f"{counted(counts[0], 'patient')}: too few"
            rows.append(replace(row, note=few if counts[0] < LEAST_PATIENTS else "not all classes in it"))
            continue
        inside = score(part)
        interval = interval_on_part(inside, images.patients, part)
        if interval.low is None:
            rows.append(replace(row, note=_without_seeds(interval.note)))
            continue
        beside = None if _lacks_class(images, rest) else gap(inside, score(rest), min(counts))
        difference = None if beside is None else bounded(beside, info)
        bound = bounded(interval, info, difference=bool(effect))
        rows.append(replace(row, interval=bound, difference=difference, note=_without_seeds(bound.note)))
    return rows if effect else _with_worst(rows, info)


def _lacks_class(images: TestImages, part: np.ndarray) -> bool:
    """Whether some images are without a class that the test set has: their score is another one."""
    targets = images.cell.cases[images.domain, images.task].get("target")
    return targets is not None and len(np.unique(targets[0, part])) < len(np.unique(targets[0]))


def _without_seeds(note: str) -> str:
    """A note without that there is one seed, which the page says once."""
    return "; ".join(part for part in note.split("; ") if not part.startswith("one seed"))


def _with_worst(rows: list[Stratum], info: ScoreInfo) -> list[Stratum]:
    scored = [row for row in rows if row.interval is not None]
    if len(scored) < 2:
        return rows
    choose = min if info.better == "higher" else max
    worst = choose(scored, key=lambda row: row.interval.est if row.interval else 0.0)
    return [replace(row, worst=row is worst) for row in rows]


def _adjusted(tables: Iterable[list[Stratum]]) -> list[Stratum]:
    """Rows with Holm's p over all groups of all attributes of a test set."""
    rows = [row for table in tables for row in table]
    known = {k: row.difference.p for k, row in enumerate(rows) if row.difference and row.difference.p is not None}
    adjusted = dict(zip(known, adjusted_p([*known.values()]), strict=True))
    return [replace(row, adjusted=adjusted.get(k)) for k, row in enumerate(rows)]


def _within(study: Study, images: TestImages) -> Iterator[Within]:
    if (found := class_values(study, images)) is None:
        return
    values, ill = found
    for attribute in images.attributes:
        known = np.where(attribute.is_known, 0, -1)
        pooled, within = (
            auroc_within(values, ill, groups, images.patients) for groups in (known, attribute.codes)
        )
        if not pooled.note and not within.note:
            yield Within(
                images,
                attribute.name,
                auroc_interval(pooled),
                auroc_interval(within),
                auroc_interval(combine((1, -1), (within, pooled)), difference=True),
            )


# --- components -------------------------------------------------------------------------------------------------


def _components(effects: Sequence[Effects], images: TestImages, metric: str) -> Iterator[tuple[str, Weights]]:
    """Main effects on a score at the budget of the system, with their weights of cells."""
    for one in effects:
        if (one.domain, one.task, one.metric) == (images.domain, images.task, metric):
            for effect, weights in zip(one.effects, one.weights, strict=True):
                if len(effect.factors) == 1 and any(cell is images.cell for _, cell in weights):
                    yield effect.factors[0], weights


def _effects(
    study: Study, images: TestImages, info: ScoreInfo, formula: str, component: tuple[str, Weights]
) -> Iterator[list[Stratum]]:
    """Rows of the effect of a component in the groups of every attribute.

    study: with the cells
    images: of a test set
    info: of the score
    formula: of the score
    component: its name, and the sum of cells that is its effect
    """
    name, weights = component
    tables = [study.jackknives.values(cell, images.domain, images.task, formula) for _, cell in weights]
    seeds = sorted(set.intersection(*(set(own) for own, _ in tables)))
    part = images.domain, images.task
    ids = images.cell.cases[part]["id"]
    same = all(np.array_equal(cell.cases[part]["id"], ids) for _, cell in weights)
    if not seeds or not same:
        return

    def score(part: np.ndarray) -> Jackknife:
        parts = [
            on_part(formula, columns, images.patients, part).rows([own.index(seed) for seed in seeds])
            for own, columns in tables
        ]
        return combine([weight for weight, _ in weights], parts)

    for attribute in images.attributes:
        yield _of_attribute(images, info, attribute, score, name)
