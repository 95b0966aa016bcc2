"""The table ``[tune]``: keys of a recipe that a study may tune, each with a list or a range of values."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from pydantic import BaseModel

from mmtk.errors import MmtkError, Problems, heading, listing, nearest
from mmtk.recipe import tables, toml
from mmtk.recipe.recipe import Recipe
from mmtk.recipe.toml import Layer, Values
from mmtk.registry import catalog, memo, signature
from mmtk.search import Choice, Range, Space

RANGE = ("high", "log", "low")
# What tuning may not change: the images, what is measured on them, and how a run is recorded.
MEASURED = ("data", "metric", "evaluate", "tracking", "origin")
FIXED_KEYS = ("train.precision", "train.alarm")
EXAMPLE = "For example: train.lr = { low = 1e-5, high = 1e-2, log = true }, or ssl.threshold = [0.5, 0.7, 0.9]"


def specifications(table: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every tuned key with its list or range (or with what stands in their place)."""
    for name, value in table.items():
        key = f"{path}.{name}".lstrip(".")
        if isinstance(value, dict) and value and not set(RANGE) & set(value):
            yield from specifications(value, key)
        else:
            yield key, value


def problems_of(layer: Layer) -> list[MmtkError]:
    """Everything that is wrong with the table ``[tune]`` of a recipe, whichever components it uses."""
    table = layer.values.get("tune", {})
    if not isinstance(table, dict):
        return [MmtkError("tune: should be a table, [tune].", layer.location("tune"), EXAMPLE)]
    problems = []
    for key, value in specifications(table):
        where = layer.location(f"tune.{key}") or layer.location("tune")
        try:
            messages = _wrong(key, value, layer.values)
        except MmtkError as error:
            problems.append(MmtkError(f"tune.{key}: {error.message}", where, error.hint))
            continue
        problems += [MmtkError(message, where) for message in messages]
    return problems


def space_of(recipe: Recipe, table: Mapping[str, Any]) -> Space:
    """Keys of the table ``[tune]`` that mean something in a recipe, with their values.

    Raises Problems for values that the component of this recipe does not take.
    """
    space: dict[str, Choice | Range] = {}
    problems = []
    for key, value in specifications(table):
        path, _, name = key.rpartition(".")
        part = toml.get(recipe.values, path)
        if part is None:
            continue
        if path in tables.FIXED:
            answer = _answer(tables.FIXED[path], f"tune.{path}", name, value)
        else:
            answer = _component_answer(catalog.find(_kind(path), part["use"]), path, name, value)
        if answer is not None:
            problems += [MmtkError(message, recipe.name) for message in answer["problems"]]
            space[key] = _values(value, answer["type"])
    if problems:
        raise Problems(problems, heading(recipe.name, problems))
    return space


def from_json(table: Mapping[str, Any]) -> Space:
    """A space read back."""
    return {key: Range(**v) if isinstance(v, dict) else Choice(tuple(v)) for key, v in table.items()}


def to_json(space: Space) -> dict[str, Any]:
    """A space as JSON: lists, and tables of ranges."""
    return {key: list(v.values) if isinstance(v, Choice) else vars(v) for key, v in space.items()}


def _values(value: Any, type_word: str) -> Choice | Range:
    """Values of a list or range; of a key that takes numbers, 1 is 1.0, as the recipe itself has it."""
    if isinstance(value, dict):
        return Range(value["low"], value["high"], value.get("log", False), type_word == "integer")
    return Choice(tuple(float(one) if type_word == "number" else one for one in value))


def _kind(path: str) -> str:
    """Kind of the component in a table; KeyError for another table."""
    return tables.PLACES[path] if path in tables.PLACES else tables.PLACES[f"{path.rpartition('.')[0]}.*"]


def _wrong(key: str, value: Any, values: Values) -> Sequence[str]:
    """Messages on a tuned key; raises MmtkError where the key or the shape of its values is wrong.

    key: dotted, without ``tune``
    value: its list or range
    values: of the recipe, unchecked
    """
    path, _, name = key.rpartition(".")
    _check_tunable(key)
    _check_shape(value)
    if path in tables.FIXED:
        answer = _answer(tables.FIXED[path], f"tune.{path}", name, value)
        if answer is None:
            raise _unknown(name, tables.FIXED[path].model_fields)
        return list(answer["problems"])
    try:
        kind = _kind(path)
    except KeyError:
        known_tables = {path.removesuffix(".*") for path in tables.PLACES if not path.startswith(MEASURED)}
        known_tables |= {"train"}
        raise MmtkError(
            f"no such key.{nearest(path, known_tables)}",
            hint=f"Tables with keys to tune: {listing(known_tables)}.",
        ) from None
    entries = catalog.entries(kind)
    use = str(toml.get(values, f"{path}.use", "")).rpartition("/")[2]
    known_keys: set[str] = set()
    for entry in sorted(entries, key=lambda entry: entry.name != use):  # the recipe's own component says more
        try:
            answer = _component_answer(entry, path, name, value)
            known_keys |= set(tables.key_names(entry))
        except MmtkError:  # a broken plugin
            continue
        if answer is not None:
            return list(answer["problems"])
    raise _unknown(name, known_keys)


