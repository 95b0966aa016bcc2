"""Session of a study: its plan, launcher and data, and what is done with them, round after round."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmtk.components.launcher.inline import Inline
from mmtk.counts import share
from mmtk.errors import MmtkError, RunFailed
from mmtk.io import status_line
from mmtk.io.end_signals import ended_by_signals
from mmtk.io.files import holder, read_json
from mmtk.jobs import Launcher
from mmtk.runs.display import Display, duration
from mmtk.runs.folder import LOCK
from mmtk.runs.score_names import first_scores
from mmtk.study.estimate import makespan, remaining
from mmtk.study.folder import PlannedRun, StudyDir
from mmtk.study.launch import by_hand, mixed_versions, modules, run_study, submit_study
from mmtk.study.live_table import live_table
from mmtk.study.plan import Plan
from mmtk.study.status import absence
from mmtk.tracking.study import StudyMirror
from mmtk.workflows.forecast import Forecast, check, forecast, read_images
from mmtk.workflows.report import Report, report
from mmtk.workflows.rounds import next_round


@dataclass(frozen=True)
class StudySession:
    """A study with its plan, the launcher of its runs, and where they find data and a device."""

    study: StudyDir
    plan: Plan
    launcher_table: Mapping[str, Any]
    launcher: Launcher
    data: Path | None
    device: str

    @property
    def workers(self) -> int:
        """Runs at a time."""
        return int(getattr(self.launcher, "workers", 1))

    def check(self) -> None:
        """Refuse a folder of other files, and label budgets and weights with which a run would fail."""
        self.study.holds(self.plan)
        if not all(run.folder.finished for run in self.study.runs(self.plan)):
            check(self.plan, self.launcher, self.data, self.device)

    def warm(self) -> None:
        """Let the launcher begin what takes time, if there is something to run."""
        if not all(run.folder.finished for run in self.study.runs(self.plan)):
            self.launcher.prepare(modules(cell.recipe for cell in self.plan.cells))

    def forecast(self, images: bool = False) -> Forecast | None:
        """The time that the missing runs will take, from a few timed steps; None where none is missing.

        ``images``: read all images first, so that a damaged file or a leak is told once, not by every run.
        """
        runs = self.study.runs(self.plan)
        if all(run.folder.finished for run in runs):
            return None
        if images:
            read_images(runs, self.launcher, self.data, self.device)
        return forecast(runs, self.launcher, self.data, self.device, self.plan.later)

    @contextmanager
    def locked(self, typed: str = "") -> Iterator[None]:
        """Hold the study, with its plan written; a launcher that is refused is not what the study goes on with.

        typed: the command that began it, as reports show it
        """
        with self.study.locked():
            data = str(self.data.absolute()) if self.data else ""
            self.study.write(self.plan, {"command": typed, "data": data})
            before = self.study.launcher
            self.study.keep_launcher(self.launcher_table)
            try:
                yield
            except MmtkError:
                self.study.keep_launcher(before)
                raise

    def submit(self, display: Display, expected: Forecast | None = None) -> tuple[list[str], list[str]]:
        """Hand the missing runs to the launcher's queue; the names of the new jobs, and of those before.

        display: says where the questions stand of a study whose round is over, which is looked at first
        expected: how long every run will take, where that is known
        """
        plan: Plan | None = self.plan
        while plan is not None and all(run.folder.finished for run in self.study.runs(plan)):
            plan = next_round(self.study, plan, display)
        seconds = expected.runs if expected else {}
        self.warm()
        return submit_study(self.study, self.launcher, data=self.data, device=self.device, expected=seconds)

    def run(self, expected: Forecast | None, display: Display) -> tuple[list[PlannedRun], StudyMirror]:
        """Run what is missing, round after round; the runs that failed, and the study's mirror in MLflow.

        expected: how long every run will take, where that is known
        display: says of every run how it ended, and how long the others will take
        """
        mirror = StudyMirror(self.study, display.warn, aside=not self._alone)
        session, stopped = self, False
        with ended_by_signals():  # launchers take back their jobs
            try:
                failed = session._round(expected, display, mirror)
                while not failed and (plan := next_round(session.study, session.plan, display)) is not None:
                    session = replace(session, plan=plan)
                    session.warm()
                    failed = session._round(session.forecast() if expected else None, display, mirror)
                return failed, mirror
            except (KeyboardInterrupt, SystemExit):
                stopped = True
                display.note(f"Stopped. Continue with: {self.study.command('ablate')}")
                raise
            finally:
                mirror.study_itself(stopped)
                if mirror.page:
                    display.note(f"MLflow: {mirror.page}")

    @property
    def _alone(self) -> bool:
        """Whether runs are trained by this very process: they show themselves."""
        return isinstance(self.launcher, Inline)

    def _round(self, expected: Forecast | None, display: Display, mirror: StudyMirror) -> list[PlannedRun]:
        """Run what the plan misses; the runs that failed."""
        seconds = expected.runs if expected else {}
        runs = self.study.runs(self.plan)
        clock = Clock(runs, seconds, self.workers)

        def ended(run: PlannedRun, outcome: str, count: int, of: int) -> None:
            scores = _headline(run) if outcome == "done" else ""
            time_left = f"; about {duration(left)} left" if (left := clock.left()) else ""
            display.note(f"[{count}/{of}] {run.title}: {outcome}{scores}{time_left}")

        if warning := mixed_versions(runs):
            display.warn(warning)
        if self.study.report.is_dir() and (sentence := absence(self.study, runs)):
            display.warn(f"{sentence} They are run again now.")
        status_line.stage(f"running; {self.study.command('status')} shows every run")
        table = nullcontext() if self._alone else live_table(self.study, self.workers, seconds, display.console)
        with table:
            return run_study(
                self.study,
                self.launcher,
                data=self.data,
                device=self.device,
                expected=seconds,
                report=ended,
                ended=mirror.run,
            )

    def report(self, mirror: StudyMirror, margins: Mapping[str, float] | None = None) -> Report | None:
        """Write the report of what is there, and send its effects to MLflow; None where no run has finished.

        ``margins``: the largest differences that do not matter, by score
        """
        results = self.study.collect()
        if not any(cell.runs for cell in results.cells):
            return None
        page = report(results, self.study.report, set_aside=True, margins=margins)
        mirror.report(page.analysis)
        return page

    def refuse(self, failed: list[PlannedRun]) -> None:
        """Raise RunFailed naming the runs that failed, with the line that repeats each."""
        if failed:
            lines = "\n".join(f"  {run.title}: {by_hand(run, self.data)}" for run in failed)
            count = share(len(failed), len(self.plan.runs), "run")
            raise RunFailed(f"{count} failed. By hand:\n{lines}", hint=self.study.command("ablate"))


class Clock:
    """The time left of a study's runs.

    expected: seconds that a run was expected to take, by the name of its folder
    workers: runs at a time
    """

    def __init__(self, runs: Iterable[PlannedRun], expected: Mapping[str, float], workers: int) -> None:
        self.expected, self.workers = expected, workers
        self._open = {run.folder.path.name: run.folder for run in runs}
        self._finished: dict[str, float] = {}

    def left(self) -> float:
        """Seconds until the last run ends; 0 where nothing tells it."""
        for name, folder in [*self._open.items()]:
            if folder.finished:
                self._finished[name] = float(read_json(folder.done_file)["seconds"])
                del self._open[name]
        ages = {name: folder.age if holder(folder.path, LOCK) else 0.0 for name, folder in self._open.items()}
        return makespan(remaining(self.expected, self._finished, ages), self.workers)


def _headline(run: PlannedRun) -> str:
    """A finished run's first scores, for its line."""
    results = read_json(run.folder.results_file)
    if run.cell.folder:
        value = results["selected"]["score"]
        return "  diverged" if value is None else f"  validation {value:.3f}"
    scores = results["in-domain"]
    first = first_scores(run.folder)
    values = {metric: scores.get(task, {}).get(metric) for task, metric in first.items()}
    return "".join(f"  {metric} {value:.3f}" for metric, value in values.items() if value is not None)
