"""Reading TOML in layers: parents, recipe, profile, ``--set``; every value remembers where it came from."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmtk.errors import MmtkError, listing, nearest

Values = dict[str, Any]


@dataclass
class Layer:
    """Nested values and, for every dotted key, a place such as ``multimix.toml:7``."""

    values: Values
    places: dict[str, str] = field(default_factory=dict)


def recipe_folder() -> Path:
    """The folder of the recipes that ship with mmtk (in the wheel, or beside the package in a checkout)."""
    shipped = Path(__file__).parent / "recipes"
    return shipped if shipped.is_dir() else Path(__file__).parent.parent / "recipes"


def locate(name: str, folder: str = "") -> Path:
    """The file that a user means by a path or by the name of a shipped recipe (or profile)."""
    what = "profile" if folder else "recipe"
    given = Path(name)
    if given.suffix == ".toml" or given.exists():
        if given.is_file():
            return given
        if given.is_dir():
            raise MmtkError(f"{name} is a folder, not a {what}.", hint="A run directory has a recipe.toml.")
        shipped = recipe_folder() / folder / given.name
        if shipped.is_file() and str(given) in (
            given.name,
            f"recipes/{given.name}",
            f"profiles/{given.name}",
        ):
            return shipped
    else:
        shipped = recipe_folder() / folder / f"{name}.toml"
        if re.fullmatch(r"[\w.-]+", name) and shipped.is_file():
            return shipped
    known = sorted(path.stem for path in (recipe_folder() / folder).glob("*.toml"))
    raise MmtkError(
        f"No {what} '{name}': no such file, and none of that name ships with mmtk.{nearest(given.stem, known)}",
        hint=f"Shipped: {listing(known)}.",
    )


def read(path: Path) -> Layer:
    """One TOML file; errors name file and line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MmtkError(f"cannot be read: {getattr(error, 'strerror', None) or error}", str(path)) from error
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise MmtkError(f"is not valid TOML: {error}", str(path)) from error
    lines = key_lines(text)
    return Layer(values, {key: f"{path}:{line}" for key, line in lines.items()})


_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_PATH = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"^\s*\[\[?\s*({_PATH})\s*\]\]?\s*(?:#.*)?$")
_ASSIGNMENT = re.compile(rf"^\s*({_PATH})\s*=")


def key_lines(text: str) -> dict[str, int]:
    """The line on which each dotted key of a TOML text is set (keys of inline tables: not listed)."""
    lines: dict[str, int] = {}
    table: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _split(header[1])
            lines.setdefault(".".join(table), number)
        elif assignment := _ASSIGNMENT.match(line):
            lines.setdefault(".".join(table + _split(assignment[1])), number)
    return lines


def _split(path: str) -> list[str]:
    return [part.strip("\"'") for part in re.findall(_KEY, path)]


def with_parents(path: Path, seen: tuple[Path, ...] = ()) -> Layer:
    """A file merged over the files it ``extends`` (a name or path, relative to the file, or a list of them)."""
    resolved = path.resolve()
    if resolved in seen:
        chain = " → ".join(p.name for p in [*seen, resolved])
        raise MmtkError(f"extends itself: {chain}", str(path), "Remove one 'extends' of this circle.")
    layer = read(path)
    parents = layer.values.pop("extends", [])
    if isinstance(parents, str):
        parents = [parents]
    if not isinstance(parents, list) or not all(isinstance(parent, str) for parent in parents):
        raise MmtkError("extends: should be a name, a path or a list of them.", layer.places.get("extends"))
    merged = Layer({})
    for parent in parents:
        beside = path.parent / parent
        try:
            found = beside if beside.is_file() else locate(parent, _folder_of(path))
        except MmtkError as error:
            raise MmtkError(f"extends: {error.message}", layer.places.get("extends"), error.hint) from error
        merged = merge(merged, with_parents(found, (*seen, resolved)))
    layer.places.pop("extends", None)
    return merge(merged, layer)


def _folder_of(path: Path) -> str:
    return "profiles" if path.parent.name == "profiles" else ""


def merge(base: Layer, over: Layer) -> Layer:
    """``over`` laid on ``base``: tables key by key; a table with another ``use`` replaces the whole table."""
    places = dict(base.places)
    values = _merge(base.values, over.values, "", places)
    places.update({key: place for key, place in over.places.items() if has(values, key)})
    return Layer(values, places)


def _merge(base: Values, over: Values, path: str, places: dict[str, str]) -> Values:
    merged = dict(base)
    for key, value in over.items():
        dotted = f"{path}.{key}" if path else key
        old = base.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            if "use" in value and value["use"] != old.get("use"):
                _forget(places, dotted)
                merged[key] = value
            else:
                merged[key] = _merge(old, value, dotted, places)
        else:
            _forget(places, dotted)
            merged[key] = value
    return merged


def _forget(places: dict[str, str], dotted: str) -> None:
    for key in [k for k in places if k == dotted or k.startswith(f"{dotted}.")]:
        del places[key]


def parse_set(assignments: Iterable[str] | Mapping[str, Any]) -> Layer:
    """All ``--set key=value`` (or a mapping of dotted keys to values) together as one layer."""
    layer = Layer({})
    if isinstance(assignments, Mapping):
        pairs: list[tuple[str, Any]] = list(assignments.items())
    else:
        pairs = [assignment(text) for text in assignments]
    for key, value in pairs:
        parts = key.split(".")
        if not all(re.fullmatch(r"[\w-]+", part) for part in parts):
            raise MmtkError(f"--set {key}: not a key. Write it like ssl.threshold=0.9.")
        table = layer.values
        for part in parts[:-1]:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise MmtkError(f"--set {key}: '{part}' was set to a value before, so it has no keys.")
        table[parts[-1]] = value
        layer.places[key] = "--set"
    return layer


def assignment(text: str) -> tuple[str, Any]:
    """``key=value`` → key and value; what is not TOML is a plain string."""
    key, equals, value = text.partition("=")
    if not equals:
        raise MmtkError(f"--set {text}: no '='. Write it like ssl.threshold=0.9.")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return key.strip(), value.strip()


def leaves(values: Values, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every dotted key that holds no table, with its value."""
    for key, value in values.items():
        dotted = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            yield from leaves(value, dotted)
        else:
            yield dotted, value


def get(values: Values, dotted: str, default: Any = None) -> Any:
    """The value under a dotted key."""
    found: Any = values
    for part in dotted.split("."):
        if not isinstance(found, dict) or part not in found:
            return default
        found = found[part]
    return found


def has(values: Values, dotted: str) -> bool:
    """Whether a dotted key is there."""
    missing = object()
    return get(values, dotted, missing) is not missing


def put(values: Values, dotted: str, value: Any) -> None:
    """Set a dotted key, making the tables on its way."""
    *tables, last = dotted.split(".")
    for part in tables:
        values = values.setdefault(part, {})
    values[last] = value


def drop(values: Values, dotted: str) -> None:
    """Remove a dotted key if it is there, and tables that this leaves empty."""
    first, _, rest = dotted.partition(".")
    if not rest:
        values.pop(first, None)
    elif isinstance(values.get(first), dict):
        drop(values[first], rest)
        if not values[first]:
            del values[first]
