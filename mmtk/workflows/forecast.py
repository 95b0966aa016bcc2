"""Forecast of the time of a study's missing runs; torch is imported only to time steps."""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmtk.counts import counted
from mmtk.data import locations
from mmtk.errors import MmtkError
from mmtk.io import status_line
from mmtk.io.files import read_json
from mmtk.jobs import Launcher
from mmtk.model.device_choice import choose_device
from mmtk.recipe.recipe import Recipe
from mmtk.runs.folder import RunDir
from mmtk.runs.hardware import hardware
from mmtk.runs.pace import cores
from mmtk.study import estimate
from mmtk.study.cells import PlannedCell
from mmtk.study.estimate import Work
from mmtk.study.folder import PlannedRun
from mmtk.study.plan import Plan
from mmtk.tasks import TASKS
from mmtk.workflows.timings import Timing, Timings

RECENT = 12  # finished runs that are looked at


@dataclass(frozen=True)
class Forecast:
    """Time of the missing runs of a study, in seconds; ``runs``: by folder name, without their start."""

    wall: float
    training: float
    runs: dict[str, float]


def check(plan: Plan, launcher: Launcher, data: Path | None, device: str) -> None:
    """Refuse label budgets and weights files with which a run would fail; what passed before is not read again.

    plan: of the study, whose runs ``launcher`` starts on ``device``
    data: the folder of the data sets
    """
    timings = _timings(launcher, data, device)
    if all(timings.passed(cell.recipe) for cell in plan.cells):
        return
    status_line.announce("Looking at the data and weights of the plan")
    from mmtk.workflows.rehearsal import check_budgets, check_weights

    check_weights(plan)
    check_budgets(plan, data)
    timings.add(cell.recipe for cell in plan.cells)
    timings.save()


def read_images(runs: Sequence[PlannedRun], launcher: Launcher, data: Path | None, device: str) -> None:
    """Read the images of a study's missing runs once, before any of them; what was read before is not read again.

    runs: all of the study, which ``launcher`` starts on ``device``
    data: the folder of the data sets
    """
    timings = _timings(launcher, data, device)
    recipes = [run.recipe for run in runs if not run.folder.finished]
    if all(timings.has_images(recipe) for recipe in recipes):
        return
    from mmtk.workflows import rehearsal

    rehearsal.read_images(recipes, timings.root)
    timings.add(recipes, images=True)
    timings.save()


def forecast(
    runs: Sequence[PlannedRun],
    launcher: Launcher,
    data: Path | None,
    device: str,
    later: Sequence[PlannedCell] = (),
) -> Forecast:
    """The time of a study's missing runs, from a few timed steps of every system and from its finished runs.

    runs: all of the study; ``launcher`` runs as many of them at a time as it has workers
    later: cells of further runs, which only the end of these will name
    data: the folder of the data sets
    device: on which steps are timed, as ``--device`` names it
    """
    missing, timings = [run for run in runs if not run.folder.finished], _timings(launcher, data, device)
    workers, threads = getattr(launcher, "workers", 1), timings.threads or cores()
    timed = _timed_systems(missing, timings, choose_device(device))
    wall, cpu = (sum(getattr(timing, name) for timing in timed.values()) for name in ("wall", "cpu"))
    machine = estimate.machine_now(wall, cpu, threads, os.getloadavg()[0], cores(), workers)
    ratio = estimate.rest_ratio(_finished(missing[0].folder.path.parent, missing[0].recipe, choose_device(device)))
    start = estimate.FORK if launcher.warm else estimate.START
    times = {
        run.folder.path.name: estimate.run_time(timing.work, timing.step, machine, ratio, start)
        for run in missing
        if (timing := timed.get(run.cell.system))
    }
    further = [
        estimate.run_time(timing.work, timing.step, machine, ratio, start)
        for cell in later
        if (timing := timed.get(cell.system))
    ]
    tracked = any(run.recipe.tracking.enabled for run in missing)
    seconds = estimate.study_seconds([*times.values(), *further], workers, machine, tracked)
    seconds += estimate.START * machine.stretch if launcher.warm else 0.0  # of what runs are forks of
    training = estimate.makespan([time.training for time in (*times.values(), *further)], workers)
    return Forecast(seconds, training, {name: time.training + time.rest for name, time in times.items()})


def _timings(launcher: Launcher, data: Path | None, device: str) -> Timings:
    """Timings on the device with the threads of the launcher's jobs, 0 for torch's own number."""
    return Timings(locations.data_root(data), choose_device(device), getattr(launcher, "threads", 0))


def _timed_systems(runs: Sequence[PlannedRun], timings: Timings, device: str) -> dict[str, Timing]:
    """Timing of every system (not of every budget), by its digest; those that are not remembered are timed now."""
    systems = {run.cell.system: run.cell for run in reversed(runs)}
    results = {system: timings.get(cell.recipe) for system, cell in systems.items()}
    unknown = [system for system, timing in results.items() if timing is None]
    if unknown:
        status_line.announce(f"Timing a few steps of {counted(len(unknown), 'system')}")
        from mmtk.workflows.rehearsal import time_systems

        cells = {system: systems[system] for system in _distinct_first(unknown, systems)}
        timed = time_systems([*cells.values()], timings.root, device, timings.threads)
        for (system, cell), timing in zip(
            cells.items(), timed, strict=False
        ):  # what there was no time for is absent
            results[system] = timing
            if timing is not None:
                timings.add([cell.recipe], timing)
        timings.save()
        for system in [*cells][len(timed) :]:
            results[system] = _likest(
                systems[system], [(systems[name], one) for name, one in results.items() if one]
            )
    return {system: timing for system, timing in results.items() if timing is not None}


def _distinct_first(names: Sequence[str], systems: Mapping[str, PlannedCell]) -> list[str]:
    """Names of systems in an order that soon has one of each combination of tasks, those of all tasks first."""
    ranks: dict[tuple[str, ...], int] = {}
    order = []
    for name in names:
        tasks = tuple(systems[name].recipe.tasks)
        ranks[tasks] = ranks.get(tasks, -1) + 1
        order.append((ranks[tasks], -len(tasks), name))
    return [name for *_, name in sorted(order, key=lambda one: one[:2])]


def _likest(cell: PlannedCell, timed: Sequence[tuple[PlannedCell, Timing]]) -> Timing | None:
    """The timing of a system with the same tasks, else of any; None where none was timed."""
    same = [timing for other, timing in timed if list(other.recipe.tasks) == list(cell.recipe.tasks)]
    return next(iter([*same, *(timing for _, timing in timed)]), None)


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
