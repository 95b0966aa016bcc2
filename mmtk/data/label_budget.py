"""Labelled and unlabelled training images of a run, by its label budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mmtk import api
from mmtk.counts import counted
from mmtk.data.store import ImageStore
from mmtk.errors import MmtkError
from mmtk.recipe.recipe import Recipe
from mmtk.seeding import generator
from mmtk.tasks import TASKS


@dataclass(frozen=True)
class SplitRows:
    """Rows of one task's store by part, as ``splits.json`` lists their ids."""

    labelled: list[int]
    unlabelled: list[int]
    val: list[int]
    test: list[int]


def permutation(count: int, *key: object) -> list[int]:
    """Permute ``range(count)``, depending on the key alone."""
    order: list[int] = torch.randperm(count, generator=generator(*key)).tolist()
    return order


def choose_labelled(rows: list[int], labels: list[int] | None, count: int, *key: object) -> list[int]:
    """Choose ``count`` of the ``rows``, stratified by class where there are ``labels``.

    Budgets nest: a smaller count gives a subset. The draw depends on ``key`` alone.
    """
    if labels is None:
        return sorted(rows[i] for i in permutation(len(rows), *key)[:count])
    ranked = []
    for label in sorted(set(labels)):
        members = [row for row, row_label in zip(rows, labels, strict=True) if row_label == label]
        order = permutation(len(members), *key, label)
        # The k-th of n members stands at (k + ½)/n, so that every prefix holds the classes in proportion; the
        # first stands in front, so that no class is left out.
        ranked += [((k + 0.5) / len(members) if k else 0, label, members[i]) for k, i in enumerate(order)]
    return sorted(row for _, _, row in sorted(ranked)[:count])


def check_budget(budget: int | str, task: str, label_count: int) -> None:
    """Refuse a label budget above the ``label_count`` labels of the training part."""
    if isinstance(budget, int) and budget > label_count:
        raise MmtkError(
            f"data.{task}.labels: {counted(budget, 'label')} asked for, but the training part has {label_count}.",
            hint=f'Ask for at most {label_count}, or for "full".',
        )


def split_part(recipe: Recipe, task: str, source: api.Source, store: ImageStore) -> SplitRows:
    """Split the in-domain source of a task into labelled, unlabelled, validation and test rows.

    ``recipe`` gives the label budget and seed, ``source`` the parts, ``store`` the rows of their items.
    """
    train_items = source.items("train")
    rows = [int(r) for r in store.rows([item.id for item in train_items])]
    labelled_rows = [row for row, item in zip(rows, train_items, strict=True) if item.target is not None]
    budget = recipe.task_data(task).labels
    labels = None if TASKS[task].has_masks else [int(store.targets[row]) for row in labelled_rows]
    check_labels(recipe, task, labelled_rows if labels is None else labels, store.labels.names)
    chosen_rows = (
        labelled_rows
        if budget == "full"
        else choose_labelled(labelled_rows, labels, budget, recipe.seed, "labels", task)
    )
    used_rows = set(chosen_rows)
    unlabelled_rows = [row for row in rows if row not in used_rows]
    if budget == "full" or recipe.task_data(task).include_labelled or not unlabelled_rows:
        unlabelled_rows = rows
    scored_rows = {
        split: [int(r) for r in store.rows([i.id for i in source.items(split)])] for split in ("val", "test")
    }
    return SplitRows(chosen_rows, unlabelled_rows, scored_rows["val"], scored_rows["test"])


def check_labels(recipe: Recipe, task: str, labels: Sequence[Any], names: tuple[str, ...]) -> None:
    """Refuse a training part whose known labels do not fill the budget of ``recipe``, or are all of one class.

    ``labels``: class numbers of ``names``, or one item per labelled image in segmentation.
    """
    if not labels:
        raise MmtkError(
            f"data.{task}.source: no training image has a label.", hint="Look at its labels: mmtk data inspect."
        )
    budget = recipe.task_data(task).labels
    check_budget(budget, task, len(labels))
    if task == "classification":
        _check_classes([int(label) for label in labels], names, budget)


def _check_classes(labels: list[int], names: tuple[str, ...], budget: int | str) -> None:
    present = sorted(set(labels))
    if len(names) < 2 or len(present) < 2:
        raise MmtkError(
            f"data.classification: the training part has one class only ({names[present[0]]}); "
            "classification needs two or more.",
            hint="Add images of another class to the training part.",
        )
    if isinstance(budget, int) and budget < len(present):
        classes = counted(len(present), "class", "classes")
        message = f"data.classification.labels: {counted(budget, 'label')} cannot cover {classes}."
        raise MmtkError(message, hint=f"Ask for {len(present)} or more.")
