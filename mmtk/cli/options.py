"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mmtk.cli import completion

RecipeArg = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        help="A recipe file, the name of a shipped recipe, or a run directory.",
        autocompletion=completion.recipes,
    ),
]
ProfileOpt = Annotated[
    str | None, typer.Option(help="Data and training budget; see mmtk list.", autocompletion=completion.profiles)
]
DataOpt = Annotated[Path | None, typer.Option("--data", help="The folder of the data sets (default: MMTK_DATA).")]
SetOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a recipe key; may be repeated.",
        autocompletion=completion.assignments,
    ),
]
SeedOpt = Annotated[int | None, typer.Option(min=0, help="Seed of labels, weights, order and augmentation.")]
DeviceOpt = Annotated[str, typer.Option(help="auto, cpu or cuda.", autocompletion=completion.devices)]
CellOpt = Annotated[str | None, typer.Option(help="The runs of this cell of a study, averaged.")]
JsonOpt = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


def overrides(sets: list[str] | None, **keys: Any) -> dict[str, Any]:
    """The dotted keys that ``--set`` and other options change, with their values; ``a__b`` stands for ``a.b``."""
    from mmtk.recipe.toml import assignment

    values = dict(assignment(text) for text in sets or [])
    return values | {key.replace("__", "."): value for key, value in keys.items() if value is not None}


def print_json(value: Any) -> None:
    """Print a value on standard output."""
    import json

    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))
