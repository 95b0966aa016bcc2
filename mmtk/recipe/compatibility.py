"""The second pass over a recipe: do its parts fit together? Asked before anything is built or read.

What only a component can say is asked through the memo, so that torch is imported for new questions alone.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Collection, Iterator
from functools import lru_cache, partial
from typing import Any, cast

from mmtk import builtin_scores
from mmtk.errors import MmtkError, listing
from mmtk.io import status_line
from mmtk.recipe.recipe import Recipe
from mmtk.registry import catalog, memo
from mmtk.scores import selecting
from mmtk.tasks import TASKS


def misfits(recipe: Recipe, unknown: Collection[str] = ()) -> list[MmtkError]:
    """Parts that cannot work together, all at once: size, strides, views, losses, metrics.

    unknown: keys and tables whose problem is known already; what depends on them is not asked, and a component's
        table among them is absent from the recipe
    """
    status_line.stage("checking that the parts fit")
    stride, problems = _bridge(recipe)
    unknown = {*unknown, "bridge"} if problems else unknown
    problems += [*_network(recipe, stride, unknown), *_views(recipe, unknown)]
    return [*problems, *_losses(recipe), *_metrics(recipe), *_training(recipe)]


def _where(recipe: Recipe, key: str) -> str | None:
    origin = recipe.origins.get(key)
    return None if origin in (None, "default") else origin


def _placed(error: MmtkError, recipe: Recipe, key: str) -> MmtkError:
    """Error of a component, with the place where the recipe names it."""
    error.where = error.where or _where(recipe, f"{key}.use")
    return error


def _recall(question: str, recipe: Recipe, kind: str, key: str, ask: Callable[[], Any]) -> Any:
    """The answer of the component under ``key``, to which its table and ``data.channels`` are given."""
    table = recipe[key]
    facts = {"key": key, "table": table, "channels": recipe["data.channels"]}
    return memo.recall(question, catalog.find(kind, table["use"]), facts, ask)


def _strides(recipe: Recipe) -> list[int]:
    """The strides of the encoder's features."""

    def ask() -> list[int]:
        from mmtk.recipe import parts

        return list(parts.sketch_encoder(recipe).strides)

    return cast(list[int], _recall("strides", recipe, "encoder", "encoder", ask))


def _joins(recipe: Recipe) -> int | None:
    """The stride at which the bridge joins; None where it joins nothing."""

    def ask() -> int | None:
        from mmtk.recipe import parts

        bridge = parts.sketch_bridge(recipe)
        return None if bridge is None else bridge.stride

    return cast(int | None, _recall("joins", recipe, "bridge", "bridge", ask) if recipe.get("bridge") else None)


def _starts(recipe: Recipe, kind: str) -> dict[str, str | None]:
    """The views of a strategy, each with the view that it starts from."""

    def ask() -> dict[str, str | None]:
        from mmtk.recipe import parts

        return {name: view.on for name, view in parts.sketch_views(recipe, kind).items()}

    return cast(dict[str, str | None], _recall("views", recipe, kind, kind, ask))


def _bridge(recipe: Recipe) -> tuple[int | None, list[MmtkError]]:
    """The stride at which the bridge joins, if any, and what is wrong with the bridge alone."""
    try:
        stride = _joins(recipe)
    except MmtkError as error:
        return None, [_placed(error, recipe, "bridge")]
    if stride is None or "classification" in recipe.tasks:
        return stride, []
    problem = MmtkError(
        f'bridge.use = "{recipe["bridge.use"]}" needs the task classification: it reads the class head.',
        _where(recipe, "bridge.use"),
        'Set bridge.use = "none".',
    )
    return stride, [problem]


