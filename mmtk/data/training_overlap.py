"""Overlap of the sets that a run is scored on with its training films and patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mmtk.data import leaks
from mmtk.data.dataset import TestSet, open_source
from mmtk.data.split_checks import Role
from mmtk.errors import MmtkError
from mmtk.recipe.recipe import Recipe
from mmtk.runs.folder import RunDir
from mmtk.tasks import CROSS_DOMAIN, IN_DOMAIN

Progress = Callable[[str, int, int], None]


def trained_on(
    folder: RunDir, recipe: Recipe, tests: Sequence[TestSet], progress: Progress
) -> tuple[list[leaks.Overlap], str]:
    """Compare every set of ``tests`` with the training films; return overlaps, or why none can be looked for.

    ``folder`` is the run, ``recipe`` its recipe; ``progress`` gets (name, images read, images in all).
    Sets of the run's own data are left out: they were compared before training.
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
    return [overlap for overlap in overlaps if overlap], ""


def _images(test: TestSet) -> leaks.Images:
    role = Role(test.task, "cross", test.domain, "all")
    patients = [test.store.patients[row] for row in test.rows]
    return leaks.Images(role, "all", test.store, test.rows, patients)
