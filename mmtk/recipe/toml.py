"""TOML in layers: parents, recipe, profile, ``--set``; every value keeps its file and line."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmtk.errors import MmtkError, listing, nearest
from mmtk.io.files import real_path
from mmtk.io.spelling import visible
from mmtk.recipe import wrong_files
from mmtk.registry.kinds import KINDS

Values = dict[str, Any]

# Keys of the host, not of a component: they stay when another component takes the place of a table's own.
LASTING = {path: kind.lasting for kind in KINDS.values() for path in kind.tables if kind.lasting}
# What a recipe says of itself alone: one that extends it has to say it again.
NOT_INHERITED = ("others",)


@dataclass
class Layer:
    """Nested values, a location such as ``multimix.toml:7`` for every dotted key, and the problems of merging."""

    values: Values
    places: dict[str, str] = field(default_factory=dict)
    problems: list[MmtkError] = field(default_factory=list)

    def location(self, key: str) -> str | None:
        """Location of a key; of a table without a line, that of its first key."""
        return self.places.get(key) or next((p for k, p in self.places.items() if k.startswith(f"{key}.")), None)


def recipe_folder() -> Path:
    """The folder of the recipes that ship with mmtk (in the wheel, or beside the package in a checkout)."""
    package = Path(__file__).parents[1]
    shipped = package / "recipes"
    return shipped if shipped.is_dir() else package.parent / "recipes"


def locate(name: str, folder: str = "") -> Path:
    """Find the file of a path, with or without .toml, or of a shipped recipe, profile or suite by its name."""
    what = {"": "recipe", "profiles": "profile", "suites": "suite"}[folder]
    # os.path answers for any name, where Path.is_file raises for one that is too long.
    if os.path.isfile(name):
        return wrong_files.checked(name, what)
    if short := re.fullmatch(r"(?:recipes/)?(?:profiles/|suites/)?([\w.-]+?)(?:\.toml)?", name):
        shipped = recipe_folder() / folder / f"{short[1]}.toml"
        if os.path.isfile(shipped):
            return shipped
    if os.path.isfile(f"{name}.toml"):
        return Path(f"{name}.toml")
    if os.path.isdir(name):
        wrong_files.refuse_folder(name, what)
    names = sorted(path.stem for path in (recipe_folder() / folder).glob("*.toml"))
    raise MmtkError(
        f"No {what} '{name}': no such file, and none of that name ships with mmtk."
        f"{nearest(Path(name).stem, names)}",
        hint=f"Shipped: {listing(names)}.",
    )


def read(path: Path) -> Layer:
    """Read one TOML file; errors name file and line."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte-order mark
    except (OSError, UnicodeDecodeError) as error:
        raise MmtkError(f"cannot be read: {getattr(error, 'strerror', None) or error}", str(path)) from error
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise MmtkError(f"is not valid TOML: {error}", str(path)) from error
    layer = Layer(values, {key: f"{path}:{line}" for key, line in key_lines(text).items()})
    _check_shape(layer, str(path))
    for key, _ in leaves(values):
        table = key  # a key of an inline table has no line of its own, but its table has
        while table and table not in layer.places:
            table = table.rpartition(".")[0]
        layer.places.setdefault(key, layer.places.get(table, str(path)))
    return layer


_NAME = re.compile(r"[A-Za-z0-9_-]+")
_DEEPEST = 16


def _check_shape(layer: Layer, source: str) -> None:
    """Refuse keys that a dotted name cannot say, and nesting deeper than any recipe's."""
    left: list[tuple[str, Any, int]] = [("", layer.values, 0)]
    while left:
        path, value, depth = left.pop()
        line = layer.location(path) or source
        if depth > _DEEPEST:
            raise MmtkError(f"{path.split('.')[0]}: is nested too deeply.", line)
        if isinstance(value, list):
            left += [(path, entry, depth + 1) for entry in value]
        elif isinstance(value, dict):
            for key, entry in value.items():
                dotted = f"{path}.{key}" if path else str(key)
                if not _NAME.fullmatch(str(key)):
                    message = f"{json.dumps(str(key))} is not a key: keys have letters, digits, '_' and '-'."
                    raise MmtkError(message, layer.location(dotted) or line)
                left.append((dotted, entry, depth + 1))


_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_PATH = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"^\s*\[\[?\s*({_PATH})\s*\]\]?\s*(?:#.*)?$")
_ASSIGNMENT = re.compile(rf"^\s*({_PATH})\s*=")
# Multi-line strings; what else may hold quotes is matched too, so that it opens none.
_TEXT = re.compile(
    r"""("{3}(?:[^\\]|\\.)*?"{3,5}|'{3}.*?'{3,5})|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|#[^\n]*""", re.DOTALL
)


