"""A component's signature is its schema: keyword-only parameters are recipe keys, positional ones are wired."""

from __future__ import annotations

import inspect
import json
import re
import typing
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from mmtk.errors import MmtkError, Problems, heading, is_out_of_memory, nearest

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=False)

# A key that the host adds to a component's table: name, type, default.
HostKey = tuple[str, Any, Any]


class Table(BaseModel):
    """A recipe table with a fixed set of keys: unknown keys, wrong types and non-finite numbers are refused."""

    model_config = STRICT


def _parameters(component: type[Any]) -> list[inspect.Parameter]:
    owner = next(base for base in component.__mro__ if "__init__" in vars(base))
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


def schema(component: type[Any], host: tuple[HostKey, ...] = ()) -> type[BaseModel]:
    """The pydantic model of a component's table: ``use``, its own keys, and those of the host."""
    return _schema(typing.cast(Hashable, component), host)


@cache
def _schema(component: Any, host: tuple[HostKey, ...]) -> type[BaseModel]:
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
    try:
        model: type[BaseModel] = create_model(component.__name__, __config__=STRICT, **fields)
    except Exception as error:
        raise MmtkError(
            f"The keys of {component.__name__} have a type that no recipe can hold: {_first_line(error)}",
            hint="Take bool, int, float, str, Literal, or lists of them.",
        ) from error
    return model


def validate(
    model: type[BaseModel],
    values: Mapping[str, Any],
    path: str,
    where: Callable[[str], str | None],
    tables: Iterable[str] = (),
) -> tuple[dict[str, Any], list[MmtkError]]:
    """Check a table: the complete values (defaults filled in, None left out) and all problems.

    model: pydantic model of the table
    values: of the table

    ``path`` is the table's dotted name, ``where`` gives the file and line of a dotted key, ``tables`` names
    what else may stand in the table.
    """
    try:
        # Through JSON, because its strict mode takes an array for a tuple and an int for a float.
        checked = model.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        return {}, _problems(model, error, path, where, tables)
    return plain(checked.model_dump(mode="json", exclude_none=True)), []


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """Tuples as lists, as TOML reads them back."""
    return typing.cast(dict[str, Any], json.loads(json.dumps(values)))


def _problems(
    model: type[BaseModel],
    error: ValidationError,
    path: str,
    where: Callable[[str], str | None],
    tables: Iterable[str],
) -> list[MmtkError]:
    """One problem per key and value, although pydantic has one per branch of a union."""
    wrong: dict[tuple[str, str], list[str]] = {}
    problems = []
    for detail in error.errors():
        name = str(detail["loc"][0]) if detail["loc"] else ""
        key = ".".join(filter(None, [path, name]))
        if detail["type"] == "extra_forbidden":
            known_keys = {*model.model_fields, *tables} - {"use"}
            keys = ", ".join(sorted(known_keys)) or "none"
            message = f"{key}: unknown key.{nearest(name, known_keys)} Keys here: {keys}."
            problems.append(MmtkError(message, where(key) or where(path)))
        elif detail["type"] == "missing" and len(detail["loc"]) == 1:
            problems.append(MmtkError(f"{key}: missing. It has no default.", where(path)))
        else:
            wrong.setdefault((key, _shown(detail["input"])), []).append(_expected(detail["msg"]))
    for (key, value), expected in wrong.items():
        expectation = " or ".join(dict.fromkeys(expected)).replace(" or be ", " or ")
        problems.append(MmtkError(f"{key}: should {expectation}, got {value}.", where(key) or where(path)))
    return problems


# pydantic speaks JSON, recipes are TOML.
_WORDS = {
    "a valid array": "a list",
    "a valid dictionary": "a table",
    "a valid boolean": "true or false",
    "a valid string": "text",
    "a valid integer": "an integer",
    "a valid number": "a number",
}


def _expected(message: str) -> str:
    """Rest of pydantic's message behind "should"."""
    message = re.sub(r"^(Value error, )?\w+ should | after validation.*", "", message)
    message = message.replace("Field required", "have more items")
    for word, wording in _WORDS.items():
        message = message.replace(word, wording)
    return message


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "…"


def check_wires(component: type[Any], word: str, wires: Iterable[str]) -> None:
    """Raise MmtkError where a required positional parameter is not among what the host offers, by name."""
    names = sorted(wires)
    for name, required in wired(component).items():
        if required and name not in names:
            raise MmtkError(
                f"{word} asks for '{name}', which is not offered to it.{nearest(name, names)} "
                f"Offered here: {', '.join(names) or 'nothing'}.",
                hint="Recipe keys must be keyword-only: put them behind a '*' in __init__.",
            )


def construct(component: type[Any], word: str, wires: Mapping[str, Any], keys: Mapping[str, Any]) -> Any:
    """Make the component: positional parameters from ``wires`` by name, ``keys`` from its recipe table.

    component: its class
    word: ``KIND/NAME``, for messages
    wires: values of positional parameters by name
    keys: checked values of its recipe table
    """
    check_wires(component, word, wires)
    arguments = {name: wires[name] for name in wired(component) if name in wires}
    model = schema(component)
    # Back through the model, so that the component gets the types it declared (tuples, enums).
    values = {"use": word, **keys}
    try:
        typed = model.model_validate_json(json.dumps(values))
    except ValidationError as error:  # a table of an earlier version, read back
        problems = _problems(model, error, word, lambda key: None, ())
        raise Problems(problems, heading(word, problems)) from error
    settings = {name: getattr(typed, name) for name in model.model_fields if name != "use"}
    try:
        return component(**arguments, **settings)
    except (MmtkError, OSError):
        raise
    except Exception as error:
        if is_out_of_memory(error):  # no mistake in the keys
            raise
        raise MmtkError(
            f"{word} cannot be made with these keys: {type(error).__name__}: {_first_line(error)}",
            hint="mmtk --debug shows where.",
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


# Keys that the host adds to the tables of a kind, as the rows of ``kinds.KINDS`` name them.
LOSS_KEYS: tuple[HostKey, ...] = (
    ("weight", Annotated[float, Field(ge=0, description="factor in the total")], 1.0),
)
ENCODER_KEYS: tuple[HostKey, ...] = (
    (
        "weights",
        Annotated[
            str | None,
            Field(description="a file of weights (.safetensors, .pth), a run directory, or hf-hub:OWNER/NAME"),
        ],
        None,
    ),
)
