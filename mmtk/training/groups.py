"""Fine-tuning by the tables ``train.groups`` of a recipe: rates, weight decay and freezing of single parts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from mmtk.model.network import MultiTaskNet, frozen_mode, is_norm
from mmtk.recipe.recipe import Recipe
from mmtk.recipe.tables import EncoderGroup, Group

Factors = dict[nn.Parameter, tuple[float, float]]  # of the learning rate and of the weight decay


def parameter_groups(recipe: Recipe, objective: nn.Module) -> list[dict[str, Any]]:
    """Trained parameters in groups of an optimiser, each with its ``lr_factor`` and ``weight_decay``.

    Without ``train.groups`` it is one group. Parameters of strategies have the factor 1.
    """
    factors = _factors(recipe, objective)
    members: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in objective.parameters():
        if parameter.requires_grad:
            members.setdefault(factors.get(parameter, (1.0, 1.0)), []).append(parameter)
    return [
        {"params": parameters, "lr_factor": rate, "weight_decay": recipe.train.weight_decay * decay}
        for (rate, decay), parameters in members.items()
    ]


def _factors(recipe: Recipe, objective: nn.Module) -> Factors:
    factors: Factors = {}
    for group, module in _parts(recipe, objective):
        layers: dict[nn.Parameter, int] = {}
        if isinstance(group, EncoderGroup) and group.layer_decay < 1:
            layers = _layers_from_last(module, recipe.data.channels, recipe.data.size)
        for parameter in module.parameters():
            rate = group.lr * getattr(group, "layer_decay", 1.0) ** layers.get(parameter, 0)
            factors[parameter] = (rate, group.weight_decay)
    if not recipe.get("train.groups.decay_norms", True):
        for parameter in objective.parameters():
            if parameter.dim() <= 1:
                factors[parameter] = (factors.get(parameter, (1.0, 1.0))[0], 0.0)
    return factors


def _parts(recipe: Recipe, objective: nn.Module) -> Iterator[tuple[Group, nn.Module]]:
    """Groups with their parts, of the network and of every further network of a strategy."""
    for net in objective.modules():
        if isinstance(net, MultiTaskNet):
            for part, group in recipe.groups.items():
                if (module := getattr(net, part)) is not None:
                    yield group, module


def _layers_from_last(encoder: nn.Module, channels: int, size: int) -> dict[nn.Parameter, int]:
    """Distance of each parameter's level of features from the last level: the first one that depends on it.

    encoder: whose gradients and statistics stay as they are
    channels, size: of an image
    """
    parameters = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    if not parameters:
        return {}
    like = parameters[0]
    with frozen_mode(encoder), torch.enable_grad():
        features = encoder(torch.zeros(1, channels, size, size, dtype=like.dtype, device=like.device))
    layers: dict[nn.Parameter, int] = {}
    for distance, feature_map in zip(range(len(features) - 1, -1, -1), features, strict=True):
        if feature_map.requires_grad:
            gradients = torch.autograd.grad(feature_map.sum(), parameters, retain_graph=True, allow_unused=True)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    layers.setdefault(parameter, distance)
    return layers


def group_facts(optimizer: Optimizer, objective: nn.Module) -> dict[str, Any]:
    """Numbers of tensors in each group, by descending rate, and of those frozen for good, as JSON."""
    groups = [
        {"tensors": len(group["params"]), **{key: group[key] for key in ("lr_factor", "weight_decay")}}
        for group in sorted(optimizer.param_groups, key=lambda group: -group["lr_factor"])
    ]
    frozen = len([*objective.parameters()]) - sum(group["tensors"] for group in groups)
    return {"groups": groups, "frozen": frozen}


def sentence(facts: Mapping[str, Any]) -> str:
    """Sentence for a terminal on ``group_facts``."""
    rates: Counter[float] = Counter()
    for group in facts["groups"]:
        rates[group["lr_factor"]] += group["tensors"]
    parts = [f"{count} at train.lr × {rate:.3g}" for rate, count in rates.items()]
    return f"Tensors: {', '.join(parts)}; {facts['frozen']} never trained."


class Freezing:
    """Parts that stay as they are in the first steps, or for good, and norms that never change."""

    def __init__(self, recipe: Recipe, objective: nn.Module) -> None:
        """Take what is frozen for good out of the training.

        recipe: of the run
        objective: with its network and those of strategies
        """
        self._parameters: list[tuple[int, list[nn.Parameter]]] = []
        self._norms: list[tuple[float, nn.Module]] = []
        for group, module in _parts(recipe, objective):
            steps = math.inf if group.frozen == "always" else group.frozen
            norm_steps = math.inf if group.norms == "frozen" else steps
            norms = [norm for norm in module.modules() if is_norm(norm)]
            if norm_steps:
                self._norms += [(norm_steps, norm) for norm in norms]
            if group.norms == "frozen":
                for norm in norms:
                    norm.requires_grad_(False)
            if group.frozen == "always":
                module.requires_grad_(False)
            elif group.frozen:
                trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
                self._parameters.append((group.frozen, trained))

    def set_modes(self, step: int) -> None:
        """Set the norms of frozen parts to their statistics, and others to those of the batch.

        step: from 0; all of ``objective`` is in training mode otherwise
        """
        for steps, norm in self._norms:
            norm.training = step >= steps

    def drop_gradients(self, step: int) -> None:
        """Drop the gradients of parts that are frozen in a step, from 0, so that no optimiser moves them."""
        for steps, parameters in self._parameters:
            if step < steps:
                for parameter in parameters:
                    parameter.grad = None
