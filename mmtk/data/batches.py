"""Seeded batches: the batch of a step as a pure function of seed and step."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from graphlib import TopologicalSorter
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from mmtk import api
from mmtk.api import Augment, Labelled, StepContext, Unlabelled, View
from mmtk.data.label_budget import SplitRows, permutation
from mmtk.data.store import ImageStore
from mmtk.recipe.recipe import Recipe
from mmtk.registry.factory import component
from mmtk.seeding import generator
from mmtk.tasks import TASKS

Stream = TypeVar("Stream", bound=Labelled | Unlabelled)


def rank_rows(stream: Stream, now: StepContext, size: int) -> Stream:
    """Rows of a rank of a stream with one or several times ``size`` images; all of them on a single rank.

    Each rank has the same indices of every ``size`` images: labelled image i keeps its unlabelled partner.
    """
    if now.world == 1:
        return stream
    rows = [i for i in range(len(stream.image)) if i % size * now.world // size == now.rank]
    batch: Any = stream
    return type(batch)(**tree_map_only(Tensor, lambda tensor: tensor[rows], vars(batch)))


class EpochSampler:
    """Endless order over rows: position → row, a fresh keyed permutation in every epoch."""

    def __init__(self, rows: list[int], labels: list[int] | None, *key: object) -> None:
        self._key = key
        self._groups = [rows]
        if labels is not None:  # class-balanced: positions take the classes in turn
            self._groups = [
                [row for row, row_label in zip(rows, labels, strict=True) if row_label == label]
                for label in sorted(set(labels))
            ]
        self._epoch = lru_cache(maxsize=2 * len(self._groups))(self._shuffled)

    def _shuffled(self, group: int, epoch: int) -> list[int]:
        rows = self._groups[group]
        return [rows[i] for i in permutation(len(rows), *self._key, group, epoch)]

    def at(self, position: int) -> int:
        """Row at a position of the endless order."""
        group, turn = position % len(self._groups), position // len(self._groups)
        epoch, index = divmod(turn, len(self._groups[group]))
        return self._epoch(group, epoch)[index]

    def batch(self, step: int, size: int) -> list[int]:
        """Rows of a step."""
        return [self.at(step * size + i) for i in range(size)]


def normalise(images: Tensor) -> Tensor:
    """Map [0, 1] to [−1, 1]: the one normaliser of every stream and of prediction (SPEC 1)."""
    # 2 x − 1 in one pass; twice a number is exact, so it is (x − 0.5) / 0.5 to the bit.
    return torch.add(torch.tensor(-1.0), images, alpha=2)


def network_input(images: Tensor, recipe: Recipe, task: str) -> Tensor:
    """Images [B,C,H,W] in [0, 1] as the network gets them for a task, in training and in prediction."""
    return normalise(images) if recipe.normalises(task) else images


def pixels(store: ImageStore, rows: list[int] | np.ndarray) -> Tensor:
    """Images of a store as float [B,C,H,W] in [0, 1]."""
    return unit(_levels(store, rows))


def _levels(store: ImageStore, rows: list[int] | np.ndarray) -> Tensor:
    """Images of a store as stored: uint8 [B,C,H,W]."""
    return torch.from_numpy(np.ascontiguousarray(store.images[rows]))


def unit(images: Tensor) -> Tensor:
    """Map gray levels uint8 to float in [0, 1]; float images pass unchanged."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


def _augmented(
    augment: Augment, images: Tensor, draw: torch.Generator, masks: Tensor | None = None, geometric: bool = True
) -> tuple[Tensor, Tensor | None]:
    """Augment as gray levels where the component takes them, else as floats."""
    return augment(images if augment.uint8 else unit(images), draw, masks, geometric)


def masks(store: ImageStore, rows: list[int] | np.ndarray) -> Tensor:
    """Masks of a store as float [B,K,H,W] in {0, 1}, −1 where ignored."""
    raw = torch.from_numpy(np.ascontiguousarray(store.targets[rows]))
    return torch.where(raw == 255, -1.0, raw.float())


