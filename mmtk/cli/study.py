"""The commands of studies: ``mmtk ablate``, ``status`` and ``report``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmtk.cli import completion
from mmtk.cli.code import CodeOpt
from mmtk.cli.options import DataOpt, DeviceOpt, ProfileOpt
from mmtk.counts import counted, replicates
from mmtk.errors import MmtkError, folded, to_copy
from mmtk.io.spelling import command

if TYPE_CHECKING:
    from mmtk.report.foresight import Spread
    from mmtk.runs.display import Display
    from mmtk.study.plan import Plan
    from mmtk.workflows.forecast import Forecast
    from mmtk.workflows.report import Report
    from mmtk.workflows.study_session import StudySession

DEFAULT = "multimix"
MarginOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--margin",
        metavar="SCORE=VALUE",
        help="Largest difference of a score that does not matter, such as dice=0.01; may be repeated.",
    ),
]


def ablate(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE|STUDY",
            help=f"A recipe, or a study directory to continue (default: {DEFAULT}).",
            autocompletion=completion.recipes_and_studies,
        ),
    ] = None,
    components: Annotated[
        str | None,
        typer.Option(
            metavar="AXES",
            help="Such as saliency,ssl or ssl=none+mixmatch,ssl.weight=0.1+1.",
            autocompletion=completion.axes,
        ),
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(help="A list of systems instead: paper, or a TOML file.", autocompletion=completion.suites),
    ] = None,
    design: Annotated[
        str | None, typer.Option(help="factorial (default), leave-one-out, add-one-in or one-at-a-time.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Runs of every cell (default 1, or the suite's).")
    ] = None,
    folds: Annotated[
        int | None, typer.Option(metavar="K", help="In place of seeds: K folds of the patients, each tested once.")
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(metavar="R", help="With --folds: repeats, each divided anew (default 1).")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="settled", help="Add seeds until every verdict is settled.")
    ] = None,
    max_seeds: Annotated[
        int | None, typer.Option(min=1, help="Runs of every cell at most, with --until (default 20).")
    ] = None,
    tune: Annotated[
        int | None, typer.Option(metavar="N", help="Tune first: trials of every cell, over its recipe's [tune].")
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|KEY=VALUE", help="What proposes settings (default random); may be repeated."),
    ] = None,
    tune_seeds: Annotated[int | None, typer.Option(min=1, help="Runs of every trial (default 1).")] = None,
    labels: Annotated[
        list[str] | None, typer.Option(metavar="TASK=N,…", help="Label budgets of a task; may be repeated.")
    ] = None,
    profile: ProfileOpt = None,
    data: DataOpt = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a recipe key in every cell.",
            autocompletion=completion.assignments,
        ),
    ] = None,
    launcher: Annotated[
        str | None, typer.Option(help="Where runs go: process (default), inline, or a plugin's.")
    ] = None,
    launch: Annotated[
        list[str] | None,
        typer.Option(
            "--launch",
            metavar="KEY=VALUE",
            help="Set a key of the launcher; may be repeated.",
            autocompletion=completion.launcher_keys,
        ),
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs at a time: short for --launch jobs=N.")] = None,
    per_gpu: Annotated[
        int | None, typer.Option(min=1, help="Runs that share a GPU: short for --launch per_gpu=N.")
    ] = None,
    device: DeviceOpt = "auto",
    out: Annotated[Path | None, typer.Option(help="The study directory (default studies/NAME-DIGEST).")] = None,
    margin: MarginOpt = None,
    code: CodeOpt = None,
    like: Annotated[
        Path | None,
        typer.Option(
            metavar="STUDY",
            help="With --dry-run: a study whose spread says what this one can find.",
            autocompletion=completion.studies,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Hand the runs to the launcher's queue and return; see mmtk status.")
    ] = False,
) -> None:
    """Run every combination of components with several seeds, then test and report their effects."""
    from mmtk.report.margins import parse_margins
    from mmtk.runs.display import Display
    from mmtk.study import launcher_settings, tuning
    from mmtk.workflows.ablate import StudyRequest, prepare

    margins = parse_margins(margin or ())
    basis = _basis(like) if like else None
    keys = launcher_settings.keys_of(launch or [], {"jobs": jobs, "per_gpu": per_gpu})
    request = StudyRequest(
        recipe,
        components,
        suite,
        design,
        seeds,
        tuple(labels or ()),
        set_ or (),
        profile,
        out,
        until,
        max_seeds,
        margins,
        folds,
        repeats,
        tune,
        tuning.search_table(search or ()),
        tune_seeds,
    )
    session = prepare(request, keys | ({"use": launcher} if launcher else {}), data, device)
    if not (dry_run or detach):
        session.warm()
    try:
        session.check()
    except MmtkError as error:
        if not dry_run:
            raise
        _show_plan(session, None, str(error))  # a plan needs no images
        _show_power(session, basis)
        return
    if dry_run:
        _show_plan(session, session.forecast())
        _show_power(session, basis)
        return
    with session.locked(command(*sys.argv[1:])):
        expected = session.forecast(images=True)
        _show_plan(session, expected)
        if detach:
            _submit(session, Display(), expected)
            return
        failed, mirror = session.run(expected, Display())
    if page := session.report(mirror, margins):
        show_report(page)
    session.refuse(failed)


def _show_plan(session: StudySession, expected: Forecast | None, why: str = "") -> None:
    """Show the plan and how long it will take, where that is ``expected``; ``why`` says why it cannot be known."""
    from rich.console import Console

    from mmtk.runs.display import duration
    from mmtk.study.plan_table import plan_table

    plan, console = session.plan, Console(highlight=False)
    finished_runs = {(run.recipe.digest, run.seed) for run in session.study.runs(plan) if run.folder.finished}
    table, differing = plan_table(plan, finished_runs, console.width)
    console.print(table)
    console.print("labels: of classes and of masks;  *: the reference, to which the others are compared")
    lines = [f"Differs too (no room for a column): {'; '.join(differing)}"] if differing else []
    lines += [f"{remark}." for remark in plan.remarks]
    lines += [f"Left out: {name}. {reason}" for name, reason in plan.dropped]
    for line in lines:
        console.print(line, markup=False, soft_wrap=to_copy(line))
    time_text = ""
    if expected:
        at_once = f"with {session.workers} at a time, of which training {duration(expected.training)}"
        time_text = f"; about {duration(expected.wall)} {at_once}"
    console.print(f"{_runs(plan, len(finished_runs))}{time_text}.")
    if plan.tuning:
        console.print(_trials(plan))
    if why:
        console.print(f"Not timed, and it would not run: {why}", markup=False)
    console.print(f"Study     {session.study.path}", markup=False, soft_wrap=True)


def _basis(like: Path) -> tuple[list[Spread], str]:
    """The spreads of another study, and their source in words."""
    from mmtk.report.foresight import spreads_of
    from mmtk.study.folder import read_study

    return spreads_of(read_study(like)), f"by the spread of {like}"


def _show_power(session: StudySession, basis: tuple[list[Spread], str] | None) -> None:
    """Show what the plan can find, from the spread of its own runs, or a typical one.

    ``basis``: spreads of another study in their place, and their source in words.
    """
    from mmtk.report.foresight import power_lines, spreads_of, typical_spreads

    plan, study = session.plan, session.study
    if basis is not None:
        spreads, source = basis
    elif study.file.is_file() and any(
        run.folder.finished and run.seed in plan.seeds[1:] for run in study.runs(plan)
    ):
        spreads, source = spreads_of(study.collect()), "by the spread of its own runs"
    else:
        spreads = typical_spreads(dict.fromkeys(task for cell in plan.cells for task in cell.recipe.tasks))
        source = "typical of real films at 64 px, patients not counted; --like STUDY tells more"
    for line in power_lines(len(plan.seeds), spreads, source, plan.folds):
        typer.echo(folded(line, sys.stdout))


def _runs(plan: Plan, finished: int) -> str:
    """The number of runs: of all rounds at most, and of those to do now."""
    cells, seeds = counted(len(plan.cells), "cell"), replicates(len(plan.seeds), plan.folds)
    runs, missing = counted(len(plan.runs), "run"), len(plan.runs) - finished
    most = counted(plan.most_runs, "run")
    if plan.tuning is not None:
        trials = counted(plan.tuning.trials * len(plan.cells), "trial")
        seeds += " at most" * (plan.stopping is not None)
        both = f"{cells} × {seeds}, before and after tuning, and {trials}"
        return f"{both}: {most} at most; {runs} asked for so far, {missing} to do"
    if plan.stopping is None:
        return f"{cells} × {seeds} = {runs}, {missing} to do"
    return f"{cells} × {seeds} at most = {most} at most; {runs} asked for so far, {missing} to do"


def _trials(plan: Plan) -> str:
    """The trials of a plan, and the keys that they vary."""
    from mmtk.study.tuning import summary

    if plan.tuning is None:
        return ""
    keys = dict.fromkeys(key for space in plan.tuning.spaces.values() for key in space)
    return f"Tuning: {summary(plan.tuning, plan.cells)}. It varies {', '.join(keys)}."


def _submit(session: StudySession, display: Display, expected: Forecast | None) -> None:
    """Queue the missing runs, and say which jobs wait."""
    queued, before = session.submit(display, expected)
    summary = f"{counted(len(queued), 'run')} queued as {_jobs(queued)}" if queued else "Nothing to queue"
    summary += f"; {counted(len(before), 'run')} queued before as {_jobs(before)}" if before else ""
    typer.echo(f"{summary}. Watch them: {session.study.command('status')}")
    typer.echo(f"When they are done, collect them: {session.study.command('ablate')}")


def _jobs(names: list[str]) -> str:
    """Jobs of a queue: the first and the last of several."""
    return f"job{'s' * (len({*names}) > 1)} {' … '.join(dict.fromkeys((names[0], names[-1])))}"


def status(
    study_dir: Annotated[
        Path, typer.Argument(metavar="STUDY", help="A study directory.", autocompletion=completion.studies)
    ],
    code: CodeOpt = None,
) -> None:
    """Show the runs of a study: done, running, failed (and why) and waiting; on a terminal until nothing runs."""
    from mmtk.study.folder import StudyDir
    from mmtk.study.status import show

    show(StudyDir(study_dir))


def report(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="STUDY|RUNDIR",
            help="A study, or finished runs, the reference first.",
            autocompletion=completion.runs,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the report (default STUDY/report, of one run RUNDIR/report, else report)."),
    ] = None,
    margin: MarginOpt = None,
    match: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Match test images, too, by attributes such as view,sex.")
    ] = None,
    code: CodeOpt = None,
) -> None:
    """Build tables, statistics, pictures and the page again, from the files alone; of a run its pictures, too."""
    from mmtk.report.margins import parse_margins
    from mmtk.workflows.report import report as write_report

    names = [name.strip() for name in (match or "").split(",") if name.strip()]
    show_report(write_report(paths, out, margins=parse_margins(margin or ()), match=names))


def show_report(written: Report) -> None:
    """Print the summary of a report and where its page is."""
    from rich.console import Console

    console = Console(highlight=False)
    console.print(written.summary, markup=False)
    console.print(f"\nReport    {written.page}", markup=False, soft_wrap=True)
    if written.pictures:
        console.print(f"Pictures  {written.pictures[0].parent}/", markup=False, soft_wrap=True)
    if written.without_pictures:
        console.print(f"Pictures  of the run not drawn: {written.without_pictures}", markup=False, soft_wrap=True)


COMMANDS: dict[str, Callable[..., None]] = {"ablate": ablate, "status": status, "report": report}
