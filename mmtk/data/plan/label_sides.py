"""Answers for the left and the right lung in two columns, which are one label of the film."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace

from mmtk.components.source._sides import mirrored
from mmtk.data.plan.films import Labels
from mmtk.data.plan.spellings import NO, YES
from mmtk.data.plan.tables import Table
from mmtk.io.spelling import folded_word


def with_both_sides(name: str, table: Table, label_columns: Collection[str], labels: Labels) -> Table:
    """Join two columns of answers that differ in left and right: yes where either side says so, with a reason.

    name: of the table
    table: to be joined
    label_columns: columns that the user names, which stay
    labels: whose reasons are filled
    """
    for column in table.columns:
        other = mirrored(column)
        if other == column or other not in table.columns or {column, other} & {*label_columns}:
            continue
        sides = [table.cells(column), table.cells(other)]
        if not all(map(_are_answers, sides)):
            continue
        joined = _whole(column)
        cells = [_either(*pair) for pair in zip(*sides, strict=True)]
        labels.reasons.append(f'"{column}" and "{other}" of {name} are one label, "{joined}": either side counts')
        other_columns = [number for number, entry in enumerate(table.columns) if entry not in (column, other)]
        rows = tuple(
            (*(row[number] for number in other_columns), cell) for row, cell in zip(table.rows, cells, strict=True)
        )
        columns = (*(table.columns[number] for number in other_columns), joined)
        return with_both_sides(name, replace(table, columns=columns, rows=rows), label_columns, labels)
    return table


def _are_answers(cells: Collection[str]) -> bool:
    words = {folded_word(cell) for cell in cells if cell}
    return bool(words & YES) and words <= YES | NO


def _either(one: str, other: str) -> str:
    """The yes of a pair of answers, else the no of both; "" where a side is not known."""
    said_yes = [cell for cell in (one, other) if cell and folded_word(cell) in YES]
    return said_yes[0] if said_yes else one if one and other else ""


def _whole(column: str) -> str:
    """Name of a column without the word for the side."""
    parts = (part for part in re.split(r"([\W_]+)", column) if mirrored(part) == part)
    return "".join(parts).strip(" _-.") or column
