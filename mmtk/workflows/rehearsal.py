"""Rehearsal of a study: whether data and weights fit its runs, and how long their steps take."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import torch

from mmtk.data import locations, sources
from mmtk.data.dataset import Data, prepare, without_images
from mmtk.data.label_budget import check_budget
from mmtk.errors import Problems, RunFailed, heading
from mmtk.io import status_line
from mmtk.model.device import readable_errors
from mmtk.model.device_choice import choose_precision
from mmtk.model.sketch import wrong_weights
from mmtk.recipe.recipe import Recipe
from mmtk.runs.display import Display
from mmtk.runs.folder import RunDir
from mmtk.study.cells import PlannedCell
from mmtk.study.estimate import Work
from mmtk.study.plan import Plan
from mmtk.training.trainer import make_trainer
from mmtk.workflows.timings import Timing

STEPS = 5  # of a system, at most
ENOUGH = 1.5  # seconds for the steps of all systems, besides the first ones
LONGEST = 4.0  # seconds after which no further system is timed


def check_budgets(plan: Plan, data: Path | None) -> None:
    """Refuse label budgets that a data set of the plan cannot fill, before anything runs."""
    label_counts: dict[str, int] = {}
    for cell in plan.cells:
        for task, budget in cell.labels.items():
            name = f"{task} {cell.recipe[f'data.{task}.source']}"
            if name not in label_counts:
                label_counts[name] = min(_labels(cell.recipe, task, data, plan.seeds if plan.folds else [0]))
            check_budget(budget, task, label_counts[name])


def _labels(recipe: Recipe, task: str, data: Path | None, seeds: Sequence[int]) -> Iterator[int]:
    """Labelled images in the training part of a task with every seed, of which each may test another fold."""
    for seed in seeds:
        items = sources.source(recipe.with_values({"seed": seed}), task, root=locations.data_root(data)).items(
            "train"
        )
        yield sum(item.target is not None for item in items)


def check_weights(plan: Plan) -> None:
    """Refuse weights files of the plan that are missing, damaged or of another network, before anything runs."""
    wrong = {str(problem): problem for cell in plan.cells for problem in wrong_weights(cell.recipe)}
    if wrong:
        problems = list(wrong.values())
        raise Problems(problems, heading(plan.title, problems))


def time_systems(
    cells: Sequence[PlannedCell], root: Path | None, device: str, threads: int
) -> list[Timing | None]:
    """Time a few steps of the cells' systems; None for those that fail, which their runs will say.

    Where steps are long, as at 256 pixels, the last systems are not timed: the result is shorter than ``cells``.

    cells: of different systems, on ``device``
    root: folder of the data sets
    threads: of a run, 0 for torch's own number
    """
    before, data = torch.get_num_threads(), _SameData(root)
    torch.set_num_threads(threads or before)
    timings: list[Timing | None] = []
    begun = time.perf_counter()
    try:
        for cell in cells:
            if any(timings) and time.perf_counter() - begun > LONGEST:
                break
            status_line.stage(f"timing a few steps of {cell.name}")
            precision = choose_precision(cell.recipe.train.precision, device)
            recipe = cell.recipe.with_values({"train.precision": precision, "tracking.enabled": False})
            with tempfile.TemporaryDirectory() as temporary:
                timings.append(
                    _time(recipe, data.of(recipe), RunDir(Path(temporary)), device, ENOUGH / len(cells))
                )
    finally:
        torch.set_num_threads(before)
    return timings


class _SameData:
    """Data of several recipes without their images, listed once where they are the same.

    ``root``: folder of the data sets.
    """

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._data: dict[str, Data] = {}

    def of(self, recipe: Recipe) -> Data:
        """Data of a recipe, which its tasks, its ``data`` table and its seed determine."""
        key = repr((recipe.tasks, recipe.values["data"], recipe.seed))
        if key not in self._data:
            self._data[key] = without_images(recipe, self._root)
        return self._data[key]


def read_images(recipes: Iterable[Recipe], root: Path | None) -> None:
    """Read all images of the recipes into the cache, and refuse what a run would refuse: damaged files, leaks.

    ``root``: folder of the data sets. Recipes with the same data are read once.
    """
    for recipe in {repr((recipe.tasks, recipe.values["data"])): recipe for recipe in recipes}.values():
        prepare(recipe, root)


def _time(recipe: Recipe, data: Data, folder: RunDir, device: str, enough: float) -> Timing | None:
    """Time a few steps; None where they fail, which the run itself will say.

    recipe: with its ``data``, trained in ``folder`` on ``device``
    enough: seconds after which fewer steps are timed
    """
    display = Display(quiet=True)
    with (
        suppress(RunFailed),
        readable_errors(folder.path),
        closing(make_trainer(recipe, data, folder, device, display)) as run,
    ):
        run.objective.train()
        start, cpu, index = time.perf_counter(), time.process_time(), 0
        run.train_step(0)
        if (
            time.perf_counter() - start < enough
        ):  # the first step pays for memory and kernels: of a long one, little
            start, cpu = time.perf_counter(), time.process_time()
        else:
            index = 1
        while index < STEPS and time.perf_counter() - start < enough:
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
        return Timing(work, wall / index, wall, time.process_time() - cpu)
    return None
