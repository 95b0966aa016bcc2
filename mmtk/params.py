"""A component's signature is its schema: keyword-only parameters are recipe keys, positional ones are wired."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from mmtk.errors import MmtkError, nearest

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=False)


class Table(BaseModel):
    """A recipe table with a fixed set of keys: unknown keys, wrong types and non-finite numbers are refused."""

    model_config = STRICT


def _parameters(component: type[Any]) -> list[inspect.Parameter]:
    owner = next(each for each in component.__mro__ if "__init__" in vars(each))
    if owner is object or owner.__module__.startswith("torch."):
        return []
    parameters = list(inspect.signature(component.__init__).parameters.values())[1:]
    for parameter in parameters:
        if parameter.kind in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL):
            raise MmtkError(
                f"{component.__name__}.__init__ takes {parameter}, so its keys cannot be known.",
                hint="Name every recipe key as an annotated keyword-only parameter.",
            )
    return parameters


def wired(component: type[Any]) -> dict[str, bool]:
    """The positional parameters that the host wires by name → whether they are required."""
    return {
        p.name: p.default is inspect.Parameter.empty
        for p in _parameters(component)
        if p.kind is not inspect.Parameter.KEYWORD_ONLY
    }


@cache
def schema(component: type[Any], host: tuple[tuple[str, Any, Any], ...] = ()) -> type[BaseModel]:
    """The pydantic model of a component's table: ``use``, its own keys, and ``host`` (name, type, default)."""
    try:
        hints = typing.get_type_hints(component.__init__, include_extras=True)
    except Exception as error:
        raise MmtkError(
            f"The annotations of {component.__name__}.__init__ cannot be read: {error}.",
            hint="Every name used in an annotation must be importable in the component's module.",
        ) from error
    fields: dict[str, Any] = {"use": (str, ...)}
    fields |= {name: (kind, default) for name, kind, default in host}
    for parameter in _parameters(component):
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue
        if parameter.name not in hints:
            raise MmtkError(
                f"{component.__name__}: the key '{parameter.name}' has no type.",
                hint=f"Annotate it, for example {parameter.name}: float = 0.5.",
            )
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    made: type[BaseModel] = create_model(component.__name__, __config__=STRICT, **fields)
    return made


def validate(
    model: type[BaseModel], values: Mapping[str, Any], path: str, where: Mapping[str, str]
) -> tuple[dict[str, Any], list[MmtkError]]:
    """Check a table: the complete values (defaults filled in, None left out) and all problems.

    ``path`` is the table's dotted name, ``where`` maps dotted keys to file and line.
    """
    try:
        # Through JSON, because its strict mode takes an array for a tuple and an int for a float.
        checked = model.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        return {}, [_problem(model, detail, path, where) for detail in error.errors()]
    return plain(checked.model_dump(mode="json", exclude_none=True)), []


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """Tuples as lists, as TOML reads them back."""
    return typing.cast(dict[str, Any], json.loads(json.dumps(values)))


def _problem(model: type[BaseModel], detail: Any, path: str, where: Mapping[str, str]) -> MmtkError:
    location = [part for part in detail["loc"] if isinstance(part, str) and part in model.model_fields]
    parts = [str(part) for part in detail["loc"]]
    unknown = detail["type"] == "extra_forbidden"
    key = ".".join(filter(None, [path, *(parts[:1] if unknown else location[:1] or parts[:1])]))
    place = where.get(key) or where.get(path)
    known = [name for name in model.model_fields if name != "use"]
    if unknown:
        keys = ", ".join(sorted(known)) or "none"
        return MmtkError(f"{key}: unknown key.{nearest(parts[-1], known)} Keys here: {keys}.", place)
    if detail["type"] == "missing":
        return MmtkError(f"{key}: missing. It has no default.", place)
    message = detail["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return MmtkError(f"{key}: should be {message}, got {_shown(detail['input'])}.", place)


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "…"


def construct(component: type[Any], word: str, offered: Mapping[str, Any], keys: Mapping[str, Any]) -> Any:
    """Make the component: positional parameters from ``offered`` by name, ``keys`` from its recipe table."""
    arguments = {}
    for name, required in wired(component).items():
        if name in offered:
            arguments[name] = offered[name]
        elif required:
            raise MmtkError(
                f"{word} asks for '{name}', which is not offered to it.{nearest(name, offered)} "
                f"Offered here: {', '.join(sorted(offered))}.",
                hint="Recipe keys must be keyword-only: put them behind a '*' in __init__.",
            )
    hints = schema(component)
    # Back through the model, so that the component gets the types it declared (tuples, enums).
    typed = hints.model_validate_json(json.dumps({"use": word, **keys}))
    given = {name: getattr(typed, name) for name in hints.model_fields if name != "use"}
    return component(**arguments, **given)


__all__ = ["STRICT", "Field", "Table", "construct", "plain", "schema", "validate", "wired"]
