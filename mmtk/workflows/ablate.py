"""A study: its plan, its runs and its report."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmtk.components.launcher.inline import Inline
from mmtk.counts import share
from mmtk.errors import MmtkError, RunFailed
from mmtk.io import status_line
from mmtk.io.files import holder, read_json
from mmtk.jobs import Launcher
from mmtk.model.device_choice import choose_device, choose_precision
from mmtk.runs.display import Display, duration
from mmtk.runs.folder import LOCK
from mmtk.runs.score_names import first_scores
from mmtk.study import launcher_settings
from mmtk.study.estimate import makespan, remaining
from mmtk.study.folder import PlannedRun, StudyDir
from mmtk.study.launch import by_hand, mixed_versions, modules, run_study, submit_study
from mmtk.study.live_table import live_table
from mmtk.study.plan import Plan, parse_budgets, plan_components, plan_suite
from mmtk.study.results import Study
from mmtk.tracking.study import StudyMirror
from mmtk.workflows.forecast import Forecast, check, forecast
from mmtk.workflows.report import Report, report

DEFAULT = "multimix"


@dataclass(frozen=True)
class StudyRequest:
    """Request of a study; None or empty: the default, or the value of the study that goes on.

    recipe: a recipe's name or file, or the directory of a study that goes on
    components: axes, such as ``saliency,ssl`` or ``ssl=none+mixmatch,ssl.weight=0.1+1``
    suite: a list of systems in place of ``components``: ``paper``, or a TOML file
    design: factorial (default), leave-one-out, add-one-in or one-at-a-time
    seeds: runs of every cell
    labels: label budgets, such as ``classification=8,25``
    overrides: keys that are changed in every cell
    """

    recipe: str | None = None
    components: str | None = None
    suite: str | None = None
    design: str | None = None
    seeds: int | None = None
    labels: tuple[str, ...] = ()
    overrides: Mapping[str, Any] | Iterable[str] = ()
    profile: str | None = None
    out: Path | None = None

    @property
    def continued(self) -> bool:
        """Whether this is a study that lies there already."""
        return self.recipe is not None and (Path(self.recipe) / "study.json").is_file()

    def options(self) -> list[str]:
        """The options that say what is compared, as they are typed."""
        names = {"overrides": "set"}
        return [f"--{names.get(key, key)}" for key, value in vars(self).items() if value and key != "recipe"]


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
        """Refuse label budgets and weights files with which a run would fail, before anything runs."""
        if not all(run.folder.finished for run in self.study.runs(self.plan)):
            check(self.plan, self.launcher, self.data, self.device)

    def warm(self) -> None:
        """Let the launcher begin what takes time, if there is something to run."""
        if not all(run.folder.finished for run in self.study.runs(self.plan)):
            self.launcher.prepare(modules(cell.recipe for cell in self.plan.cells))

    def forecast(self) -> Forecast | None:
        """The time that the missing runs will take, from a few timed steps; None where none is missing."""
        runs = self.study.runs(self.plan)
        if all(run.folder.finished for run in runs):
            return None
        return forecast(runs, self.launcher, self.data, self.device)

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

    def submit(self) -> tuple[list[str], list[str]]:
        """Hand the missing runs to the launcher's queue; the names of the new jobs, and of those before."""
        return submit_study(self.study, self.launcher, data=self.data, device=self.device)

    def run(self, expected: Forecast | None, display: Display) -> tuple[list[PlannedRun], StudyMirror]:
        """Run what is missing; the runs that failed, and the study's mirror in MLflow.

        expected: how long every run will take, where that is known
        display: says of every run how it ended, and how long the others will take
        """
        alone = isinstance(self.launcher, Inline)  # runs in this very process show themselves
        mirror = StudyMirror(self.study, display.warn, aside=not alone)
        seconds, stopped = expected.runs if expected else {}, False
        clock = Clock(self.study.runs(self.plan), seconds, self.workers)

        def ended(run: PlannedRun, outcome: str, count: int, of: int) -> None:
            scores = _headline(run) if outcome == "done" else ""
            time_left = f"; about {duration(left)} left" if (left := clock.left()) else ""
            display.note(f"[{count}/{of}] {run.title}: {outcome}{scores}{time_left}")

        if warning := mixed_versions(self.study.runs(self.plan)):
            display.warn(warning)
        status_line.stage(f"running; {self.study.command('status')} shows every run")
        table = nullcontext() if alone else live_table(self.study, self.workers, seconds, display.console)
        with _terminated_as_interrupted():
            try:
                with table:
                    failed = run_study(
                        self.study,
                        self.launcher,
                        data=self.data,
                        device=self.device,
                        report=ended,
                        ended=mirror.run,
                    )
                return failed, mirror
            except (KeyboardInterrupt, SystemExit):
                stopped = True
                display.note(f"Stopped. Continue with: {self.study.command('ablate')}")
                raise
            finally:
                mirror.study_itself(stopped)
                if mirror.page:
                    display.note(f"MLflow: {mirror.page}")

    def report(self, mirror: StudyMirror) -> Report | None:
        """Write the report of what is there, and send its effects to MLflow; None where no run has finished."""
        results = self.study.collect()
        if not any(cell.runs for cell in results.cells):
            return None
        page = report(results, self.study.report, set_aside=True)
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


