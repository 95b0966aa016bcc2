"""Inspection of the data of a recipe, before training on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmtk.data import locations
from mmtk.inspection import sets
from mmtk.io.outputs import refuse_inside
from mmtk.recipe.load import load_recipe, system_for
from mmtk.recipe.recipe import Recipe


def inspect(
    recipe: Recipe | str | Path = "multimix",
    profile: str | None = None,
    overrides: Mapping[str, Any] | Iterable[str] = (),
    *,
    data: str | Path | None = None,
    out: str | Path = "inspect",
) -> dict[str, Any]:
    """Count, measure and compare the images of a recipe's sources; draw them in the folder ``out``.

    recipe: a recipe, its file or its name; ``profile`` and ``overrides`` change one that is not loaded yet
    data: the folder of the data sets (default: the environment variable MMTK_DATA)

    Returns the report: ``sources`` by name, ``leaks`` between parts, ``verdicts`` and ``pictures``.
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(system_for(str(recipe), profile), profile, overrides)
    root = locations.data_root(data)
    refuse_inside(Path(out), locations.data_paths(recipe, root))
    return sets.inspect(sets.sources_of(recipe, root), recipe.data.size, Path(out))
