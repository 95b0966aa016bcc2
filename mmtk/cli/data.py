"""The commands ``mmtk data …``: look at data before training on them."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmtk.cli import completion, help
from mmtk.cli.code import CodeOpt
from mmtk.cli.options import DataOpt, JsonOpt, ProfileOpt, SetOpt, overrides, print_json
from mmtk.counts import counted
from mmtk.errors import MmtkError, RunFailed, folded
from mmtk.io import status_line
from mmtk.io.files import real_path

if TYPE_CHECKING:
    from mmtk.recipe.recipe import Recipe

app = help.App(
    help="Look at data before training on it.", rich_markup_mode=None, no_args_is_help=True, cls=help.Commands
)


@app.command()
def plan(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder of films, in any layout.")],
    out: Annotated[Path | None, typer.Option(help="The profile to write (default FOLDER-NAME.toml here).")] = None,
    images: Annotated[str, typer.Option(help="Where the films are, inside FOLDER.")] = "",
    masks: Annotated[str, typer.Option(help="Where the masks are, inside FOLDER.")] = "",
    labels: Annotated[str, typer.Option(help="The table of the classes, inside FOLDER; or: folders.")] = "",
    label: Annotated[str, typer.Option(help="The column of the class.")] = "",
    patient: Annotated[str, typer.Option(help="The column of the patient, or a pattern of the file names.")] = "",
    split: Annotated[str, typer.Option(help="The column of the parts train, val, test.")] = "",
) -> None:
    """Look at a folder of films and write the profile that reads it, saying what was taken for what."""
    from mmtk.data.plan.profile import plan_folder

    status_line.stage(f"looking at the files in {folder}")
    target = out or Path(f"{real_path(folder).name}.toml")
    answers = {
        "images": images,
        "masks": masks,
        "labels": labels,
        "label": label,
        "patient": patient,
        "split": split,
    }
    data_plan = plan_folder(folder, target, {key: value.strip("/") for key, value in answers.items() if value})
    files = data_plan.write(target)
    typer.echo(folded("\n".join(data_plan.lines), sys.stdout))
    typer.echo(f"\nProfile   {', '.join(map(str, files))}")
    where = f"{data_plan.recipe} --profile {shlex.quote(str(target))} --data {shlex.quote(str(folder))}"
    typer.echo(f"Next      mmtk data inspect {where}")
    typer.echo(f"          mmtk run {where}")


def refuse_unused(recipe: Recipe, data: Path | None, name: str) -> None:
    """Refuse a folder of films that a recipe on synthetic X-rays alone would leave unread."""
    tables = [recipe.source(task, domain) for task in recipe.tasks for domain in ("source", "cross")]
    if data is None or any(table and table["use"] != "phantom" for table in tables):
        return
    out, folder = shlex.quote(f"{real_path(data).name}.toml"), shlex.quote(str(data))
    raise MmtkError(
        "--data was given, but the profile phantom is of synthetic X-rays and reads no files.",
        str(data),
        f"mmtk data plan {folder} writes a profile for these films; then mmtk run {name} --profile {out} --data "
        f"{folder}. Without --data the synthetic ones are taken.",
    )


def refuse_faults(verdicts: list[dict[str, Any]]) -> None:
    """Raise RunFailed where a verdict is ✗, so that a script stops before it trains."""
    faults = [verdict for verdict in verdicts if not verdict["ok"]]
    if not faults:
        return
    refused = sum(verdict["refused"] for verdict in faults)
    training = f"Training refuses {refused} of them." if refused else "Training goes on all the same."
    raise RunFailed(f"{counted(len(faults), 'verdict')} ✗: to be mended. {training}")


@app.command("inspect")
def inspect_(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE", help="A recipe whose sources are inspected.", autocompletion=completion.recipes
        ),
    ] = "multimix",
    profile: ProfileOpt = None,
    data: DataOpt = None,
    set_: SetOpt = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the pictures (default inspect, or inspect-2 … where that shows other sets)."),
    ] = None,
    code: CodeOpt = None,
    json: JsonOpt = False,
) -> None:
    """Count, measure, judge and draw a recipe's data; exit code 1 where something is to be mended (✗)."""
    from mmtk.recipe.load import load_recipe, system_for

    loaded = load_recipe(system_for(recipe, profile), profile, overrides(set_))
    from rich.console import Console

    from mmtk.inspection.text import show as show_report
    from mmtk.workflows.inspect import inspect

    summary = inspect(loaded, data=data, out=out)
    if json:
        print_json(summary)
    else:
        show_report(summary, Console())
        if summary["pictures"]:
            typer.echo(f"\nPictures  {Path(summary['pictures'][0]).parent}/")
    refuse_faults(summary["verdicts"])