def ablate(
    recipe: str | Path | None = None,
    components: str | None = None,
    *,
    suite: str | Path | None = None,
    design: str | None = None,
    seeds: int | None = None,
    labels: Mapping[str, Iterable[int | str]] | None = None,
    profile: str | None = None,
    overrides: Mapping[str, Any] | Iterable[str] = (),
    data: str | Path | None = None,
    launcher: str | Mapping[str, Any] | None = None,
    device: str = "auto",
    out: str | Path | None = None,
    quiet: bool = True,
) -> Study:
    """Run every combination of components with several seeds, and report their effects; return the study.

    recipe: the recipe that components are taken from (default: multimix), or a study directory to continue
    components: axes, such as ``"saliency,ssl"`` or ``"ssl=none+mixmatch,ssl.weight=0.1+1"``
    suite: a list of systems in their place: ``"paper"``, or a TOML file
    design: factorial (default), leave-one-out, add-one-in or one-at-a-time
    seeds: runs of every cell (default 1, or the suite's)
    labels: label budgets of a task, such as ``{"classification": [8, 25]}``
    profile: data and training budget in place of the recipe's own
    overrides: recipe keys that are changed in every cell
    data: the folder of the data sets
    device: auto, cpu or cuda
    launcher: where runs go: a name, or a table with ``use`` and keys, as ``{"use": "process", "jobs": 2}``
    out: the study directory (default ``studies/NAME-DIGEST``)
    quiet: print nothing; else a line for every run that ends

    What is finished there is not run again. Raises MmtkError before anything runs; RunFailed, after the report of
    the others, where runs failed.
    """
    request = StudyRequest(
        str(recipe) if recipe is not None else None,
        components,
        str(suite) if suite is not None else None,
        design,
        seeds,
        tuple(f"{task}={','.join(map(str, budgets))}" for task, budgets in (labels or {}).items()),
        overrides,
        profile,
        Path(out) if out is not None else None,
    )
    table = {"use": launcher} if isinstance(launcher, str) else dict(launcher or {})
    session = prepare(request, table, Path(data) if data is not None else None, device)
    session.warm()
    session.check()
    with session.locked():
        failed, mirror = session.run(None, Display(quiet))
    page = session.report(mirror)
    session.refuse(failed)
    return page.analysis.study if page else session.study.collect()


def prepare(request: StudyRequest, launcher: Mapping[str, Any], data: Path | None, device: str) -> StudySession:
    """Plan a study, or read the one that goes on; nothing is written.

    request: what the study compares
    launcher: its name under ``use`` and its keys; what is missing is as the study had it before, or the default
    data: the folder of the data sets
    device: auto, cpu or cuda
    """
    if request.continued:
        study, plan, data = _planned_before(request, data)
    else:
        plan = _plan(request, device)
        study = StudyDir(request.out or Path("studies") / f"{_slug(plan.title)}-{plan.digest}")
    keys = {key: value for key, value in launcher.items() if key != "use"}
    table = launcher_settings.choose(study.launcher, launcher.get("use"), keys)
    return StudySession(study, plan, table, launcher_settings.make(table), data, device)


def _planned_before(request: StudyRequest, data: Path | None) -> tuple[StudyDir, Plan, Path | None]:
    """A study that goes on, with its plan and data folder; options that would make another plan are refused."""
    path = str(request.recipe)
    if wrong := request.options():
        cure = f"Leave out {', '.join(wrong)}, or start another study."
        raise MmtkError("this study has its plan already.", path, cure)
    study = StudyDir(Path(path))
    before = study.about["data"]
    return study, study.plan(), data or (Path(before) if before else None)


def _slug(title: str) -> str:
    return "-".join(filter(None, "".join(c if c.isalnum() else "-" for c in title.lower()).split("-")))


def _plan(request: StudyRequest, device: str) -> Plan:
    """The plan of a new study, at the precision that ``device`` has."""
    components, suite, seeds = request.components, request.suite, request.seeds
    if (components is None) == (suite is None):
        raise MmtkError(
            "say what to compare: either --components or --suite.",
            hint="For example: mmtk ablate --components saliency,ssl",
        )
    if suite is not None and request.recipe is not None:
        raise MmtkError("a suite names its own recipes.", request.recipe, "Leave the recipe out.")
    if suite is not None and request.design is not None:
        raise MmtkError("a design is for --components: a suite lists its systems.", hint="Leave --design out.")
    common: dict[str, Any] = {
        "profile": request.profile,
        "overrides": request.overrides,
        "budgets": parse_budgets(list(request.labels)),
    }
    if suite is not None:
        plan = plan_suite(suite, seeds=range(seeds) if seeds else None, **common)
    else:
        recipe, design = request.recipe or DEFAULT, request.design or "factorial"
        plan = plan_components(recipe, components or "", design, seeds=range(seeds or 1), **common)
    device_name = choose_device(device)
    return plan.with_precision(lambda precision: choose_precision(precision, device_name))


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM end a study as Ctrl-C does: launchers take back their jobs; a second SIGTERM does at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.exit(143)


def _headline(run: PlannedRun) -> str:
    """A finished run's first scores, for its line."""
    scores = read_json(run.folder.results_file)["in-domain"]
    first = first_scores(run.folder)
    values = {metric: scores.get(task, {}).get(metric) for task, metric in first.items()}
    return "".join(f"  {metric} {value:.3f}" for metric, value in values.items() if value is not None)
