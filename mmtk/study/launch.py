"""Running what a study misses: a job for every run, handed to a launcher, and what became of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from mmtk.counts import counted
from mmtk.errors import MmtkError
from mmtk.io.files import write_json
from mmtk.io.spelling import command
from mmtk.jobs import Job, JobResult, Launcher
from mmtk.recipe.recipe import Recipe
from mmtk.registry import catalog, local_file
from mmtk.runs.versions import expected_versions, listed, version_changes
from mmtk.study.folder import PlannedRun, StudyDir
from mmtk.tasks import IN_DOMAIN

# And what they import; libraries are those that a run imports at their first use, pandas through pyarrow.
RUN_MODULES = (
    *("mmtk.cli.main", "mmtk.recipe.load", "mmtk.workflows.run", "filelock", "rich.progress", "rich.table"),
    *("pandas", "pyarrow.parquet", "safetensors.torch", "scipy.ndimage", "scipy.spatial", "tomli_w"),
)


def run_study(
    study: StudyDir,
    launcher: Launcher,
    *,
    data: Path | None = None,
    device: str = "auto",
    expected: Mapping[str, float] | None = None,
    report: Callable[[PlannedRun, str, int, int], None] = lambda run, outcome, count, of: None,
    ended: Callable[[PlannedRun], None] = lambda run: None,
) -> list[PlannedRun]:
    """Run what is missing or failed; return the runs that failed.

    study: the study whose runs are handed to the ``launcher``
    data, device: the folder of the data sets (``data``) and the ``device`` that every run is told
    expected: seconds that runs will take, by the names of their folders, for the launcher

    ``report`` hears of every run that ended: the run, what became of it, how many are done of how many.
    ``ended`` is called with every run that finished, for the MLflow mirror.
    """
    runs, versions, same = study.runs(), Versions(), SameData()
    failed: list[PlannedRun] = []
    missing = [run for run in runs if not run.folder.finished]
    _refuse_queued(study, launcher, missing)
    for run in missing:  # what failed is tried again
        study.note_failure(run, None)
    count = 0
    for run in (run for run in runs if run.folder.finished):
        versions.check_reusable(run)
        if differs := same.differ(run):
            failed.append(run)
            report(run, differs, count, len(runs))
        else:
            count += 1
            ended(run)
    by_folder = {run.folder.path: run for run in missing}
    # A launcher may start a cluster before it looks at its jobs.
    with _closed(launcher.run(_jobs(missing, data, device, expected)) if missing else iter(())) as outcomes:
        for outcome in outcomes:
            run = by_folder[outcome.dir]
            is_whole = outcome.code == 0 and run.folder.finished
            reason = same.differ(run) if is_whole else failure(outcome)
            study.note_failure(run, reason or None)
            if reason:
                failed.append(run)
            else:
                count += 1
                ended(run)
            report(run, reason or "done", count, len(runs))
    return failed


@contextmanager
def _closed(outcomes: Iterator[JobResult]) -> Iterator[Iterator[JobResult]]:
    """Let a launcher that is a generator end its jobs before anything else is done about an interruption."""
    try:
        yield outcomes
    finally:
        if isinstance(outcomes, Generator):
            outcomes.close()


def modules(recipes: Iterable[Recipe]) -> list[str]:
    """Modules that runs of recipes import: the run itself, its libraries, and the components of packages."""
    tables = [(kind, table["use"]) for recipe in recipes for _, kind, table in recipe.components()]
    entries = [
        catalog.find(kind, use) for kind, use in dict.fromkeys(tables) if not use.startswith(local_file.PREFIX)
    ]
    return [*RUN_MODULES, *dict.fromkeys(entry.target.partition(":")[0] for entry in entries)]


def _refuse_queued(study: StudyDir, launcher: Launcher, missing: Iterable[PlannedRun]) -> None:
    """Refuse to run what is in the launcher's queue; forget the jobs of a queue that is empty."""
    queue = queue_states(study, launcher, missing)
    if queue:
        jobs = ", ".join(study.queued[name] for name in queue)
        raise MmtkError(
            f"{counted(len(queue), 'run is', 'runs are')} in the queue already: {jobs}.",
            str(study.path),
            f"Wait for them ({study.command('status')}), or cancel them first.",
        )
    if queue is not None:  # else jobs of another launcher may wait still; a run that one of them trains is locked
        study.note_queued({})


def submit_study(
    study: StudyDir,
    launcher: Launcher,
    *,
    data: Path | None = None,
    device: str = "auto",
    expected: Mapping[str, float] | None = None,
) -> tuple[list[str], list[str]]:
    """Hand what is missing to the launcher's queue; nobody waits for it.

    study: the study whose runs are handed to the ``launcher``
    data, device: the folder of the data sets (``data``) and the ``device`` that every run is told
    expected: seconds that runs will take, by the names of their folders, for the launcher

    Returns the names of the new jobs, and of those that were in the queue already.
    """
    runs = study.runs()
    failures = study.failures(runs)
    before = queue_states(study, launcher, runs) or {}
    missing = [
        run
        for run in runs
        if study.state(run, failures) in ("failed", "waiting") and run.folder.path.name not in before
    ]
    names = launcher.submit(_jobs(missing, data, device, expected))
    if names:
        study.note_queued({run.folder.path.name: name for run, name in zip(missing, names, strict=True)})
    for run in missing:
        study.note_failure(run, None)
    return names, [study.queued[name] for name in before]


