"""Resolved recipes, as runs and studies keep them, read back without a look at their components."""

from __future__ import annotations

import json
from pathlib import Path

from mmtk.errors import MmtkError, Problems, heading
from mmtk.recipe import tables as recipe_tables
from mmtk.recipe import toml as toml_layers
from mmtk.recipe.recipe import Recipe, component_tables
from mmtk.recipe.toml import Layer, Values
from mmtk.registry import signature

ALWAYS = ("data", "train", "evaluate", "tracking")  # tables that every recipe has, if only with defaults


def read_resolved(path: Path, digest: str | None = None) -> Recipe:
    """Read a recipe that mmtk resolved and wrote; no component is imported, no fit of parts is checked.

    The fixed tables get the defaults of keys that were added since. MmtkError for a file that is no complete
    recipe, or whose digest is not ``digest``.
    """
    layer = toml_layers.read(path)
    values, problems = fixed_tables(layer)
    values.pop("profile", None)
    for key, kind, table in component_tables(layer.values):
        if not isinstance(table, dict) or not isinstance(table.get("use"), str):
            problems.append(
                MmtkError(f'{key}: needs use = "NAME" of a component of kind {kind}.', layer.location(key))
            )
        else:
            toml_layers.put(values, key, table)
    if "origin" not in values:
        problems.append(MmtkError("is no complete recipe: it has no [origin].", str(path)))
    if problems:
        for problem in problems:
            problem.where = problem.where or str(path)
        raise Problems(problems, heading(str(path), problems))
    recipe = Recipe(values, {key: layer.places.get(key, "default") for key, _ in toml_layers.leaves(values)})
    if digest is not None and recipe.digest != digest:
        message = f"this recipe was changed: its digest is {recipe.digest}, not {digest}."
        raise MmtkError(message, str(path), "Restore the original, or copy it elsewhere to run it as it is now.")
    return recipe


def fixed_tables(layer: Layer) -> tuple[Values, list[MmtkError]]:
    """Check the tables that are no components: their complete values, and all problems."""
    values, problems = _table(layer, "", recipe_tables.Top)
    for path, model in recipe_tables.FIXED.items():
        table, wrong = _table(layer, path, model)
        problems += wrong
        if table and (toml_layers.has(layer.values, path) or path in ALWAYS):
            toml_layers.put(values, path, table)
    return values, problems


def _table(layer: Layer, path: str, model: type[signature.Table]) -> tuple[Values, list[MmtkError]]:
    table = toml_layers.get(layer.values, path, {}) if path else layer.values
    if not isinstance(table, dict):
        got = json.dumps(table, default=str)
        return {}, [MmtkError(f"{path}: should be a table, [{path}], got {got}.", layer.location(path))]
    prefix = f"{path}." if path else ""
    nested = {
        name[len(prefix) :].split(".")[0]
        for name in (*recipe_tables.FIXED, *recipe_tables.PLACES)
        if name.startswith(prefix)
    }
    keys = {key: value for key, value in table.items() if key not in nested}
    if path == "":
        keys = {key: value for key, value in keys.items() if key in model.model_fields}
    return signature.validate(model, keys, path, layer.location, nested)
