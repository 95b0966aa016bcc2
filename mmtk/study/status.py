"""Status of a study: a table of its runs, live while one of them is under way."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mmtk.errors import MmtkError
from mmtk.io.files import read_json
from mmtk.runs.display import duration
from mmtk.runs.progress import Progress
from mmtk.runs.score_names import BUILTIN_FIRST, first_scores
from mmtk.study.estimate import makespan, remaining
from mmtk.study.folder import RUNS, PlannedRun, StudyDir

COLUMNS = ("run", "seed", "state", "step", "time", "left")
TEXTS = ("run", "state")
MOST_ROWS = 300  # more runs than that are shown as a row for each system, besides those that need attention
COLOURS = {"done": "green", "changed": "red", "running": "cyan", "failed": "red", "waiting": "dim"}
SIGHT = ("running", "failed", "changed", "waiting")  # what a live table of few rows shows first
States = dict[str, str]  # folder name → a word of COLOURS


def show(study: StudyDir) -> None:
    """Print the table; on a terminal, keep it fresh until no run is under way, or Ctrl-C."""
    console = Console(highlight=False)
    table = StudyTable(study)
    content, running = table.draw(), table.running
    if not (console.is_terminal and running):
        console.print(content)
        return
    with Live(content, console=console, auto_refresh=False) as live:
        while table.running:
            time.sleep(2)
            live.update(table.draw(), refresh=True)


def absence(study: StudyDir, runs: Sequence[PlannedRun]) -> str:
    """Sentence on runs none of which lies where study.json says; "" where one does."""
    if not runs or any(run.folder.path.exists() for run in runs):
        return ""
    root = runs[0].folder.path.parent
    return (
        f"None of its runs lies in {root}. If the study was copied or moved: put its runs "
        f"into {study.path / RUNS}, or write where they lie as 'runs' into study.json, seen from its folder."
    )


class StudyTable:
    """The table of a study's runs; what can change no more is read once.

    most: rows at most, those that run, failed or wait next; 0 shows all
    workers: runs at a time, where it is known
    expected: seconds that a run was expected to take, by the name of its folder
    """

    def __init__(
        self, study: StudyDir, most: int = 0, workers: int = 0, expected: Mapping[str, float] | None = None
    ) -> None:
        self.study, self.most, self.workers, self.expected = study, most, workers, expected or {}
        self.plan = study.plan()
        self.runs = study.runs(self.plan)
        self._with_scores = not most  # below a study that runs, the line of a finished run has them
        self._first_scores: dict[str, str] = {}  # of each task, as the first finished run declares it
        self.running = False
        self._done: dict[str, tuple[str, ...]] = {}  # cells of the rows of finished runs
        self._seconds: dict[str, float] = {}  # what finished runs took
        self._changed: dict[str, list[str]] = {}
        self._progress: dict[str, Progress] = {}

    def draw(self) -> Group:
        """The table as the files have it now, with counts and the time that is left."""
        failures = self.study.failures(run for run in self.runs if run.folder.path.name not in self._done)
        states = [self._state(run, failures) for run in self.runs]
        queued, unknown = _queue(self.study, self.runs, states, failures)
        self.running = "running" in states
        many = not self.most and len(self.runs) > MOST_ROWS
        table = Table(title=self.plan.title, title_justify="left", title_style="bold")
        scores = [self._first_scores.get(task, name) for task, name in BUILTIN_FIRST.items()] * self._with_scores
        for heading in (*COLUMNS, *scores):
            justify: JustifyMethod = "left" if heading in TEXTS else "right"
            table.add_column(
                heading, overflow="ellipsis" if self.most else "fold", no_wrap=bool(self.most), justify=justify
            )
        for run, state in self._visible(states, many):
            name = run.folder.path.name
            more = {"failed": failures, "waiting": queued}.get(state, {}).get(name, "")
            if state == "changed":
                more = ", ".join(self._changed[name])
            text = Text(state, style=COLOURS[state])
            text.append(f": {more}" if more else "", style="default")
            cells = self._cells(run, state)[: len(COLUMNS) - 3 + len(scores)]
            table.add_row(run.cell.title, str(run.seed), text, *cells)
        lines: list[RenderableType] = [_by_system(self.runs, states)] if many else []
        lines.append(Text(f"{_counts(states)}{self._left(states)}"))
        lines += [Text(unknown)] if unknown else []
        if not self.most and (sentence := absence(self.study, self.runs)):
            lines.append(Text(sentence))
        if self._changed:
            cure = self.study.command("ablate")
            lines.append(Text(f"Restore what was changed, or remove done.json there and run it again: {cure}"))
        return Group(*([table] if table.row_count else []), *lines)

    def _visible(self, states: Sequence[str], many: bool) -> list[tuple[PlannedRun, str]]:
        """The runs that have a row, in the order of the plan."""
        rows = list(zip(self.runs, states, strict=True))
        if many:
            return [(run, state) for run, state in rows if state not in ("done", "waiting")]
        if not self.most or len(rows) <= self.most:
            return rows
        places = [index for wanted_state in SIGHT for index, state in enumerate(states) if state == wanted_state]
        places += [index for index in reversed(range(len(rows))) if states[index] == "done"]
        return [rows[index] for index in sorted(places[: self.most])]

    def _state(self, run: PlannedRun, failures: States) -> str:
        name = run.folder.path.name
        if name in self._done:
            return "done"
        state = self.study.state(run, failures)
        if state != "done":
            return state
        if changed := run.folder.altered():
            self._changed[name] = changed
            return "changed"
        self._changed.pop(name, None)
        facts, scores = read_json(run.folder.done_file), read_json(run.folder.results_file)["in-domain"]
        for task, score in first_scores(run.folder).items():
            self._first_scores.setdefault(task, score)
        values = [scores.get(task, {}).get(self._first_scores.get(task)) for task in BUILTIN_FIRST]
        texts = ["–" if value is None else f"{value:.3f}" for value in values]
        self._done[name] = (str(facts["steps"]), duration(facts["seconds"]), "–", *texts)
        self._seconds[name] = facts["seconds"]
        return state

    def _cells(self, run: PlannedRun, state: str) -> tuple[str, ...]:
        """Step, time, time left and first scores of a run, as far as it has them."""
        name = run.folder.path.name
        if state == "done":
            return self._done[name]
        if state == "changed" or not run.folder.timing_file.is_file():
            return ("–",) * 5
        if name not in self._progress:
            self._progress[name] = Progress(run.folder, run.recipe)
        progress = self._progress[name]
        progress.read()
        if not progress.step:
            return ("–",) * 5
        left = progress.left if state == "running" else None
        time_left = "–" if left is None else "ends" if progress.step == progress.total else duration(left)
        return progress.steps, duration(progress.seconds), time_left, "–", "–"

    def _left(self, states: Sequence[str]) -> str:
        """The time left of all runs, from what finished runs of this study took and how many run at once."""
        workers = self.workers or states.count("running")
        if not workers or not (self._seconds or self.expected):
            return ""
        seconds = remaining(self.expected, self._seconds, self._open(states))
        return f"; about {duration(makespan(seconds, workers))} left" if seconds else ""

    def _open(self, states: Sequence[str]) -> dict[str, float]:
        """The runs that run or wait, and for how long they have been running."""
        runs = zip(self.runs, states, strict=True)
        ages = {"running": lambda run: run.folder.age, "waiting": lambda run: 0.0}
        return {run.folder.path.name: ages[state](run) for run, state in runs if state in ages}


def _queue(
    study: StudyDir, runs: Sequence[PlannedRun], states: list[str], failures: dict[str, str]
) -> tuple[dict[str, str], str]:
    """State of waiting runs in the launcher's queue, by folder name; or why it cannot be asked.

    Puts right the states that the runs' own files do not tell: queued again after a failure, gone from the queue.
    """
    jobs = study.queued
    if not jobs:
        return {}, ""
    # Not above: a launcher needs torch, whose import takes longer than the table.
    from mmtk.jobs import JobResult
    from mmtk.study import launcher_settings
    from mmtk.study.launch import failure, queue_states

    try:
        queue = queue_states(study, launcher_settings.make(study.launcher), runs)
    except MmtkError as error:
        return {}, f"The queue cannot be asked: {error.message}"
    if queue is None:
        return {}, ""
    for index, run in enumerate(runs):
        name = run.folder.path.name
        if name in queue and states[index] == "failed":
            states[index] = "waiting"
        elif name in jobs and name not in queue and states[index] == "waiting" and not run.folder.finished:
            states[index] = "failed"
            result = JobResult(run.folder.path, 1, run.folder.path / "output.log")
            failures[name] = f"job {jobs[name]} is in the queue no more; {failure(result)}"
    return {name: f"job {jobs[name]}, {job_state}" for name, job_state in queue.items()}, ""


def _counts(states: Sequence[str]) -> str:
    return ", ".join(f"{states.count(state)} {state}" for state in COLOURS if state in states)


def _by_system(runs: Sequence[PlannedRun], states: Sequence[str]) -> Table:
    """A row for every system: how its runs stand."""
    table = Table("system", "runs")
    by_cell: dict[str, list[str]] = {}
    titles = {run.cell.recipe.digest: run.cell.title for run in runs}
    for run, state in zip(runs, states, strict=True):
        by_cell.setdefault(run.cell.recipe.digest, []).append(state)
    for digest, cell_states in by_cell.items():
        table.add_row(titles[digest], _counts(cell_states))
    return table
