"""Check of a recipe beyond its parts: a step on made-up images, asked once of equal recipes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mmtk.errors import MmtkError, Problems, heading
from mmtk.io import status_line
from mmtk.recipe.load import load_recipe
from mmtk.recipe.recipe import NOT_IN_DIGEST, Recipe
from mmtk.registry import catalog, memo

# Keys of [train] on which a step depends; the others are plain numbers.
STEP_KEYS = (
    "batch",
    "ratio",
    "optimizer",
    "schedule",
    "warmup",
    "clip",
    "ema",
    "balance",
    "precision",
    "frozen_views",
)


def check(
    recipe: Recipe | str | Path, profile: str | None = None, overrides: Mapping[str, Any] | Iterable[str] = ()
) -> Recipe:
    """Check a recipe, the fit of its parts and its weights files; try a step on made-up images; return the recipe.

    recipe: a recipe, its file or its name; ``profile`` and ``overrides`` change one that is not loaded yet

    No data are read. Raises MmtkError with everything that is wrong.
    """
    source = repr(recipe) if isinstance(recipe, Recipe) else str(recipe)
    loaded = recipe if isinstance(recipe, Recipe) else load_recipe(recipe, profile, overrides)
    if loaded.get("encoder.weights") or loaded.get("init"):
        from mmtk.model.sketch import wrong_weights

        if wrong := list(wrong_weights(loaded)):
            raise Problems(wrong, heading(source, wrong))
    check_step(loaded, source)
    return loaded


def check_step(recipe: Recipe, source: str) -> None:
    """Raise the error that a run's first step, scores or label budgets would end with; once for equal parts."""
    status_line.stage("trying a step on made-up images")
    train = {key: recipe.get(f"train.{key}") for key in STEP_KEYS}
    rest = {key: value for key, value in recipe.values.items() if key not in (*NOT_IN_DIGEST, "train", "init")}
    # As text: a word of theirs is no path, though a folder may be called mmtk.
    entries = [repr(catalog.find(kind, table["use"])) for _, kind, table in recipe.components()]
    try:
        memo.recall(
            "step", catalog.find("encoder", recipe["encoder.use"]), [train, rest, entries], partial(_try, recipe)
        )
    except MmtkError as error:
        error.where = error.where or source
        raise
    finally:
        memo.keep()


def _try(recipe: Recipe) -> bool:
    from mmtk.workflows import trial

    trial.check_listing(recipe)
    trial.try_step(recipe)
    return True
