"""Trials of losses and metrics on a small batch of their task."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from functools import partial
from typing import Any

from mmtk import builtin_scores
from mmtk.errors import MmtkError, listing
from mmtk.recipe.questions import located, location, recall
from mmtk.recipe.recipe import Recipe
from mmtk.registry import catalog, memo
from mmtk.scores import selecting, shown
from mmtk.tasks import TASKS

# What sources label: channels, and whether they exclude each other.
_LABELS = {"classification": [(2, True)], "segmentation": [(1, False), (2, True)]}


def losses(recipe: Recipe) -> Iterator[MmtkError]:
    """Find losses that refuse their keys, or a small batch of every kind of label that the task may have."""
    for task in recipe.tasks:
        key = f"loss.{task}"
        if not recipe.get(key):
            continue
        try:
            recall("labels", recipe, "loss", key, partial(_try_loss, recipe[key], task))
        except MmtkError as error:
            yield located(error, recipe, key)


def _try_loss(table: dict[str, Any], task: str) -> None:
    """Raise the first refusal of the loss, if it takes no labels that the task may have.

    A loss refuses by MmtkError, by ValueError, or by leaving the task out of ``tasks``.
    """
    import torch

    from mmtk.registry import factory

    word, component = f"loss/{table['use']}", catalog.load(catalog.find("loss", table["use"]))
    if task not in getattr(component, "tasks", _LABELS):
        labels, other = ("masks, not class labels", "cross-entropy")
        if task == "segmentation":
            labels, other = ("class labels, not masks", "dice")
        raise MmtkError(f"{word} compares {labels}.", hint=f'Set use = "{other}" in [loss.{task}].')
    refusals: list[MmtkError] = []
    for channels, exclusive in _LABELS[task]:
        pixels = () if task == "classification" else (16, 16)
        target = torch.zeros(2) if task == "classification" else torch.zeros(2, channels, 16, 16)
        wires = {"classes": channels, "exclusive": exclusive, "class_weights": None}
        try:
            loss = factory.component("loss", table, wires)
            loss(torch.zeros(2, channels, *pixels), target.long())
        except MmtkError as error:
            refusals.append(error)
        except Exception as error:  # a loss of somebody else raises whatever it likes
            refusals.append(_loss_fault(word, task, error))
    if len(refusals) == len(_LABELS[task]):
        raise refusals[0]


def _loss_fault(word: str, task: str, error: Exception) -> MmtkError:
    """Message for an exception inside a loss, with its file and line."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    other_tasks = [other for other in _LABELS if other != task]
    return MmtkError(
        f"{word} fails on a small batch of {task}: {type(error).__name__}: {error} "
        f"({last.filename}:{last.lineno}).",
        hint=f'If it serves {other_tasks[0]} alone, declare tasks = ("{other_tasks[0]}",) in its class.',
    )


def _task_of(entry: catalog.Entry, default: str) -> Any:
    return getattr(catalog.load(entry), "task", default)


def metrics(recipe: Recipe) -> Iterator[MmtkError]:
    """Find metrics that refuse a small batch, name no images, or give a task no score to select by."""
    for name, table in recipe.get("metric", {}).items():
        key, entry = f"metric.{name}", catalog.find("metric", table["use"])
        task = memo.recall("task", entry, name, partial(_task_of, entry, name))
        if name in TASKS and task != name:
            yield MmtkError(
                f'{key}.use = "{table["use"]}" scores {task}, not {name}.',
                location(recipe, f"{key}.use"),
                f'Set {key}.use = "{name}".',
            )
            continue
        if task not in TASKS:
            message = f'{key}.use = "{table["use"]}" scores {task}, which is no task.'
            yield MmtkError(message, location(recipe, f"{key}.use"), f"Set task in its class: {listing(TASKS)}.")
        if task not in recipe.tasks:
            continue
        try:
            score_names, selects, _ = _recalled(recipe, key, task)
        except MmtkError as error:
            yield located(error, recipe, key)
            continue
        if name == task and selects not in score_names:
            yield MmtkError(
                f'{key}.use = "{table["use"]}" gives no {selects}, by which the best weights are chosen.',
                location(recipe, f"{key}.use"),
                "Declare the score that selects in the metric's scores, ScoreInfo(…, selects=True); or keep "
                f'{key}.use = "{task}", and add yours as a table of its own, [metric.NAME].',
            )


def tested_scores(recipe: Recipe) -> set[str]:
    """Names of the scores that a comparison of runs of the recipe tests."""
    names = set()
    for name, table in recipe.get("metric", {}).items():
        entry = catalog.find("metric", table["use"])
        task = memo.recall("task", entry, name, partial(_task_of, entry, name))
        if task in recipe.tasks:
            _, _, tested = _recalled(recipe, f"metric.{name}", task)
            names |= {score if name == task else f"{name}/{score}" for score in tested}
    return names


def _recalled(recipe: Recipe, key: str, task: str) -> tuple[list[str], str, list[str]]:
    """Remembered answer of ``_scores``."""
    ask = partial(_scores, recipe[key], key, task)
    score_names, selects, tested = recall("declared scores", recipe, "metric", key, ask)
    return score_names, selects, tested


def _scores(table: dict[str, Any], key: str, task: str) -> tuple[list[str], str, list[str]]:
    """Names of a metric's scores, of the one that selects, and of those that are tested.

    On a batch of the first labels that it takes.
    """
    refusals: list[MmtkError] = []
    for channels, exclusive in _LABELS[task]:
        names = tuple(map(str, range(channels)))
        try:
            return _tried(table, key, task, {"names": names, "exclusive": exclusive, "spacing": {}})
        except MmtkError as error:
            refusals.append(error)
        except Exception as error:  # a metric of somebody else raises whatever it likes
            last = traceback.extract_tb(error.__traceback__)[-1]
            message = f"metric/{table['use']} fails on a small batch of {task}: {type(error).__name__}: {error}"
            refusals.append(MmtkError(f"{message} ({last.filename}:{last.lineno})."))
    raise refusals[0]


def _tried(table: dict[str, Any], key: str, task: str, wires: dict[str, Any]) -> tuple[list[str], str, list[str]]:
    """Names as ``_scores`` gives them, on two images; a second instance validates."""
    import torch

    from mmtk.api import LabelSpec
    from mmtk.registry import factory
    from mmtk.registry.declared import declared_scores
    from mmtk.registry.per_image import case_columns

    channels = len(wires["names"])
    target = torch.tensor([0, 1]) if task == "classification" else torch.zeros(2, channels, 16, 16)
    if task == "segmentation":
        target[:, 0] = 1
    logits = torch.eye(2) if task == "classification" else 2 * target - 1
    metric, validation = (factory.component("metric", table, wires) for _ in range(2))
    for instance in (validation, metric):
        instance.update(logits, target, ["a", "b"])
    metric.calibrate(validation)
    scores = metric.compute()
    case_columns({key.removeprefix("metric."): metric})
    labels = LabelSpec(TASKS[task].name, wires["names"], wires["exclusive"])
    declared = declared_scores(task, {task: metric}, labels)
    builtin = builtin_scores.of_task(task, labels.names, labels.exclusive)
    return sorted(scores), selecting(declared) or selecting(builtin), shown(declared, "tests")
