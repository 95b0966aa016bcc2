"""JSON files of results as tables: a run, lists and dictionaries of cases or systems, columns, JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmtk.compare.mask_files import SEED
from mmtk.compare.score_names import is_score_name, is_statistic
from mmtk.counts import counted
from mmtk.errors import MmtkError, listing
from mmtk.io.csv_text import decoded

SUFFIXES = (".json", ".jsonl", ".ndjson")
PARTS = frozenset(["train", "training", "val", "valid", "validation", "dev", "test", "testing"])
TESTED = ("test", "testing")
CURE = 'Such as {"model": "unet", "seed": 0, "dice": 0.91}, a list of such objects, or one in every line.'
Row = dict[str, Any]


@dataclass
class JsonTable:
    """Rows of a JSON file.

    rows: values by column, which may differ between rows
    lines: line of every row in the file; empty where rows have no lines of their own
    notes: sentences on what was left out or taken for something
    """

    rows: list[Row]
    lines: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_json_table(path: Path) -> JsonTable:
    """Read a JSON file, or one with an object in every line, as rows; MmtkError where it holds none."""
    text = decoded(path)[0]
    notes: list[str] = []
    lines: list[int] = []
    try:
        rows = _rows(json.loads(text), path, notes)
    except json.JSONDecodeError as error:
        rows, lines = _of_lines(text, path, error)
    lists = list(dict.fromkeys(key for row in rows for key, value in row.items() if isinstance(value, list)))
    if lists:
        notes.append(f"lists are left out: {listing(lists, 8)}")
    rows = [{key: value for key, value in row.items() if key not in lists} for row in rows]
    if not any(rows):
        raise MmtkError("holds no object with numbers.", str(path), CURE)
    return JsonTable(rows, lines, notes)


def _of_lines(text: str, path: Path, error: json.JSONDecodeError) -> tuple[list[Row], list[int]]:
    """Rows of a file with an object in every line, with their lines; ``error``: why it is not one object."""
    rows: list[Row] = []
    lines: list[int] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as wrong:
            first, why = (number, wrong.msg) if rows else (error.lineno, error.msg)
            raise MmtkError(f"is no JSON: {why}.", f"{path}:{first}", "Write it again.") from wrong
        if not isinstance(value, dict):
            raise MmtkError("is no object.", f"{path}:{number}", CURE)
        rows.append(_flat(value))
        lines.append(number)
    return rows, lines


def _rows(value: Any, path: Path, notes: list[str]) -> list[Row]:
    """Rows of a parsed file; a sentence on what was left out goes to ``notes``."""
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        return [_flat(one) for one in value]
    if not isinstance(value, dict):
        raise MmtkError("holds no object with numbers.", str(path), CURE)
    if _is_transposed(value):
        return [{name: column[key] for name, column in value.items()} for key in next(iter(value.values()))]
    if _depth(value):
        return _named(value, path)
    tables = {key: one for key, one in value.items() if _is_table(one)}
    if len(tables) > 1:
        message = f"holds several tables: {listing(tables)}."
        raise MmtkError(message, str(path), "Write the one that is to be compared to a file of its own.")
    if tables:
        ((name, table),) = tables.items()
        return _beside(table, {key: one for key, one in value.items() if key != name}, path, notes)
    return _columns(value, notes) or [_flat(value)]


def _beside(table: Any, rest: Mapping[str, Any], path: Path, notes: list[str]) -> list[Row]:
    """Rows of a table with what stands beside it, such as model and seed; scores beside it sum it up."""
    shared = {key: one for key, one in _flat(rest).items() if not isinstance(one, list)}
    if sums := [key for key, one in shared.items() if is_score_name(key) and _is_number(one)]:
        notes.append(f"{listing(sums, 8)} beside the cases are summaries: left out")
    rows = _rows(table, path, notes)
    return [{**{key: one for key, one in shared.items() if key not in sums}, **row} for row in rows]


def _columns(value: Mapping[str, Any], notes: list[str]) -> list[Row]:
    """Rows of lists of one length, a list for each column; none where a score is a number beside them."""
    lists = {key: one for key, one in value.items() if isinstance(one, list)}
    scalars = {key: one for key, one in _flat(value).items() if not isinstance(one, list)}
    is_flat = all(not isinstance(item, list | dict) for one in lists.values() for item in one)
    lengths = {len(one) for one in lists.values()}
    if len(lengths) != 1 or min(lengths) < 2 or not is_flat or any(map(is_score_name, scalars)):
        return []
    if all(all(map(_is_number, one)) for one in lists.values()):
        notes.append("cases have no names: numbered by their places in the lists, and paired by them")
        lists["case"] = list(range(min(lengths)))
    return [{**scalars, **dict(zip(lists, row, strict=True))} for row in zip(*lists.values(), strict=True)]


def _named(value: Mapping[str, Any], path: Path) -> list[Row]:
    """Rows of records under names: of systems, seeds, parts of the data or cases (``name``)."""
    records = list(_records(value, _depth(value)))
    levels = [[str(one) for one in column] for column in zip(*(names for names, _ in records), strict=True)]
    roles = _roles(levels)
    if len({*roles}) < len(roles):
        raise MmtkError(f"its objects are {counted(len(roles), 'level')} deep.", str(path), CURE)
    return [{**dict(zip(roles, names, strict=True)), **_flat(record)} for names, record in records]


def _records(value: Mapping[str, Any], depth: int) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Names above a record, and the record, of dictionaries that are nested ``depth`` times."""
    for key, one in value.items():
        if depth == 1:
            yield (key,), one
        else:
            yield from (((key, *names), record) for names, record in _records(one, depth - 1))


