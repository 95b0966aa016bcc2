"""Seeded endless streams: which images are labelled, and the batch of every step as a pure function of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from graphlib import TopologicalSorter
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from mmtk import api
from mmtk.api import Augment, Labelled, StepContext, Unlabelled, View
from mmtk.counts import counted
from mmtk.data.store import Stored
from mmtk.errors import MmtkError
from mmtk.recipe.recipe import Recipe
from mmtk.registry.factory import component
from mmtk.seeding import generator
from mmtk.tasks import TASKS

Stream = TypeVar("Stream", bound=Labelled | Unlabelled | None)


@dataclass(frozen=True)
class Part:
    """The rows of one task's store by role, as ``splits.json`` lists their ids."""

    labelled: list[int]
    unlabelled: list[int]
    val: list[int]
    test: list[int]


def permutation(count: int, *key: object) -> list[int]:
    """A permutation of ``range(count)`` that depends on the key alone."""
    order: list[int] = torch.randperm(count, generator=generator(*key)).tolist()
    return order


def choose_labelled(rows: list[int], labels: list[int] | None, count: int, *key: object) -> list[int]:
    """``count`` of the rows; budgets nest: a smaller count gives a subset. ``labels`` stratifies by class."""
    if labels is None:
        return sorted(rows[i] for i in permutation(len(rows), *key)[:count])
    ranked = []
    for label in sorted(set(labels)):
        members = [row for row, own in zip(rows, labels, strict=True) if own == label]
        order = permutation(len(members), *key, label)
        # The k-th of n members stands at (k + ½)/n, so that every prefix holds the classes in proportion; the
        # first stands in front, so that no class is left out.
        ranked += [((k + 0.5) / len(members) if k else 0, label, members[i]) for k, i in enumerate(order)]
    return sorted(row for _, _, row in sorted(ranked)[:count])


def check_budget(budget: int | str, task: str, known: int) -> None:
    """Refuse a label budget above the ``known`` labels of the training part."""
    if isinstance(budget, int) and budget > known:
        raise MmtkError(
            f"data.{task}.labels: {counted(budget, 'label')} asked for, but the training part has {known}.",
            hint=f'Ask for at most {known}, or for "full".',
        )


def split_part(recipe: Recipe, task: str, source: api.Source, stored: Stored) -> Part:
    """Labelled and unlabelled training rows, validation and test rows of the in-domain source."""
    train_items = source.items("train")
    rows = [int(r) for r in stored.rows([item.id for item in train_items])]
    known = [row for row, item in zip(rows, train_items, strict=True) if item.target is not None]
    budget = recipe.task_data(task).labels
    labels = None if TASKS[task].has_masks else [int(stored.targets[row]) for row in known]
    check_labels(recipe, task, known if labels is None else labels, stored.labels.names)
    chosen = known if budget == "full" else choose_labelled(known, labels, budget, recipe.seed, "labels", task)
    taken = set(chosen)
    rest = [row for row in rows if row not in taken]
    if budget == "full" or recipe.task_data(task).include_labelled or not rest:
        rest = rows
    held = {split: [int(r) for r in stored.rows([i.id for i in source.items(split)])] for split in ("val", "test")}
    return Part(chosen, rest, held["val"], held["test"])


def check_labels(recipe: Recipe, task: str, labels: Sequence[Any], names: tuple[str, ...]) -> None:
    """Refuse a training part whose known labels do not fill the budget, or are all of one class."""
    if not labels:
        raise MmtkError(f"data.{task}.source: no training image has a label.")
    budget = recipe.task_data(task).labels
    check_budget(budget, task, len(labels))
    if task == "classification":
        _check_classes([int(label) for label in labels], names, budget)


def _check_classes(labels: list[int], names: tuple[str, ...], budget: int | str) -> None:
    present = sorted(set(labels))
    if len(names) < 2 or len(present) < 2:
        raise MmtkError(
            f"data.classification: the training part has one class only ({names[present[0]]}); "
            "classification needs two or more."
        )
    if isinstance(budget, int) and budget < len(present):
        classes = counted(len(present), "class", "classes")
        raise MmtkError(f"data.classification.labels: {counted(budget, 'label')} cannot cover {classes}.")


