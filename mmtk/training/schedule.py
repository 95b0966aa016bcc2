"""Length of an epoch, learning rate, and optimiser."""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from mmtk.data.dataset import Data
from mmtk.recipe.recipe import Recipe
from mmtk.tasks import TASKS
from mmtk.training.groups import parameter_groups

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


def epoch_steps(recipe: Recipe, data: Data) -> int:
    """⌈images / batch⌉, with the images of the classification training part unless the profile says more."""
    part = next(data.parts[task] for task in TASKS if task in data.parts)
    images = recipe.train.epoch_images or len({*part.labelled, *part.unlabelled})
    return math.ceil(images / recipe.train.batch)


def rate(recipe: Recipe, step: int, total: int) -> float:
    """Learning rate of a step; schedules stretch with the number of steps."""
    progress = step / total
    factor = 1.0
    if recipe.train.schedule == "cosine":
        factor = 0.5 * (1 + math.cos(math.pi * progress))
    elif recipe.train.schedule == "step":
        # The tiny term keeps a boundary such as 8/24 · 3 on the right side of rounding.
        passed = math.floor(progress * recipe.train.epochs / recipe.train.decay_every + 1e-9)
        factor = recipe.train.decay**passed
    if step < recipe.train.warmup * total:
        factor *= (step + 1) / (recipe.train.warmup * total)
    learning_rate: float = recipe.train.lr * factor
    return learning_rate


def make_optimizer(recipe: Recipe, objective: nn.Module) -> Optimizer:
    """The recipe's optimiser over every trained parameter, strategies' own networks included.

    Each of its groups has an ``lr_factor`` for the rate of a step.
    """
    keys: dict[str, Any] = {"lr": recipe.train.lr, "fused": True}
    if recipe.train.optimizer == "sgd":
        keys |= {"momentum": 0.9, "nesterov": True}
    return eager(OPTIMIZERS[recipe.train.optimizer])(parameter_groups(recipe, objective), **keys)


def eager(kind: type[Optimizer]) -> type[Any]:
    """``kind`` without the wrappers for torch.compile: their first call imports its compiler, for a second."""
    names = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    return type(kind.__name__, (kind,), {**methods, "step": torch.no_grad()(inspect.unwrap(kind.step))})
