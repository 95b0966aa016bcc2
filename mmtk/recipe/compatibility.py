"""Checks that the parts of a recipe fit together, before anything is built or any data are read.

What only a component can say is asked through the memo, so that torch is imported for new questions alone.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import lru_cache
from typing import Any, cast

from mmtk.errors import MmtkError, listing
from mmtk.io import status_line
from mmtk.recipe import trials
from mmtk.recipe.group_checks import group_problems
from mmtk.recipe.questions import located, location, recall
from mmtk.recipe.recipe import Recipe
from mmtk.registry import catalog, memo, signature
from mmtk.tasks import TASK_OF_STRATEGY, TASKS


def misfits(recipe: Recipe, unknown: Collection[str] = ()) -> list[MmtkError]:
    """Find parts that cannot work together: size, strides, views, losses, metrics.

    unknown: keys and tables whose problem is known already; what depends on them is not asked, and a component's
        table among them is absent from the recipe
    """
    status_line.stage("checking that the parts fit")
    stride, problems = _bridge(recipe)
    unknown = {*unknown, "bridge"} if problems else unknown
    problems += [*_network(recipe, stride, unknown), *_views(recipe, unknown)]
    if recipe.groups and not problems and not unknown:
        problems += group_problems(recipe, _part_counts(recipe))
    return [*problems, *trials.losses(recipe), *trials.metrics(recipe), *_training(recipe)]


def _strides(recipe: Recipe) -> list[int]:
    """Strides of the encoder's features."""

    def ask() -> list[int]:
        from mmtk.recipe import parts

        return list(parts.sketch_encoder(recipe).strides)

    return cast(list[int], recall("strides", recipe, "encoder", "encoder", ask))


def _joins(recipe: Recipe) -> int | None:
    """Stride at which the bridge joins; None without a bridge."""

    def ask() -> int | None:
        from mmtk.recipe import parts

        bridge = parts.sketch_bridge(recipe)
        return None if bridge is None else bridge.stride

    return cast(int | None, recall("joins", recipe, "bridge", "bridge", ask) if recipe.get("bridge") else None)


def _starts(recipe: Recipe, kind: str) -> dict[str, str | None]:
    """Views of a strategy by name, each with the view that it starts from."""

    def ask() -> dict[str, str | None]:
        from mmtk.recipe import parts

        return {name: view.on for name, view in parts.sketch_views(recipe, kind).items()}

    return cast(dict[str, str | None], recall("views", recipe, kind, kind, ask))


def _bridge(recipe: Recipe) -> tuple[int | None, list[MmtkError]]:
    """Stride at which the bridge joins, if any, and the problems of the bridge alone."""
    try:
        stride = _joins(recipe)
    except MmtkError as error:
        return None, [located(error, recipe, "bridge")]
    if stride is None or "classification" in recipe.tasks:
        return stride, []
    problem = MmtkError(
        f'bridge.use = "{recipe["bridge.use"]}" needs the task classification: it reads the class head.',
        location(recipe, "bridge.use"),
        'Set bridge.use = "none".',
    )
    return stride, [problem]