def key_lines(text: str) -> dict[str, int]:
    """Find the line of each dotted key in a TOML text; keys of inline tables are left out."""
    lines: dict[str, int] = {}
    table: list[str] = []
    # Prose in a multi-line string may look like TOML.
    text = _TEXT.sub(lambda match: '""' + "\n" * match[0].count("\n") if match[1] else match[0], text)
    for number, line in enumerate(text.split("\n"), 1):
        if header := _HEADER.match(line):
            table = _split(header[1])
            lines.setdefault(".".join(table), number)
        elif assignment := _ASSIGNMENT.match(line):
            lines.setdefault(".".join(table + _split(assignment[1])), number)
    return lines


def _split(path: str) -> list[str]:
    return [part.strip("\"'") for part in re.findall(_KEY, path)]


def with_parents(path: Path, ancestors: tuple[Path, ...] = (), folder: str = "") -> Layer:
    """Merge a file over the files it ``extends``: names or paths.

    Each is looked for beside the file, then among what ships: profiles where ``folder`` is "profiles" or the file
    lies in a folder of that name, else recipes.
    """
    resolved = real_path(path)
    if resolved in ancestors:
        chain = " → ".join(p.name for p in [*ancestors, resolved])
        raise MmtkError(f"extends itself: {chain}", str(path), "Remove one 'extends' of this circle.")
    layer = read(path)
    parents = layer.values.pop("extends", [])
    if isinstance(parents, str):
        parents = [parents]
    if not isinstance(parents, list) or not all(isinstance(parent, str) for parent in parents):
        raise MmtkError("extends: should be a name, a path or a list of them.", layer.places.get("extends"))
    merged = Layer({})
    for parent in parents:
        beside = (path.parent / parent, path.parent / f"{parent}.toml")
        paths_beside = (
            path_beside
            for path_beside in beside
            if os.path.isfile(path_beside) and real_path(path_beside) != resolved
        )
        try:
            parent_path = next(paths_beside, None) or locate(parent, folder or _folder_of(path))
        except MmtkError as error:
            raise MmtkError(f"extends: {error.message}", layer.places.get("extends"), error.hint) from error
        merged = merge(merged, with_parents(parent_path, (*ancestors, resolved), folder))
    layer.places.pop("extends", None)
    for key in NOT_INHERITED:
        merged.values.pop(key, None)
        merged.places.pop(key, None)
    return merge(merged, layer)


def _folder_of(path: Path) -> str:
    return "profiles" if path.parent.name == "profiles" else ""


def merge(base: Layer, over: Layer) -> Layer:
    """Lay ``over`` on ``base``, key by key; of a table with another ``use`` only LASTING keys stay."""
    places = dict(base.places)
    values = _merge(base.values, over.values, "", places)
    places.update({key: line for key, line in over.places.items() if has(values, key)})
    return Layer(values, places, [*base.problems, *over.problems, *_clashes(base, over), *_clashes(over, base)])


def overruled(recipe: Layer, profile: Layer, name: str, settled: Values) -> Iterator[MmtkError]:
    """Errors for values of a recipe that its profile would silently replace or drop.

    recipe: its layer, without the profile
    profile: the layer that is laid over it
    name: of the profile, for the messages
    settled: values of ``--set``, which are no error
    """
    merged = merge(recipe, profile).values
    for key, value in leaves(recipe.values):
        other = get(merged, key)
        if other == value or isinstance(other, dict) or has(settled, key):
            continue
        recipe_value, profile_value = json.dumps(value, default=str), json.dumps(other, default=str)
        what = f"{profile_value} in" if other is not None else "left out by"
        yield MmtkError(
            f"{key}: {recipe_value} here, but {what} the profile {name}, which is laid over recipes.",
            recipe.location(key),
            f"The profile has data for {', '.join(other)} alone: take a system of that task (mmtk list)."
            if key == "tasks" and isinstance(other, list)
            else f"Write it into a profile that extends {name}, for --profile, or add --set {key}={recipe_value}.",
        )


def drops(key: str, value: Any) -> bool:
    """Whether a value stands for no table: ``cross = "none"`` is no cross-domain set."""
    return value == "none" and re.fullmatch(r"data\.\w+\.cross", key) is not None


def _clashes(one: Layer, other: Layer) -> Iterator[MmtkError]:
    """Errors for values of ``one`` where ``other`` has a table."""
    for key, value in leaves(one.values):
        table = get(other.values, key)
        if isinstance(table, dict) and not drops(key, value):
            where = one.location(key)
            hint = use_cure(key, value, where) if "use" in table else None
            yield MmtkError(f"{key}: a value here, but a table in {other.location(key)}.", where, hint)


