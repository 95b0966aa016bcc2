"""A study on disk: its plan, the states of its runs, and running what is missing."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mmtk import catalog, codefile, results
from mmtk.api import Done, Job, Launcher
from mmtk.errors import MmtkError
from mmtk.plan import Plan, PlannedCell
from mmtk.recipe import Recipe, load_recipe
from mmtk.runs import LOCK, RunDir, holder, keep_code, locked, read_facts, read_json, write_json, write_text

RUNS = Path("runs")  # where all studies of a working folder keep their runs
KEPT = ("name", "levels", "reference", "beside")  # what study.json says of a cell besides its recipe
State = Literal["done", "running", "failed", "waiting"]


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study: its cell, its seed and its folder."""

    cell: PlannedCell
    seed: int
    folder: RunDir

    @property
    def recipe(self) -> Recipe:
        """The run's own recipe."""
        return self.cell.recipe.with_values({"seed": self.seed})

    @property
    def title(self) -> str:
        """As tables and messages name it."""
        return f"{self.cell.title} seed {self.seed}"


class StudyDir:
    """A study directory: ``study.json``, ``recipes/``, ``failures.json``, later ``report/``.

    The runs lie in one folder beside it, named by digest and seed, so that studies share the cells they have
    in common.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path / "study.json"
        self.failures_file = path / "failures.json"
        self.code_file = path / codefile.COPY
        self.report = path / "report"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from running the same study."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise MmtkError("is a file, not a folder.", str(self.path), "Choose another --out.") from error
        with locked(self.path, "study.lock", "Wait for it, or choose another --out."):
            yield

    def write(self, plan: Plan, facts: dict[str, Any]) -> None:
        """Write the plan, or check that the study that lies there is the same; ``facts`` are kept with it."""
        if self.file.is_file():
            if read_json(self.file)["digest"] != plan.digest:
                cure = f"Choose another --out, or continue the one that lies there: mmtk ablate {self.path}"
                raise MmtkError("this folder holds another study.", str(self.path), cure)
            self._check_code(plan.cells)
            return
        foreign = [item for item in self.path.iterdir() if item.name != "study.lock"]
        if foreign:
            raise MmtkError(
                "this folder is not empty and holds no study.", str(self.path), "Choose another --out."
            )
        (self.path / "recipes").mkdir(exist_ok=True)
        cells = []
        for cell in plan.cells:
            name = f"recipes/{cell.recipe.digest}.toml"
            write_text(self.path / name, cell.recipe.toml())
            kept = {key: getattr(cell, key) for key in KEPT}
            cells.append({**kept, "recipe": name, "digest": cell.recipe.digest})
        keep_code((cell.recipe for cell in plan.cells), self.code_file)
        about = {
            "title": plan.title, "digest": plan.digest, "design": plan.design, "axes": plan.axes,
            "seeds": plan.seeds, "cells": cells, "dropped": plan.dropped,
            "runs": os.path.relpath(RUNS, self.path), "mmtk": catalog.version(),
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **facts,
        }  # fmt: skip
        write_json(self.file, about)

    @property
    def launcher(self) -> dict[str, Any]:
        """The launcher that ran the study last, with its keys; empty before."""
        table = self.about.get("launcher", {}) if self.file.is_file() else {}
        if not isinstance(table, dict) or not isinstance(table.get("use", ""), str):
            raise MmtkError("launcher: should be a table with use and keys.", str(self.file))
        return table

    def keep_launcher(self, table: Mapping[str, Any]) -> None:
        """Let the study go on with this launcher."""
        if self.launcher != table:
            write_json(self.file, {**self.about, "launcher": table})

    @property
    def about(self) -> dict[str, Any]:
        """What study.json says."""
        if not self.file.is_file():
            cure = "Start one with: mmtk ablate --components saliency,ssl"
            raise MmtkError("is not a study directory: it has no study.json.", str(self.path), cure)
        return dict(read_json(self.file))

    def plan(self) -> Plan:
        """The plan, read back."""
        about = self.about
        cells = [
            PlannedCell(
                each["name"],
                each["levels"],
                load_recipe(self.path / each["recipe"]),
                each["reference"],
                each["beside"],
            )
            for each in about["cells"]
        ]
        for cell, each in zip(cells, about["cells"], strict=True):
            if cell.recipe.digest != each["digest"]:
                message = f"this recipe was changed: its digest is {cell.recipe.digest}, not {each['digest']}."
                raise MmtkError(message, str(self.path / each["recipe"]), "Plan a study of its own for it.")
        self._check_code(cells)
        dropped = [(name, reason) for name, reason in about["dropped"]]
        return Plan(about["title"], cells, about["seeds"], about["axes"], about["design"], dropped)

    def _check_code(self, cells: Iterable[PlannedCell]) -> None:
        """Refuse another local file of components than the one that the study was planned with."""
        codefile.check(codefile.used_by(cell.recipe for cell in cells), self.code_file, None)

    def runs(self, plan: Plan | None = None) -> list[PlannedRun]:
        """Every run of the plan, with the folder where it lies or will lie."""
        root = Path(os.path.normpath(self.path / self.about["runs"])) if self.file.is_file() else RUNS
        near = (Path.cwd(), self.path.absolute().parent.parent)
        if not any(root.resolve().is_relative_to(place.resolve()) for place in near):
            cure = f"If that is meant, go there first: cd {root.parent.absolute()}"
            message = f"its runs would lie in {root}, below neither this folder nor the study's."
            raise MmtkError(message, str(self.file), cure)
        there = sorted(path.name for path in root.iterdir()) if root.is_dir() else []
        by_key = {"-".join(name.split("-")[-2:]): name for name in reversed(there)}
        found = []
        for cell, seed in (plan or self.plan()).runs:
            # The folder of this digest and seed, whatever else it is called, else one of its own name.
            key = f"{cell.recipe.digest}-s{seed}"
            own = f"{cell.recipe.slug}-{key}"
            name = own if (root / own).exists() else by_key.get(key, own)
            found.append(PlannedRun(cell, seed, RunDir(root / name)))
        return found

    @property
    def _noted(self) -> dict[str, str]:
        return dict(read_json(self.failures_file)) if self.failures_file.is_file() else {}

    def failures(self, runs: Iterable[PlannedRun]) -> dict[str, str]:
        """Why runs failed, by the name of their folders: as they said themselves, or as the study saw it."""
        found = self._noted
        for run in runs:
            if run.folder.failure_file.is_file():
                found[run.folder.path.name] = read_facts(run.folder.failure_file, reason=str)["reason"]
        return found

    def note_failure(self, run: PlannedRun, reason: str | None) -> None:
        """Remember why a run failed, or forget that it did."""
        known, name = self._noted, run.folder.path.name
        if known.get(name) == reason:
            return
        known.pop(name, None)
        if reason is not None:
            known[name] = reason
        write_json(self.failures_file, known)

    def state(self, run: PlannedRun, failures: dict[str, str]) -> State:
        """Where a run stands, from its own files."""
        if run.folder.finished:
            return "done"
        if holder(run.folder.path, LOCK):
            return "running"
        return "failed" if run.folder.path.name in failures else "waiting"

    def collect(self) -> results.Study:
        """What is there of the study, for reports: damaged and missing runs are gaps, never averaged."""
        plan = self.plan()
        runs = self.runs(plan)
        failures = self.failures(runs)
        cells = {
            cell.recipe.digest: results.Cell(
                cell.name, dict(cell.levels), cell.labels, cell.recipe.digest, cell.reference, cell.beside
            )
            for cell in plan.cells
        }
        gaps = [f"{name} cannot be: {reason}" for name, reason in plan.dropped]
        absent: dict[tuple[str, State], list[str]] = {}
        for run in runs:
            state = self.state(run, failures)
            if state == "done":
                try:
                    cells[run.cell.recipe.digest].runs[run.seed] = results.read_run(run.folder.path)
                except MmtkError as error:
                    gaps.append(f"{run.title}: {error.message} ({run.folder.path.name})")
            elif state == "failed":
                gaps.append(f"{run.title} failed: {failures[run.folder.path.name]}")
            else:
                absent.setdefault((run.cell.title, state), []).append(str(run.seed))
        for (title, state), seeds in absent.items():
            gaps.append(f"{title}: seed{'s' * (len(seeds) > 1)} {', '.join(seeds)} {state}")
        found = results.Study(plan.title, list(cells.values()), plan.seeds, plan.axes, plan.design, gaps)
        found.command = self.about.get("command", "")
        return found


# --- running --------------------------------------------------------------------------------------------------


def run_study(
    study: StudyDir,
    launcher: Launcher,
    *,
    data: Path | None = None,
    device: str = "auto",
    told: Callable[[PlannedRun, str, int, int], None] = lambda run, outcome, done, of: None,
    ended: Callable[[PlannedRun], None] = lambda run: None,
) -> list[PlannedRun]:
    """Run what is missing or failed; returns the runs that failed.

    ``told`` hears of every run that ended: the run, what became of it, how many are done of how many.
    ``ended`` is called with every run that finished, for the MLflow mirror.
    """
    runs = study.runs()
    versions = Versions()
    failed: list[PlannedRun] = []
    missing = [run for run in runs if not run.folder.finished]
    same = SameData()
    done = 0
    for run in runs:
        if not run.folder.finished:
            continue
        versions.check_reusable(run)
        if differs := same.differ(run):
            failed.append(run)
            told(run, differs, done, len(runs))
        else:
            done += 1
            ended(run)
    by_folder = {run.folder.path: run for run in missing}
    for outcome in launcher.run(_jobs(missing, data, device)):
        run = by_folder[outcome.dir]
        if outcome.code == 0 and run.folder.finished and (differs := same.differ(run)):
            study.note_failure(run, differs)
            failed.append(run)
            told(run, differs, done, len(runs))
        elif outcome.code == 0 and run.folder.finished:
            done += 1
            study.note_failure(run, None)
            ended(run)
            told(run, "done", done, len(runs))
        else:
            reason = failure(outcome)
            study.note_failure(run, reason)
            failed.append(run)
            told(run, reason, done, len(runs))
    return failed


def submit_study(
    study: StudyDir, launcher: Launcher, *, data: Path | None = None, device: str = "auto"
) -> list[str]:
    """Hand what is missing to the launcher's queue and return the names it gave; nobody waits for it.

    A run that is under way already keeps its folder locked, and a second job for it ends at once.
    """
    runs = study.runs()
    failures = study.failures(runs)
    return launcher.submit(
        _jobs([run for run in runs if study.state(run, failures) in ("failed", "waiting")], data, device)
    )


def _jobs(missing: Iterable[PlannedRun], data: Path | None, device: str) -> list[Job]:
    """A job for every run, its folder claimed: recipe and expected versions lie in it."""
    versions = Versions()
    jobs = []
    for run in missing:
        with run.folder.locked():
            run.folder.claim(run.recipe)
            write_json(run.folder.expected_file, versions.expected(run))
        jobs.append(Job(run.folder.path, job_argv(run, data, device)))
    return jobs


class SameData:
    """Notices runs of a study whose machines saw other data under the same source."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], tuple[str, str]] = {}

    def differ(self, run: PlannedRun) -> str:
        """Whose data differ from those of an earlier run, with both digests; empty where they agree."""
        for name, digest in run.folder.provenance["data"].items():
            task, domain = name.split("/")
            source = run.recipe[f"data.{task}.{'source' if domain == results.IN_DOMAIN else 'cross'}"]
            first, known = self._seen.setdefault((name, str(source)), (run.title, digest))
            if digest != known:
                return (
                    f"its {name} data differ from those of {first}: digest {digest[:12]}, not {known[:12]}. "
                    f"Remove {run.folder.path}, and it is run again."
                )
        return ""


