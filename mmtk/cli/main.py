"""The ``mmtk`` command. Every command imports what it needs inside, so that ``--help`` stays instant."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mmtk.cli import bench, export, help, plugins, recipes, study
from mmtk.cli import data as data_commands
from mmtk.cli.code import CodeOpt
from mmtk.cli.options import (
    DataOpt,
    DeviceOpt,
    JsonOpt,
    ProfileOpt,
    RecipeArg,
    SeedOpt,
    SetOpt,
    overrides,
    print_json,
)
from mmtk.counts import share
from mmtk.errors import MmtkError, RunFailed, report
from mmtk.io import status_line
from mmtk.io.spelling import command
from mmtk.registry import memo
from mmtk.registry.local_file import COPY
from mmtk.runs import pace

app = help.App(
    name="mmtk",
    help="Which part of a semi-supervised, multi-task method really helps?",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    cls=help.Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data_commands.app, name="data")
app.add_typer(plugins.app, name="plugins")
for name, command_function in recipes.COMMANDS.items():
    app.command(name)(command_function)
for command_function in (study.ablate, study.status, study.report, export.export, bench.bench):
    app.command()(command_function)

DOCTOR = 27  # columns of the names that it prints
SHOWN = 20  # predictions that are printed; all are in the table


def _print_version(enabled: bool) -> None:
    if enabled:
        from mmtk import __version__

        typer.echo(f"mmtk {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Which part of a semi-supervised, multi-task method really helps?"""


@app.command()
def run(
    recipe: RecipeArg,
    profile: ProfileOpt = None,
    data: DataOpt = None,
    seed: SeedOpt = None,
    out: Annotated[Path | None, typer.Option(help="The run directory (default runs/NAME-DIGEST-sSEED).")] = None,
    device: DeviceOpt = "auto",
    devices: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that divide every batch, each with a GPU (or cores) of its own."),
    ] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32, bf16 or fp64.")] = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Refuse GPU kernels whose sums differ from call to call.")
    ] = False,
    set_: SetOpt = None,
    name: Annotated[str | None, typer.Option(help="Another name for the run.")] = None,
    code: CodeOpt = None,
    json: JsonOpt = False,
) -> None:
    """Train, evaluate and draw a recipe; continue an interrupted run directory."""
    from mmtk.recipe.load import load_recipe
    from mmtk.runs.folder import RunDir

    changes = overrides(set_, seed=seed, name=name, train__precision=precision)
    loaded = load_recipe(recipe, profile, changes)
    if out is None and (RunDir(Path(recipe)).is_run or RunDir(Path(recipe)).model.is_file()):
        out = Path(recipe)
    elif profile is None:
        data_commands.refuse_unused(loaded, data, recipe)
    from mmtk.workflows.run import run as run_recipe

    result = run_recipe(
        loaded, out, data=data, device=device, devices=devices, deterministic=deterministic, quiet=json
    )
    from mmtk.io import distributed

    if not distributed.silent():
        _tell(result, loaded.tracking.enabled, json, bool(code))
    distributed.leave()


def _tell(result: Any, tracked: bool, json: bool, code: bool) -> None:
    """Where the results of a run are, and what to do next."""
    if json:
        print_json({"path": str(result.path), "results": result.scores})
        return
    typer.echo(f"\nResults   {result.path}/results.json, cases.parquet")
    typer.echo(f"Pictures  {result.path}/figures/")
    copy = ["--code", f"{result.path}/{COPY}"] if code else []
    typer.echo(f"Next      {command('predict', result.path, *copy)} IMAGE… --out DIR")
    if tracked:
        typer.echo("          mlflow ui --backend-store-uri sqlite:///mlflow.db")


@app.command()
def evaluate(
    run_dir: Annotated[Path, typer.Argument(metavar="RUNDIR", help="A finished run directory.")],
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="FOLDER…", help="Folders of films to score.")
    ] = None,
    masks: Annotated[str | None, typer.Option(help="The folder of the masks, where it is not found.")] = None,
    labels: Annotated[str | None, typer.Option(help="The table of the classes, where it is not found.")] = None,
    label: Annotated[str | None, typer.Option(help="The column of the class in the table.")] = None,
    match: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABEL=NAME", help="A label of the data is this class or organ of the run; may be repeated."
        ),
    ] = None,
    profile: ProfileOpt = None,
    data: DataOpt = None,
    set_: SetOpt = None,
    out: Annotated[Path | None, typer.Option(help="Where to write (default RUNDIR/evaluations/NAME).")] = None,
    device: DeviceOpt = "auto",
    code: CodeOpt = None,
    json: JsonOpt = False,
) -> None:
    """Score a finished run on folders of films, by whatever labels are there, or on the test sets of a profile."""
    from mmtk.data.label_matching import matches
    from mmtk.workflows.evaluate import evaluate as evaluate_run

    columns = {"masks": masks, "labels": labels, "label": label}
    result = evaluate_run(
        run_dir,
        profile,
        overrides(set_),
        out,
        folders=folders or [],
        columns={key: value for key, value in columns.items() if value},
        data=data,
        match=matches(match),
        device=device,
        quiet=json,
    )
    if json:
        print_json({"path": str(result.path), "results": result.scores})
    else:
        typer.echo(f"\nResults   {result.path}/results.json, cases.parquet")


