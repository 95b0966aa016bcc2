"""A recipe as text for a terminal: TOML in sections, every value with the file and line that set it."""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmtk.errors import MmtkError
from mmtk.recipe import toml as toml_layers
from mmtk.recipe.load import load_recipe
from mmtk.recipe.recipe import Recipe
from mmtk.recipe.toml import Values

WIDTH = 80
INDENT = "  "  # of what is broken into lines
NOTES = {"others": "strategies that an ablation does not name: off drops them, keep keeps them"}


def as_text(recipe: Recipe, values: Values) -> str:
    """Format ``values`` of the recipe as TOML; text longer than a line follows its origin."""
    blocks = ["\n".join(_block(recipe, path, table)) for path, table in _tables(values)]
    end = [f"# digest {recipe.digest}"]
    if any(_shipped(origin) for origin in recipe.origins.values()):
        end.insert(0, f"# mmtk: stands for {toml_layers.recipe_folder()}")
    return "\n\n".join([*blocks, "\n".join(end)])


def changes(recipe: Recipe) -> Values:
    """Values that differ from the defaults and from ``base.toml`` with the same profile."""
    base = _base(recipe)
    changed: Values = {}
    for key, value in toml_layers.leaves(recipe.values):
        if key.startswith("origin.") or recipe.origins.get(key) == "default" or base.get(key) == value:
            continue
        toml_layers.put(changed, key, value)
    return changed


def _base(recipe: Recipe) -> Recipe:
    """The plain system on the recipe's data and budget; on the phantom, where its profile is not found."""
    tasks = toml_layers.read(toml_layers.locate("base")).values["tasks"]
    for profile in (recipe.profile, None):
        try:
            return load_recipe("base", profile, {"tasks": recipe.tasks}).with_values({"tasks": tasks})
        except MmtkError:
            continue
    raise AssertionError("base.toml ships with mmtk")


def _tables(values: Values, path: str = "") -> Iterator[tuple[str, Values]]:
    """Tables with keys, by dotted name; the keys above all tables come first."""
    rows = {key: value for key, value in values.items() if not isinstance(value, dict) or not value}
    if rows:
        yield path, rows
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _tables(value, f"{path}.{key}" if path else key)


def _block(recipe: Recipe, path: str, table: Values) -> Iterator[str]:
    if path:
        yield f"[{path}]"
    prefix = f"{path}." if path else ""
    widest = max(map(len, table))
    lines = {key: f"{key:{widest}} = {toml(value)}" for key, value in table.items()}
    places = {key: f"# {place_of(recipe.origins.get(f'{prefix}{key}', 'default'))}" for key in table}
    short = [key for key in table if len(lines[key]) + 2 + len(places[key]) <= WIDTH]
    column = max((len(lines[key]) for key in short), default=0)
    for key, line in lines.items():
        if note := NOTES.get(f"{prefix}{key}"):
            yield f"# {note}"
        if key in short:
            at = min(column, WIDTH - 2 - len(places[key]))
            yield f"{line:{at}}  {places[key]}"
        else:
            yield places[key]
            yield from [line] if len(line) <= WIDTH else _long(key, widest, table[key])


def _long(key: str, widest: int, value: Any) -> Iterator[str]:
    """Break a value over lines: a list by items, a text between words."""
    if isinstance(value, list):
        yield f"{key:{widest}} = ["
        yield from (f"{INDENT}{toml(item)}," for item in value)
        yield "]"
        return
    text = toml(value)
    lines = textwrap.wrap(text[1:-1], WIDTH - 6, break_long_words=False, break_on_hyphens=False)
    if isinstance(value, str) and len(lines) > 1 and " ".join(lines) == text[1:-1]:
        text = '"""\\\n' + " \\\n".join(f"{INDENT}{line}" for line in lines) + '"""'
    yield f"{key:{widest}} = {text}"


def toml(value: Any) -> str:
    """A value as TOML writes it; JSON agrees for texts, numbers, booleans and lists of them."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", r"\u007f")


def place_of(origin: str) -> str:
    """Origin of a value: ``default``, ``--set``, or file and line relative to the working directory."""
    file, colon, line = origin.rpartition(":")
    if not colon or not os.path.isabs(file):
        return origin
    if os.path.realpath(file).startswith(prefix := os.path.join(os.path.realpath(os.getcwd()), "")):
        return f"{os.path.realpath(file)[len(prefix) :]}:{line}"
    return f"mmtk:{Path(file).relative_to(toml_layers.recipe_folder())}:{line}" if _shipped(origin) else origin


def _shipped(origin: str) -> bool:
    """Whether a value is from a file that ships with mmtk and does not lie below the working directory."""
    file = Path(re.sub(r":\d+$", "", origin))
    return file.is_relative_to(toml_layers.recipe_folder()) and not file.is_relative_to(Path.cwd())
