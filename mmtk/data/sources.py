"""Data sources of a recipe."""

from __future__ import annotations

from pathlib import Path

from mmtk import api
from mmtk.data.folds import Fold, FoldedSource
from mmtk.errors import MmtkError
from mmtk.recipe.recipe import Recipe
from mmtk.registry.factory import component


def source(recipe: Recipe, task: str, domain: str = "source", root: Path | None = None) -> api.Source:
    """Make the source of ``recipe`` for ``task``; ``domain`` is source or cross, ``root`` the data folder.

    Where the recipe asks for folds, the parts of the in-domain source are those of the fold of its seed.
    """
    table = recipe.source(task, domain)
    try:
        result: api.Source = component("source", table, {"root": root or Path("data"), "task": task})
    except MmtkError as error:
        missing = root is None and not Path("data").is_dir() and "--data" in (error.hint or "")
        if missing and (not error.where or error.where.startswith("data/")):
            message = "no data: no --data was given, MMTK_DATA is not set, and there is no folder 'data' here."
            raise MmtkError(message, hint=error.hint) from error
        raise
    if result.labels.task != task:
        raise MmtkError(
            f'data.{task}.{domain}: "{table["use"]}" is a source for {result.labels.task}, not for {task}.',
            hint=f"Put it into data.{result.labels.task}.{domain}, or choose another source.",
        )
    count = recipe.data.folds
    if count is None or domain != "source":
        return result
    return FoldedSource(result, Fold.of(count, recipe.seed), f'data.{task}.{domain} ("{table["use"]}")')


def targets(recipe: Recipe, root: Path | None = None) -> dict[str, api.LabelSpec]:
    """Classes or channels of each task."""
    return {task: source(recipe, task, root=root).labels for task in recipe.tasks}
