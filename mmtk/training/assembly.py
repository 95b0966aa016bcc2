"""Assembly of a run: network, strategies, optimiser and batches of a recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from mmtk.data.batches import Batch, BatchLoader
from mmtk.data.dataset import Data
from mmtk.io import distributed
from mmtk.model import build
from mmtk.model.device import in_precision, prepare_device
from mmtk.model.network import MultiTaskNet
from mmtk.recipe.recipe import Recipe
from mmtk.tasks import TASK_OF_STRATEGY, TASKS
from mmtk.training import strategies
from mmtk.training.groups import Freezing
from mmtk.training.objective import Objective, Step
from mmtk.training.schedule import epoch_steps, make_optimizer


@dataclass(frozen=True)
class Assembly:
    """Network, strategies, optimiser, freezing and batches of a run.

    ``forward`` is the objective in the recipe's precision, its gradients averaged over ranks; ``epoch`` is in
    steps.
    """

    net: MultiTaskNet
    objective: Objective
    forward: Callable[[Batch], Step]
    optimizer: Optimizer
    freezing: Freezing
    loader: BatchLoader
    epoch: int
    device: torch.device


def assemble(recipe: Recipe, data: Data, device: str) -> Assembly:
    """Make the network with its initial weights, its strategies, the optimiser and the batches.

    recipe: with a precision other than auto. data: stores and parts of every task. device: cpu or cuda.
    """
    rank_device = prepare_device(device)
    net = build.network(recipe, data.targets)
    ssl, consistency = (_strategy(recipe, data, kind, net, rank_device) for kind in TASK_OF_STRATEGY)
    objective = Objective(net, ssl, consistency)
    distributed.share_batch_norm(objective, device)
    objective.to(rank_device, torch.float64 if recipe.train.precision == "fp64" else None)
    freezing = Freezing(recipe, objective)  # before its gradients are shared among ranks
    forward = _forward(objective, recipe.train.precision, rank_device)
    optimizer = make_optimizer(recipe, objective)
    epoch = epoch_steps(recipe, data)
    loader = _loader(recipe, data, objective, epoch)
    return Assembly(net, objective, forward, optimizer, freezing, loader, epoch, rank_device)


def _strategy(recipe: Recipe, data: Data, kind: str, net: MultiTaskNet, device: torch.device) -> Any:
    task = TASK_OF_STRATEGY[kind].name
    if task not in recipe.tasks:
        return None
    weights = None if TASKS[task].has_masks else _class_weights(recipe, data, task)
    unlabelled = len(data.parts[task].unlabelled)
    weights = None if weights is None else weights.to(device)
    return strategies.strategy(recipe, kind, net, data.targets, unlabelled, weights)


def _class_weights(recipe: Recipe, data: Data, task: str) -> Tensor | None:
    """Weights of classes whose mean over the labelled images is 1; None unless ``balance = "weight"``."""
    if recipe.train.balance != "weight":
        return None
    store, part = data.stores[task], data.parts[task]
    labels = torch.from_numpy(store.targets[part.labelled])
    counts = torch.bincount(labels, minlength=len(store.labels.names)).clamp_min(1)
    return (len(labels) / (len(counts) * counts)).float()


def _forward(objective: Objective, precision: str, device: torch.device) -> Callable[[Batch], Step]:
    shared = distributed.share_gradients(objective, device)

    def forward(batch: Batch) -> Step:
        with in_precision(precision, device):
            step: Step = shared(batch)
            return step

    return forward


def _loader(recipe: Recipe, data: Data, objective: Objective, epoch: int) -> BatchLoader:
    strategies = {task: strategy for task, strategy in objective.strategies.items() if strategy is not None}
    views = {task: strategy.declared_views for task, strategy in strategies.items()}
    needs = {task: strategy.needs_unlabelled for task, strategy in strategies.items()}
    return BatchLoader(recipe, data.stores, data.parts, views, needs, epoch)
