"""The commands ``mmtk data …``: look at data before training on them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from mmtk import cli_help

app = cli_help.App(
    help="Look at data before training on it.", rich_markup_mode=None, no_args_is_help=True, cls=cli_help.Commands
)


@app.command()
def plan(
    folder: Annotated[Path, typer.Argument(help="A folder of films, in any layout.")],
    out: Annotated[Path | None, typer.Option(help="The profile to write (default FOLDER-NAME.toml here).")] = None,
    images: Annotated[str, typer.Option(help="Where the films are, inside FOLDER.")] = "",
    masks: Annotated[str, typer.Option(help="Where the masks are, inside FOLDER.")] = "",
    labels: Annotated[str, typer.Option(help="The table of the classes, inside FOLDER; or: folders.")] = "",
    label: Annotated[str, typer.Option(help="The column of the class.")] = "",
    patient: Annotated[str, typer.Option(help="The column of the patient, or a pattern of the file names.")] = "",
    split: Annotated[str, typer.Option(help="The column of the parts train, val, test.")] = "",
) -> None:
    """Look at a folder of films and write the profile that reads it, saying what was taken for what."""
    from mmtk.dataplan.profile import plan_folder

    target = out or Path(f"{folder.resolve().name}.toml")
    said = {"images": images, "masks": masks, "labels": labels, "label": label, "patient": patient, "split": split}
    planned = plan_folder(folder, target, {key: value.strip("/") for key, value in said.items() if value})
    written = planned.write(target)
    typer.echo("\n".join(planned.lines))
    typer.echo(f"\nProfile   {', '.join(map(str, written))}")
    where = f"{planned.recipe} --profile {shlex.quote(str(target))} --data {shlex.quote(str(folder))}"
    typer.echo(f"Next      mmtk data inspect {where}")
    typer.echo(f"          mmtk run {where}")
