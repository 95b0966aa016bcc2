"""Components of a recipe; as sketches without memory for weights, for channels, strides and views."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from mmtk import api
from mmtk.recipe.recipe import Recipe
from mmtk.registry.factory import component


def make_encoder(recipe: Recipe) -> api.Encoder:
    """Make the encoder of a recipe."""
    return cast(api.Encoder, component("encoder", recipe.encoder, {"in_channels": recipe.data.channels}))


def make_bridge(recipe: Recipe) -> api.Bridge | None:
    """Make the bridge of a recipe; None where it joins nothing."""
    if not recipe.bridge:
        return None
    bridge = component("bridge", recipe.bridge, {"in_channels": recipe.data.channels})
    return bridge if bridge.channels else None


def sketch_encoder(recipe: Recipe) -> api.Encoder:
    """The encoder without memory for its weights: for its channels and strides alone."""
    without = {key: value for key, value in recipe.encoder.items() if key != "pretrained"}
    with torch.device("meta"):
        return make_encoder(recipe.with_values({"encoder": without}))


def sketch_bridge(recipe: Recipe) -> api.Bridge | None:
    """The bridge without memory for its weights, or None where it joins nothing."""
    with torch.device("meta"):
        return make_bridge(recipe)


def sketch_views(recipe: Recipe, kind: str) -> dict[str, api.View]:
    """Return the views of a strategy, asked of an instance that is wired to nothing."""
    wires = {
        "supervised": None,
        "twin": lambda decay=None: nn.Identity(),
        "classes": 2,
        "exclusive": True,
        "unlabelled_size": 1,
        "in_channels": recipe.data.channels,
        "channels": [1],
    }
    with torch.random.fork_rng():
        strategy: api.Strategy = component(kind, recipe.strategy(kind), wires)
        return strategy.declared_views
