"""Measurement of saliency maps: where they lie, what they explain, whether weights matter to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmtk import api
from mmtk.builtin_scores import SHUFFLED
from mmtk.components.source._organ_words import LUNG, organ
from mmtk.data.batches import masks, network_input, pixels
from mmtk.data.dataset import TestSet
from mmtk.errors import MmtkError
from mmtk.model.map_scores import (
    boxes_region,
    coarse,
    control_maps,
    deletion,
    hits,
    insertion,
    mass_inside,
    rank_correlation,
)
from mmtk.model.network import FrozenClassify, MultiTaskNet
from mmtk.model.passes import eval_mode
from mmtk.model.shuffled_weights import shuffled, stages
from mmtk.recipe.recipe import Recipe
from mmtk.recipe.toml import assignment
from mmtk.registry.factory import component
from mmtk.seeding import seed_of
from mmtk.tasks import TASKS

CONTROLS = ("noise", "centre")  # maps that look at no image
BATCH = 64  # images
FALLBACK = "saliency"  # of a network without a map of its own
Explain = Callable[[Tensor], Tensor]  # network input [B,C,H,W] → map [B,H,W], none negative


@dataclass(frozen=True)
class MapTable:
    """Values per image of one kind of map on one test set.

    ids: [images]
    columns: [images] by score; NaN where an image has no such region, or its map is flat
    maps: [images,h,w], coarse, largest value 1
    """

    ids: list[str]
    columns: dict[str, list[float]]
    maps: np.ndarray


@dataclass(frozen=True)
class Explained:
    """A trained network and the kind of map that is measured.

    net: on its device, of ``recipe``
    recipe: of the network
    targets: labels by task
    explain: gives the maps
    looks: whether the maps look at images and weights at all
    """

    net: MultiTaskNet
    recipe: Recipe
    targets: Mapping[str, api.LabelSpec]
    explain: Explain
    looks: bool = True

    @property
    def classify(self) -> FrozenClassify:
        """Class logits of images."""
        assert self.net.bridge_classify is not None
        return self.net.bridge_classify

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return next(self.net.parameters()).device


def map_name(word: str, recipe: Recipe) -> str:
    """The map that a word asks for: "" is the network's own, by the word of its bridge."""
    if word:
        return word
    use = str(recipe.bridge.get("use", "none")).rpartition("/")[2]
    return FALLBACK if use == "none" else use


def explained(net: MultiTaskNet, recipe: Recipe, targets: Mapping[str, api.LabelSpec], name: str) -> Explained:
    """A network with a kind of map: ``noise``, ``centre``, or a bridge with keys, ``captum,method=grad-cam``.

    net: of the recipe
    recipe: of the network
    targets: labels by task
    name: of the map

    The network's own bridge is used where it is named. Another one must have no weights, as nobody trained them.
    """
    if net.bridge_classify is None:
        message = "has no class branch, so no map says what its class rests on."
        raise MmtkError(message, recipe.name, "Name a run that was trained for classification.")
    if name in CONTROLS:
        return Explained(net, recipe, targets, _control(name), looks=False)
    use, *keys = name.split(",")
    own_use = str(recipe.bridge.get("use", "none")).rpartition("/")[2]
    bridge = net.bridge
    if bridge is None or keys or use != own_use:
        table = {"use": use, **dict(assignment(key) for key in keys)}
        bridge = component("bridge", table, {"in_channels": recipe.data.channels})
        if [*bridge.parameters()]:
            message = f"the map '{use}' has weights, which were not trained with this network."
            raise MmtkError(f"--map {name}: {message}", hint=f"Name a run whose bridge is {use}.")
    classify, joined = net.bridge_classify, bridge.to(next(net.parameters()).device)

    def explain(images: Tensor) -> Tensor:
        maps = joined(images, classify)[1]
        if maps is None:
            raise MmtkError(f"--map {name}: this bridge shows no map.", hint="Maps: saliency, noise, centre.")
        return maps.detach()[:, 0].float().clamp(min=0)

    return Explained(net, recipe, targets, explain)


