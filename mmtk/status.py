"""Where a study stands: a table of its runs, live while one of them is under way."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import fmean

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mmtk.display import duration
from mmtk.errors import MmtkError
from mmtk.runs import read_json, read_lines
from mmtk.study import PlannedRun, StudyDir

TEXTS = ("run", "state")
MOST_ROWS = 300  # more runs than that are shown as a row for each system, besides those that need attention
COLOURS = {"done": "green", "changed": "red", "running": "cyan", "failed": "red", "waiting": "dim"}


def show(study: StudyDir) -> None:
    """Print the table; on a terminal, keep it fresh until no run is under way, or Ctrl-C."""
    console = Console(highlight=False)
    intact: set[str] = set()
    table, running = _table(study, intact)
    if not (console.is_terminal and running):
        console.print(table)
        return
    with Live(table, console=console, auto_refresh=False) as live:
        while running:
            time.sleep(2)
            table, running = _table(study, intact)
            live.update(table, refresh=True)


def _table(study: StudyDir, intact: set[str]) -> tuple[Group, bool]:
    """The table, and whether a run is under way; ``intact`` remembers the finished runs that were looked at."""
    plan = study.plan()
    runs = study.runs(plan)
    failures = study.failures(runs)
    changed = {run.folder.path.name: names for run in runs if (names := _changed(run, intact))}
    states: list[str] = ["changed" if r.folder.path.name in changed else study.state(r, failures) for r in runs]
    queued, unknown = _queue(study, runs, states, failures)
    table = Table(title=plan.title, title_justify="left", title_style="bold")
    for heading in ("run", "seed", "state", "step", "time", "accuracy", "dice"):
        table.add_column(heading, overflow="fold", justify="left" if heading in TEXTS else "right")
    many = len(runs) > MOST_ROWS
    for run, state in zip(runs, states, strict=True):
        if many and state in ("done", "waiting"):
            continue
        said = Text(state, style=COLOURS[state])
        if state == "failed":
            said.append(f": {failures[run.folder.path.name]}", style="default")
        if state == "waiting" and run.folder.path.name in queued:
            said.append(f": {queued[run.folder.path.name]}", style="default")
        if state == "changed":
            said.append(f": {', '.join(changed[run.folder.path.name])}", style="default")
        table.add_row(run.cell.title, str(run.seed), said, *_progress(run, state))
    lines: list[RenderableType] = [_by_system(runs, states)] if many else []
    lines.append(Text(f"{_counts(states)}{_left(runs, states)}"))
    if unknown:
        lines.append(Text(unknown))
    if changed:
        cure = f"Restore what was changed, or remove done.json there and run it again: {study.command('ablate')}"
        lines.append(Text(cure))
    return Group(*([table] if table.row_count else []), *lines), "running" in states


def _queue(
    study: StudyDir, runs: Sequence[PlannedRun], states: list[str], failures: dict[str, str]
) -> tuple[dict[str, str], str]:
    """What the launcher's queue says of the runs that wait in it, by folder name; or why it cannot be asked.

    Puts right the states that the runs' own files do not tell: queued again after a failure, gone from the queue.
    """
    jobs = study.queued
    if not jobs:
        return {}, ""
    # Not above: a launcher needs torch, whose import takes longer than the table.
    from mmtk import launching
    from mmtk.api import Done
    from mmtk.study_run import failure, standing

    try:
        found = standing(study, launching.make(study.launcher), runs)
    except MmtkError as error:
        return {}, f"The queue cannot be asked: {error.message}"
    if found is None:
        return {}, ""
    for place, run in enumerate(runs):
        name = run.folder.path.name
        if name in found and states[place] == "failed":
            states[place] = "waiting"
        elif name in jobs and name not in found and states[place] == "waiting" and not run.folder.finished:
            states[place] = "failed"
            done = Done(run.folder.path, 1, run.folder.path / "output.log")
            failures[name] = f"job {jobs[name]} is in the queue no more; {failure(done)}"
    return {name: f"job {jobs[name]}, {said}" for name, said in found.items()}, ""


def _counts(states: Sequence[str]) -> str:
    return ", ".join(f"{states.count(state)} {state}" for state in COLOURS if state in states)


def _by_system(runs: Sequence[PlannedRun], states: Sequence[str]) -> Table:
    """A row for every system: how its runs stand."""
    table = Table("system", "runs")
    by_cell: dict[str, list[str]] = {}
    titles = {run.cell.recipe.digest: run.cell.title for run in runs}
    for run, state in zip(runs, states, strict=True):
        by_cell.setdefault(run.cell.recipe.digest, []).append(state)
    for digest, own in by_cell.items():
        table.add_row(titles[digest], _counts(own))
    return table


def _changed(run: PlannedRun, intact: set[str]) -> list[str]:
    """The files of a finished run that are not as it left them."""
    if run.folder.path.name in intact or not run.folder.finished:
        return []
    if not (names := run.folder.altered()):
        intact.add(run.folder.path.name)
    return names


def _progress(run: PlannedRun, state: str) -> tuple[str, str, str, str]:
    """Step, time, accuracy and Dice of a run, as far as it has them."""
    if state == "done":
        facts, scores = read_json(run.folder.done_file), read_json(run.folder.results_file)["in-domain"]
        found = [scores.get("classification", {}).get("accuracy"), scores.get("segmentation", {}).get("dice")]
        shown = ["–" if value is None else f"{value:.3f}" for value in found]
        return str(facts["steps"]), duration(facts["seconds"]), shown[0], shown[1]
    if state == "changed" or not run.folder.timing_file.is_file():
        return "–", "–", "–", "–"
    try:
        rows = read_lines(run.folder.timing_file)
    except ValueError:  # a row is being written
        rows = []
    seconds = sum(row["seconds"] for row in rows)
    return str(rows[-1]["step"] if rows else 0), duration(seconds), "–", "–"


def _left(runs: Sequence[PlannedRun], states: Sequence[str]) -> str:
    """The time left, from what finished runs of this study took and how many run at once."""
    took = [
        read_json(run.folder.done_file)["seconds"]
        for run, state in zip(runs, states, strict=True)
        if state == "done"
    ]
    open_runs, workers = states.count("waiting") + states.count("running"), states.count("running")
    if not took or not open_runs or not workers:
        return ""
    return f"; about {duration(fmean(took) * open_runs / workers)} left"