def _network(recipe: Recipe, bridge: int | None, unknown: Collection[str]) -> list[MmtkError]:
    if not recipe.get("encoder"):
        return []
    try:
        strides = _strides(recipe)
    except MmtkError as error:
        return [located(error, recipe, "encoder")]
    problems = []
    size, coarsest = recipe["data.size"], max(strides)
    if size % coarsest and "data.size" not in unknown:
        near = sorted({max(coarsest, size // coarsest * coarsest), (size // coarsest + 1) * coarsest})
        problems.append(
            MmtkError(
                f"data.size: {size} is not divisible by {coarsest}, the stride of encoder "
                f"'{recipe['encoder.use']}'.",
                location(recipe, "data.size"),
                f"Take {' or '.join(map(str, near))}.",
            )
        )
    if bridge is not None and bridge not in strides:
        problems.append(
            MmtkError(
                f"bridge: joins at stride {bridge}, but encoder '{recipe['encoder.use']}' has strides "
                f"{', '.join(map(str, strides))}.",
                location(recipe, "bridge.stride") or location(recipe, "bridge.use"),
                "Set bridge.stride to one of these.",
            )
        )
    whole = recipe.get("decoder") or "segmentation" not in recipe.tasks
    ready = whole and not {"bridge", "data.size", "train.batch"} & {*unknown}
    return problems if problems or not ready else _batch_problems(recipe)


def _batch_problems(recipe: Recipe) -> list[MmtkError]:
    """Problem of a batch in its pass through the network, such as a batch norm that would get a single value."""
    batch, size = min(2, recipe["train.batch"]), recipe["data.size"]
    tables = {kind: recipe[kind] for kind in ("encoder", "decoder", "bridge") if recipe.get(kind)}
    entries = {kind: catalog.find(kind, table["use"]) for kind, table in tables.items()}
    data = {"size": size, "channels": recipe["data.channels"]}
    text = json.dumps({**tables, "data": data, "tasks": recipe.tasks, "seed": 0}, sort_keys=True)

    def ask() -> str:
        try:
            answer = _pass(text, batch, tuple(map(catalog.load, entries.values())))
        except MmtkError as error:  # encoder and bridge have been made before
            raise located(error, recipe, "decoder") from error
        if isinstance(answer, MmtkError):
            raise answer
        return answer

    try:
        facts = [text, batch, [*map(repr, entries.values())]]  # as text: a word of theirs is no path
        single_value = memo.recall("pass", entries["encoder"], facts, ask)
    except MmtkError as error:
        return [MmtkError(error.message, error.where or location(recipe, "data.size"), error.hint)]
    if not single_value:
        return []
    return [
        MmtkError(
            f"train.batch: 1 image on a device and data.size = {size} leave a batch norm of this network one "
            "value per channel, with which it cannot train.",
            location(recipe, "train.batch"),
            f"Take two images or more, or data.size = {2 * size}.",
        )
    ]


@lru_cache(maxsize=256)
def _pass(network: str, batch: int, classes: tuple[type[Any], ...]) -> str | MmtkError:
    """Answer of ``refused_pass`` for a network as JSON, cached by ``classes`` too."""
    from mmtk.model.sketch import refused_pass

    return refused_pass(Recipe(json.loads(network), {}), batch)


def _part_counts(recipe: Recipe) -> dict[str, tuple[int, int]]:
    """Numbers of parameters and of norms in each part of the network."""
    tables = {kind: recipe[kind] for kind in ("encoder", "decoder", "bridge") if recipe.get(kind)}
    text = json.dumps({**tables, "data": recipe["data"], "tasks": recipe.tasks, "seed": 0}, sort_keys=True)
    classes = tuple(catalog.load(catalog.find(kind, table["use"])) for kind, table in tables.items())
    return _counts(text, classes)


@lru_cache(maxsize=256)
def _counts(network: str, classes: tuple[type[Any], ...]) -> dict[str, tuple[int, int]]:
    """Counts for a network as JSON, cached by ``classes`` too."""
    from mmtk.model.sketch import part_counts

    return part_counts(Recipe(json.loads(network), {}))


def _views(recipe: Recipe, unknown: Collection[str]) -> list[MmtkError]:
    augment_tables = recipe.get("augment", {})
    augmentations = {
        *augment_tables,
        *(key.removeprefix("augment.") for key in unknown if key.startswith("augment.")),
    }
    problems = []
    for kind in TASK_OF_STRATEGY:
        if not recipe.get(kind):
            continue
        try:
            views = _starts(recipe, kind)
        except MmtkError as error:
            problems.append(located(error, recipe, kind))
            continue
        for name, start in views.items():
            if name not in augmentations:
                problems.append(
                    MmtkError(
                        f"{kind}.use = \"{recipe[f'{kind}.use']}\" asks for a view '{name}', but there is no "
                        f"[augment.{name}]. Known: {listing(augment_tables) or 'none'}.",
                        location(recipe, f"{kind}.use"),
                        f"Add a table [augment.{name}].",
                    )
                )
            if start is not None and start not in views:
                problems.append(
                    MmtkError(
                        f"{kind}: the view '{name}' starts from '{start}', which is not declared.",
                        location(recipe, f"{kind}.use"),
                    )
                )
    for task, name in ((task.name, task.augment) for task in TASKS.values()):
        is_named = any(f"[augment.{name}]" in (problem.hint or "") for problem in problems)
        if task in recipe.tasks and name not in augmentations and not is_named:
            message = f"augment.{name}: missing, and the labelled images of {task} need it."
            problems.append(MmtkError(message, None, f"Add a table [augment.{name}]; its use may be none."))
    return problems


def _training(recipe: Recipe) -> list[MmtkError]:
    key = "loss.classification"
    if recipe["train.balance"] != "weight" or not recipe.get(key):
        return []
    word = recipe[f"{key}.use"]

    def ask() -> bool:
        return "class_weights" in signature.wired(catalog.load(catalog.find("loss", word)))

    if recall("class weights", recipe, "loss", key, ask):
        return []
    return [
        MmtkError(
            f'train.balance = "weight" needs a loss that takes class_weights; {key}.use = "{word}" takes none.',
            location(recipe, "train.balance"),
            'Use train.balance = "sample", which works with every loss; or name class_weights among the '
            "positional parameters of a loss of your own.",
        )
    ]
