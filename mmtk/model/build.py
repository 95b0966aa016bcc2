"""The network of a recipe with its initial weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from torch import nn

from mmtk import api
from mmtk.data.locations import data_root
from mmtk.data.sources import targets
from mmtk.model.encoder_start import load_encoder
from mmtk.model.network import ClassHead, MultiTaskNet
from mmtk.model.weight_files import load_start
from mmtk.recipe.parts import make_bridge, make_encoder
from mmtk.recipe.recipe import Recipe, need_recipe
from mmtk.registry.factory import component
from mmtk.seeding import seeded


def _decoder(recipe: Recipe, encoder: api.Encoder, classes: int, bridge: api.Bridge | None) -> api.Decoder:
    channels = list(encoder.channels)
    if bridge is not None:
        channels[list(encoder.strides).index(bridge.stride)] += bridge.channels
    wires = {"channels": channels, "strides": list(encoder.strides), "classes": classes}
    return cast(api.Decoder, component("decoder", recipe.decoder, wires))


def _share_weights(wider: nn.Module, plain: nn.Module) -> None:
    """Give ``wider`` the weights of ``plain``; where it has more input channels, they follow the shared ones."""
    other = dict(plain.named_parameters())
    with torch.no_grad():
        for name, parameter in wider.named_parameters():
            if name in other and other[name].dim() == parameter.dim():
                shared = tuple(
                    slice(0, min(a, b)) for a, b in zip(parameter.shape, other[name].shape, strict=True)
                )
                parameter[shared] = other[name][shared]


def network(
    recipe: Recipe, targets: Mapping[str, api.LabelSpec], key: str = "main", from_files: bool = True
) -> MultiTaskNet:
    """The network with its initial weights, which depend on the seed and on each part alone.

    recipe: of the parts
    targets: labels of each task
    key: of the draws: another network of the same recipe has another key
    from_files: whether to read the weights files that the recipe or the encoder names

    Recipes that differ in one component start the other parts equal, so that their comparison is paired.
    """
    with seeded(recipe.seed, "init", key, "encoder"):
        encoder = make_encoder(recipe)
    head = decoder = bridge = None
    if "classification" in recipe.tasks:
        with seeded(recipe.seed, "init", key, "head"):
            head = ClassHead(encoder.channels[-1], len(targets["classification"].names))
    if "segmentation" in recipe.tasks:
        classes = len(targets["segmentation"].names)
        with seeded(recipe.seed, "init", key, "bridge"):
            bridge = make_bridge(recipe)
        with seeded(recipe.seed, "init", key, "decoder"):
            decoder = _decoder(recipe, encoder, classes, bridge)
        if bridge is not None:
            with seeded(recipe.seed, "init", key, "decoder"):
                _share_weights(decoder, _decoder(recipe, encoder, classes, None))
    net = MultiTaskNet(encoder, head, decoder, bridge)
    if from_files:
        if weights := recipe.encoder.get("weights") or encoder.pretrained_file:
            net.encoder_start = load_encoder(encoder, Path(weights))
        if start := recipe.init:
            load_start(net, Path(start))
    return net


def build_model(recipe: Recipe, data: str | Path | None = None) -> MultiTaskNet:
    """The recipe's network with its initial weights.

    Called with images [B,C,H,W] in [−1, 1] it gives a Prediction: logits ``classification`` [B,classes] and
    ``segmentation`` [B,K,H,W], and ``saliency`` [B,1,H,W]; None for what the system does not have.
    """
    recipe = need_recipe(recipe, "build_model")
    return network(recipe, targets(recipe, data_root(data)))
