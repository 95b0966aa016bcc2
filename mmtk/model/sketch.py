"""Checks of a recipe that need a pass through the network or a look into a weights file, before it runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from mmtk import api
from mmtk.errors import MmtkError
from mmtk.model import build, encoder_start, weight_files
from mmtk.model.network import MultiTaskNet, is_norm
from mmtk.recipe.recipe import Recipe
from mmtk.tasks import TASKS

SMALL = (10_000_000, 128)  # parameters, and pixels of a side
# As many classes as any source has at least; a pass does not ask for more.
CLASSES: dict[api.Task, tuple[str, ...]] = {"classification": ("0", "1"), "segmentation": ("0",)}


def sketch_network(recipe: Recipe, device: str = "meta", extra_classes: tuple[str, ...] = ()) -> MultiTaskNet:
    """The network with no weights read or fetched; on ``meta`` without memory for them."""
    without = {key: value for key, value in recipe.encoder.items() if key != "pretrained"}
    plain = recipe.with_values({"encoder": without})
    targets: dict[str, api.LabelSpec] = {
        task: api.LabelSpec(task, (*names, *extra_classes), task == "classification")
        for task, names in CLASSES.items()
    }
    with torch.device(device):
        return build.network(plain, targets, from_files=False)


def part_counts(recipe: Recipe) -> dict[str, tuple[int, int]]:
    """Numbers of parameters and of norms in each part of the network that the recipe has."""
    return {
        name: (len([*part.parameters()]), sum(map(is_norm, part.modules())))
        for name, part in sketch_network(recipe).named_children()
    }


def refused_pass(recipe: Recipe, batch: int) -> str | MmtkError:
    """End of a batch's pass through the network: "", "norm" (a batch norm gets one value), or the refusal.

    Asked on ``meta``; on the processor where a part needs values, but that only of a single image, for its norms.
    Of a small network on small images it is asked on the processor: what torch loads for ``meta`` takes 2 s.
    """
    parameters = sum(parameter.numel() for parameter in sketch_network(recipe).parameters())
    is_small = parameters <= SMALL[0] and recipe.data.size <= SMALL[1]
    for device in ("cpu",) if is_small else ("meta", "cpu"):
        with torch.random.fork_rng(devices=[]):
            net = sketch_network(recipe, device).train()
        batch = min(batch, 2) if is_small else batch  # two images are as good as more
        answers = [_pass(recipe, net, task, batch, device) for task in recipe.tasks]
        refusals = [refusal for refusal in answers if refusal]
        if device == "meta" and any(isinstance(refusal, MmtkError) for refusal in refusals):
            continue  # values may be all that was missing
        if refusals:
            return refusals[0]
        if None not in answers or batch > 1:
            return ""
    return ""


def _pass(recipe: Recipe, net: MultiTaskNet, task: str, batch: int, device: str) -> str | MmtkError | None:
    """End of a pass for one task; None where it fails of something else."""
    images = torch.zeros(batch, recipe.data.channels, recipe.data.size, recipe.data.size, device=device)
    try:
        features = net.encoder(images)
        if not TASKS[task].has_masks:
            assert net.head is not None
            net.head(features)
        else:
            assert net.decoder is not None
            net.decoder(_joined(net, features), tuple(images.shape[-2:]))
    except MmtkError as error:
        return error
    except ValueError as error:
        return "norm" if "more than 1 value per channel" in str(error) else None
    except Exception:  # what a pass without data and weights cannot do is no fault of the recipe
        return None
    return ""


def _joined(net: MultiTaskNet, features: list[torch.Tensor]) -> list[torch.Tensor]:
    """The features with as many channels as the bridge adds; its own pass needs values."""
    if net.bridge is None:
        return features
    level = list(net.encoder.strides).index(net.bridge.stride)
    skip = features[level]
    more = skip.new_zeros(len(skip), net.bridge.channels, *skip.shape[-2:])
    return [*features[:level], torch.cat([skip, more], dim=1), *features[level + 1 :]]


def wrong_weights(recipe: Recipe) -> Iterator[MmtkError]:
    """Weights files that cannot be read or are of another network, with the keys that ask for them."""
    if encoder := recipe.encoder.get("weights"):
        yield from _wrong(recipe, "encoder.weights", Path(encoder))
    if whole := recipe.init:
        yield from _wrong(recipe, "init", Path(whole))


def _shaped_by_classes(recipe: Recipe, net: MultiTaskNet) -> set[str]:
    """Names of the weights whose shapes follow the number of classes, which only the data tell."""
    more = sketch_network(recipe, extra_classes=("more",)).state_dict()
    return {name for name, tensor in net.state_dict().items() if tensor.shape != more[name].shape}


def _wrong(recipe: Recipe, key: str, path: Path) -> Iterator[MmtkError]:
    try:
        net = sketch_network(recipe)
        if key == "encoder.weights":
            encoder_start.fit(net.encoder, path)
        else:
            weights = weight_files.read_start(path)
            free = _shaped_by_classes(recipe, net)
            weight_files.check_weights(net, weight_files.finite(weights, path), path, free)
    except MmtkError as error:
        origin = recipe.origins.get(key)
        where = f"{origin}: {key}" if origin not in (None, "default") else key
        yield MmtkError(f"{error.where}: {error.message}", where, error.hint)
