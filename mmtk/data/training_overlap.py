"""Films of a set to score on that the run was trained on, or that are of its patients."""

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
    """Find what each set shares with the films of every task's training, and why that could not be looked for.

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
    training = [leaks.Images.of(each.role, each.source, each.stored, "train") for each in sources]
    scored = [_images(test) for test in foreign]
    return [found for each in scored for one in training if (found := leaks.overlap(one, each))], ""


def _images(test: TestSet) -> leaks.Images:
    role = Role(test.task, "cross", test.domain, "all")
    patients = [test.stored.patients[row] for row in test.rows]
    return leaks.Images(role, "all", test.stored, test.rows, patients)