def own_rows(stream: Stream, now: StepContext, size: int) -> Stream:
    """A rank's rows of a stream that holds one or several times ``size`` images; all where there is one rank.

    Of every ``size`` images each rank has the same places, so that labelled image i keeps its unlabelled partner.
    """
    if stream is None or now.world == 1:
        return stream
    rows = [i for i in range(len(stream.image)) if i % size * now.world // size == now.rank]
    whole: Any = stream
    return type(whole)(**tree_map_only(Tensor, lambda each: each[rows], vars(whole)))


class Order:
    """An endless order over rows: position → row, every epoch a fresh keyed permutation."""

    def __init__(self, rows: list[int], labels: list[int] | None, *key: object) -> None:
        self._key = key
        self._groups = [rows]
        if labels is not None:  # class-balanced: positions take the classes in turn
            self._groups = [
                [row for row, own in zip(rows, labels, strict=True) if own == label]
                for label in sorted(set(labels))
            ]
        self._epoch = lru_cache(maxsize=2 * len(self._groups))(self._shuffled)

    def _shuffled(self, group: int, epoch: int) -> list[int]:
        rows = self._groups[group]
        return [rows[i] for i in permutation(len(rows), *self._key, group, epoch)]

    def at(self, position: int) -> int:
        """The row at a position of the endless order."""
        group, turn = position % len(self._groups), position // len(self._groups)
        epoch, place = divmod(turn, len(self._groups[group]))
        return self._epoch(group, epoch)[place]

    def batch(self, step: int, size: int) -> list[int]:
        """The rows of a step."""
        return [self.at(step * size + i) for i in range(size)]


def normalise(images: Tensor) -> Tensor:
    """[0, 1] → [−1, 1]: the one normaliser of every stream and of prediction (SPEC 1)."""
    # 2 x − 1 in one pass; twice a number is exact, so it is (x − 0.5) / 0.5 to the bit.
    return torch.add(torch.tensor(-1.0), images, alpha=2)


def network_input(images: Tensor, recipe: Recipe, task: str) -> Tensor:
    """Images [B,C,H,W] in [0, 1] as the network gets them for a task, in training and in prediction."""
    return normalise(images) if recipe.normalises(task) else images


def pixels(stored: Stored, rows: list[int] | np.ndarray) -> Tensor:
    """Images of a store as float [B,C,H,W] in [0, 1]."""
    return unit(_levels(stored, rows))


def _levels(stored: Stored, rows: list[int] | np.ndarray) -> Tensor:
    """Images of a store as they lie there: uint8 [B,C,H,W]."""
    return torch.from_numpy(np.ascontiguousarray(stored.images[rows]))


def unit(images: Tensor) -> Tensor:
    """Gray levels uint8 → float in [0, 1]; what is float already stays."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


def _augmented(
    augment: Augment, images: Tensor, draw: torch.Generator, known: Tensor | None = None, geometric: bool = True
) -> tuple[Tensor, Tensor | None]:
    """Augmented as gray levels where the component takes them, else as floats."""
    return augment(images if augment.uint8 else unit(images), draw, known, geometric)


def masks(stored: Stored, rows: list[int] | np.ndarray) -> Tensor:
    """Masks of a store as float [B,K,H,W] in {0, 1}, −1 where ignored."""
    raw = torch.from_numpy(np.ascontiguousarray(stored.targets[rows]))
    return torch.where(raw == 255, -1.0, raw.float())


def label_tensor(stored: Stored, rows: list[int] | np.ndarray) -> Tensor:
    """Labels of a store for losses and metrics: classes int64 [B], or masks float [B,K,H,W] as of ``masks``."""
    if TASKS[stored.labels.task].has_masks:
        return masks(stored, rows)
    return torch.from_numpy(stored.targets[rows])


class Streams:
    """The batches of a run: labelled and unlabelled images of every task, augmented and normalised."""

    def __init__(
        self,
        recipe: Recipe,
        stores: Mapping[str, Stored],
        parts: Mapping[str, Part],
        views: Mapping[str, Mapping[str, View]],
        needs_unlabelled: Mapping[str, bool],
        epoch: int = 1,
    ) -> None:
        self._epoch = epoch  # in steps
        self._recipe, self._stores, self._parts = recipe, stores, parts
        self._views, self._needs = views, needs_unlabelled
        self._augment = {task: augmentations(recipe, stores[task].labels) for task in stores}
        self._orders: dict[tuple[str, str], Order] = {}
        self._places: dict[tuple[str, str], dict[int, int]] = {}
        for task, part in parts.items():
            self._places[task, "labelled"] = {row: place for place, row in enumerate(part.labelled)}
            self._places[task, "unlabelled"] = {row: place for place, row in enumerate(part.unlabelled)}
            balanced = recipe.train.balance == "sample" and not TASKS[task].has_masks
            labels = [int(stores[task].targets[row]) for row in part.labelled] if balanced else None
            self._orders[task, "labelled"] = Order(part.labelled, labels, recipe.seed, "order", task, "labelled")
            self._orders[task, "unlabelled"] = Order(
                part.unlabelled, None, recipe.seed, "order", task, "unlabelled"
            )

    def ids(self, step: int) -> dict[str, list[str]]:
        """The ids of the labelled images of a step, by task: for messages."""
        size = self._recipe.train.batch
        return {
            task: [self._stores[task].ids[row] for row in self._orders[task, "labelled"].batch(step, size)]
            for task in self._parts
        }

    def batch(self, now: StepContext, device: torch.device | str = "cpu") -> Batch:
        """The batch of a step: a pure function of (seed, step); of several ranks each takes its rows of it."""
        whole = {task: self._task(task, now.index, device) for task in self._parts}
        size = self._recipe.train.batch
        return Batch(
            now, **{t: (own_rows(one, now, size), own_rows(two, now, size)) for t, (one, two) in whole.items()}
        )

    def _generator(self, task: str, stream: str, view: str, step: int) -> torch.Generator:
        return generator(self._recipe.seed, "augment", task, stream, view, step)

    def _task(self, task: str, step: int, device: torch.device | str) -> tuple[Labelled, Unlabelled | None]:
        stored, size = self._stores[task], self._recipe.train.batch
        rows = self._orders[task, "labelled"].batch(step, size)
        augment = self._augment[task][TASKS[task].augment]
        target = label_tensor(stored, rows)
        known = target.to(device) if TASKS[task].has_masks else None
        images = _levels(stored, rows).to(device)
        if self._recipe.train.frozen_views:
            image, moved = self._frozen(augment, images, known, rows, task, step)
        else:
            image, moved = _augmented(augment, images, self._generator(task, "labelled", "image", step), known)
        labels = target.to(device) if moved is None else moved
        labelled = Labelled(self._input(image, task), labels, self._index(task, "labelled", rows, device))
        return labelled, self._unlabelled(task, step, device) if self._needs[task] else None

    def _frozen(
        self, augment: Augment, images: Tensor, known: Tensor | None, rows: list[int], task: str, step: int
    ) -> tuple[Tensor, Tensor | None]:
        """Each image augmented by a draw of its own that stays for an epoch (the release's cached loader)."""
        made = []
        for i, row in enumerate(rows):
            draw = generator(self._recipe.seed, "augment", task, "frozen", step // self._epoch, row)
            made.append(_augmented(augment, images[i : i + 1], draw, None if known is None else known[i : i + 1]))
        moved = torch.cat([mask for _, mask in made if mask is not None]) if known is not None else None
        return torch.cat([image for image, _ in made]), moved

    def _unlabelled(self, task: str, step: int, device: torch.device | str) -> Unlabelled:
        stored = self._stores[task]
        size = self._recipe.train.batch * self._recipe.train.ratio
        rows = self._orders[task, "unlabelled"].batch(step, size)
        base, truth = _levels(stored, rows).to(device), None
        if TASKS[task].has_masks:
            draw = self._generator(task, "unlabelled", "image", step)
            base = _augmented(self._augment[task][TASKS[task].augment], base, draw)[0]
        else:
            known = torch.from_numpy(stored.targets[rows])
            truth = known.to(device) if bool((known >= 0).all()) else None
        made: dict[str, tuple[Tensor, ...]] = {}
        for name in self._in_order(self._views[task]):
            view = self._views[task][name]
            copies = []
            for k in range(view.count):
                start = base if view.on is None else made[view.on][min(k, len(made[view.on]) - 1)]
                draw = self._generator(task, "unlabelled", f"{name}-{k}", step)
                copies.append(_augmented(self._augment[task][name], start, draw, geometric=view.geometric)[0])
            made[name] = tuple(copies)
        views = {name: tuple(self._input(copy, task) for copy in copies) for name, copies in made.items()}
        return Unlabelled(self._input(base, task), self._index(task, "unlabelled", rows, device), views, truth)

    def _input(self, images: Tensor, task: str) -> Tensor:
        ready = network_input(unit(images), self._recipe, task)
        return ready.to(torch.float64 if self._recipe.train.precision == "fp64" else ready.dtype)

    def _index(self, task: str, stream: str, rows: list[int], device: torch.device | str) -> Tensor:
        places = self._places[task, stream]
        return torch.tensor([places[row] for row in rows], device=device)

    @staticmethod
    def _in_order(views: Mapping[str, View]) -> list[str]:
        # A view that starts from another comes after it.
        on = {name: [view.on] if view.on else [] for name, view in views.items()}
        return list(TopologicalSorter(on).static_order())


def augmentations(recipe: Recipe, target: api.LabelSpec) -> dict[str, api.Augment]:
    """Every augmentation of the recipe, for the images of one task."""
    return {
        name: component("augment", table, {"swap": target.swap}) for name, table in recipe.augmentations.items()
    }


class Batch:
    """The streams of one step; a task that the recipe lacks has none.

    No dataclass on purpose: engines that wrap the objective copy dataclasses, and this must pass untouched.
    """

    def __init__(
        self,
        now: StepContext,
        classification: tuple[Labelled, Unlabelled | None] | None = None,
        segmentation: tuple[Labelled, Unlabelled | None] | None = None,
    ) -> None:
        self.now, self.classification, self.segmentation = now, classification, segmentation

    def streams(self, task: str) -> tuple[Labelled, Unlabelled | None] | None:
        """The labelled and unlabelled images of a task; None where the recipe has not the task."""
        streams: tuple[Labelled, Unlabelled | None] | None = getattr(self, task)
        return streams
