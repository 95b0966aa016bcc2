"""Strategies of a task, wired with its loss and second networks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from mmtk import api
from mmtk.io import distributed
from mmtk.model.build import network
from mmtk.model.network import MultiTaskNet, at_least_float32, frozen_statistics
from mmtk.recipe.recipe import Recipe
from mmtk.registry.factory import component
from mmtk.seeding import seeded
from mmtk.tasks import TASK_OF_STRATEGY, TASKS


class SupervisedLoss:
    """A task's supervised loss as a term, named by its recipe word.

    It is that of the whole batch on every rank, so a loss need not be a mean over images.
    """

    def __init__(self, name: str, loss: api.Loss, weight: float) -> None:
        self.name, self.loss, self.weight = name, loss, weight

    def __call__(self, predict: Any, labelled: api.Labelled, logits: Tensor | None = None) -> api.Terms:
        """Logits (predicted here unless given) against the labels → one weighted term."""
        logits = predict(labelled.image) if logits is None else logits
        return {self.name: api.Term(self.loss(*distributed.whole_batch(logits, labelled.target)), self.weight)}


class TwinNet(nn.Module):
    """A second network of one task: trained by the optimiser, or an EMA copy that the host updates."""

    def __init__(self, main: MultiTaskNet, other: MultiTaskNet, task: str, decay: float | None) -> None:
        super().__init__()
        self.task, self.decay = task, decay
        other.bridge_classify = main.bridge_classify
        self.net = other
        # A tuple hides the main network from state_dict: it is not the twin's.
        self._main = (main,)
        if decay is not None:
            other.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """[B,C,H,W] → the task's logits; an EMA copy gives no gradient."""
        predict: Callable[[Tensor], Tensor] = getattr(self.net, TASKS[self.task].forward)
        if torch.is_grad_enabled() and self.decay is None:
            return at_least_float32(predict(images))
        with torch.no_grad(), frozen_statistics(self.net):
            return at_least_float32(predict(images))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """EMA of weights, copy of statistics, with α = min(1 − 1/(step + 1), decay)."""
        if self.decay is None:
            return
        alpha = min(1 - 1 / (step + 1), self.decay)
        main = dict(self._main[0].named_parameters())
        for name, parameter in self.net.named_parameters():
            parameter.lerp_(main[name], 1 - alpha)
        for buffer, main_buffer in zip(self.net.buffers(), self._main[0].buffers(), strict=True):
            buffer.copy_(main_buffer)


def strategy(
    recipe: Recipe,
    kind: str,
    net: MultiTaskNet,
    targets: Mapping[str, api.LabelSpec],
    unlabelled_size: int = 0,
    class_weights: Tensor | None = None,
) -> nn.Module:
    """Make the SSL or consistency component, with the supervised loss of its task.

    kind: ``ssl`` or ``consistency``
    net: network under training; a mean teacher is a copy of it
    targets: labels by task
    unlabelled_size: number of unlabelled images of the task
    class_weights: [C] weights of the classes in the supervised loss, None for equal ones

    Its weights are drawn from the recipe's seed.
    """
    task = TASK_OF_STRATEGY[kind].name
    table = recipe.loss(task)
    target = targets[task]
    wires = {"classes": len(target.names), "exclusive": target.exclusive}
    loss = component("loss", table, {**wires, "class_weights": class_weights})
    twin_count = 0

    def twin(decay: float | None = None) -> nn.Module:
        nonlocal twin_count
        twin_count += 1
        other = network(recipe, targets, f"twin-{twin_count}") if decay is None else copy.deepcopy(net)
        return TwinNet(net, other, task, decay)

    wires_of_kind = {
        **wires,
        "supervised": SupervisedLoss(table["use"], loss, table["weight"]),
        "twin": twin,
        "unlabelled_size": unlabelled_size,
        "in_channels": recipe.data.channels,
        "channels": list(net.encoder.channels),
    }
    with seeded(recipe.seed, "init", kind):
        return cast(nn.Module, component(kind, recipe.strategy(kind), wires_of_kind))