def queue_states(study: StudyDir, launcher: Launcher, runs: Iterable[PlannedRun]) -> dict[str, str] | None:
    """The unfinished runs that are in the launcher's queue, by folder name, and what is known of each.

    None where the launcher cannot say.
    """
    queued = study.queued
    names = [run.folder.path.name for run in runs if not run.folder.finished]
    jobs = {name: queued[name] for name in names if name in queued}
    queue = launcher.queue(list(jobs.values()))
    return None if queue is None else {name: queue[job] for name, job in jobs.items() if job in queue}


def _jobs(
    missing: Iterable[PlannedRun], data: Path | None, device: str, expected: Mapping[str, float] | None
) -> list[Job]:
    """A job for every run, its folder claimed: recipe and expected versions lie in it.

    missing: the runs
    data: folder of the data sets
    device: that every run is told
    expected: seconds that runs will take, by the names of their folders
    """
    versions = Versions()
    jobs = []
    for run in missing:
        with run.folder.locked():
            run.folder.claim(run.recipe)
            run.folder.failure_file.unlink(missing_ok=True)
            write_json(run.folder.expected_file, versions.expected(run))
        seconds = (expected or {}).get(run.folder.path.name, 0.0)
        jobs.append(Job(run.folder.path, job_argv(run, data, device), seconds=seconds))
    return jobs


class SameData:
    """Notices runs of a study whose machines saw other data under the same source."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], tuple[str, str, str]] = {}

    def differ(self, run: PlannedRun) -> str:
        """Data sets that differ from those of an earlier run, with folders and digests; "" if they agree."""
        provenance = run.folder.provenance
        root = provenance.get("data_root") or "the recipe's folders"
        for name, digest in provenance["data"].items():
            task, domain = name.split("/")
            source = run.recipe.source(task, "source" if domain == IN_DOMAIN else "cross")
            entry = (run.title, digest, root)
            first, first_digest, first_root = self._first.setdefault((name, str(source)), entry)
            if digest != first_digest:
                return (
                    f"its {name} data differ from those of {first}: "
                    f"digest {digest[:12]} in {root}, not {first_digest[:12]} in {first_root}. "
                    f"Give --data a folder with the same files, remove {run.folder.path}, and it is run again."
                )
        return ""


def job_argv(run: PlannedRun, data: Path | None, device: str) -> tuple[str, ...]:
    """Command of one run: only the study's process writes to MLflow and draws."""
    options = ["--no-pictures", "--set", "tracking.enabled=false", "--device", device]
    options += ["--data", str(data.absolute())] if data is not None else []
    return (sys.executable, "-m", "mmtk", "run", str(run.folder.path), *options, *_code(run))


def _code(run: PlannedRun) -> list[str]:
    """The option that a run needs whose components come from a local file."""
    local = any(table["use"].startswith(local_file.PREFIX) for _, _, table in run.recipe.components())
    return ["--code", str(run.folder.code_file)] if local and run.folder.code_file.is_file() else []


def by_hand(run: PlannedRun, data: Path | None) -> str:
    """The line that repeats a run without the study."""
    options = ["--data", str(data)] if data else []
    return command("run", run.folder.path, *options, *_code(run))


def failure(outcome: JobResult) -> str:
    """Last words of a failed job: its message, else its exit code."""
    lines = []
    if outcome.log.is_file():
        lines = outcome.log.read_text(encoding="utf-8", errors="replace").splitlines()
    message_lines = [i for i, line in enumerate(lines) if line.startswith("mmtk: ")]
    if message_lines:
        return lines[message_lines[-1]].removeprefix("mmtk: ")
    signal = f"killed by signal {-outcome.code}" if outcome.code < 0 else f"exit code {outcome.code}"
    signal += " (the system's way when memory runs out)" if outcome.code == -9 else ""
    last = next((line for line in reversed(lines) if line.strip()), "")
    return f"{signal}{f'; it said last: {last.strip()}' if last else ''}"


class Versions:
    """Versions of mmtk and of the components of runs, asked once for all seeds of a cell."""

    def __init__(self) -> None:
        self._expected: dict[str, dict[str, str]] = {}

    def expected(self, run: PlannedRun) -> dict[str, str]:
        """Versions that every machine which trains the run must have."""
        if run.cell.recipe.digest not in self._expected:
            self._expected[run.cell.recipe.digest] = expected_versions(run.cell.recipe)
        return self._expected[run.cell.recipe.digest]

    def changes(self, run: PlannedRun) -> dict[str, tuple[str, str]]:
        """Names with another version here than in a finished run, with both."""
        provenance = run.folder.provenance
        return version_changes({"mmtk": provenance["mmtk"], **provenance["components"]}, self.expected(run))

    def check_reusable(self, run: PlannedRun) -> None:
        """Refuse a finished run of another local file than the study has: its version is the hash of its text."""
        changed = [
            f"{key} ({before} then, {now} now)"
            for key, (before, now) in self.changes(run).items()
            if catalog.CODE in (before.split()[0], now.split()[0])
        ]
        if changed:
            cure = f"Move {run.folder.path} away, and it will be run again."
            raise MmtkError(f"{run.title} was made with other versions: {', '.join(changed)}.", hint=cure)


def mixed_versions(runs: Sequence[PlannedRun]) -> str:
    """A warning where the missing runs will be made by other versions than the finished ones, else empty."""
    versions = Versions()
    finished = [run for run in runs if run.folder.finished]
    changes = [changed for run in finished if (changed := versions.changes(run))]
    if not changes or len(finished) == len(runs):
        return ""
    finished_runs = counted(len(changes), "finished run was", "finished runs were")
    both = listed({name: pair for changed in changes for name, pair in changed.items()}, "then", "now")
    return f"{finished_runs} made with other versions than the missing ones will be ({both})."
