"""The command ``mmtk export``."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mmtk.cli import completion
from mmtk.cli.code import CodeOpt
from mmtk.cli.options import CellOpt


class Format(StrEnum):
    """Format of an exported model."""

    onnx = "onnx"
    safetensors = "safetensors"


def export(
    run_dirs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUNDIR…",
            help="A finished run or an exported folder; several to average, or a study with --cell.",
            autocompletion=completion.runs,
        ),
    ],
    format: Annotated[
        Format, typer.Option(help="onnx: one file, checked by onnxruntime. safetensors: a folder to share.")
    ] = Format.onnx,
    out: Annotated[
        Path | None, typer.Option(help="The file or folder to write (default RUNDIR/exports/NAME-DIGEST-sSEED).")
    ] = None,
    cell: CellOpt = None,
    code: CodeOpt = None,
) -> None:
    """Write a finished run as one ONNX file, or as a folder of weights, recipe and model card."""
    from mmtk.workflows.members import run_folders

    runs = run_folders(run_dirs, cell)
    if format is Format.onnx:
        from rich.console import Console

        from mmtk.export.onnx_file import OPSET, write_onnx

        with Console(stderr=True).status("Tracing the model, and comparing it with the live one …"):
            file = write_onnx(runs, out)
        typer.echo(f"Wrote     {file.path}  ({file.size / 1e6:.1f} MB, opset {OPSET})")
        agreed = ", ".join(f"{name} {gap:.1e}" for name, gap in file.differences.items())
        typer.echo(f"Checked   onnxruntime differs from the live model by: {agreed}")
        return
    from mmtk.counts import counted
    from mmtk.export.shared import write_all_shared
    from mmtk.io.spelling import command

    folder = write_all_shared(runs, out)
    inside = f"{counted(len(runs), 'folder')}, each " if len(runs) > 1 else ""
    typer.echo(f"Wrote     {folder}/: {inside}model.safetensors, recipe.toml, README.md")
    typer.echo(f"Next      {command('predict', folder)}{'/*' if inside else ''} IMAGE… --out DIR")


COMMANDS: dict[str, Callable[..., None]] = {"export": export}
