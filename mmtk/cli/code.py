"""The option ``--code``, and the check that a run or study which needs it has it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mmtk.errors import MmtkError
from mmtk.io.spelling import command
from mmtk.registry import local_file


def _use(context: typer.Context, file: Path | None) -> Path | None:
    """Load the file before the command begins; without it, refuse a directory whose components need it."""
    if file is not None:
        local_file.use(file)
        return file
    for folder in _folders(context.params):
        copy = folder / local_file.COPY
        if os.path.isfile(copy) and _needs_code(folder):
            again = command(*sys.argv[1:], "--code", copy)
            raise MmtkError(
                f"its components come from a local file, whose copy is {copy}. No recipe runs code by itself.",
                str(folder),
                f"Look at it, then say so: {again}",
            )
    return None


def _needs_code(folder: Path) -> bool:
    """Whether the directory of a run or study has components of a local file."""
    recipe = folder / "recipe.toml"
    if recipe.is_file():
        return f'"{local_file.PREFIX}' in recipe.read_text(encoding="utf-8", errors="replace")
    return (folder / "study.json").is_file()


def _folders(arguments: Mapping[str, Any]) -> Iterator[Path]:
    """The directories among a command's arguments, also by the recipe in them."""
    for value in arguments.values():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str | Path):
                path = Path(item)
                yield path.parent if path.name == "recipe.toml" else path


CodeOpt = Annotated[
    Path | None,
    typer.Option(
        "--code",
        metavar="FILE.py",
        help='Run a local file of components, for use = "code/ClassName".',
        callback=_use,
        show_default=False,
    ),
]
