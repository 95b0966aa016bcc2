"""Visits of patients: columns that tell which of a patient's films a row of a table is about."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from unicodedata import normalize

from mmtk.components.source._sides import RIGHT_OF
from mmtk.data.plan import words
from mmtk.data.plan.patient_words import patient_rank
from mmtk.data.plan.tables import Table
from mmtk.io.dates import is_date

VISITS = {
    *("visit", "visite", "visita", "visits", "study", "studie", "exam", "examination", "session", "ses", "scan"),
    *("series", "timepoint", "time", "date", "followup", "encounter", "admission", "acquisition", "film", "image"),
    *("untersuchung", "besuch", "termin", "aufnahme", "datum", "serie", "bild", "examen", "étude", "fecha"),
    *("side", "laterality", "seite", "côté", "lado", "lato"),
    *("file", "filename", "datei", "визит", "дата", "исследование", "检查", "受診"),
}
Place = tuple[str, int | str]  # a kind of text, and which one of the kind
LEAST_LEFT = 0.3  # share of films and of rows that it leaves at least
MOST_LOST = 0.1  # share of the films, or of the rows, that a column of visits may leave without a counterpart


def narrowed(
    table: Table, images: Sequence[set[str]], used: Collection[str], headers: Mapping[str, Mapping[str, str]]
) -> tuple[Sequence[set[str]], list[str]]:
    """Narrow the images of every row by columns of visits, films or, where used is another, patients.

    table: with a row for each entry of ``images``, which a first column has named
    images: of every row
    used: columns that have named them
    headers: facts of an image from its DICOM header, by name

    The images of every row, and the columns that narrowed them, none where no column does. A column counts where
    its cells are at one place of the paths (the folder of a visit, say) or headers, no image has rows of two
    cells, and few films or rows are lost by it.
    """
    rows, columns = images, list[str]()
    while True:
        pairs = sum(map(len, rows))
        candidates = [
            (sum(map(len, narrow)) / left, column, narrow)
            for column in table.columns
            if column not in (*used, *columns) and _may_tell(column)
            for narrow in by_place(table.cells(column), rows, headers)
            if (left := _left(rows, narrow)) and sum(map(len, narrow)) < pairs
        ]
        if not candidates:
            return rows, columns
        _, column, rows = min(candidates, key=lambda item: item[0])
        columns.append(column)


def _may_tell(column: str) -> bool:
    names = words.plain(column).split()
    return patient_rank(column) > 0 or any(name in VISITS or name.endswith(("datum", "date")) for name in names)


def by_place(
    cells: Sequence[str], rows: Sequence[set[str]], headers: Mapping[str, Mapping[str, str]]
) -> Iterator[list[set[str]]]:
    """The images of every row that have its cell at one place of their path from the end, or in their header."""
    cell_spellings = [_spellings(cell) for cell in cells]
    by_place: dict[Place, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for path in set[str]().union(*rows):
        for place, text in (*_parts(path), *_words(path), *_facts(headers.get(path, {}))):
            for spelling in _spellings(text):
                by_place[place][spelling].add(path)
    for names in by_place.values():
        narrow = [
            row & set[str]().union(*(names.get(spelling, ()) for spelling in spellings))
            for row, spellings in zip(rows, cell_spellings, strict=True)
        ]
        if _one_cell_each(cells, narrow):
            yield narrow


def _parts(path: str) -> Iterator[tuple[Place, str]]:
    """Folders and name of a path, numbered from the end."""
    yield from ((("part", depth), part) for depth, part in enumerate(reversed(path.split("/"))))


def _words(path: str) -> Iterator[tuple[Place, str]]:
    """Words of a path without its suffix, numbered from the end."""
    pieces = re.split(r"[-_ .()/]+", _without_suffix(path))
    yield from ((("word", depth), piece) for depth, piece in enumerate(reversed(pieces)))


def _facts(header: Mapping[str, str]) -> Iterator[tuple[Place, str]]:
    """Facts of a header, by name."""
    yield from ((("header", name), text) for name, text in header.items())


def _without_suffix(text: str) -> str:
    return re.sub(r"\.[A-Za-z]\w{1,3}$", "", text)


def _spellings(text: str) -> set[str]:
    """Ways to write a visit: without suffix or punctuation, as a day, a side, or the number behind letters."""
    text = normalize("NFC", text).casefold().strip()
    short = re.sub(r"[\W_]+", "", _without_suffix(text))
    number = re.fullmatch(r"[^\W\d]*0*(\d+)", short)
    side = "left" if text in RIGHT_OF else "right" if text in RIGHT_OF.values() else ""
    return {text, _without_suffix(text), short, number[1] if number else "", side, *_days(text)} - {""}


def _days(text: str) -> set[str]:
    """A day as DICOM writes it, 20240315; two where it is not known which number is the month, as in 3/4/2024."""
    match = re.match(r"(\d{1,4})([-/.])(\d\d?)\2(\d{1,4})\b", text)
    if not match:
        return set()
    first, sign, middle, last = match.groups()
    if len(first) == 4:
        return {f"{first}{middle:0>2}{last:0>2}"}
    days = {f"{last}{middle:0>2}{first:0>2}", *([] if sign == "." else [f"{last}{first:0>2}{middle:0>2}"])}
    return {day for day in days if is_date(day)}


def _one_cell_each(cells: Sequence[str], rows: Sequence[set[str]]) -> bool:
    """Whether no image has rows of two cells."""
    cell_by_path: dict[str, str] = {}
    return all(
        cell_by_path.setdefault(path, cell) == cell for cell, row in zip(cells, rows, strict=True) for path in row
    )


def _left(rows: Sequence[set[str]], narrow: Sequence[set[str]]) -> float:
    """Share of the films that still have a row, times that of the rows with a film; 0 where too few are left."""
    films, films_left = (len(set[str]().union(*sets)) for sets in (rows, narrow))
    filled, filled_left = (sum(map(bool, sets)) for sets in (rows, narrow))
    low, high = sorted((films_left / max(films, 1), filled_left / max(filled, 1)))
    return low * high if low >= LEAST_LEFT and high >= 1 - MOST_LOST else 0
