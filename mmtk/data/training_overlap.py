"""Overlap of the sets that a run is scored on with its training films and patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mmtk.components.source._splitting import are_numbered
from mmtk.counts import counted
from mmtk.data import leaks
from mmtk.data.dataset import TestSet, open_source
from mmtk.data.split_checks import Role
from mmtk.errors import MmtkError, listing
from mmtk.recipe.recipe import Recipe
from mmtk.runs.folder import RunDir
from mmtk.tasks import CROSS_DOMAIN, IN_DOMAIN

Progress = Callable[[str, int, int], None]


def trained_on(
    folder: RunDir, recipe: Recipe, tests: Sequence[TestSet], progress: Progress
) -> tuple[list[leaks.Overlap], str]:
    """Compare every set of ``tests`` with the training films; return overlaps, or why none can be looked for.

    ``folder`` is the run, ``recipe`` its recipe; ``progress`` gets (name, images read, images in all).
    Sets of the run's own data are left out: they were compared before training. Where a set numbers its patients
    from 1 on, and shares no image with training, equal numbers prove nothing, and are a reason.
    """
    foreign = [test for test in tests if test.domain not in (IN_DOMAIN, CROSS_DOMAIN)]
    if not foreign:
        return [], ""
    if not folder.provenance_file.is_file():
        return [], "an exported model does not say what it was trained on"
    root = folder.provenance["data_root"]
    try:
        sources = [
            open_source(recipe, task, "source", Path(root) if root else None, progress) for task in recipe.tasks
        ]
    except MmtkError as error:
        return [], f"the films that the run was trained on are not there ({error.where or root}: {error.message})"
    training = [leaks.Images.of(data.role, data.source, data.store, "train") for data in sources]
    overlaps = [leaks.overlap(part, _images(test)) for test in foreign for part in training]
    return set_numbers_apart([overlap for overlap in overlaps if overlap])


def set_numbers_apart(overlaps: Sequence[leaks.Overlap]) -> tuple[list[leaks.Overlap], str]:
    """Overlaps that are sure, and a sentence on those of which only patients' numbers, from 1 on, are the same."""
    numbers = [overlap for overlap in overlaps if _by_number_alone(overlap)]
    return [overlap for overlap in overlaps if overlap not in numbers], _doubt(numbers)


def _by_number_alone(overlap: leaks.Overlap) -> bool:
    """Whether nothing but numbers of patients, counted from 1 on, is the same."""
    if not overlap.patients or overlap.identical or overlap.near:
        return False
    named = [
        patient
        for patient, row in zip(overlap.scored.patients, overlap.scored.rows, strict=True)
        if patient != overlap.scored.store.ids[row]
    ]
    return are_numbered(named)


def _doubt(overlaps: Sequence[leaks.Overlap]) -> str:
    """Sentence on numbers of patients that are the same; "" where there are none."""
    names = sorted({overlap.scored.role.use for overlap in overlaps})
    numbers = {patient for overlap in overlaps for patient, *_ in overlap.patients}
    if not names:
        return ""
    same = counted(len(numbers), "number is", "numbers are")
    return (
        f"whether patients of {listing(names)} were trained on: {same} the same, as hospitals count from 1 on, "
        "and no image is. They are taken for other persons"
    )


def _images(test: TestSet) -> leaks.Images:
    role = Role(test.task, "cross", test.domain, "all")
    patients = [test.store.patients[row] for row in test.rows]
    return leaks.Images(role, "all", test.store, test.rows, patients, test.domain)
