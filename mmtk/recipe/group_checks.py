"""Checks of the tables ``train.groups``: each has to match something, and something has to be trained."""

from __future__ import annotations

from collections.abc import Mapping

from mmtk.errors import MmtkError, listing
from mmtk.recipe.questions import location
from mmtk.recipe.recipe import Recipe


def group_problems(recipe: Recipe, counts: Mapping[str, tuple[int, int]]) -> list[MmtkError]:
    """Problems of groups that match no parameter or no norm, and of a step in which everything is frozen.

    counts: numbers of parameters and of norms in each part of the network
    """
    problems = []
    for part, group in recipe.groups.items():
        key = f"train.groups.{part}"
        weights, norms = counts.get(part, (0, 0))
        if not weights:
            trained = listing(part for part, (number, _) in counts.items() if number)
            message = f"{key}: matches no parameter: this network's {part} has none."
            problems.append(MmtkError(message, _where(recipe, key), f"Remove the table. Trained here: {trained}."))
        elif group.norms == "frozen" and not norms:
            message = f'{key}.norms = "frozen" matches nothing: this network\'s {part} has no norm with weights.'
            problems.append(MmtkError(message, location(recipe, f"{key}.norms"), "Remove the key."))
    frozen = {part for part, group in recipe.groups.items() if group.frozen}
    if all(part in frozen for part, (weights, _) in counts.items() if weights):
        names = listing(frozen)
        message = f"train.groups: everything ({names}) is frozen in the first step, so nothing is trained."
        where = next(filter(None, (location(recipe, f"train.groups.{part}.frozen") for part in frozen)), None)
        problems.append(MmtkError(message, where, "Set frozen = 0 for one of them, such as the head."))
    return problems


def _where(recipe: Recipe, table: str) -> str | None:
    """File and line of the first key of a table."""
    origins = recipe.origins.items()
    return next((origin for key, origin in origins if key.startswith(f"{table}.") and origin != "default"), None)
