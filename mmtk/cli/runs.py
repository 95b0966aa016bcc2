"""The commands of single runs: ``mmtk run``, ``evaluate``, ``predict``, ``saliency`` and ``track``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from mmtk.cli import completion
from mmtk.cli import data as data_commands
from mmtk.cli.code import CodeOpt
from mmtk.cli.options import (
    CellOpt,
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
from mmtk.counts import counted, share
from mmtk.errors import MmtkError, RunFailed, listing
from mmtk.io.files import read_json
from mmtk.io.spelling import command, visible
from mmtk.registry.local_file import COPY

SHOWN = 20  # predictions that are printed; all are in the table


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
    no_pictures: Annotated[
        bool, typer.Option("--no-pictures", help="Draw nothing: mmtk report RUN draws later.")
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
        loaded,
        out,
        data=data,
        device=device,
        devices=devices,
        deterministic=deterministic,
        pictures=not no_pictures,
        quiet=json,
    )
    from mmtk.io import distributed

    if not distributed.silent():
        _tell(result, loaded.tracking.enabled, json, bool(code))
    distributed.exit_rank()


def _tell(result: Any, tracked: bool, json: bool, code: bool) -> None:
    """Print the folder of a run's results, and the next command."""
    if json:
        print_json({"path": str(result.path), "results": result.scores})
        return
    typer.echo(f"\nResults   {result.path}/results.json, cases.parquet")
    if result.figures:
        typer.echo(f"Pictures  {result.path}/figures/")
    copy = ["--code", f"{result.path}/{COPY}"] if code else []
    typer.echo(f"Next      {command('predict', result.path, *copy)} IMAGE… --out DIR")
    if not result.figures:
        typer.echo(f"          {command('report', result.path)}    (draws it)")
    if tracked:
        from mmtk.tracking.client import page_command
        from mmtk.tracking.run import tracking_uri

        typer.echo(f"          {page_command(tracking_uri())}")


def evaluate(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUNDIR… [FOLDER…]",
            help="A finished run, several to average, or a study; then folders of films to score.",
            autocompletion=completion.first_runs,
        ),
    ],
    cell: CellOpt = None,
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
    no_pictures: Annotated[bool, typer.Option("--no-pictures", help="Draw nothing.")] = False,
    code: CodeOpt = None,
    json: JsonOpt = False,
) -> None:
    """Score a finished run on folders of films, by whatever labels are there, or on the test sets of a profile."""
    from mmtk.workflows.members import is_study, leading_runs, run_folders

    columns = {"masks": masks, "labels": labels, "label": label}
    runs, folders = leading_runs(paths)
    if is_study(runs[0]) and cell is None and not folders:
        _evaluate_study(runs[0], data, device, json)
        return
    members = run_folders(runs, cell)
    from mmtk.data.plan.listing import check_exists

    for folder in folders:
        check_exists(folder)
    from mmtk.data.label_matching import parse_matches
    from mmtk.workflows.evaluate import evaluate as evaluate_run

    result = evaluate_run(
        members,
        profile,
        overrides(set_),
        out,
        folders=folders,
        columns={key: value for key, value in columns.items() if value},
        data=data,
        match=parse_matches(match),
        device=device,
        pictures=not no_pictures,
        quiet=json,
    )
    if json:
        print_json({"path": str(result.path), "results": result.scores})
    else:
        typer.echo(f"\nResults   {result.path}/results.json, cases.parquet")
    _refuse_gaps(read_json(result.path / "evaluation.json"))


def _refuse_gaps(facts: dict[str, Any]) -> None:
    """Raise RunFailed where images or sets could not be scored, though others were.

    ``facts``: of evaluation.json
    """
    sentences = []
    if unreadable := len(facts["unreadable"]):
        left_out = counted(unreadable, "image that cannot be read was", "images that cannot be read were")
        sentences.append(f"{left_out} left out; evaluation.json says why.")
    if unscored := facts["not_scored"]:
        sentences.append(f"Not scored: {listing(unscored)}. The lines above say why, and the cure.")
    if sentences:
        raise RunFailed(" ".join(sentences))


def _evaluate_study(study: Path, data: Path | None, device: str, json: bool) -> None:
    """Score the ensemble of every cell of a study, and say how to see them."""
    from mmtk.workflows.cell_ensembles import evaluate_cells

    evaluate_cells(study, data=data, device=device, quiet=json)
    if json:
        print_json({"path": str(study / "ensembles")})
    else:
        typer.echo(f"\nResults   {study}/ensembles/\nNext      {command('report', study)}")


def predict(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUNDIR… IMAGE…",
            help="A finished run directory, several to average, or a study with --cell; then images or folders.",
            autocompletion=completion.first_runs,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the results.")],
    cell: CellOpt = None,
    device: DeviceOpt = "auto",
    code: CodeOpt = None,
) -> None:
    """Predict masks, overlays, saliency and classes of images of any size."""
    from mmtk.workflows.members import leading_runs, run_folders

    runs, images = leading_runs(paths)
    members = run_folders(runs, cell)
    if not images:
        raise MmtkError("no images: only run directories were given.", hint="Give images or folders behind them.")
    from mmtk.workflows.predict import TABLE
    from mmtk.workflows.predict import predict as predict_images

    rows = predict_images(members, images, out, device, quiet=False)
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
    """One line with the class and the areas of an image."""
    parts = []
    if name := cells.get("class"):
        parts.append(f"{name} {float(cells[f'p-{name}']):.2f}")
    for column, cell in cells.items():
        if organ := column.partition("area-share-")[2]:
            size = f"{float(mm2):,.0f} mm²" if (mm2 := cells[f"area-mm2-{organ}"]) else f"{float(cell):.1%}"
            parts.append(f"{organ} {size}")
    return f"{visible(image)}  {', '.join(parts)}"


def saliency(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="RUNDIR…|STUDY", help="Finished runs, or a study.", autocompletion=completion.runs),
    ],
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="NAME",
            help="Such as captum,method=grad-cam; may be repeated (default: the run's own, noise, centre).",
        ),
    ] = None,
    images: Annotated[
        int, typer.Option(min=1, help="Images of every test set; those with boxes beside them.")
    ] = 50,
    data: DataOpt = None,
    device: DeviceOpt = "auto",
    code: CodeOpt = None,
) -> None:
    """Measure saliency maps on a run's own test sets: lungs, boxes, deletion, insertion, shuffled weights."""
    from mmtk.workflows.members import check_runs

    check_runs(paths)
    from mmtk.workflows.saliency import saliency as measure_maps

    folders = measure_maps(paths, map_ or (), images=images, data=data, device=device, quiet=False)
    names = [str(path) for path in paths]
    typer.echo(f"\nResults   {folders[0].parent}/\nNext      {command('report', *names)}")


def track(
    run_dirs: Annotated[
        list[Path], typer.Argument(metavar="RUNDIR", help="Run directories.", autocompletion=completion.runs)
    ],
    code: CodeOpt = None,
) -> None:
    """Send runs to MLflow: what it has not yet, and nothing twice."""
    from mmtk.runs.folder import RunDir
    from mmtk.workflows.track import track as track_run

    for path in run_dirs:
        if len(run_dirs) > 1 and not RunDir(path).provenance_file.is_file():  # as runs/* may name them
            typer.echo(f"{path}: left out: it is no run that began.", err=True)
            continue
        typer.echo(f"{path}: {track_run(path)}")


COMMANDS: dict[str, Callable[..., None]] = {
    "run": run,
    "evaluate": evaluate,
    "predict": predict,
    "saliency": saliency,
    "track": track,
}
