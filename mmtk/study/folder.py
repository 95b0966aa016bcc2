"""A study on disk: its plan and the states of its runs."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from mmtk.counts import replicate
from mmtk.errors import MmtkError
from mmtk.io import status_line
from mmtk.io.files import holder, locked, read_facts, read_json, real_path, write_json, write_text
from mmtk.io.outputs import make_folder, refuse_occupied
from mmtk.io.parallel import on_all_cores
from mmtk.io.spelling import command
from mmtk.recipe.recipe import Recipe
from mmtk.recipe.resolved import read_resolved
from mmtk.registry import catalog, local_file
from mmtk.runs import finished
from mmtk.runs.folder import LOCK, RunDir, keep_code
from mmtk.study import results, stopping, trials, tuning
from mmtk.study.cells import PlannedCell
from mmtk.study.plan import Plan

STUDY_LOCK = "study.lock"
RUNS = Path("runs")  # where all studies of a working folder keep their runs
AT_ONCE = 200  # runs that a core reads before it takes the next
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
        """Title in tables and messages."""
        return f"{self.cell.title} {replicate(self.seed, self.cell.recipe.data.folds or 0)}"


def _by_key(root: Path) -> dict[str, str]:
    """Digest and seed → name of the folder, for the runs in a folder."""
    names = sorted(path.name for path in root.iterdir()) if root.is_dir() else []
    return {"-".join(name.split("-")[-2:]): name for name in reversed(names)}


class StudyDir:
    """A study directory: ``study.json``, ``recipes/``, ``failures.json``, ``queue.json``, later ``report/``.

    The runs lie in one folder beside it, named by digest and seed, so that studies share the cells they have
    in common.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path / "study.json"
        self.failures_file = path / "failures.json"
        self.queue_file = path / "queue.json"
        self.code_file = path / local_file.COPY
        self.report = path / "report"

    def command(self, verb: str) -> str:
        """A command for this study as it can be pasted, with the local file of components where there is one."""
        code = ["--code", str(self.code_file)] if self.code_file.is_file() else []
        return command(verb, self.path, *code)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from running the same study."""
        make_folder(self.path)
        refuse_occupied(self.path, self.file, STUDY_LOCK)  # before the lock, which would be left there
        with locked(self.path, STUDY_LOCK, "Wait for it, or choose another --out."):
            yield

    def holds(self, plan: Plan) -> bool:
        """Whether the study of this plan lies here; MmtkError for a folder that holds something else."""
        refuse_occupied(self.path, self.file, STUDY_LOCK)
        if not self.file.is_file():
            return False
        if read_json(self.file)["digest"] != plan.digest:
            cure = f"Choose another --out, or continue the one that lies there: {self.command('ablate')}"
            raise MmtkError("this folder holds another study.", str(self.path), cure)
        self._check_code(plan.cells)
        return True

    def write(self, plan: Plan, facts: dict[str, Any]) -> None:
        """Write the plan, where the study does not lie here already; ``facts`` are kept with it."""
        if self.holds(plan):
            return
        (self.path / "recipes").mkdir(exist_ok=True)
        cells = []
        for cell in plan.cells:
            name = f"recipes/{cell.recipe.digest}.toml"
            write_text(self.path / name, cell.recipe.toml())
            facts_of_cell = {key: getattr(cell, key) for key in KEPT}
            cells.append(facts_of_cell | {"recipe": name, "digest": cell.recipe.digest})
        keep_code((cell.recipe for cell in plan.cells), self.code_file)
        about = {
            "title": plan.title,
            "digest": plan.digest,
            "design": plan.design,
            "axes": plan.axes,
            "seeds": plan.seeds,
            "cells": cells,
            "dropped": plan.dropped,
            "remarks": plan.remarks,
            **({"stopping": plan.stopping.to_json()} if plan.stopping else {}),
            **({"tuning": plan.tuning.to_json()} if plan.tuning else {}),
            "runs": os.path.relpath(RUNS, self.path),
            "mmtk": catalog.version(),
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            **facts,
        }
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
        """Content of study.json."""
        if not self.file.is_file():
            if RunDir(self.path).recipe_file.is_file():
                cure = f"In Python: mmtk.read_run({str(self.path)!r}), or mmtk.read_study([RUN, …]) of several."
                raise MmtkError("is a run directory, not a study.", str(self.path), cure)
            cure = "Start one with: mmtk ablate --components saliency,ssl"
            what = "is not a study directory: it has no study.json." if self.path.exists() else "no such folder."
            raise MmtkError(what, str(self.path), cure)
        return dict(read_json(self.file))

    def plan(self) -> Plan:
        """The plan, read back."""
        about = self.about
        cells = [
            PlannedCell(
                cell_facts["name"],
                cell_facts["levels"],
                read_resolved(self.path / cell_facts["recipe"]),
                cell_facts["reference"],
                cell_facts["beside"],
            )
            for cell_facts in about["cells"]
        ]
        for cell, cell_facts in zip(cells, about["cells"], strict=True):
            if cell.recipe.digest != cell_facts["digest"]:
                message = (
                    f"this recipe was changed: its digest is {cell.recipe.digest}, not {cell_facts['digest']}."
                )
                raise MmtkError(message, str(self.path / cell_facts["recipe"]), "Plan a study of its own for it.")
        self._check_code(cells)
        dropped = [(name, reason) for name, reason in about["dropped"]]
        remarks = list(about.get("remarks", []))  # younger than the first studies
        rules = stopping.from_json(about.get("stopping")), tuning.from_json(about.get("tuning"))
        return Plan(
            about["title"], cells, about["seeds"], about["axes"], about["design"], dropped, remarks, *rules
        )

    def ask(self, rule: stopping.Stopping) -> Plan:
        """Ask for the seeds of the next round; the plan with them."""
        write_json(self.file, {**self.about, "stopping": rule.to_json()})
        return self.plan()

    def tune(self, state: tuning.Tuning) -> Plan:
        """Ask for the next trials, or for the runs with the best settings; the plan with them."""
        write_json(self.file, {**self.about, "tuning": state.to_json()})
        return self.plan()

    def _check_code(self, cells: Iterable[PlannedCell]) -> None:
        """Refuse another local file of components than the one that the study was planned with."""
        local_file.check(local_file.used_by(cell.recipe for cell in cells), self.code_file, None)

    def runs(self, plan: Plan | None = None) -> list[PlannedRun]:
        """Every run of the plan, with the folder where it lies or will lie."""
        planned_runs = [(cell, seed, f"{cell.recipe.digest}-s{seed}") for cell, seed in (plan or self.plan()).runs]
        root = self._root({key for cell, _, key in planned_runs if not cell.folder})
        names = _by_key(root)
        runs = []
        for cell, seed, key in planned_runs:
            if cell.folder:
                runs.append(PlannedRun(cell, seed, RunDir(self.path / cell.folder / f"{cell.recipe.slug}-{key}")))
                continue
            # The folder of this digest and seed, whatever else it is called, else one of its own name.
            run_name = f"{cell.recipe.slug}-{key}"
            name = run_name if (root / run_name).exists() else names.get(key, run_name)
            runs.append(PlannedRun(cell, seed, RunDir(root / name)))
        return runs

    def _root(self, keys: set[str]) -> Path:
        """Folder of the runs: as study.json says, else, of a study that was copied, in it or beside it."""
        noted = Path(os.path.normpath(self.path / self.about["runs"])) if self.file.is_file() else RUNS
        study = self.path.absolute()
        near = [real_path(near_folder) for near_folder in (Path.cwd(), study.parent.parent)]
        places = [noted, *(folder / RUNS for folder in (self.path, study.parent, study.parent.parent, Path.cwd()))]
        allowed = [
            path for path in places if any(real_path(path).is_relative_to(near_folder) for near_folder in near)
        ]
        if root := next((path for path in allowed if keys & _by_key(path).keys()), None):
            return root
        if noted in allowed:
            return noted
        raise MmtkError(
            f"its runs would lie in {noted}, below neither this folder nor the study's.",
            str(self.file),
            f"If they were copied too, put them into {self.path / RUNS}, or write where they lie as 'runs' into "
            "study.json, seen from its folder.",
        )

    @property
    def _noted(self) -> dict[str, str]:
        return dict(read_json(self.failures_file)) if self.failures_file.is_file() else {}

    def failures(self, runs: Iterable[PlannedRun]) -> dict[str, str]:
        """Why runs failed, by the name of their folders: as they said themselves, or as the study saw it."""
        failures = self._noted
        for run in runs:
            if run.folder.failure_file.is_file():
                failures[run.folder.path.name] = read_facts(run.folder.failure_file, reason=str)["reason"]
        return failures

    def note_failure(self, run: PlannedRun, reason: str | None) -> None:
        """Remember why a run failed, or forget that it did."""
        noted, name = self._noted, run.folder.path.name
        if noted.get(name) != reason:
            others = {other: why for other, why in noted.items() if other != name}
            write_json(self.failures_file, others | ({name: reason} if reason is not None else {}))

    @property
    def queued(self) -> dict[str, str]:
        """The jobs that were handed to a launcher's queue, by the name of the run's folder."""
        return dict(read_json(self.queue_file)) if self.queue_file.is_file() else {}

    def note_queued(self, jobs: dict[str, str]) -> None:
        """Remember jobs that were handed to a queue, besides those before; forget all where there are none."""
        if jobs:
            write_json(self.queue_file, self.queued | jobs)
        else:
            self.queue_file.unlink(missing_ok=True)

    def state(self, run: PlannedRun, failures: dict[str, str]) -> State:
        """State of a run, from its own files."""
        if run.folder.finished:
            return "done"
        if holder(run.folder.path, LOCK):
            return "running"
        return "failed" if run.folder.path.name in failures else "waiting"

    def collect(self) -> results.Study:
        """Collect results for reports; damaged and missing runs are gaps, never averaged.

        Of a study that tuned its systems these are the tuned ones; ``before`` of the result has the others.
        """
        status_line.stage("reading the runs")
        plan = self.plan()
        runs = self.runs(plan)
        failures = self.failures(runs)
        gaps = [f"{name} cannot be: {reason}" for name, reason in plan.dropped]
        absent: dict[tuple[str, State], list[str]] = {}
        finished_runs: dict[str, dict[int, finished.Run]] = {}
        parts = [runs[first : first + AT_ONCE] for first in range(0, len(runs), AT_ONCE)]
        read = on_all_cores([partial(self._read, part, failures) for part in parts])
        for run, outcome in zip(runs, itertools.chain(*read), strict=True):
            if isinstance(outcome, finished.Run):
                finished_runs.setdefault(run.cell.recipe.digest, {})[run.seed] = outcome
            elif isinstance(outcome, MmtkError):
                gaps.append(f"{run.title}: {outcome.message} ({run.folder.path.name})")
            elif outcome == "failed":
                gaps.append(f"{run.title} failed: {failures[run.folder.path.name]}")
            elif outcome != "done":
                absent.setdefault((run.cell.title, outcome), []).append(str(run.seed))
        for (title, state), seeds in absent.items():
            gaps.append(f"{title}: {'seed' if len(seeds) == 1 else 'seeds'} {', '.join(seeds)} {state}")
        study_seeds = sorted({run.seed for run in runs if not run.cell.folder})
        gaps += trials.unfinished(plan)
        before = results.Study(plan.title, _cells(plan.cells, finished_runs), study_seeds, plan.axes, plan.design)
        before.command, before.stopping = self.about.get("command", ""), plan.stopping
        study = replace(before, gaps=gaps)
        if plan.tuned:
            after = _cells(plan.tuned, finished_runs, [cell.name for cell in plan.cells])
            study = replace(study, cells=after, before=before)
        study.tuning = trials.read_trials(plan, runs)
        return study

    def _read(
        self, runs: Iterable[PlannedRun], failures: dict[str, str]
    ) -> list[finished.Run | MmtkError | State]:
        """Every run that is done, or what is wrong with its files, or where it stands; of a trial that alone."""
        outcomes: list[finished.Run | MmtkError | State] = []
        for run in runs:
            state = self.state(run, failures)
            try:
                is_run = state == "done" and not run.cell.folder
                outcomes.append(finished.read_run(run.folder.path) if is_run else state)
            except MmtkError as error:
                outcomes.append(error)
        return outcomes


def _cells(
    cells: Sequence[PlannedCell], runs: Mapping[str, Mapping[int, finished.Run]], names: Sequence[str] = ()
) -> list[results.Cell]:
    """Cells of a plan with their finished ``runs``, by digest and seed; ``names``: other names."""
    collected = [
        results.Cell(
            name,
            dict(cell.levels),
            cell.labels,
            cell.recipe.digest,
            cell.reference,
            cell.beside,
            dict(runs.get(cell.recipe.digest, {})),
            cell.recipe.system_digest,
            cell.recipe.data.folds or 0,
        )
        for name, cell in zip(names or [cell.name for cell in cells], cells, strict=True)
    ]
    results.tell_apart(collected)  # studies of 0.1 may have two systems of one name
    return collected


def read_study(path: str | Path | Sequence[str | Path]) -> results.Study:
    """Read a study from its folder, or several runs; ``gaps`` of the result name what is missing."""
    if not isinstance(path, str | Path):
        return results.from_runs([Path(run_path) for run_path in path])
    return StudyDir(Path(path)).collect()