def job_argv(run: PlannedRun, data: Path | None, device: str) -> tuple[str, ...]:
    """The command of one run: the study's process is the only one that writes to MLflow."""
    options = ["--set", "tracking.enabled=false", "--device", device]
    options += ["--data", str(data.absolute())] if data is not None else []
    return (sys.executable, "-m", "mmtk", "run", str(run.folder.path), *options, *_code(run))


def _code(run: PlannedRun) -> list[str]:
    """The option that a run needs whose components come from a local file."""
    local = any(table["use"].startswith(codefile.PREFIX) for _, _, table in run.recipe.components())
    return ["--code", str(run.folder.code_file)] if local and run.folder.code_file.is_file() else []


def by_hand(run: PlannedRun, data: Path | None) -> str:
    """The line that repeats a run without the study."""
    options = ["--data", str(data)] if data else []
    return shlex.join(["mmtk", "run", str(run.folder.path), *options, *_code(run)])


def failure(outcome: Done) -> str:
    """What a failed job said last: its message, else its exit code."""
    lines = []
    if outcome.log.is_file():
        lines = outcome.log.read_text(encoding="utf-8", errors="replace").splitlines()
    said = [i for i, line in enumerate(lines) if line.startswith("mmtk: ")]
    if said:
        return lines[said[-1]].removeprefix("mmtk: ")
    signal = f"killed by signal {-outcome.code}" if outcome.code < 0 else f"exit code {outcome.code}"
    signal += " (the system's way when memory runs out)" if outcome.code == -9 else ""
    last = next((line for line in reversed(lines) if line.strip()), "")
    return f"{signal}{f'; it said last: {last.strip()}' if last else ''}"


class Versions:
    """Versions of mmtk and of the components of runs, asked once for all seeds of a cell."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, str]] = {}

    def expected(self, run: PlannedRun) -> dict[str, str]:
        """What every machine that trains the run must have (mmtk.provenance.expected_versions)."""
        from mmtk.provenance import expected_versions

        if run.cell.recipe.digest not in self._known:
            self._known[run.cell.recipe.digest] = expected_versions(run.cell.recipe)
        return self._known[run.cell.recipe.digest]

    def check_reusable(self, run: PlannedRun) -> None:
        """Refuse a finished run made by other component versions: it is not what this study would run."""
        before, now = run.folder.provenance["components"], self.expected(run)
        changed = [
            f"{key} ({before.get(key)} then, {value} now)"
            for key, value in now.items()
            if key != "mmtk" and before.get(key) != value
        ]
        if changed:
            cure = f"Move {run.folder.path} away, and it will be run again."
            raise MmtkError(f"{run.title} was made with other versions: {', '.join(changed)}.", hint=cure)
