"""Inspection of the data of a recipe, before training on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmtk.data import locations
from mmtk.data.split_checks import Role
from mmtk.errors import MmtkError
from mmtk.inspection import sets
from mmtk.io.files import read_json, real_path
from mmtk.io.outputs import free_folder, is_other, refuse_inside, refuse_other
from mmtk.recipe.load import load_recipe, system_for
from mmtk.recipe.recipe import Recipe


def inspect(
    recipe: Recipe | str | Path = "multimix",
    profile: str | None = None,
    overrides: Mapping[str, Any] | Iterable[str] = (),
    *,
    data: str | Path | None = None,
    out: str | Path | None = None,
) -> dict[str, Any]:
    """Count, measure and compare the images of a recipe's sources; draw them.

    recipe: a recipe, its file or its name; ``profile`` and ``overrides`` change one that is not loaded yet
    data: the folder of the data sets (default: the environment variable MMTK_DATA)
    out: the folder of the pictures, which does not replace those of other sets (default ``inspect``, with a number
        behind it where it holds those of others)

    Returns the report: ``sources`` by name, ``leaks`` between parts, ``verdicts`` and ``pictures``.
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(system_for(str(recipe), profile), profile, overrides)
    root = locations.data_root(data)
    origin = _origin(recipe, root)
    folder = _picture_folder(out, origin)
    refuse_inside(folder, locations.data_paths(recipe, root))
    return sets.inspect(sets.sources_of(recipe, root), recipe.data.size, folder, origin=origin)


def _picture_folder(out: str | Path | None, origin: Sequence[str]) -> Path:
    """Folder in which no pictures of other sets lie: a free one by default, else ``out``, or an error."""
    if out is None:
        return free_folder(Path("inspect"), lambda free: is_other(_drawn_sets(free), origin))
    refuse_other(Path(out), "the pictures", _drawn_sets(Path(out)), origin)
    return Path(out)


def _origin(recipe: Recipe, root: Path | None) -> list[str]:
    """Name every set of a recipe by its source, the profile that it comes from, and the folder of the data."""
    profile = str(real_path(Path(recipe.profile))) if recipe.profile.endswith(".toml") else recipe.profile
    facts = {"profile": profile, "data": str(real_path(root)) if root else ""}
    whence = "".join(f", {word} {name}" for word, name in facts.items() if name)
    tables = [(task, domain) for task in recipe.tasks for domain in ("source", "cross")]
    roles = [Role.of(recipe, *table) for table in tables if recipe.source(*table)]
    return [f"{role.name} ({role.use}{whence})" for role in roles]


def _drawn_sets(folder: Path) -> list[str]:
    """Names of the sets that the pictures in a folder show; none where that is not known."""
    try:
        return [str(name) for name in read_json(folder / sets.ORIGIN)["sets"]]
    except (MmtkError, OSError, KeyError, TypeError):
        return []
