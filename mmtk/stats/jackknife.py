"""Scores without one patient: what intervals for new patients rest on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mmtk import builtin_scores
from mmtk.errors import MmtkError
from mmtk.scores import ScoreInfo
from mmtk.stats.formulas import Columns, Images, compute

AGREEMENT = 1e-5  # of a score of order 1 in a run's results, which some metrics compute in 32 bits


@dataclass(frozen=True)
class Jackknife:
    """A score, or a weighted sum of scores, on all images and without each patient.

    score: [seeds]
    without: [seeds, patients], NaN where the score is undefined without the patient
    errors: patients that the best of its systems gets wrong, mean over seeds; None where the score knows no wrong
        image. AUROC and average precision: patients of the smaller class in a pair that is ranked wrongly.
    smaller_class: patients of the class with the fewest; None for a score without classes
    note: why there is no number, in words
    """

    score: np.ndarray
    without: np.ndarray
    errors: float | None = None
    smaller_class: int | None = None
    note: str = ""

    @property
    def patients(self) -> int:
        """Number of patients."""
        return self.without.shape[1]

    def rows(self, indices: Sequence[int]) -> Jackknife:
        """Select seeds by their place."""
        return replace(self, score=self.score[[*indices]], without=self.without[[*indices]])


def formula_of(name: str, score: ScoreInfo, columns: Collection[str]) -> str:
    """The formula of a score: as declared, else the mean of its column, else that of the built-in score; or "".

    name: of the score, with the table of its metric in front (``kappa/kappa``) where the results have it
    score: its declaration
    columns: names of the values per image, which have that table where two metrics share a name
    """
    if score.formula:
        return score.formula
    bare = name.rpartition("/")[2]
    column = next((one for one in (name, bare) if one in columns), None)
    return f"mean:{column}" if column else builtin_scores.formula(bare)


def jackknife(formula: str, columns: Columns, patients: np.ndarray) -> Jackknife:
    """The score of every seed, and without every patient.

    formula: as ``formula_of`` gives it (``mmtk.stats.formulas.compute``)
    columns: values [seeds, images] by name; ``target``, ``predicted`` and ``p-CLASS`` of a classification
    patients: [images], any numbers or names; images of one patient are left out together

    Where the score cannot be computed all numbers are NaN, and ``note`` says why.
    """
    seeds = len(next(iter(columns.values())))
    names, codes = np.unique(patients, return_inverse=True)
    images, count = Images(columns, codes, len(names)), len(names)
    try:
        if not count:
            raise MmtkError("there is no image")
        deleted = compute(formula, images)
    except MmtkError as error:
        return Jackknife(np.full(seeds, np.nan), np.full((seeds, count), np.nan), note=error.message.rstrip("."))
    note = ""
    if not np.isfinite(deleted.score).all():
        note = "the score is undefined on these images"
    elif not np.isfinite(deleted.without).all():
        note = _lone_class(images) or "the score is undefined without one of the patients"
    smaller = min(_patients_by_class(images).values(), default=None) if _has_classes(formula) else None
    return Jackknife(deleted.score, deleted.without, deleted.errors, smaller, note)


def confirmed(deleted: Jackknife, reported: Sequence[float]) -> Jackknife:
    """The jackknife if its scores are those that the runs report; else without numbers, and ``note`` says so.

    A metric of another author may give a score the name of a column without being its mean.
    """
    expected = np.asarray(reported, float)
    if deleted.note or np.allclose(deleted.score, expected, rtol=AGREEMENT, atol=AGREEMENT):
        return deleted
    nothing = np.full_like(deleted.without, np.nan)
    why = "the score is not what its values per image give; its metric has to declare a formula"
    return Jackknife(expected, nothing, note=why)


def combine(weights: Sequence[float], parts: Sequence[Jackknife]) -> Jackknife:
    """The sum of weight times score: a difference, a main effect, an interaction, a Shapley share.

    weights: one per part; parts of weight 0 count nowhere
    parts: of the same seeds and patients, in the same order; MmtkError for other shapes
    """
    used = [(weight, part) for weight, part in zip(weights, parts, strict=True) if weight]
    shapes = {part.without.shape for _, part in used}
    if len(shapes) != 1:
        raise MmtkError(
            "scores can be combined on the same seeds and patients only.",
            hint="Compare the seeds and images that all of them have.",
        )
    errors = [part.errors for _, part in used if part.errors is not None]
    classes = [part.smaller_class for _, part in used if part.smaller_class is not None]
    return Jackknife(
        np.sum([weight * part.score for weight, part in used], axis=0),
        np.sum([weight * part.without for weight, part in used], axis=0),
        min(errors, default=None),
        min(classes, default=None),
        next((part.note for _, part in used if part.note), ""),
    )


def difference(first: Jackknife, second: Jackknife) -> Jackknife:
    """First − second, seed by seed."""
    return combine((1, -1), (first, second))


def _has_classes(formula: str) -> bool:
    return (":" not in formula and formula not in ("accuracy", "calibration-error")) or formula.startswith("f1:")


def _patients_by_class(images: Images) -> dict[int, int]:
    """Patients with an image of each class that occurs."""
    target = images.column("target")[0].astype(int)
    return {k: len(np.unique(images.patients[target == k])) for k in np.unique(target).tolist()}


def _lone_class(images: Images) -> str:
    if "target" not in images.columns:
        return ""
    for index, count in _patients_by_class(images).items():
        if count == 1:
            name = [*images.classes, *map(str, range(index + 1))][index]
            return f"all images of class '{name}' come from one patient"
    return ""
