"""Passes of a network over the images of a set: logits of one task, or of classes and masks together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch.nn.modules.dropout import _DropoutNd

from mmtk import api
from mmtk.data.batches import label_tensor, network_input, pixels
from mmtk.data.dataset import TestSet
from mmtk.data.store import ImageStore
from mmtk.model.ensemble import Net
from mmtk.model.views import seen
from mmtk.recipe.recipe import Recipe
from mmtk.tasks import TASKS


def batches(
    net: Net,
    recipe: Recipe,
    task: str,
    store: ImageStore,
    rows: list[int],
    device: torch.device | str,
    labels: api.LabelSpec | None = None,
) -> Iterator[tuple[torch.Tensor, torch.Tensor, list[str]]]:
    """(logits on the CPU in fp32, targets, ids) of some rows, ``evaluate.batch`` at a time.

    net: on ``device``, in evaluation mode
    recipe: of the network
    task: whose forward and labels are used
    store: images of the set
    rows: of the store, in their order
    device: that computes the logits
    labels: of the task, where the set has labels of another
    """
    views = seen(net, recipe, {task: labels or store.labels})
    forward: Callable[[torch.Tensor], torch.Tensor] = getattr(views, TASKS[task].forward)
    size = recipe.evaluate.batch
    for start in range(0, len(rows), size):
        batch_rows = rows[start : start + size]
        images = network_input(pixels(store, batch_rows), recipe, task)
        logits = forward(images.to(device, next(net.parameters()).dtype)).float().cpu()
        yield logits, label_tensor(store, batch_rows), [store.ids[row] for row in batch_rows]


@contextmanager
def eval_mode(net: Net, dropout: bool) -> Iterator[None]:
    """Evaluation mode inside the block, with the encoder's dropout on if asked for; the mode is restored."""
    training = net.training
    net.eval()
    for member in net.members if dropout else ():
        for module in member.encoder.modules():
            if isinstance(module, _DropoutNd):
                module.train()
    try:
        yield
    finally:
        net.train(training)


@dataclass
class MaskAreas:
    """Share of every image that the network's own masks cover, of images without masks; ``values`` by id.

    ``labels`` are those of the masks.
    """

    labels: api.LabelSpec
    values: dict[str, float] = field(default_factory=dict)

    def add(self, logits: torch.Tensor, ids: Sequence[str]) -> None:
        """Add images with the logits of their masks."""
        masks = self.labels.decode(logits)[:, int(self.labels.exclusive) :]
        self.values |= dict(zip(ids, masks.any(1).double().mean((1, 2)).tolist(), strict=True))


def no_areas(test: TestSet, tests: Sequence[TestSet]) -> MaskAreas | None:
    """Mask areas of a set without masks, before any is known; None without a task that has masks."""
    masked = next((one for one in tests if TASKS[one.task].has_masks), None)
    return None if masked is None or TASKS[test.task].has_masks else MaskAreas(masked.store.labels)


def same_input(recipe: Recipe) -> bool:
    """Whether the network gets an image alike for every task."""
    return len({recipe.normalises(task) for task in recipe.tasks}) == 1


def batches_with_areas(
    net: Net, recipe: Recipe, test: TestSet, device: torch.device | str, areas: MaskAreas
) -> Iterator[tuple[torch.Tensor, torch.Tensor, list[str]]]:
    """Yield what ``batches`` does for a set of classes; masks of the same images go into ``areas``.

    One pass gives both, with the logits that each task would have of a pass of its own.

    net: on ``device``, in evaluation mode
    recipe: of the network
    test: the set
    device: that computes the logits
    areas: get every image
    """
    store, size = test.store, recipe.evaluate.batch
    views = seen(net, recipe, {test.task: store.labels, areas.labels.task: areas.labels})
    for start in range(0, len(test.known_rows), size):
        rows = test.known_rows[start : start + size]
        images = network_input(pixels(store, rows), recipe, test.task)
        prediction = views(images.to(device, next(net.parameters()).dtype))
        ids = [store.ids[row] for row in rows]
        areas.add(getattr(prediction, areas.labels.task).float().cpu(), ids)
        yield getattr(prediction, test.task).float().cpu(), label_tensor(store, rows), ids


def add_areas(net: Net, recipe: Recipe, test: TestSet, device: torch.device | str, areas: MaskAreas) -> None:
    """Add the images of a set, by passes of their own.

    net: on ``device``
    recipe: of the network
    test: set of images
    device: that computes the logits
    areas: get every image
    """
    task = areas.labels.task
    with eval_mode(net, False), torch.no_grad():
        for logits, _, ids in batches(net, recipe, task, test.store, test.known_rows, device, areas.labels):
            areas.add(logits, ids)
