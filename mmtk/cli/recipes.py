"""The commands that look at recipes: ``mmtk check``, ``show``, ``diff``, ``schema`` and ``list``."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

import typer

from mmtk.cli.code import CodeOpt
from mmtk.cli.lines import table_lines, wrapped
from mmtk.cli.options import JsonOpt, ProfileOpt, RecipeArg, SetOpt, overrides, print_json
from mmtk.errors import folded


def check(recipe: RecipeArg, profile: ProfileOpt = None, set_: SetOpt = None, code: CodeOpt = None) -> None:
    """Check a recipe and the fit of its parts, and try a step on made-up images, without reading data."""
    from mmtk.workflows.check import check as check_recipe

    loaded = check_recipe(recipe, profile, overrides(set_))
    typer.echo(f"{recipe}: fine. {loaded.name} ({', '.join(loaded.tasks)}), digest {loaded.digest}")


def show(
    recipe: RecipeArg,
    profile: ProfileOpt = None,
    set_: SetOpt = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Only what is neither a default nor the same in base.toml.")
    ] = False,
    code: CodeOpt = None,
    json: JsonOpt = False,
) -> None:
    """Print every value of a recipe with the place it comes from."""
    from mmtk.recipe import text
    from mmtk.recipe.load import load_recipe
    from mmtk.recipe.toml import leaves

    loaded = load_recipe(recipe, profile, overrides(set_))
    values = text.changes(loaded) if changed else loaded.values
    if json:
        origins = loaded.origins
        print_json({k: {"value": value, "origin": origins.get(k, "default")} for k, value in leaves(values)})
    else:
        typer.echo(text.as_text(loaded, values))


def diff(first: RecipeArg, second: RecipeArg, profile: ProfileOpt = None, code: CodeOpt = None) -> None:
    """Show the keys in which two recipes or run directories differ; a profile is for those that have none."""
    from mmtk.recipe.load import is_complete, load_recipe
    from mmtk.recipe.text import NOTES, toml
    from mmtk.recipe.toml import leaves

    complete = {name: is_complete(name) for name in (first, second)}
    profiles = {name: None if complete[name] and not all(complete.values()) else profile for name in complete}
    one, two = (dict(leaves(load_recipe(name, profiles[name]).values)) for name in (first, second))
    keys = [k for k in {**one, **two} if one.get(k) != two.get(k) and not k.startswith(("origin.", "description"))]
    rows = [(key, *(toml(side[key]).strip('"') if key in side else "–" for side in (one, two))) for key in keys]
    for line in _differences(rows):
        typer.echo(line)
    for key in NOTES.keys() & {*keys}:
        typer.echo(folded(f"{key}: {NOTES[key]}", sys.stdout))
    if not keys:
        typer.echo("No difference.")


def _differences(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of keys with both values; long ones stand below their key, each on a line of its own."""
    room = shutil.get_terminal_size().columns - len("    →  ")
    width = max(len(key) for key, _, _ in rows) if rows else 0
    short = [width + len(left) + len(right) <= room for _, left, right in rows]
    beside = max((len(left) for (_, left, _), fits in zip(rows, short, strict=True) if fits), default=0)
    for (key, left, right), fits in zip(rows, short, strict=True):
        if fits and width + beside + len(right) <= room:
            yield f"{key:{width}}  {left:{beside}}  →  {right}"
        else:
            yield from (key, *wrapped(left, "     ", "     "), *wrapped(right, "  →  ", "     "))


def schema() -> None:
    """Print the JSON Schema of recipes, made from the installed components."""
    from mmtk.recipe.describe import recipe_schema

    print_json(recipe_schema())


def list_() -> None:
    """List the shipped recipes, profiles and suites of systems."""
    from mmtk.recipe.toml import read, recipe_folder

    for title, folder, use in (
        ("Recipes", "", "mmtk run NAME"),
        ("Profiles", "profiles", "mmtk run … --profile NAME"),
        ("Suites", "suites", "mmtk ablate --suite NAME"),
    ):
        typer.echo(f"{title} ({use})")
        rows = []
        for path in sorted((recipe_folder() / folder).glob("*.toml")):
            values = read(path).values
            rows.append((f"  {path.stem}", values.get("name", ""), values.get("description", "")))
        typer.echo("\n".join(table_lines(rows)))


COMMANDS: dict[str, Callable[..., None]] = {
    "check": check,
    "show": show,
    "diff": diff,
    "schema": schema,
    "list": list_,
}