def _unknown(name: str, known_keys: Iterable[str]) -> MmtkError:
    names = {*known_keys} - {"use"}
    return MmtkError(f"unknown key.{nearest(name, names)} Keys here: {listing(names) or 'none'}.")


def _check_tunable(key: str) -> None:
    """Refuse keys that change what is measured, or which system it is."""
    if key.startswith(tuple(f"{table}." for table in MEASURED)) or key in MEASURED or key in FIXED_KEYS:
        raise MmtkError("cannot be tuned: trials are compared on the same images and scores.")
    if key in tables.Top.model_fields:
        raise MmtkError("cannot be tuned: it does not set how a system is trained.")
    if key.endswith(".use"):
        raise MmtkError(
            "cannot be tuned: another component is another system.",
            hint=f"Compare them as an axis: --components {key.removesuffix('.use')}=A+B.",
        )


def _check_shape(value: Any) -> None:
    """Refuse what is neither a list of different values nor a range with an inside."""
    if isinstance(value, list):
        _check_list([json.dumps(one, default=str) for one in value])
    elif isinstance(value, dict) and value:
        _check_range(value)
    else:
        got = json.dumps(value, default=str)
        raise MmtkError(f"should be a list of values or a range, got {got}.", hint=EXAMPLE)


def _check_list(texts: Sequence[str]) -> None:
    if len(texts) < 2:
        what = "one value only, so there is nothing to tune." if texts else "the list is empty."
        raise MmtkError(what, hint="Name two values or more.")
    if twice := next((text for text in texts if texts.count(text) > 1), None):
        raise MmtkError(f"{twice} is named twice.", hint="Name each value once.")


def _check_range(table: Mapping[str, Any]) -> None:
    if unknown := sorted({*table} - set(RANGE)):
        raise MmtkError(f"{unknown[0]}: no key of a range.{nearest(unknown[0], RANGE)}", hint=EXAMPLE)
    for end in ("low", "high"):
        number = table.get(end)
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            got = json.dumps(number, default=str) if end in table else "nothing"
            raise MmtkError(f"a range needs {end}, a number, got {got}.", hint=EXAMPLE)
    if not isinstance(table.get("log", False), bool):
        raise MmtkError(f"log should be true or false, got {json.dumps(table['log'], default=str)}.")
    if table["low"] >= table["high"]:
        raise MmtkError(f"low should be below high, got low = {table['low']} and high = {table['high']}.")
    if table.get("log") and table["low"] <= 0:
        raise MmtkError(f"a range with log needs low above 0, got {table['low']}.")


def _component_answer(entry: catalog.Entry, path: str, name: str, value: Any) -> dict[str, Any] | None:
    """Answer of a component on a key of its table, remembered."""

    def ask() -> dict[str, Any] | None:
        return _answer(tables.model_of(entry), f"tune.{path}", name, value)

    answer: dict[str, Any] | None = memo.recall("tuned key", entry, {"key": f"{path}.{name}", "value": value}, ask)
    return answer


def _answer(model: type[BaseModel], path: str, name: str, value: Any) -> dict[str, Any] | None:
    """Type of a key, number, integer or another, and what is wrong with its values; None without such a key.

    model: of the table
    path: of the table, for messages
    name: of the key
    value: its list or range, of a right shape
    """
    if name not in model.model_fields:
        return None
    types = _types(model.model_json_schema()["properties"][name])
    key = f"{path}.{name}"
    if isinstance(value, dict):
        if "choice" in types or not types & {"integer", "number"}:
            return {"type": "", "problems": [f"{key}: takes no range. List the values to try."]}
        value = [value["low"], value["high"]]
    validate = partial(signature.validate, model, path=path, where=lambda key: None)
    messages = [problem.message for one in value for problem in validate({name: one})[1]]
    wrong = [message for message in dict.fromkeys(messages) if message.startswith(f"{key}: should")]
    numeric = "number" if types <= {"number", "null"} else "integer" if types <= {"integer", "null"} else ""
    return {"type": numeric, "problems": wrong}


def _types(schema: Mapping[str, Any]) -> set[str]:
    """Types of a key by its JSON Schema; ``choice`` for a list of allowed values."""
    types = {"choice"} if "enum" in schema or "const" in schema else {*filter(None, [schema.get("type")])}
    return types.union(*map(_types, schema.get("anyOf", ())))