@app.command()
def predict(
    run_dir: Annotated[Path, typer.Argument(metavar="RUNDIR", help="A finished run directory.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE", help="Images or folders of images.")],
    out: Annotated[Path, typer.Option(help="Folder of the results.")],
    device: DeviceOpt = "auto",
    code: CodeOpt = None,
) -> None:
    """Masks, overlays, saliency and classes for images of any size."""
    from mmtk.workflows.predict import TABLE
    from mmtk.workflows.predict import predict as predict_images

    rows = predict_images(run_dir, images, out, device, quiet=False)
    results = [row for row in rows if not row.error]
    for row in results[:SHOWN]:
        typer.echo(_prediction(row.image, row.cells))
    if len(results) > SHOWN:
        typer.echo(f"… and {len(results) - SHOWN} more")
    typer.echo(f"\nResults   {out / TABLE}" + ("; pictures beside it" if results else ""))
    if bad := len(rows) - len(results):
        rest = "the others are done" if results else "so nothing was predicted"
        count = share(bad, len(rows), "image")
        raise RunFailed(f"{count} could not be predicted; {rest}. The table says why.")


def _prediction(image: Path, cells: dict[str, str]) -> str:
    """The class and the areas of one image as a line."""
    parts = []
    if name := cells.get("class"):
        parts.append(f"{name} {float(cells[f'p-{name}']):.2f}")
    for column, cell in cells.items():
        if organ := column.partition("area-share-")[2]:
            size = f"{float(mm2):,.0f} mm²" if (mm2 := cells[f"area-mm2-{organ}"]) else f"{float(cell):.1%}"
            parts.append(f"{organ} {size}")
    return f"{image}  {', '.join(parts)}"


@app.command()
def track(
    run_dirs: Annotated[list[Path], typer.Argument(metavar="RUNDIR", help="Run directories.")],
    code: CodeOpt = None,
) -> None:
    """Send runs to MLflow (again); what is there already is not doubled."""
    from mmtk.runs.folder import RunDir
    from mmtk.workflows.track import track as track_run

    for path in run_dirs:
        if len(run_dirs) > 1 and not RunDir(path).provenance_file.is_file():  # as runs/* may name them
            typer.echo(f"{path}: left out: it is no run that began.", err=True)
            continue
        typer.echo(f"{path}: {track_run(path)}")


@app.command()
def doctor(data: DataOpt = None) -> None:
    """Judge this machine: versions, device, load, MLflow, disk, data; exit code 1 if something is missing."""
    from mmtk.workflows.doctor import findings

    wrong = 0
    for mark, name, text in findings(data):
        typer.echo(f"{mark} {name:{DOCTOR}}  {text}")
        wrong += mark == "✗"
    if wrong:
        raise RunFailed(f"{wrong} of these {'has' if wrong == 1 else 'have'} to be mended (✗).")


@app.command("help")
def help_(
    ctx: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(metavar="COMMAND", help="A command, such as run.")] = None,
) -> None:
    """Print the help of a command."""
    typer.echo(help.help_text(ctx, words or []))


def main() -> None:
    """Run the command and turn every error into a message and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks a sign shows its number instead
            stream.reconfigure(errors="backslashreplace")
    pace.share_cores()
    memo.begin()
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        with status_line.shown(arguments):
            sys.exit(app(args=arguments, prog_name="mmtk", standalone_mode=False) or 0)
    except typer.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        print("mmtk: interrupted.", file=sys.stderr)
        sys.exit(130)
    except MmtkError as error:
        if debug:
            raise
        sys.exit(report(error))
    except OSError as error:
        if debug:
            raise
        sys.exit(report(_from_system(error)))
    except Exception as error:
        # click's usage errors know how to show themselves.
        if debug or not hasattr(error, "show"):
            raise
        error.show()
        sys.exit(getattr(error, "exit_code", 2))
    finally:
        memo.end()


def _from_system(error: OSError) -> MmtkError:
    """A full disk, a read-only folder or a missing file as a message."""
    import errno

    where = str(error.filename) if error.filename else None
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return RunFailed("the disk is full; what was written before is kept.", where, "Make room and run again.")
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return MmtkError("cannot be written or read: permission denied.", where, "Choose another --out.")
    return RunFailed(error.strerror or str(error), where)
