"""Checks of a recipe that need a pass through the network or a look into a weights file, before it runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from mmtk import api, build
from mmtk.errors import MmtkError
from mmtk.model import MultiTaskNet
from mmtk.recipe import Recipe

# As many classes as any source has at least; a pass does not ask for more.
CLASSES: dict[api.Task, tuple[str, ...]] = {"classification": ("0", "1"), "segmentation": ("0",)}


def sketch_network(recipe: Recipe, device: str = "meta") -> MultiTaskNet:
    """The network with no weights read or fetched; on ``meta`` without memory for them."""
    without = {key: value for key, value in recipe["encoder"].items() if key not in ("weights", "pretrained")}
    plain = recipe.with_values({"encoder": without, "init": None})
    targets: dict[str, api.Target] = {
        task: api.Target(task, names, task == "classification") for task, names in CLASSES.items()
    }
    with torch.device(device):
        return build.network(plain, targets)


def norm_of_one_value(recipe: Recipe, batch: int) -> bool:
    """Whether a batch of so many images leaves a batch norm a single value per channel, which cannot train."""
    for device in ("meta", "cpu"):  # a part of somebody else may ask for values, which meta has not
        net = sketch_network(recipe, device).train()
        refusals = {task: _refuses(recipe, net, task, batch, device) for task in recipe.tasks}
        if True in refusals.values():
            return True
        if None not in refusals.values():
            return False
    return False


def _refuses(recipe: Recipe, net: MultiTaskNet, task: str, batch: int, device: str) -> bool | None:
    """Whether a batch norm refuses a pass for a task; None where the pass fails of something else."""
    images = torch.zeros(batch, recipe["data.channels"], recipe["data.size"], recipe["data.size"], device=device)
    try:
        net.classify(images) if task == "classification" else net.segment(images)
    except ValueError as error:
        return True if "more than 1 value per channel" in str(error) else None
    except Exception:  # what a pass without data and weights cannot do is no fault of the recipe
        return None
    return False


def wrong_weights(recipe: Recipe) -> Iterator[MmtkError]:
    """Weights files that cannot be read or are of another network, with the keys that ask for them."""
    if encoder := recipe.get("encoder.weights"):
        yield from _wrong(recipe, "encoder.weights", Path(encoder))
    if whole := recipe.get("init"):
        yield from _wrong(recipe, "init", Path(whole))


def _wrong(recipe: Recipe, key: str, path: Path) -> Iterator[MmtkError]:
    try:
        weights = build.read_weights(path)
        net = sketch_network(recipe)
        if key == "encoder.weights":
            build.check_weights(net.encoder, build.encoder_part(weights), path)
        else:
            build.check_weights(net, weights, path, shapes=False)  # how many classes there are, the data say
    except MmtkError as error:
        place = recipe.origins.get(key)
        where = f"{place}: {key}" if place not in (None, "default") else key
        yield MmtkError(f"{error.where}: {error.message}", where, error.hint)
