"""Questions to the components of a recipe, with the file and line that names them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from mmtk.errors import MmtkError
from mmtk.recipe.recipe import Recipe
from mmtk.registry import catalog, memo

_answers: dict[tuple[str, Any], Any] = {}  # of this process, by question and class of the component


def location(recipe: Recipe, key: str) -> str | None:
    """File and line that set a key, None for a default."""
    origin = recipe.origins.get(key)
    return None if origin in (None, "default") else origin


def located(error: MmtkError, recipe: Recipe, key: str) -> MmtkError:
    """Error of a component, with the location of its ``use`` where it has none."""
    error.where = error.where or location(recipe, f"{key}.use")
    return error


def recall(question: str, recipe: Recipe, kind: str, key: str, ask: Callable[[], Any]) -> Any:
    """Answer of a component, remembered for the same code, table and ``data.channels``.

    question: name of the answer, such as ``strides``
    recipe: with the table of the component
    kind: of the component
    key: its table, dotted
    ask: computes the answer if it is not remembered yet; JSON, or an MmtkError
    """
    facts = {"key": key, "table": recipe[key], "channels": recipe["data.channels"]}
    entry = catalog.find(kind, recipe[key]["use"])

    def ask_once() -> Any:
        memo_key = json.dumps([question, facts], sort_keys=True, default=str), catalog.load(entry)
        if memo_key not in _answers:
            _answers[memo_key] = ask()
        return copy.deepcopy(_answers[memo_key])

    is_plain = memo.is_active() or memo.names_a_file(facts)
    return memo.recall(question, entry, facts, ask if is_plain else ask_once)