def label_tensor(store: ImageStore, rows: list[int] | np.ndarray) -> Tensor:
    """Labels of a store for losses and metrics: classes int64 [B], or masks float [B,K,H,W] as of ``masks``."""
    if TASKS[store.labels.task].has_masks:
        return masks(store, rows)
    return torch.from_numpy(store.targets[rows])


class BatchLoader:
    """Batches of a run: labelled and unlabelled images of every task, augmented and normalised.

    recipe: of the run.
    stores, parts: images and rows of every task.
    views: unlabelled views that each task's strategy declares, by name.
    needs_unlabelled: whether a task's strategy reads unlabelled images.
    epoch: steps after which frozen views are drawn anew.
    """

    def __init__(
        self,
        recipe: Recipe,
        stores: Mapping[str, ImageStore],
        parts: Mapping[str, SplitRows],
        views: Mapping[str, Mapping[str, View]],
        needs_unlabelled: Mapping[str, bool],
        epoch: int = 1,
    ) -> None:
        self._epoch = epoch  # in steps
        self._recipe, self._stores, self._parts = recipe, stores, parts
        self._views, self._needs = views, needs_unlabelled
        self._augment = {task: augmentations(recipe, stores[task].labels) for task in stores}
        self._orders: dict[tuple[str, str], EpochSampler] = {}
        self._indices: dict[tuple[str, str], dict[int, int]] = {}
        for task, part in parts.items():
            self._indices[task, "labelled"] = {row: index for index, row in enumerate(part.labelled)}
            self._indices[task, "unlabelled"] = {row: index for index, row in enumerate(part.unlabelled)}
            balanced = recipe.train.balance == "sample" and not TASKS[task].has_masks
            labels = [int(stores[task].targets[row]) for row in part.labelled] if balanced else None
            self._orders[task, "labelled"] = EpochSampler(
                part.labelled, labels, recipe.seed, "order", task, "labelled"
            )
            self._orders[task, "unlabelled"] = EpochSampler(
                part.unlabelled, None, recipe.seed, "order", task, "unlabelled"
            )

    def ids(self, step: int) -> dict[str, list[str]]:
        """Ids of the labelled images of a step, by task: for messages."""
        size = self._recipe.train.batch
        return {
            task: [self._stores[task].ids[row] for row in self._orders[task, "labelled"].batch(step, size)]
            for task in self._parts
        }

    def batch(self, now: StepContext, device: torch.device | str = "cpu") -> Batch:
        """Batch of a step: a pure function of (seed, step); of several ranks each takes its rows of it."""
        task_streams = {task: self._task(task, now.index, device) for task in self._parts}
        size = self._recipe.train.batch
        return Batch(
            now,
            **{
                t: (rank_rows(one, now, size), rank_rows(two, now, size)) for t, (one, two) in task_streams.items()
            },
        )

    def _generator(self, task: str, stream: str, view: str, step: int) -> torch.Generator:
        return generator(self._recipe.seed, "augment", task, stream, view, step)

    def _task(self, task: str, step: int, device: torch.device | str) -> tuple[Labelled, Unlabelled]:
        store, size = self._stores[task], self._recipe.train.batch
        rows = self._orders[task, "labelled"].batch(step, size)
        augment = self._augment[task][TASKS[task].augment]
        target = label_tensor(store, rows)
        mask = target.to(device) if TASKS[task].has_masks else None
        images = _levels(store, rows).to(device)
        if self._recipe.train.frozen_views:
            image, warped_mask = self._frozen(augment, images, mask, rows, task, step)
        else:
            image, warped_mask = _augmented(
                augment, images, self._generator(task, "labelled", "image", step), mask
            )
        labels = target.to(device) if warped_mask is None else warped_mask
        labelled = Labelled(self._input(image, task), labels, self._index(task, "labelled", rows, device))
        if self._needs[task]:
            return labelled, self._unlabelled(task, step, device)
        return labelled, Unlabelled(labelled.image[:0], labelled.index[:0])

    def _frozen(
        self, augment: Augment, images: Tensor, masks: Tensor | None, rows: list[int], task: str, step: int
    ) -> tuple[Tensor, Tensor | None]:
        """Augment each image by a draw of its own that stays for an epoch (the release's cached loader)."""
        views = []
        for i, row in enumerate(rows):
            draw = generator(self._recipe.seed, "augment", task, "frozen", step // self._epoch, row)
            mask = None if masks is None else masks[i : i + 1]
            views.append(_augmented(augment, images[i : i + 1], draw, mask))
        warped_masks = [mask for _, mask in views if mask is not None]
        return torch.cat([image for image, _ in views]), torch.cat(warped_masks) if warped_masks else None

    def _unlabelled(self, task: str, step: int, device: torch.device | str) -> Unlabelled:
        store = self._stores[task]
        size = self._recipe.train.batch * self._recipe.train.ratio
        rows = self._orders[task, "unlabelled"].batch(step, size)
        base, truth = _levels(store, rows).to(device), None
        if TASKS[task].has_masks:
            draw = self._generator(task, "unlabelled", "image", step)
            base = _augmented(self._augment[task][TASKS[task].augment], base, draw)[0]
        else:
            labels = torch.from_numpy(store.targets[rows])
            truth = labels.to(device) if bool((labels >= 0).all()) else None
        images: dict[str, tuple[Tensor, ...]] = {}
        for name in self._in_order(self._views[task]):
            view = self._views[task][name]
            copies = []
            for k in range(view.count):
                start = base if view.on is None else images[view.on][min(k, len(images[view.on]) - 1)]
                draw = self._generator(task, "unlabelled", f"{name}-{k}", step)
                copies.append(_augmented(self._augment[task][name], start, draw, geometric=view.geometric)[0])
            images[name] = tuple(copies)
        views = {name: tuple(self._input(copy, task) for copy in copies) for name, copies in images.items()}
        return Unlabelled(self._input(base, task), self._index(task, "unlabelled", rows, device), views, truth)

    def _input(self, images: Tensor, task: str) -> Tensor:
        ready = network_input(unit(images), self._recipe, task)
        return ready.to(torch.float64 if self._recipe.train.precision == "fp64" else ready.dtype)

    def _index(self, task: str, stream: str, rows: list[int], device: torch.device | str) -> Tensor:
        indices = self._indices[task, stream]
        return torch.tensor([indices[row] for row in rows], device=device)

    @staticmethod
    def _in_order(views: Mapping[str, View]) -> list[str]:
        # A view that starts from another comes after it.
        on = {name: [view.on] if view.on else [] for name, view in views.items()}
        return list(TopologicalSorter(on).static_order())


def augmentations(recipe: Recipe, target: api.LabelSpec) -> dict[str, api.Augment]:
    """Augmentations of the recipe by name, for the images of one task."""
    return {
        name: component("augment", table, {"swap": target.swap}) for name, table in recipe.augmentations.items()
    }


class Batch:
    """Streams of one step; a task that the recipe lacks has none.

    No dataclass on purpose: engines that wrap the objective copy dataclasses, and this must pass untouched.
    """

    def __init__(
        self,
        now: StepContext,
        classification: tuple[Labelled, Unlabelled] | None = None,
        segmentation: tuple[Labelled, Unlabelled] | None = None,
    ) -> None:
        self.now, self.classification, self.segmentation = now, classification, segmentation

    def streams(self, task: str) -> tuple[Labelled, Unlabelled] | None:
        """Labelled and unlabelled images of a task; None where the recipe lacks the task."""
        streams: tuple[Labelled, Unlabelled] | None = getattr(self, task)
        return streams
