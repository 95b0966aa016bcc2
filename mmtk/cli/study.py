"""The commands of studies: ``mmtk ablate``, ``status`` and ``report``."""

from __future__ import annotations

import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmtk.cli.code import CodeOpt
from mmtk.counts import counted, share
from mmtk.errors import MmtkError, RunFailed
from mmtk.io import status_line
from mmtk.io.spelling import command

if TYPE_CHECKING:
    from mmtk.report.analysis import Analysis
    from mmtk.study.folder import PlannedRun, StudyDir
    from mmtk.study.plan import Plan
    from mmtk.tracking.study import StudyMirror

DEFAULT = "multimix"
Seconds = dict[str, float]  # by the name of a run's folder


def ablate(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE|STUDY", help=f"A recipe, or a study directory to continue (default: {DEFAULT})."
        ),
    ] = None,
    components: Annotated[
        str | None,
        typer.Option(metavar="AXES", help="Such as saliency,ssl or ssl=none+mixmatch,ssl.weight=0.1+1."),
    ] = None,
    suite: Annotated[str | None, typer.Option(help="A list of systems instead: paper, or a TOML file.")] = None,
    design: Annotated[
        str | None, typer.Option(help="factorial (default), leave-one-out, add-one-in or one-at-a-time.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Runs of every cell (default 1, or the suite's).")
    ] = None,
    labels: Annotated[
        list[str] | None, typer.Option(metavar="TASK=N,…", help="Label budgets of a task; may be repeated.")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="Data and training budget; see mmtk list.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="The folder of the data sets.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a recipe key in every cell.")
    ] = None,
    launcher: Annotated[
        str | None, typer.Option(help="Where runs go: process (default), inline, or a plugin's.")
    ] = None,
    launch: Annotated[
        list[str] | None,
        typer.Option("--launch", metavar="KEY=VALUE", help="Set a key of the launcher; may be repeated."),
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs at a time: short for --launch jobs=N.")] = None,
    per_gpu: Annotated[
        int | None, typer.Option(min=1, help="Runs that share a GPU: short for --launch per_gpu=N.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="The study directory (default studies/NAME-DIGEST).")] = None,
    code: CodeOpt = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Hand the runs to the launcher's queue and return; see mmtk status.")
    ] = False,
) -> None:
    """Run every combination of components with several seeds, then test and report their effects."""
    from mmtk.study import launcher_settings

    keys = launcher_settings.keys_of(launch or [], {"jobs": jobs, "per_gpu": per_gpu})
    if recipe is not None and (Path(recipe) / "study.json").is_file():
        arguments = {
            "--components": components,
            "--suite": suite,
            "--design": design,
            "--seeds": seeds,
            "--labels": labels,
            "--set": set_,
            "--profile": profile,
            "--out": out,
        }
        study, plan, data = _planned_before(recipe, arguments, data)
    else:
        plan = _plan(recipe, components, suite, design, seeds, labels, profile, set_, device)
        study = _new_study(plan, out)
    table = launcher_settings.choose(study.launcher, launcher, keys)
    launcher_object = launcher_settings.make(table)
    why = _check(plan, study, data, dry_run)
    if dry_run:
        _show_plan(plan, study, launcher_object, data, device, why)
    else:
        _carry_out(plan, study, table, launcher_object, data, device, detach)


def _planned_before(
    recipe: str, arguments: dict[str, Any], data: Path | None
) -> tuple[StudyDir, Plan, Path | None]:
    """A study that goes on, with its plan and data folder; options that would make another plan are refused."""
    from mmtk.study.folder import StudyDir

    if wrong := [name for name, value in arguments.items() if value]:
        cure = f"Leave out {', '.join(wrong)}, or start another study."
        raise MmtkError("this study has its plan already.", recipe, cure)
    study = StudyDir(Path(recipe))
    before = study.about["data"]
    return study, study.plan(), data or (Path(before) if before else None)


def _new_study(plan: Plan, out: Path | None) -> StudyDir:
    """The folder of a new study: the one asked for, or one named by title and digest."""
    from mmtk.study.folder import StudyDir

    slug = "-".join(filter(None, "".join(c if c.isalnum() else "-" for c in plan.title.lower()).split("-")))
    return StudyDir(out or Path("studies") / f"{slug}-{plan.digest}")


def _check(plan: Plan, study: StudyDir, data: Path | None, dry_run: bool) -> str:
    """Refuse budgets and weights files with which a run would fail; for a dry run, say why it would."""
    from mmtk.workflows.rehearsal import check_budgets, check_weights

    if all(run.folder.finished for run in study.runs(plan)):
        return ""
    try:
        check_weights(plan)
        check_budgets(plan, data)
    except MmtkError as error:
        if not dry_run:
            raise
        return str(error)  # a plan needs no images
    return ""


def _carry_out(
    plan: Plan, study: StudyDir, table: Any, launcher: Any, data: Path | None, device: str, detach: bool
) -> None:
    """Run what the plan lacks, or hand it to a queue, and report; ``table`` names the launcher."""
    with study.held():
        facts = {"command": command(*sys.argv[1:]), "data": str(data.absolute()) if data else ""}
        study.write(plan, facts)
        before = study.launcher
        study.keep_launcher(table)
        expected = _show_plan(plan, study, launcher, data, device)
        try:
            if detach:
                _submit(study, launcher, data, device)
                return
            failed, mirror = _run(study, launcher, data, device, expected)
        except MmtkError:  # what was refused is not what the study goes on with
            study.keep_launcher(before)
            raise
    _finish(study, failed, mirror, data)


def _finish(study: StudyDir, failed: list[PlannedRun], mirror: StudyMirror, data: Path | None) -> None:
    """The report of what is there; RunFailed naming the runs that failed, with the line that repeats each."""
    from mmtk.study.launch import by_hand

    results = study.collect()
    if any(cell.runs for cell in results.cells):
        mirror.report(_report(results, study.report, set_aside=True))
    if failed:
        lines = "\n".join(f"  {run.title}: {by_hand(run, data)}" for run in failed)
        count = share(len(failed), len(study.runs()), "run")
        raise RunFailed(f"{count} failed. By hand:\n{lines}", hint=study.command("ablate"))


def _plan(
    recipe: str | None,
    components: str | None,
    suite: str | None,
    design: str | None,
    seeds: int | None,
    labels: list[str] | None,
    profile: str | None,
    sets: list[str] | None,
    device: str,
) -> Plan:
    from mmtk.model.device import choose_device, choose_precision
    from mmtk.recipe.toml import assignment
    from mmtk.study.plan import parse_budgets, plan_components, plan_suite

    if (components is None) == (suite is None):
        raise MmtkError(
            "say what to compare: either --components or --suite.",
            hint="For example: mmtk ablate --components saliency,ssl",
        )
    if suite is not None and recipe is not None:
        raise MmtkError("a suite names its own recipes.", recipe, "Leave the recipe out.")
    if suite is not None and design is not None:
        raise MmtkError("a design is for --components: a suite lists its systems.", hint="Leave --design out.")
    overrides = dict(assignment(text) for text in sets or [])
    common: dict[str, Any] = {"profile": profile, "overrides": overrides, "budgets": parse_budgets(labels or [])}
    if suite is not None:
        plan = plan_suite(suite, seeds=range(seeds) if seeds else None, **common)
    else:
        plan = plan_components(
            recipe or DEFAULT, components or "", design or "factorial", seeds=range(seeds or 1), **common
        )
    device_name = choose_device(device)
    return plan.with_precision(lambda precision: choose_precision(precision, device_name))


def _show_plan(
    plan: Plan, study: StudyDir, launcher: Any, data: Path | None, device: str, why: str = ""
) -> Seconds:
    """Show the plan, and how long it will take; gives that of every run. ``why`` says why it cannot be known."""
    from rich.console import Console

    from mmtk.runs.display import duration
    from mmtk.study.plan_table import plan_table
    from mmtk.workflows.rehearsal import forecast

    console = Console(highlight=False)
    finished_runs = {(run.recipe.digest, run.seed) for run in study.runs(plan) if run.folder.finished}
    table, differing = plan_table(plan, finished_runs, console.width)
    console.print(table)
    console.print("labels: of classes and of masks;  *: the reference, to which the others are compared")
    lines = [f"Also differs: {'; '.join(differing)}"] if differing else []
    lines += [f"{remark}." for remark in plan.remarks]
    lines += [f"Left out: {name}. {reason}" for name, reason in plan.dropped]
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    missing = len(plan.runs) - len(finished_runs)
    expected, time_text = None, ""
    if missing and not why:
        expected = forecast(study.runs(plan), launcher, data, device)
        workers, training = getattr(launcher, "workers", 1), duration(expected.training)
        time_text = f"; about {duration(expected.wall)} with {workers} at a time, of which training {training}"
    cells, seeds = counted(len(plan.cells), "cell"), counted(len(plan.seeds), "seed")
    line = f"{cells} × {seeds} = {counted(len(plan.runs), 'run')}, {missing} to do{time_text}."
    console.print(line, soft_wrap=True)
    if why:
        console.print(f"Not timed, and it would not run: {why}", markup=False, soft_wrap=True)
    console.print(f"Study     {study.path}", markup=False, soft_wrap=True)
    return expected.runs if expected else {}


def _submit(study: StudyDir, launcher: Any, data: Path | None, device: str) -> None:
    from mmtk.study.launch import submit_study

    queued, before = submit_study(study, launcher, data=data, device=device)
    summary = f"{counted(len(queued), 'run')} queued: {_ends(queued)}" if queued else "Nothing to queue"
    summary += f"; queued before: {counted(len(before), 'run')}: {_ends(before)}" if before else ""
    typer.echo(f"{summary}. Watch them: {study.command('status')}")
    typer.echo(f"When they are done, collect them: {study.command('ablate')}")


def _ends(names: list[str]) -> str:
    """The first and the last of several names."""
    return " … ".join(dict.fromkeys((names[0], names[-1])))


def _run(
    study: StudyDir, launcher: Any, data: Path | None, device: str, expected: Seconds
) -> tuple[list[PlannedRun], StudyMirror]:
    """Run what is missing; gives the runs that failed, and the study's mirror in MLflow."""
    import time

    from mmtk.components.launcher.inline import Inline
    from mmtk.runs.display import Display, duration
    from mmtk.study.launch import run_study
    from mmtk.study.live_table import live_table
    from mmtk.tracking.study import StudyMirror

    display = Display()
    mirror = StudyMirror(study, display.warn)
    start, first, stopped = time.monotonic(), -1, False

    def report(run: PlannedRun, outcome: str, count: int, of: int) -> None:
        nonlocal first
        first = count - 1 if first < 0 else first
        run_seconds = (time.monotonic() - start) / max(1, count - first)
        left = f"; about {duration(run_seconds * (of - count))} left" if 0 < count < of else ""
        line = f"[{count}/{of}] {run.title}: {outcome}{_headline(run) if outcome == 'done' else ''}{left}"
        display.note(line)

    before = signal.signal(signal.SIGTERM, _stop)
    status_line.stage(f"running; {study.command('status')} shows every run")
    # Runs in this very process show themselves.
    live = (
        nullcontext()
        if isinstance(launcher, Inline)
        else live_table(study, getattr(launcher, "workers", 0), expected, display.console)
    )
    try:
        with live:
            return run_study(study, launcher, data=data, device=device, report=report, ended=mirror.run), mirror
    except (KeyboardInterrupt, SystemExit):
        stopped = True
        display.note(f"Stopped. Continue with: {study.command('ablate')}")
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
        mirror.study_itself(stopped)
        if mirror.page:
            display.note(f"MLflow: {mirror.page}")


def _stop(*_: object) -> None:
    """SIGTERM ends a study as Ctrl-C does, so that launchers take back their jobs; a second one does at once."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.exit(143)


def _headline(run: PlannedRun) -> str:
    """A finished run's first scores, for its line."""
    from mmtk.io.files import read_json

    scores = read_json(run.folder.results_file)["in-domain"]
    headline_scores = [
        (task, metric) for task, metric in (("classification", "accuracy"), ("segmentation", "dice"))
    ]
    return "".join(f"  {metric} {scores[task][metric]:.3f}" for task, metric in headline_scores if task in scores)


def status(
    study_dir: Annotated[Path, typer.Argument(metavar="STUDY", help="A study directory.")], code: CodeOpt = None
) -> None:
    """What is done, running, failed (and why) and waiting in a study; on a terminal until nothing runs."""
    from mmtk.study.folder import StudyDir
    from mmtk.study.status import show

    show(StudyDir(study_dir))


def report(
    paths: Annotated[
        list[Path], typer.Argument(metavar="STUDY|RUNDIR", help="A study, or finished runs, the reference first.")
    ],
    out: Annotated[Path | None, typer.Option(help="Folder of the report (default STUDY/report).")] = None,
    code: CodeOpt = None,
) -> None:
    """Build tables, statistics, pictures and the page again, from the files alone."""
    from mmtk.study.folder import StudyDir
    from mmtk.study.results import from_runs

    if len(paths) == 1 and (paths[0] / "study.json").is_file():
        study = StudyDir(paths[0])
        _report(study.collect(), out or study.report, set_aside=out is None)
    else:
        _report(from_runs(paths), out or Path("report"))


def _report(study: Any, out: Path, set_aside: bool = False) -> Analysis:
    """Write the report and say its summary; gives what was computed for it."""
    from rich.console import Console

    from mmtk.report.analysis import analyse
    from mmtk.report.answer import summary_lines
    from mmtk.report.page import write_report

    if not any(cell.runs for cell in study.cells):
        raise RunFailed("no run has finished, so there is nothing to report.")
    analysis = analyse(study)
    page = write_report(analysis, out, set_aside=set_aside)
    console = Console(highlight=False)
    for line in summary_lines(analysis):
        console.print(line, markup=False)
    console.print(f"\nReport    {page}", markup=False, soft_wrap=True)
    return analysis
