"""Labels in JSON, YAML and text files, as tables with a row per film."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from mmtk.data.plan import words
from mmtk.data.plan.annotations import outline_lines
from mmtk.data.plan.columns import film_of_cell, film_spellings
from mmtk.data.plan.json_records import Record, are_records, listed_records, nested_records, plain_record
from mmtk.data.plan.listing import Listing, read_lines, stem
from mmtk.data.plan.tables import Table

NOT_LABELS = (
    {"labels", "file_ending"},
    {"labels", "modality"},
    {"names", "nc"},
    {"names", "train"},
)  # nnU-Net, YOLO


def label_tables(listing: Listing, films: Collection[str]) -> tuple[dict[str, Table], set[str]]:
    """Tables by the file that they come from, or by ``*.json`` where each film has a file; and all these files.

    Read are: names with a label, labels with a list of names, a list of records, and lines "name label" or
    "patient name label".
    """
    ways = film_spellings(films)
    film_of_stem = {stem(film): film for film in films}
    tables: dict[str, Table] = {}
    beside: dict[str, dict[str, Record]] = {}
    for path in (*listing.jsons, *listing.configs, *listing.texts):
        kind = f"*{PurePosixPath(path).suffix}"
        if film := film_of_stem.get(stem(path)):
            if record := _film_record(listing, path):
                beside.setdefault(kind, {})[path] = {"image": film, **record}
        elif table := _table(_records(listing, path, ways)):
            tables[path] = table
    files = {*tables}
    for kind, records in beside.items():
        if 2 * len(records) >= len(films) and (table := _table([*records.values()])):
            tables[kind] = table
            files |= {*records}
    return tables, files


def _records(listing: Listing, path: str, ways: Mapping[str, str]) -> Sequence[Record]:
    if path in listing.texts:
        lines = read_lines(listing.root / path)
        return _word_rows(lines, ways) or _lines(lines, ways)
    content = listing.content(path)
    if isinstance(content, dict):
        if any(keys <= content.keys() for keys in NOT_LABELS):
            return []
        lists = [str(key) for key, value in content.items() if are_records(value)]
        if not lists:
            return _entries(content, ways)
        parts = {words.part(key) for key in lists}
        if len(lists) > 1 and all(parts) and len(parts) == len(lists):  # as MONAI lists them
            content = [{**entry, "split": words.part(key)} for key in lists for entry in content[key]]
            return listed_records(content, ways)
        return listed_records(content[lists[0]], ways, lists[0]) if len(lists) == 1 else []
    return listed_records(content, ways) if isinstance(content, list) else []


def _entries(content: Mapping[Any, Any], ways: Mapping[str, str]) -> Sequence[Record]:
    """Records of a table of names with a label or with facts, or of labels with a list of names."""
    lists = [value for value in content.values() if isinstance(value, list)]
    if lists and len(lists) == len(content):
        names = [str(name) for value in lists for name in value]
        if any(film_of_cell(name, ways) for name in names):
            return [{"image": str(name), "label": str(key)} for key, value in content.items() for name in value]
    records: list[Record] = []
    for key, value in content.items():
        record = plain_record(value if isinstance(value, dict) else {"label": value})
        if record is None:
            return _groups(content, ways)
        records.append({"image": str(key), **record})
    return _groups(content, ways) or records


def _groups(content: Mapping[Any, Any], ways: Mapping[str, str]) -> Sequence[Record]:
    """Records of a table of patients, each with a list of films."""
    patients = [{"patient": str(key), **facts} for key, facts in content.items() if isinstance(facts, dict)]
    spoken = {words.plain(str(key)) for key in content} & words.CLASSES
    return [] if spoken or len(patients) < len(content) else nested_records(patients, ways)


def _film_record(listing: Listing, path: str) -> Record | None:
    """Record of the one film that a file is called after; a text is a label, if it has one line and no outline."""
    if path not in listing.texts:
        content = listing.content(path)
        return plain_record(content) if isinstance(content, dict) else None
    lines, numbers = read_lines(listing.root / path), outline_lines(listing, path)
    if len(lines) != 1 or (numbers and len(numbers[0]) > 1):
        return None
    return {"label": lines[0]}


def _word_rows(lines: Sequence[str], ways: Mapping[str, str]) -> list[Record]:
    """Records of lines with as many words each, the film among them: ``patient film class``; none of others."""
    rows = [line.split() for line in lines if not line.startswith("#")]
    if len({*map(len, rows)}) != 1:
        return []
    for column in range(1, len(rows[0]) - 1):  # a film at an end may have a label of several words
        films = {film for row in rows if (film := film_of_cell(row[column], ways))}
        if len(films) > 1 and 2 * len(films) >= len(rows):
            return [{f"column {number}": word for number, word in enumerate(row, 1)} for row in rows]
    return []


def _lines(lines: Sequence[str], ways: Mapping[str, str]) -> list[Record]:
    """Records of lines with a film and a label.

    None where a single film, or fewer films than half of the lines, are named, or no line has a label.
    """
    records: list[Record] = []
    films: list[str] = []
    for line in lines:
        if line.startswith("#"):
            continue
        pairs = [*_pairs(line)]
        named = next((pair for pair in pairs if film_of_cell(pair[0], ways)), None)
        films += [film_of_cell(named[0], ways)] if named else []
        name, label = named or pairs[min(1, len(pairs) - 1)]
        records.append({"image": name, "label": label})
    labels = any(record["label"] for record in records)
    return records if labels and len({*films}) > 1 and 2 * len(films) >= len(records) else []


def _pairs(line: str) -> Iterator[tuple[str, str]]:
    """Yield the ways to part a line into the name of a film and a label, either of which may have spaces."""
    yield line, ""
    gaps = [(gap.start(), gap.end()) for gap in re.finditer(r"[\s:=]+", line)]
    for start, end in gaps:
        yield line[:start], line[end:]
    for start, end in gaps:
        yield line[end:], line[:start]


def _table(records: Sequence[Record]) -> Table | None:
    if len(records) < 2:
        return None
    columns = tuple(dict.fromkeys(key for record in records for key in record))
    return Table(columns, tuple(tuple(record.get(key, "") for key in columns) for record in records))
