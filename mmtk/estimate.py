"""Before a study runs: whether the data can fill its label budgets, and how long it will train."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import torch

from mmtk import build
from mmtk.api import Launcher
from mmtk.data import Data, prepare
from mmtk.display import Display
from mmtk.engine import choose_device, choose_precision, explained
from mmtk.errors import Problems, RunFailed, heading
from mmtk.plan import Plan
from mmtk.recipe import Recipe
from mmtk.runs import RunDir
from mmtk.sketch import wrong_weights
from mmtk.streams import check_budget
from mmtk.train import Training


def check_budgets(plan: Plan, data: Path | None) -> None:
    """Refuse label budgets that a data set of the plan cannot fill, before anything runs."""
    known: dict[str, int] = {}
    for cell in plan.cells:
        for task, budget in cell.labels.items():
            name = f"{task} {cell.recipe[f'data.{task}.source']}"
            if name not in known:
                items = build.source(cell.recipe, task, root=build.data_root(data)).items("train")
                known[name] = sum(item.target is not None for item in items)
            check_budget(budget, task, known[name])


def check_weights(plan: Plan) -> None:
    """Refuse weights files of the plan that are missing, damaged or of another network, before anything runs."""
    wrong = {str(problem): problem for cell in plan.cells for problem in wrong_weights(cell.recipe)}
    if wrong:
        problems = list(wrong.values())
        raise Problems(problems, heading(plan.title, problems))


def estimate(plan: Plan, launcher: Launcher, data: Path | None, device: str, skip: Sequence[str] = ()) -> float:
    """Seconds that training will take, from a few timed steps of every system (not of every budget).

    Evaluation is not in it. ``skip`` lists digests whose runs are all there.
    """
    threads, workers = torch.get_num_threads(), getattr(launcher, "workers", 1)
    torch.set_num_threads(getattr(launcher, "threads", threads))
    seconds, known = 0.0, dict[str, float]()
    device = choose_device(device)
    try:
        for cell in plan.cells:
            if cell.recipe.digest in skip:
                continue
            budgetless = cell.recipe.system_digest
            if budgetless not in known:
                precision = choose_precision(cell.recipe["train.precision"], device)
                recipe = cell.recipe.with_values({"train.precision": precision, "tracking.enabled": False})
                held = prepare(recipe, build.data_root(data))
                with tempfile.TemporaryDirectory() as temporary:
                    try:
                        known[budgetless] = _timed(recipe, held, RunDir(Path(temporary)), device)
                    except RunFailed:  # its own run will say so, and the others go on
                        known[budgetless] = 0.0
            seconds += known[budgetless] * len(plan.seeds)
    finally:
        torch.set_num_threads(threads)
    return seconds / workers


def _timed(recipe: Recipe, data: Data, folder: RunDir, device: str) -> float:
    """Seconds of a whole training, from two of its steps."""
    with explained(folder.path), closing(Training(recipe, data, folder, device, Display(quiet=True))) as training:
        training.objective.train()
        training.train_step(0)  # the first step pays for memory and kernels
        begun = time.perf_counter()
        for index in (1, 2):
            training.train_step(index)
        return (time.perf_counter() - begun) / 2 * training.total