def _roles(levels: Sequence[Sequence[str]]) -> list[str]:
    """Columns of the names above records, from the outermost level."""
    roles: list[str] = []
    for number, names in enumerate(levels, 1):
        if {name.lower() for name in names} <= PARTS:
            roles.append("split")
        elif all(SEED.fullmatch(name) and not name.isdigit() for name in names):
            roles.append("seed")
        else:
            roles.append("name" if number == len(levels) else "seed" if "system" in roles else "system")
    return roles


def _depth(value: Any, by_score: bool = False) -> int:
    """Levels of names above records that share a number; 0 of what is a record itself.

    by_score: whether the number has to be a known score
    """
    parts = list(value.values()) if isinstance(value, dict) else []
    if len(parts) < 2 or not all(isinstance(one, dict) and one for one in parts):
        return 0
    depths = {_depth(one, by_score) for one in parts}
    if depths != {0}:
        return 1 + depths.pop() if len(depths) == 1 else 0
    shared = set.intersection(*({key for key, one in part.items() if _is_number(one)} for part in parts))
    is_score = all(map(is_score_name, value)) or (by_score and not any(map(is_score_name, shared)))
    return int(bool(shared) and not is_score)


def _is_table(value: Any) -> bool:
    """Whether a value is a list of objects, or a dictionary of columns or of objects that share a known score."""
    is_list = isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)
    return is_list or (isinstance(value, dict) and _is_transposed(value)) or _depth(value, by_score=True) > 0


def _is_transposed(value: Mapping[str, Any]) -> bool:
    """Whether a dictionary has a column under each name, whose rows are numbered, as pandas writes it."""
    columns = list(value.values())
    if not columns or not all(isinstance(one, dict) and one for one in columns) or all(map(is_score_name, value)):
        return False
    keys = columns[0].keys()
    is_flat = not any(isinstance(item, dict) for one in columns for item in one.values())
    return is_flat and all(map(str.isdigit, keys)) and all(one.keys() == keys for one in columns)


def _flat(value: Mapping[str, Any]) -> Row:
    """Values of nested objects by their names; by the names above them too where these mean something."""
    leaves = list(_leaves(value))
    names = [path[-1] for path, _ in leaves]
    row: Row = {}
    for path, one in leaves:
        above = path[-2] if len(path) > 1 else ""
        speaks = is_statistic(path[-1]) or is_score_name(above) or (is_statistic(above) and above not in TESTED)
        row[".".join(path) if speaks or names.count(path[-1]) > 1 else path[-1]] = one
    return row


def _leaves(value: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, one in value.items():
        if isinstance(one, dict):
            yield from _leaves(one, (*above, str(key)))
        else:
            yield (*above, str(key)), one


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
