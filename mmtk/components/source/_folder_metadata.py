"""Metadata of images: further columns of the folder source's table, but for those that name persons."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from mmtk.components.source._personal_columns import is_personal
from mmtk.errors import MmtkError, listing, nearest
from mmtk.images.ages import age_in_years
from mmtk.io.csv_text import Table
from mmtk.io.dates import is_date

Value = str | float
MOST_CATEGORIES = 50  # different texts in a column; of more it is taken for free text
SINGLE, FEW = 0.7, 10  # and where so large a share of more than so many cells differ


def read_metadata(
    content: Table, used: Collection[int], chosen: Sequence[str] | None, empty: Collection[str], notes: list[str]
) -> list[dict[str, Value]]:
    """Metadata of every row of a table.

    content: the table
    used: numbers of the columns with a use of their own
    chosen: names of the columns to take; None: all but those that name persons, dates and free text
    empty: words for an empty cell, in small letters
    notes: what was taken and what was not is added here
    """
    columns = {name: number for number, name in enumerate(content.columns) if name and number not in used}
    for name in chosen or ():
        if name not in content.columns:
            raise MmtkError(f"metadata: no column '{name}'.{nearest(name, columns)}", content.file)
    if chosen is not None:
        columns = {name: content.columns.index(name) for name in chosen}
    cells = {
        name: ["" if (cell := line.cells[number]).casefold() in empty else cell for line in content.lines]
        for name, number in columns.items()
    }
    if chosen is None:
        reasons = {name: reason for name, texts in cells.items() if (reason := _reason_against(name, texts))}
        cells = {name: texts for name, texts in cells.items() if name not in reasons}
        for reason in dict.fromkeys(reasons.values()):
            refused = [name for name, one in reasons.items() if one == reason]
            notes.append(
                f"columns of {content.path.name} that are left out, because they {reason}: {listing(refused)}. "
                "metadata = [...] names the columns to take."
            )
    values = {name: _values(texts) for name, texts in cells.items() if any(texts)}
    if values:
        notes.append(f"metadata are taken from these columns of {content.path.name}: {listing([*values])}.")
    return [
        {name: value for name, column in values.items() if (value := column[row]) is not None}
        for row in range(len(content.lines))
    ]


def _reason_against(name: str, cells: Sequence[str]) -> str:
    """Reason why a column is not taken unasked, as a verb phrase; "" where there is none."""
    filled = [cell for cell in cells if cell]
    texts = {*filled}
    if is_personal(name):
        return "may name persons"
    if texts and all(map(is_date, texts)):
        return "hold dates"
    if None in _values([*texts]) or all(isinstance(value, float) for value in _values([*texts])):
        return ""
    if (
        len(texts) > MOST_CATEGORIES
        or len(texts) > SINGLE * len(filled) > FEW
        or any("\n" in one for one in texts)
    ):
        return f"hold free text, or more than {MOST_CATEGORIES} categories"
    return ""


def _values(cells: Sequence[str]) -> list[Value | None]:
    """Numbers, or years of ages such as 058Y, where all cells are some; else texts; None of an empty cell.

    A text in several spellings, such as AP and ap, has the first one.
    """
    for reading in (_number, age_in_years):
        numbers = [reading(cell) if cell else None for cell in cells]
        if all(number is not None or not cell for number, cell in zip(numbers, cells, strict=True)):
            return [*numbers]
    spellings: dict[str, str] = {}
    return [spellings.setdefault(" ".join(cell.casefold().split()), cell) if cell else None for cell in cells]


def _number(cell: str) -> float | None:
    if not re.fullmatch(r"[+-]?\d+([.,]\d+)?([eE][+-]?\d+)?", cell):
        return None
    return float(cell.replace(",", "."))
