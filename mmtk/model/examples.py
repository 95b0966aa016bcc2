"""A few test images of a run with what the model says of them: the same images for every system of a study."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmtk.api import Prediction
from mmtk.data.batches import masks, network_input, pixels
from mmtk.data.dataset import Data, TestSet
from mmtk.data.store import ImageStore
from mmtk.gradients import input_gradients
from mmtk.io.files import atomic
from mmtk.model.ensemble import Net
from mmtk.model.network import FrozenClassify, MultiTaskNet
from mmtk.model.views import seen
from mmtk.recipe.recipe import Recipe
from mmtk.runs.arrays import read_cases
from mmtk.tasks import TASKS

Arrays = dict[str, np.ndarray]
BINS = 64


def class_maps(net: MultiTaskNet, images: torch.Tensor) -> np.ndarray:
    """|∂ s_k/∂x| of every class k for normalised images: [N,classes,H,W] (eq. 3)."""
    assert net.head is not None
    classify = FrozenClassify(net.encoder, net.head)
    classes = net.head.linear.out_features
    choices = [torch.full((len(images),), k, device=images.device) for k in range(classes)]
    return input_gradients(images, classify, choices).cpu().numpy()


def foreground(logits: torch.Tensor, test: TestSet) -> np.ndarray:
    """Predicted masks [N,K,H,W] of boolean; of exclusive channels the background is left out."""
    labels = test.store.labels
    predicted_masks = labels.decode(logits.float()).cpu().numpy()
    return predicted_masks[:, 1:] if labels.exclusive else predicted_masks


def reference(test: TestSet, rows: list[int]) -> np.ndarray:
    """Reference masks [N,K,H,W] of boolean, without the background of exclusive channels."""
    reference_masks = masks(test.store, rows).numpy() == 1
    return reference_masks[:, 1:] if test.store.labels.exclusive else reference_masks


def fixed_rows(test: TestSet, count: int) -> list[int]:
    """``count`` rows that depend on the ids alone; of classification images the classes take turns."""

    def order_key(row: int) -> str:
        return hashlib.sha256(f"mmtk-sample/{test.store.ids[row]}".encode()).hexdigest()

    ordered = sorted(test.rows, key=order_key)
    if TASKS[test.task].has_masks:
        return ordered[:count]
    labels = range(len(test.store.labels.names))
    groups = [[row for row in ordered if test.store.targets[row] == label] for label in labels]
    return [group[i] for i in range(count) for group in groups if i < len(group)][:count]


def spread(values: Sequence[float], count: int) -> list[int]:
    """Indices of ``count`` values evenly from the lowest to the highest; NaN counts as highest."""
    order = np.argsort(np.asarray(values), kind="stable")
    ranks = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return [int(order[rank]) for rank in ranks]


def write_samples(
    path: Path, recipe: Recipe, net: Net, tests: Sequence[TestSet], device: torch.device | str
) -> None:
    """Write ``samples.npz``: arrays under ``DOMAIN/TASK/WHAT``, from ``evaluate.cases`` images of each test set.

    path: of the file
    recipe: of the network
    net: on ``device``
    tests: the test sets
    device: that computes the predictions

    ids; image [N,H,W] uint8; probabilities [N,C] and maps [N,C,H,W] float16, each map over its largest value,
    where there are classes; target [N] or masks ``reference`` and ``predicted`` [N,K,H,W] of boolean.
    """
    arrays: Arrays = {}
    for test in tests:
        rows = fixed_rows(test, recipe.evaluate.cases)
        if rows:
            sample, _ = _sample(net.eval(), recipe, test, rows, device)
            arrays |= {f"{test.domain}/{test.task}/{name}": value for name, value in sample.items()}
    _write(path, arrays)


def write_ranked(
    path: Path, recipe: Recipe, net: Net, tests: Sequence[TestSet], cases_file: Path, device: torch.device | str
) -> None:
    """Write ``ranked.npz``: images of the test sets with masks, evenly from the worst to the best Dice.

    path: of the file
    recipe: of the network
    net: on ``device``
    tests: the test sets
    device: that computes the predictions

    ``cases_file`` holds the Dice of every image. Arrays as in ``samples.npz``, and ``saliency`` [N,H,W] of a
    bridge that has one. A picture of these images hides neither the failures nor the rule.
    """
    arrays: Arrays = {}
    tables = read_cases([cases_file]) if cases_file.is_file() else {}
    for test in tests:
        table = tables.get((test.domain, test.task), {})
        if "dice" not in table:
            continue
        dice = dict(zip(table["id"].tolist(), table["dice"][0].tolist(), strict=True))
        scored = [row for row in test.rows if test.store.ids[row] in dice]
        rows = [scored[i] for i in spread([dice[test.store.ids[row]] for row in scored], recipe.evaluate.cases)]
        if rows:
            sample, prediction = _sample(net.eval(), recipe, test, rows, device)
            if prediction.saliency is not None:
                sample["saliency"] = prediction.saliency[:, 0].float().cpu().numpy()
            arrays |= {f"{test.domain}/{test.task}/{name}": value for name, value in sample.items()}
    _write(path, arrays)


def _write(path: Path, arrays: Arrays) -> None:
    with atomic(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def _sample(
    net: Net, recipe: Recipe, test: TestSet, rows: list[int], device: torch.device | str
) -> tuple[Arrays, Prediction]:
    """Arrays of some ``rows`` of a test set, and what the network gave for them."""
    images = network_input(pixels(test.store, rows), recipe, test.task).to(device)
    has_masks = TASKS[test.task].has_masks
    with torch.no_grad():  # no masks, and no saliency for them, where nobody looks at them
        views = seen(net, recipe, {test.task: test.store.labels})
        prediction = views(images) if has_masks else Prediction(views.classify(images), None, None)
    sample: Arrays = {
        "ids": np.array([test.store.ids[row] for row in rows]),
        "image": np.asarray(test.store.images[rows])[:, 0],
    }
    if prediction.classification is not None:
        maps = np.mean([class_maps(member, images) for member in net.members], axis=0)
        largest = maps.max((2, 3), keepdims=True)
        sample["maps"] = np.divide(maps, largest, out=np.zeros_like(maps), where=largest > 0).astype(np.float16)
        sample["probabilities"] = prediction.classification.float().softmax(1).cpu().numpy()
    if not has_masks:
        sample["target"] = np.asarray(test.store.targets[rows])
    elif prediction.segmentation is not None:
        sample["reference"], sample["predicted"] = reference(test, rows), foreground(prediction.segmentation, test)
    return sample, prediction


def describe(data: Data) -> dict[str, Any]:
    """Describe the data for tables and figures: by ``task/domain`` the counts of each part and the intensities.

    ``parts`` maps a part to its images, ``classes`` a part to the images of each class; ``intensities`` counts
    the pixels of all images that were read in 64 bins from black to white.
    """
    from mmtk.tasks import CROSS_DOMAIN, IN_DOMAIN

    facts: dict[str, Any] = {}
    for task, part in data.parts.items():
        facts[f"{task}/{IN_DOMAIN}"] = _described(data.stores[task], vars(part))
    for task, rows in data.cross.items():
        facts[f"{task}/{CROSS_DOMAIN}"] = _described(data.cross_stores[task], {"test": rows})
    return facts


def _described(store: ImageStore, parts: dict[str, list[int]]) -> dict[str, Any]:
    pixels_of = np.zeros(256, np.int64)
    for start in range(0, len(store.ids), 256):
        pixels_of += np.bincount(np.asarray(store.images[start : start + 256]).ravel(), minlength=256)
    facts: dict[str, Any] = {
        "parts": {name: len(rows) for name, rows in parts.items()},
        "images": len(store.ids),
        "names": list(store.labels.names),
        "intensities": pixels_of.reshape(BINS, -1).sum(1).tolist(),
    }
    if not TASKS[store.labels.task].has_masks:
        labels = {name: np.asarray(store.targets)[rows] for name, rows in parts.items()}
        facts["classes"] = {
            part: {name: int((part_labels == k).sum()) for k, name in enumerate(store.labels.names)}
            for part, part_labels in labels.items()
        }
    return facts
