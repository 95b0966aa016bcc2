"""Records in JSON and YAML files: plain ones, those with coordinates, and films within studies of patients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmtk.data.plan.columns import film_of_cell

Record = Mapping[str, str]
NUMBERS = ("id", "name", "no", "nr", "number", "key", "uid")  # names of facts that say nothing alone


def listed_records(entries: Sequence[Any], ways: Mapping[str, str], kind: str = "") -> Sequence[Record]:
    """Records of a list; none of one that holds annotations.

    entries: of the list
    ways: film by the ways to write it
    kind: name of the list
    """
    plain = [plain_record(entry) for entry in entries]
    return [record for record in plain if record] if all(plain) else nested_records(entries, ways, kind)


def nested_records(entries: Sequence[Any], ways: Mapping[str, str], kind: str = "") -> Sequence[Record]:
    """Records of the films in lists within those of patients or studies, and of those with coordinates.

    entries: of the list
    ways: film by the ways to write it
    kind: name of the list
    """
    groups = [[*_inner(entry, {}, ways, kind)] for entry in entries]
    named = [group for group in groups if any(film_of_cell(cell, ways) for one in group for cell in one.values())]
    return [record for group in groups for record in group] if 2 * len(named) > len(groups) > 1 else []


def _inner(entry: Any, outer: Record, ways: Mapping[str, str], kind: str) -> Iterator[Record]:
    """Yield the innermost records of one, each with the facts of those around it.

    entry: that may hold a list of others, or of films
    outer: facts of those around it
    ways: film by the ways to write it
    kind: name of the list that it is in
    """
    if not isinstance(entry, dict):
        return
    lists = {key: value for key, value in entry.items() if are_records(value) or _are_films(value, ways)}
    facts = {key: "" if _are_coordinates(value) else value for key, value in entry.items() if key not in lists}
    record = plain_record(facts)
    if len(lists) > 1 or record is None:
        return
    unclear = NUMBERS if outer or lists else ()
    together = {**outer, **{f"{kind} {key}" if key in unclear else key: cell for key, cell in record.items()}}
    if not lists:
        yield together
    for key, values in lists.items():
        for value in values:
            if isinstance(value, dict):
                yield from _inner(value, together, ways, str(key))
            else:
                yield {**together, "image": str(value)}


def are_records(value: Any) -> bool:
    """Whether a value is a list of records."""
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) for entry in value)


def _are_films(value: Any, ways: Mapping[str, str]) -> bool:
    """Whether a value is a list that begins with the name of a film."""
    return (
        isinstance(value, list) and isinstance(next(iter(value), None), str) and bool(film_of_cell(value[0], ways))
    )


def _are_coordinates(value: Any) -> bool:
    """Whether a value is a list of lists of numbers, as boxes and outlines are."""
    if not isinstance(value, list) or not all(isinstance(entry, list) for entry in value):
        return False
    numbers = [number for entry in value for number in entry]
    return bool(value) and (
        all(isinstance(number, int | float) for number in numbers) or _are_coordinates(numbers)
    )


def plain_record(value: Any) -> Record | None:
    """A record as text; None where it holds other records, as annotations do."""
    cells = {str(key): _text(content) for key, content in value.items()} if isinstance(value, dict) else {}
    return None if None in cells.values() else {key: cell for key, cell in cells.items() if cell is not None}


def _text(value: Any) -> str | None:
    if value == []:
        return "[]"
    if isinstance(value, list):
        cells = [_text(entry) for entry in value]
        return None if None in cells or any(isinstance(x, list) for x in value) else "|".join(map(str, cells))
    if isinstance(value, dict):
        return None
    if isinstance(value, bool):
        return str(int(value))
    return "" if value is None else str(value).strip()
