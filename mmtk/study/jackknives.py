"""Scores without each patient, once for every score of every system: what intervals for new patients rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmtk import stats
from mmtk.registry import catalog
from mmtk.runs.attributes import is_score
from mmtk.scores import info
from mmtk.stats import Interval, Jackknife
from mmtk.stats.folds import FoldPatients, corrected
from mmtk.stats.formulas import module_of
from mmtk.stats.jackknife import combine, confirmed, formula_of, jackknife
from mmtk.study.patients import TestImages, images_of

if TYPE_CHECKING:
    from mmtk.study.results import Cell, Study

OF_CLASSES = ("target", "predicted")  # and the probabilities p-CLASS: what scores of classes follow from
Weights = Sequence[tuple[float, "Cell"]]


@dataclass(frozen=True)
class Sample:
    """A score of one cell on all images and without each patient.

    seeds: of the runs that have values per image, in the order of the rows
    jackknife: the score of these seeds
    left_out: images without a value somewhere, which count in no system
    """

    seeds: list[int]
    jackknife: Jackknife
    left_out: int


class Jackknives:
    """Jackknives of a study's cells, each computed when it is first asked for.

    Of a score all cells count the same images: those of which every one of them has a value with every seed.
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        self._images: dict[tuple[str, str], TestImages] = {}
        self._places: dict[tuple[int, str, str], np.ndarray] = {}
        self._present: dict[tuple[int, str, str, tuple[str, ...]], np.ndarray] = {}
        self._shared: dict[tuple[str, str, str], np.ndarray] = {}
        self._samples: dict[tuple[int, str, str, str], Sample | None] = {}
        self._folds: dict[tuple[int, str, str], FoldPatients] = {}
        self._reasons: dict[tuple[int, str, str, str], str] = {}

    def images(self, domain: str, task: str) -> TestImages:
        """The images of a test set and their patients."""
        if (domain, task) not in self._images:
            self._images[domain, task] = images_of(self._study.cells, domain, task)
        return self._images[domain, task]

    def sample(self, cell: Cell, domain: str, task: str, metric: str) -> Sample | None:
        """A score of a cell; None where it does not follow from values per image.

        cell: of the study
        domain: of the test set
        task: of the score
        metric: name of the score
        """
        key = (id(cell), domain, task, metric)
        if key not in self._samples:
            self._samples[key] = self._computed(cell, domain, task, metric)
        return self._samples[key]

    def reason(self, cell: Cell, domain: str, task: str, metric: str) -> str:
        """Reason why a score has no sample, where its values per image or its formula give one; else "".

        cell: of the study
        domain: of the test set
        task: of the score
        metric: name of the score
        """
        self.sample(cell, domain, task, metric)
        return self._reasons.get((id(cell), domain, task, metric), "")

    def contrast(
        self, weights: Weights, domain: str, task: str, metric: str, seeds: Sequence[int] | None = None
    ) -> Interval | None:
        """The interval of a weighted sum of cells; None where a cell has no values per image.

        weights: of the cells, such as +1 and −1 of a difference
        domain: of the test set
        task: of the score
        metric: name of the score
        seeds: that count (default: those that all cells have)

        Of the set that folds divide, the interval is the corrected t over folds, of any score.
        """
        if domain == self._study.folded_set:
            return self._over_folds(weights, domain, task, metric, seeds)
        samples = [self.sample(cell, domain, task, metric) for _, cell in weights]
        parts = [sample for sample in samples if sample is not None]
        if len(parts) < len(samples) or not parts:
            return None
        shared = set.intersection(*(set(part.seeds) for part in parts))
        counted = sorted(shared if seeds is None else shared & {*seeds})
        if not counted:
            return None
        rows = [part.jackknife.rows([part.seeds.index(seed) for seed in counted]) for part in parts]
        return stats.two_way(combine([weight for weight, _ in weights], rows))

    def values(self, cell: Cell, domain: str, task: str, formula: str) -> tuple[list[int], dict[str, np.ndarray]]:
        """Seeds that have a value of every image, and the columns [seeds, images] that a formula needs.

        cell: of the study
        domain: of the test set
        task: of the test set
        formula: of a score
        """
        columns = _numbers(cell, domain, task)
        needed = {name: columns[name] for name in _needed(formula, columns)}
        rows = [
            row
            for row in range(len(cell.runs))
            if needed and all(np.isfinite(values[row]).all() for values in needed.values())
        ]
        return [sorted(cell.runs)[row] for row in rows], {name: values[rows] for name, values in needed.items()}

    def formula(self, cell: Cell, domain: str, task: str, metric: str) -> str:
        """Formula of a score from the values per image of a cell; "" where they do not give it.

        cell: of the study
        domain: of the test set
        task: of the score
        metric: name of the score
        """
        formula = self._formula(cell, domain, task, metric)
        return formula if _offered(module_of(formula)) else ""

    def patients(self, cell: Cell, domain: str, task: str) -> np.ndarray:
        """[images] Numbers of the patients of a cell's images."""
        return self.images(domain, task).patients[self._places_of(cell, domain, task)]

    def _over_folds(
        self, weights: Weights, domain: str, task: str, metric: str, seeds: Sequence[int] | None
    ) -> Interval | None:
        """The corrected t of a weighted sum of cells over the folds that all have tested."""
        scores = [cell.values(domain, task, metric) for _, cell in weights]
        shared = set.intersection(*map(set, scores)) if scores else set()
        replicates = sorted(shared if seeds is None else shared & {*seeds})
        if not replicates:
            return None
        sums = [
            sum(weight * one[seed] for (weight, _), one in zip(weights, scores, strict=True))
            for seed in replicates
        ]
        used = [self._tested(cell, domain, task, metric) for weight, cell in weights if weight]
        errors = min((one.errors for one in used if one.errors is not None), default=None)
        smallest = min((one.smaller_class for one in used if one.smaller_class is not None), default=None)
        patients = len(np.unique(self.images(domain, task).patients))
        return corrected(sums, self._study.folds, FoldPatients(patients, errors, smallest))

    def _tested(self, cell: Cell, domain: str, task: str, metric: str) -> FoldPatients:
        """Patients that a repeat of a cell's folds tests, with those that the score counts as wrong."""
        key = (id(cell), task, metric)
        if key not in self._folds:
            self._folds[key] = self._of_folds(cell, domain, task, metric)
        return self._folds[key]

    def _of_folds(self, cell: Cell, domain: str, task: str, metric: str) -> FoldPatients:
        formula, columns = self._formula(cell, domain, task, metric), _numbers(cell, domain, task)
        patients = self.images(domain, task).patients
        if not formula or formula.startswith("mean:") or module_of(formula):
            return FoldPatients(len(np.unique(patients)))
        present, places = self._values(cell, domain, task, formula), self._places_of(cell, domain, task)
        parts = []
        for row, images in enumerate(present):
            values = {name: column[row : row + 1, images] for name, column in columns.items()}
            parts.append(jackknife(formula, values, patients[places][images]))
        share = self._study.folds / max(len(parts), 1)
        errors = [part.errors for part in parts if part.errors is not None]
        classes = [part.smaller_class for part in parts if part.smaller_class is not None]
        return FoldPatients(
            len(np.unique(patients)),
            sum(errors) * share if errors else None,
            round(sum(classes) * share) if classes else None,
        )

    def _computed(self, cell: Cell, domain: str, task: str, metric: str) -> Sample | None:
        formula, scores = self._formula(cell, domain, task, metric), cell.values(domain, task, metric)
        if not formula or not scores:
            return None
        if not _offered(module := module_of(formula)):
            why = f"its formula {formula} cannot be imported: no installed plugin has the module {module}"
            self._reasons[id(cell), domain, task, metric] = why
            return None
        present = self._values(cell, domain, task, formula)
        runs = sorted(cell.runs)
        rows = [row for row, seed in enumerate(runs) if seed in scores and present[row].any()]
        if not rows:
            return None
        seeds, images = [runs[row] for row in rows], self.images(domain, task)
        shared, places = self._common(domain, task, metric), self._places_of(cell, domain, task)
        in_cell = np.zeros(len(shared), bool)
        in_cell[places] = present[rows].all(0)
        columns = {name: values[rows][:, shared[places]] for name, values in _numbers(cell, domain, task).items()}
        deleted = jackknife(formula, columns, images.patients[shared])
        confirmation = (
            confirmed(deleted, [scores[seed] for seed in seeds]) if (in_cell == shared).all() else deleted
        )
        if not np.isfinite(deleted.score).all() or confirmation.note != deleted.note:
            self._reasons[id(cell), domain, task, metric] = confirmation.note
            return None
        return Sample(seeds, deleted, int((~shared).sum()))

    def _formula(self, cell: Cell, domain: str, task: str, metric: str) -> str:
        """Formula of a score from the values per image of a cell; "" where they do not give it."""
        columns = _numbers(cell, domain, task)
        formula = formula_of(metric, info(self._study.declared.get(task, {}), metric), columns)
        kind, colon, argument = formula.partition(":")
        has_columns = argument in columns if kind == "mean" else bool(colon) or "target" in columns
        return formula if columns and has_columns else ""

    def _places_of(self, cell: Cell, domain: str, task: str) -> np.ndarray:
        """The places of a cell's images among all images of a test set."""
        key = (id(cell), domain, task)
        if key not in self._places:
            ids, cell_ids = self.images(domain, task).ids, cell.cases[domain, task]["id"]
            same = len(ids) == len(cell_ids) and bool((ids == cell_ids).all())
            self._places[key] = np.arange(len(ids)) if same else np.searchsorted(ids, cell_ids)
        return self._places[key]

    def _values(self, cell: Cell, domain: str, task: str, formula: str) -> np.ndarray:
        """[seeds, images] Whether a cell has the values that a formula needs."""
        columns = _numbers(cell, domain, task)
        names = _needed(formula, columns)
        key = (id(cell), domain, task, names)
        if key not in self._present:
            finite = [np.isfinite(columns[name]) for name in names]
            some = np.logical_or.reduce([np.isfinite(values) for values in columns.values()])
            self._present[key] = np.logical_and.reduce(finite) if finite else some
        return self._present[key]

    def _common(self, domain: str, task: str, metric: str) -> np.ndarray:
        """[images] Whether every cell that has values has one of an image with every seed."""
        key = (domain, task, metric)
        if key not in self._shared:
            shared = np.ones(len(self.images(domain, task).ids), bool)
            for cell in self._study.cells:
                formula = self._formula(cell, domain, task, metric)
                if formula and cell.values(domain, task, metric):
                    present = self._values(cell, domain, task, formula)
                    in_cell = np.zeros(len(shared), bool)
                    in_cell[self._places_of(cell, domain, task)] = present[present.any(1)].all(0)
                    shared &= in_cell
            self._shared[key] = shared
        return self._shared[key]


def _numbers(cell: Cell, domain: str, task: str) -> dict[str, np.ndarray]:
    """Values per image [seeds, images] of a cell by name."""
    return {name: values for name, values in cell.cases.get((domain, task), {}).items() if is_score(name)}


def _needed(formula: str, columns: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """The columns without which an image cannot count."""
    kind, _, argument = formula.partition(":")
    if kind == "mean":
        return (argument,)
    return tuple(name for name in columns if name in OF_CLASSES or name.startswith("p-"))


def _offered(module: str) -> bool:
    """Whether a module belongs to a plugin: results may be a stranger's, and must not choose what is imported."""
    packages = (
        {entry.target.partition(":")[0].partition(".")[0] for entry in catalog.entries()} if module else set()
    )
    return not module or module.partition(".")[0] in packages