def use_cure(path: str, word: Any, where: str | None) -> str | None:
    """The cure for a component's ``word`` in place of its table ``path``, with the option that ``where`` names."""
    if not isinstance(word, str):
        return None
    option = f" On the command line: --set {path}.use={word}" if where == "--set" else ""
    return f"Write {path}.use = {json.dumps(word)}.{option}"


def _merge(base: Values, over: Values, path: str, places: dict[str, str]) -> Values:
    merged = dict(base)
    for key, value in over.items():
        dotted = f"{path}.{key}" if path else key
        old = base.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            if "use" in value and value["use"] != old.get("use"):
                lasting = {name: old[name] for name in LASTING.get(dotted, ()) if name in old}
                _forget(places, dotted, lasting)
                merged[key] = lasting | value
            else:
                merged[key] = _merge(old, value, dotted, places)
        elif not isinstance(old, dict) or drops(dotted, value):  # another value for a table: _clashes reports it
            _forget(places, dotted)
            merged[key] = value
    return merged


def _forget(places: dict[str, str], dotted: str, lasting: Iterable[str] = ()) -> None:
    for key in [k for k in places if k == dotted or k.startswith(f"{dotted}.")]:
        if key not in [f"{dotted}.{name}" for name in lasting]:
            del places[key]


def parse_set(assignments: Iterable[str] | Mapping[str, Any]) -> Layer:
    """Parse all ``--set key=value`` (or a mapping of dotted keys to values) into one layer."""
    layer = Layer({})
    if isinstance(assignments, str):
        message = f"overrides: should be a mapping or a list of assignments, not the text {assignments!r}."
        raise MmtkError(message, hint='Write overrides={"ssl.threshold": 0.9} or overrides=["ssl.threshold=0.9"].')
    pairs = assignments.items() if isinstance(assignments, Mapping) else map(assignment, assignments)
    for key, value in pairs:
        parts = str(key).split(".")
        if not all(map(_NAME.fullmatch, parts)):
            raise MmtkError(f"--set {key}: not a key. Write it like ssl.threshold=0.9.")
        table = layer.values
        for part in parts[:-1]:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise MmtkError(f"--set {key}: '{part}' was set to a value before, so it has no keys.")
        if (visible_value := visible(str(value))) != str(value):
            cure = "TOML takes UTF-8 only: give the file or folder another name."
            raise MmtkError(f"{key}: {visible_value} has bytes that are no UTF-8.", "--set", cure)
        # A table is laid on what was set before, key by key, as one of a recipe is on that of its parent.
        if isinstance(value, dict) and isinstance(table.get(parts[-1]), dict):
            value = _merge(table, {parts[-1]: value}, ".".join(parts[:-1]), layer.places)[parts[-1]]
        table[parts[-1]] = value
        layer.places[key] = "--set"
    _check_shape(layer, "--set")
    layer.places |= {key: "--set" for key, _ in leaves(layer.values)}
    return layer


def assignment(text: str, option: str = "--set", example: str = "ssl.threshold=0.9") -> tuple[str, Any]:
    """Split ``key=value``; a value that is no TOML is a plain string."""
    key, equals, value = text.partition("=")
    if not equals:
        raise MmtkError(f"{option} {text}: no '='. Write it like {example}.")
    try:
        parsed = tomllib.loads(f"value = {value}")
    except (ValueError, RecursionError):
        parsed = {}
    return key.strip(), parsed["value"] if list(parsed) == ["value"] else value.strip()


def leaves(values: Values, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every dotted key that holds no table, with its value."""
    for key, value in values.items():
        dotted = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            yield from leaves(value, dotted)
        else:
            yield dotted, value


def get(values: Values, dotted: str, default: Any = None) -> Any:
    """Value of a dotted key."""
    value: Any = values
    for part in dotted.split("."):
        if not isinstance(value, dict) or part not in value:
            return default
        value = value[part]
    return value


def has(values: Values, dotted: str) -> bool:
    """Whether a dotted key exists."""
    missing = object()
    return get(values, dotted, missing) is not missing


def put(values: Values, dotted: str, value: Any) -> None:
    """Set a dotted key, making the tables above it."""
    *tables, last = dotted.split(".")
    for part in tables:
        values = values.setdefault(part, {})
    values[last] = value


def changed(values: Values, dotted: str, value: Any) -> Values:
    """Copy with a dotted key set; tables that do not hold it are shared with the original."""
    first, _, rest = dotted.partition(".")
    return {**values, first: changed(values.get(first, {}), rest, value) if rest else value}


def drop(values: Values, dotted: str) -> None:
    """Remove a dotted key if it exists, and tables that are empty then."""
    first, _, rest = dotted.partition(".")
    if not rest:
        values.pop(first, None)
    elif isinstance(values.get(first), dict):
        drop(values[first], rest)
        if not values[first]:
            del values[first]
