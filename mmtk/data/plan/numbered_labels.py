"""Labels in several columns, ``label_1`` and ``label_2``, or ``dx_primary`` and ``dx_secondary``, as one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace

from mmtk.components.source._words import EMPTY
from mmtk.counts import counted
from mmtk.data.plan import words
from mmtk.data.plan.columns import SEVERAL, find_columns, is_of_machine, label_points
from mmtk.data.plan.films import Labels
from mmtk.data.plan.normal_words import IN_QUESTION
from mmtk.data.plan.reader_votes import differ, majority
from mmtk.data.plan.readers import is_of_reader
from mmtk.data.plan.tables import Table
from mmtk.errors import listing

ORDER = {
    *("primary", "secondary", "tertiary", "principal", "main", "additional", "first", "second", "third"),
    *("haupt", "neben", "primär", "sekundär", "primaire", "secondaire", "principale", "primaria", "secundaria"),
    *("secondaria", "primária", "secundária", "основной", "сопутствующий", "主要", "次要", "其他"),
}
COMPOUND = re.compile(r"^(haupt|neben)(?=\w)")
MOST = 20  # a larger number is none of a column, as 2021


def with_labels_joined(name: str, table: Table, labels: Labels) -> Table:
    """Join the column of labels with those that differ from it in a number, or in primary and secondary.

    name: of the table
    table: with a row per film
    labels: its films, and the reasons

    Findings are parted by |. Columns of several readers give what most of them say. A column that divides the
    classes of the one before it, as bacterial and viral do pneumonia, is none of them, nor are columns that differ
    in most rows.
    """
    columns = find_columns(table, labels.films, {})
    label = columns.label if columns else ""
    base = _base(label)
    siblings = [column for column in dict.fromkeys(table.columns) if column and _base(column) == base]
    if not label or not base or len(siblings) < 2 or is_of_machine(label):
        return table
    rows = [*zip(*(table.cells(column) for column in siblings), strict=True)]
    if not _are_labels(base, rows) or _divides(siblings, rows):
        return table
    votes = is_of_reader(label)
    joined = [_vote(cells) if votes else "|".join(_findings(cells)) for cells in rows]
    if 2 * sum("|" in cell for cell in joined) > len(joined):
        return table  # two facts of a film
    labels.reasons.append(_reason(name, siblings, rows if votes else ()))
    first, *spare = (table.columns.index(column) for column in siblings)
    others = [number for number in range(len(table.columns)) if number not in spare]
    names = [base if number == first else table.columns[number] for number in others]
    cells = (
        tuple(cell if number == first else row[number] for number in others)
        for row, cell in zip(table.rows, joined, strict=True)
    )
    return replace(table, columns=tuple(names), rows=tuple(cells))


def _reason(name: str, siblings: Sequence[str], read: Sequence[Sequence[str]]) -> str:
    """Reason why columns became one; ``read`` are the cells of readers, if they are of these."""
    columns = listing(f'"{column}"' for column in siblings)
    if not read:
        return f"{columns} of {name} are read as one cell with several findings (--label takes one of them)"
    readings = [_readings(cells) for cells in read]
    undecided = sum(bool(labels) and not majority(labels) for labels in readings)
    images = counted(sum(map(differ, readings)), "row")
    none = f", {undecided} of them without one" if undecided else ""
    return (
        f"{columns} of {name} are of readers: an image has the classes that more than half of its readers gave "
        f"({images} on which they differ{none})"
    )


def _base(column: str) -> str:
    """Plain name of a column without a number and words of an order."""
    rest: list[str] = []
    for word in words.plain(column).split():
        match = re.fullmatch(r"(.*?)(\d*)", word)
        text, number = match.groups() if match else (word, "")
        if number and int(number) > MOST:
            text = word
        text = COMPOUND.sub("", text)
        rest += [text] if text and text not in ORDER else []
    return " ".join(rest)


def _are_labels(base: str, rows: Sequence[Sequence[str]]) -> bool:
    """Whether cells of all columns together are classes, which are words and no numbers."""
    cells = [cell for row in rows for cell in row if cell and cell.casefold() not in EMPTY]
    numbers = sum(bool(re.fullmatch(r"-?\d+([.,]\d+)?", cell)) for cell in cells)
    return 2 * numbers < len(cells) and label_points(base, cells) > 0


def _divides(siblings: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether a second column parts classes of the first: it has others, and each goes with one of those."""
    if {word for column in siblings for word in words.plain(column).split()} & ORDER:
        return False
    pairs = [(row[0], "" if _is_empty(row[1]) else row[1]) for row in rows if not _is_empty(row[0])]
    above: dict[str, set[str]] = defaultdict(set)
    for one, other in pairs:
        if other:
            above[other].add(one)
    parted = {one for ones in above.values() for one in ones}
    filled = [bool(other) for one, other in pairs if one in parted]
    alike = {*above} & {one for one, _ in pairs}
    return bool(above) and not alike and all(len(ones) == 1 for ones in above.values()) and all(filled)


def _is_empty(cell: str) -> bool:
    """Whether a cell says nothing, or that there is no further finding."""
    plain = words.plain(cell)
    return not cell or cell.casefold() in EMPTY or plain in IN_QUESTION or plain in words.UNKNOWN


def _findings(cells: Sequence[str]) -> Collection[str]:
    """Findings of a row; a cell that says nothing where no other says more."""
    single = [part for cell in cells if not _is_empty(cell) for part in SEVERAL.split(cell)]
    return dict.fromkeys(single or [cell for cell in cells if cell][:1])


def _readings(cells: Sequence[str]) -> list[list[str]]:
    """Classes of every reader who said something."""
    read = [cell for cell in cells if cell and cell.casefold() not in EMPTY]
    return [SEVERAL.split(cell) for cell in read if words.plain(cell) not in words.UNKNOWN]


def _vote(cells: Sequence[str]) -> str:
    return "|".join(majority(_readings(cells)))
