"""Rehearsal of a study: checks of label budgets and weights files, and a forecast of its time."""

from __future__ import annotations

import math
import os
import tempfile
import time
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mmtk.api import Launcher
from mmtk.data import sources
from mmtk.data.dataset import Data, prepare
from mmtk.data.label_budget import check_budget
from mmtk.errors import MmtkError, Problems, RunFailed, heading
from mmtk.io import status_line
from mmtk.io.files import read_json
from mmtk.model.device import choose_device, choose_precision, readable_errors
from mmtk.model.sketch import wrong_weights
from mmtk.recipe.recipe import Recipe
from mmtk.runs.display import Display
from mmtk.runs.folder import RunDir
from mmtk.runs.pace import cores
from mmtk.runs.provenance import hardware
from mmtk.study import estimate
from mmtk.study.estimate import Work
from mmtk.study.folder import PlannedRun
from mmtk.study.plan import Plan
from mmtk.tasks import TASKS
from mmtk.training.trainer import make_trainer

STEPS, ENOUGH = 5, 2.0  # steps that are timed at most, and seconds after which fewer are enough
RECENT = 12  # finished runs that are looked at


def check_budgets(plan: Plan, data: Path | None) -> None:
    """Refuse label budgets that a data set of the plan cannot fill, before anything runs."""
    label_counts: dict[str, int] = {}
    for cell in plan.cells:
        for task, budget in cell.labels.items():
            name = f"{task} {cell.recipe[f'data.{task}.source']}"
            if name not in label_counts:
                items = sources.source(cell.recipe, task, root=sources.data_root(data)).items("train")
                label_counts[name] = sum(item.target is not None for item in items)
            check_budget(budget, task, label_counts[name])


def check_weights(plan: Plan) -> None:
    """Refuse weights files of the plan that are missing, damaged or of another network, before anything runs."""
    wrong = {str(problem): problem for cell in plan.cells for problem in wrong_weights(cell.recipe)}
    if wrong:
        problems = list(wrong.values())
        raise Problems(problems, heading(plan.title, problems))


@dataclass(frozen=True)
class Forecast:
    """Time of the missing runs of a study, in seconds; ``runs``: by folder name, without their start."""

    wall: float
    training: float
    runs: dict[str, float]


@dataclass(frozen=True)
class _Timed:
    """A few steps of a system."""

    work: Work
    step: float  # seconds of wall time
    wall: float
    cpu: float


def forecast(runs: Sequence[PlannedRun], launcher: Launcher, data: Path | None, device: str) -> Forecast:
    """Forecast the time of a study's missing runs, from a few timed steps of every system and finished runs.

    runs: all of the study; ``launcher`` runs as many of them at a time as it has workers
    data: the folder of the data sets
    device: on which steps are timed, as ``--device`` names it
    """
    missing, device = [run for run in runs if not run.folder.finished], choose_device(device)
    threads, workers = getattr(launcher, "threads", torch.get_num_threads()), getattr(launcher, "workers", 1)
    timed = _timed_systems(missing, data, device, threads)
    wall, cpu = (sum(getattr(timing, name) for timing in timed.values()) for name in ("wall", "cpu"))
    machine = estimate.machine_now(wall, cpu, threads, os.getloadavg()[0], cores(), workers)
    ratio = estimate.rest_ratio(_finished(missing[0].folder.path.parent, missing[0].recipe, device))
    times = {
        run.folder.path.name: estimate.run_time(system_timing.work, system_timing.step, machine, ratio)
        for run in missing
        if (system_timing := timed.get(run.cell.recipe.system_digest))
    }
    tracked = any(run.recipe.tracking.enabled for run in missing)
    seconds = estimate.study_seconds(list(times.values()), workers, machine, tracked)
    training = estimate.makespan([time.training for time in times.values()], workers)
    return Forecast(seconds, training, {name: time.training + time.rest for name, time in times.items()})


def _timed_systems(runs: Iterable[PlannedRun], data: Path | None, device: str, threads: int) -> dict[str, _Timed]:
    """Time a few steps of every system, whatever its budget, by its digest; leave out systems that fail."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    timings: dict[str, _Timed | None] = {}
    try:
        for run in runs:
            system = run.cell.recipe.system_digest
            if system not in timings:
                status_line.stage(f"timing a few steps of {run.cell.name}")
                precision = choose_precision(run.cell.recipe.train.precision, device)
                recipe = run.cell.recipe.with_values({"train.precision": precision, "tracking.enabled": False})
                images = prepare(recipe, sources.data_root(data))
                with tempfile.TemporaryDirectory() as temporary:
                    timings[system] = _timed(recipe, images, RunDir(Path(temporary)), device)
    finally:
        torch.set_num_threads(before)
    return {system: timing for system, timing in timings.items() if timing is not None}


def _timed(recipe: Recipe, data: Data, folder: RunDir, device: str) -> _Timed | None:
    """Time a few steps; None if they fail, which the run will report."""
    display = Display(quiet=True)
    with (
        suppress(RunFailed),
        readable_errors(folder.path),
        closing(make_trainer(recipe, data, folder, device, display)) as run,
    ):
        run.objective.train()
        run.train_step(0)  # the first step pays for memory and kernels
        start, cpu, index = time.perf_counter(), time.process_time(), 0
        while index < STEPS and time.perf_counter() - start < ENOUGH:
            index += 1
            run.train_step(index)
        wall = time.perf_counter() - start
        images = [sum(len(test.rows) for test in tests) for tests in (data.validation(), data.tests())]
        work = Work(
            run.total,
            recipe.train.batch,
            recipe.data.size,
            len(recipe.tasks),
            images[0],
            math.ceil(run.total / run.interval),
            images[1],
        )
        return _Timed(work, wall / index, wall, time.process_time() - cpu)
    return None


def _finished(folder: Path, recipe: Recipe, device: str) -> Iterator[tuple[Work, float, float]]:
    """Work, training seconds and all seconds of the latest runs in a folder with this image size and encoder.

    Runs of another machine are left out.
    """
    seals = [(path.stat().st_mtime, path.parent) for path in folder.glob("*/done.json")]
    same = hardware(device)
    for _, path in sorted(seals, reverse=True)[:RECENT]:
        run = RunDir(path)
        with suppress(MmtkError, OSError, LookupError, ValueError):  # runs of other versions, or damaged
            values = tomllib.loads(run.recipe_file.read_text(encoding="utf-8"))
            alike = values["data"]["size"] == recipe.data.size and values["encoder"] == recipe.encoder
            if alike and run.provenance["hardware"] == same:
                facts = read_json(run.done_file)
                yield _work(values, read_json(run.splits_file), facts), facts["training_seconds"], facts["seconds"]


def _work(values: dict[str, Any], splits: dict[str, Any], facts: dict[str, Any]) -> Work:
    """Work of a finished run."""
    train, steps = values["train"], facts["steps"]
    first = next(splits[task] for task in TASKS if task in splits)
    epoch = math.ceil(len({*first["labelled"], *first["unlabelled"]}) / train["batch"])
    validation, test = (
        sum(len(part.get(name, ())) for part in splits.values() for name in names)
        for names in (("val",), ("test", "cross-domain"))
    )
    rounds = math.ceil(steps / min(steps, train.get("validate_every") or epoch))
    return Work(steps, train["batch"], values["data"]["size"], len(splits), validation, rounds, test)
