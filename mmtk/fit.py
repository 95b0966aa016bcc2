"""The second pass over a recipe: do its parts fit together? Asked before anything is built or read."""

from __future__ import annotations

from mmtk import build
from mmtk.errors import MmtkError, Problems, listing
from mmtk.recipe import Recipe


def check_fit(recipe: Recipe, source: str) -> None:
    """Raise, all at once, for parts that cannot work together: size, strides, views, losses."""
    problems = [*_network(recipe), *_views(recipe), *_training(recipe)]
    if problems:
        raise Problems(problems, f"{source} has {len(problems)} problems:")


def _where(recipe: Recipe, key: str) -> str | None:
    place = recipe.origins.get(key)
    return None if place in (None, "default") else place


def _network(recipe: Recipe) -> list[MmtkError]:
    try:
        encoder = build.sketch_encoder(recipe)
        bridge = build.sketch_bridge(recipe)
    except MmtkError as error:
        return [error]
    problems = []
    size, coarsest = recipe["data.size"], max(encoder.strides)
    if size % coarsest:
        near = sorted({max(coarsest, size // coarsest * coarsest), (size // coarsest + 1) * coarsest})
        problems.append(
            MmtkError(
                f"data.size: {size} is not divisible by {coarsest}, the stride of encoder "
                f"'{recipe['encoder.use']}'.",
                _where(recipe, "data.size"),
                f"Take {' or '.join(map(str, near))}.",
            )
        )
    if bridge is not None and bridge.stride not in encoder.strides:
        problems.append(
            MmtkError(
                f"bridge: joins at stride {bridge.stride}, but encoder '{recipe['encoder.use']}' has strides "
                f"{', '.join(map(str, encoder.strides))}.",
                _where(recipe, "bridge.stride") or _where(recipe, "bridge.use"),
                "Set bridge.stride to one of these.",
            )
        )
    if bridge is not None and "classification" not in recipe.tasks:
        problems.append(
            MmtkError(
                f'bridge.use = "{recipe["bridge.use"]}" needs the task classification: it reads the class head.',
                _where(recipe, "bridge.use"),
                'Set bridge.use = "none".',
            )
        )
    return problems


def _views(recipe: Recipe) -> list[MmtkError]:
    problems = []
    augmentations = recipe.get("augment", {})
    for kind in ("ssl", "consistency"):
        if not recipe.get(kind):
            continue
        try:
            views = build.sketch_views(recipe, kind)
        except MmtkError as error:
            problems.append(error)
            continue
        for name, view in views.items():
            if name not in augmentations:
                problems.append(
                    MmtkError(
                        f"{kind}.use = \"{recipe[f'{kind}.use']}\" asks for a view '{name}', but there is no "
                        f"[augment.{name}]. Known: {listing(augmentations) or 'none'}.",
                        _where(recipe, f"{kind}.use"),
                        f"Add a table [augment.{name}].",
                    )
                )
            if view.on is not None and view.on not in views:
                problems.append(
                    MmtkError(f"{kind}: the view '{name}' starts from '{view.on}', which is not declared.")
                )
    return problems


def _training(recipe: Recipe) -> list[MmtkError]:
    problems = []
    if recipe["train.balance"] == "weight" and recipe.get("loss.classification.use") not in (
        None,
        "cross-entropy",
    ):
        problems.append(
            MmtkError(
                'train.balance = "weight" needs loss.classification.use = "cross-entropy".',
                _where(recipe, "train.balance"),
                'Use train.balance = "sample", which works with every loss.',
            )
        )
    return problems