def _control(name: str) -> Explain:
    def explain(images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        return dict(control_maps(len(images), (height, width)))[name].to(images.device)

    return explain


def chosen_rows(test: TestSet, count: int) -> list[int]:
    """Rows of ``count`` images of a test set, the same in every run, and of all images with boxes."""
    rows = sorted(test.known_rows, key=lambda row: seed_of("saliency", test.store.ids[row]))
    boxed = [row for row in rows[count:] if test.store.ids[row] in test.store.boxes]
    return sorted([*rows[:count], *boxed])


def measure(one: Explained, test: TestSet, count: int) -> MapTable:
    """Measure the maps of ``count`` images of a test set, and of all that have boxes."""
    columns: dict[str, list[float]] = defaultdict(list)
    maps, ids = [], []
    rows = chosen_rows(test, count)
    with eval_mode(one.net, False), torch.no_grad():
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            values, batch_maps = _of_batch(one, test, batch)
            for name, column in values.items():
                columns[name] += column.tolist()
            maps.append(batch_maps)
            ids += [test.store.ids[row] for row in batch]
    return MapTable(ids, dict(columns), np.concatenate(maps))


def _of_batch(one: Explained, test: TestSet, rows: list[int]) -> tuple[dict[str, Tensor | np.ndarray], np.ndarray]:
    levels = pixels(test.store, rows).to(one.device)
    images = network_input(levels, one.recipe, "classification")
    maps = one.explain(images)
    values: dict[str, Tensor | np.ndarray] = {}
    boxes = [test.store.boxes.get(test.store.ids[row], ()) for row in rows]
    regions = {"lungs": _lungs(one, test, rows, levels)}
    if test.store.boxes:
        height, width = images.shape[2:]
        regions["boxes"] = torch.stack([boxes_region(some, (height, width)) for some in boxes]).to(one.device)
    for name, region in regions.items():
        if region is not None:
            mass, area = mass_inside(maps, region), region.double().mean((1, 2)).to(maps.dtype)
            area = torch.where(area > 0, area, torch.nan)
            values |= {f"mass-in-{name}": mass, f"area-of-{name}": area, f"excess-in-{name}": mass - area}
            if name == "boxes":
                values["hits"] = hits(maps, region)
    values["deletion"] = deletion(images, maps, one.classify)
    values["insertion"] = insertion(images, maps, one.classify)
    own_maps = coarse(maps).cpu().numpy()
    if one.looks:
        values |= _after_shuffling(one, images, own_maps)
    return values, own_maps


def _lungs(one: Explained, test: TestSet, rows: list[int], levels: Tensor) -> Tensor | None:
    """Lungs [B,H,W]: by the reference masks, else by the network's own masks; None without either.

    Of several channels those called lungs, else those whose names say no other organ; None without any.
    """
    if TASKS[test.task].has_masks:
        labels, channels = test.store.labels, masks(test.store, rows).to(one.device) == 1
    elif one.net.decoder is not None:
        labels = one.targets["segmentation"]
        channels = labels.decode(one.net.segment(network_input(levels, one.recipe, "segmentation")))
    else:
        return None
    organs = range(int(labels.exclusive), len(labels.names))
    names = {k: organ(labels.names[k]) for k in organs}
    lungs = [k for k in organs if names[k] == LUNG] or [k for k in organs if not names[k]]
    return channels[:, lungs].any(1) if lungs else None


def _after_shuffling(one: Explained, images: Tensor, own_maps: np.ndarray) -> dict[str, np.ndarray]:
    """Rank correlation of maps with those of weights shuffled from the head down (Adebayo et al. 2018).

    one: whose weights are as before afterwards
    images: network input [B,C,H,W]
    own_maps: coarse maps of the trained weights
    """
    assert one.net.head is not None
    correlations = {}
    parts, seed = stages(one.net.encoder, one.net.head), one.recipe.seed
    for number, name in enumerate(SHUFFLED, 1):
        modules = [module for part in parts[:number] for module in part]
        with shuffled(modules, seed):
            correlations[name] = rank_correlation(own_maps, coarse(one.explain(images)).cpu().numpy())
    return correlations