def _network(recipe: Recipe, bridge: int | None, unknown: Collection[str]) -> list[MmtkError]:
    if not recipe.get("encoder"):
        return []
    try:
        strides = _strides(recipe)
    except MmtkError as error:
        return [_placed(error, recipe, "encoder")]
    problems = []
    size, coarsest = recipe["data.size"], max(strides)
    if size % coarsest and "data.size" not in unknown:
        near = sorted({max(coarsest, size // coarsest * coarsest), (size // coarsest + 1) * coarsest})
        problems.append(
            MmtkError(
                f"data.size: {size} is not divisible by {coarsest}, the stride of encoder "
                f"'{recipe['encoder.use']}'.",
                _where(recipe, "data.size"),
                f"Take {' or '.join(map(str, near))}.",
            )
        )
    if bridge is not None and bridge not in strides:
        problems.append(
            MmtkError(
                f"bridge: joins at stride {bridge}, but encoder '{recipe['encoder.use']}' has strides "
                f"{', '.join(map(str, strides))}.",
                _where(recipe, "bridge.stride") or _where(recipe, "bridge.use"),
                "Set bridge.stride to one of these.",
            )
        )
    whole = recipe.get("decoder") or "segmentation" not in recipe.tasks
    ready = whole and not {"bridge", "data.size", "train.batch"} & {*unknown}
    return problems if problems or not ready else _refused(recipe)


def _refused(recipe: Recipe) -> list[MmtkError]:
    """The refusal of a batch by a part of the network, or by a batch norm that would get a single value."""
    batch, size = min(2, recipe["train.batch"]), recipe["data.size"]
    tables = {kind: recipe[kind] for kind in ("encoder", "decoder", "bridge") if recipe.get(kind)}
    entries = {kind: catalog.find(kind, table["use"]) for kind, table in tables.items()}
    data = {"size": size, "channels": recipe["data.channels"]}
    text = json.dumps({**tables, "data": data, "tasks": recipe.tasks, "seed": 0}, sort_keys=True)

    def ask() -> str:
        try:
            answer = _pass(text, batch, tuple(map(catalog.load, entries.values())))
        except MmtkError as error:  # encoder and bridge have been made before
            raise _placed(error, recipe, "decoder") from error
        if isinstance(answer, MmtkError):
            raise answer
        return answer

    try:
        facts = [text, batch, {kind: vars(entry) for kind, entry in entries.items()}]
        found = memo.recall("pass", entries["encoder"], facts, ask)
    except MmtkError as error:
        return [MmtkError(error.message, error.where or _where(recipe, "data.size"), error.hint)]
    if not found:
        return []
    return [
        MmtkError(
            f"train.batch: 1 image on a device and data.size = {size} leave a batch norm of this network one "
            "value per channel, with which it cannot train.",
            _where(recipe, "train.batch"),
            f"Take two images or more, or data.size = {2 * size}.",
        )
    ]


@lru_cache(maxsize=256)
def _pass(network: str, batch: int, classes: tuple[type[Any], ...]) -> str | MmtkError:
    """The answer of ``refused_pass`` for a network as JSON; asked again where ``classes`` are others."""
    from mmtk.model.sketch import refused_pass

    return refused_pass(Recipe(json.loads(network), {}), batch)


# The view of labelled images of each task.


def _views(recipe: Recipe, unknown: Collection[str]) -> list[MmtkError]:
    augment_tables = recipe.get("augment", {})
    augmentations = {
        *augment_tables,
        *(key.removeprefix("augment.") for key in unknown if key.startswith("augment.")),
    }
    problems = []
    for kind in ("ssl", "consistency"):
        if not recipe.get(kind):
            continue
        try:
            views = _starts(recipe, kind)
        except MmtkError as error:
            problems.append(_placed(error, recipe, kind))
            continue
        for name, start in views.items():
            if name not in augmentations:
                problems.append(
                    MmtkError(
                        f"{kind}.use = \"{recipe[f'{kind}.use']}\" asks for a view '{name}', but there is no "
                        f"[augment.{name}]. Known: {listing(augment_tables) or 'none'}.",
                        _where(recipe, f"{kind}.use"),
                        f"Add a table [augment.{name}].",
                    )
                )
            if start is not None and start not in views:
                problems.append(
                    MmtkError(
                        f"{kind}: the view '{name}' starts from '{start}', which is not declared.",
                        _where(recipe, f"{kind}.use"),
                    )
                )
    for task, name in ((task.name, task.augment) for task in TASKS.values()):
        is_named = any(f"[augment.{name}]" in (problem.hint or "") for problem in problems)
        if task in recipe.tasks and name not in augmentations and not is_named:
            message = f"augment.{name}: missing, and the labelled images of {task} need it."
            problems.append(MmtkError(message, None, f"Add a table [augment.{name}]; its use may be none."))
    return problems


# What sources label: channels, and whether they exclude each other.
_LABELS = {"classification": [(2, True)], "segmentation": [(1, False), (2, True)]}


def _losses(recipe: Recipe) -> Iterator[MmtkError]:
    """Losses that refuse their keys, or a small batch of every kind of label that the task may have."""
    for task in recipe.tasks:
        key = f"loss.{task}"
        if not recipe.get(key):
            continue
        try:
            _recall("labels", recipe, "loss", key, partial(_try_loss, recipe[key], task))
        except MmtkError as error:
            yield _placed(error, recipe, key)


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
    """An error inside a loss as a message with its file and line."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    other_tasks = [other for other in _LABELS if other != task]
    return MmtkError(
        f"{word} fails on a small batch of {task}: {type(error).__name__}: {error} "
        f"({last.filename}:{last.lineno}).",
        hint=f'If it serves {other_tasks[0]} alone, declare tasks = ("{other_tasks[0]}",) in its class.',
    )


def _task_of(entry: catalog.Entry, default: str) -> Any:
    return getattr(catalog.load(entry), "task", default)


def _metrics(recipe: Recipe) -> Iterator[MmtkError]:
    """Metrics that refuse a small batch or name no images, and a task's own that give no score to select by."""
    for name, table in recipe.get("metric", {}).items():
        key, entry = f"metric.{name}", catalog.find("metric", table["use"])
        task = memo.recall("task", entry, name, partial(_task_of, entry, name))
        if name in TASKS and task != name:
            yield MmtkError(
                f'{key}.use = "{table["use"]}" scores {task}, not {name}.',
                _where(recipe, f"{key}.use"),
                f'Set {key}.use = "{name}".',
            )
            continue
        if task not in recipe.tasks:
            continue
        try:
            score_names, selects = memo.recall(
                "selection", entry, [key, table], partial(_scores, table, key, task)
            )
        except MmtkError as error:
            yield _placed(error, recipe, key)
            continue
        if name == task and selects not in score_names:
            yield MmtkError(
                f'{key}.use = "{table["use"]}" gives no {selects}, by which the best weights are chosen.',
                _where(recipe, f"{key}.use"),
                "Declare the score that selects in the metric's scores, ScoreInfo(…, selects=True); or keep "
                f'{key}.use = "{task}", and add yours as a table of its own, [metric.NAME].',
            )


def _scores(table: dict[str, Any], key: str, task: str) -> tuple[list[str], str]:
    """The names of a metric's scores and the selecting one, on a small batch of the first labels that it takes."""
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


def _tried(table: dict[str, Any], key: str, task: str, wires: dict[str, Any]) -> tuple[list[str], str]:
    """The names of the scores of two images, and the selecting one; a second instance serves as validation."""
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
    return sorted(scores), selecting(declared) or selecting(builtin)


def _training(recipe: Recipe) -> list[MmtkError]:
    problems = []
    loss = recipe.get("loss.classification.use", "cross-entropy").rpartition("/")[2]
    if recipe["train.balance"] == "weight" and loss != "cross-entropy":
        problems.append(
            MmtkError(
                'train.balance = "weight" needs loss.classification.use = "cross-entropy".',
                _where(recipe, "train.balance"),
                'Use train.balance = "sample", which works with every loss.',
            )
        )
    return problems
