"""Cells that repeat the one above: ditto marks, and blanks below a patient who is written once."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import replace

from mmtk.counts import counted
from mmtk.data.plan.films import Labels
from mmtk.data.plan.patient_words import patient_rank
from mmtk.data.plan.tables import Table
from mmtk.errors import listing

DITTO = {
    *(
        '"',
        "''",
        "″",
        "〃",
        "„",
        '-"-',
        '- " -',
        "-''-",
        "ditto",
        "dito",
        "dto",
        "s.o",
        "s. o",
        "idem",
        "ídem",
        "同上",
    ),
    *("same as above", "as above", "siehe oben", "wie oben", "voir ci-dessus", "то же"),
}
LEAST_BLANK = 0.2  # of the cells of patients who are written in the first of their rows


def without_gaps(name: str, table: Table, labels: Labels) -> Table:
    """Write what stands above in the place of ditto marks, and of blanks below a patient; with reasons."""
    columns = [table.cells(column) for column in table.columns]
    dittos = [number for number, cells in enumerate(columns) if any(map(_is_ditto, {*cells}))]
    for number in dittos:
        columns[number] = _filled(columns[number], _is_ditto)
    if dittos:
        names = listing(table.columns[number] for number in dittos)
        labels.reasons.append(f"marks such as {_first_ditto(table)} in {name} repeat the cell above: {names}")
    patients = [number for number, column in enumerate(table.columns) if patient_rank(column) == 2]
    written_once = [number for number in patients if _is_written_once(columns[number])]
    for number in written_once[:1]:
        rows = [row for row, cell in enumerate(columns[number]) if not cell]
        alike = [other for other, cells in enumerate(columns) if _blanks(cells) == rows]
        for other in alike:
            columns[other] = _filled(columns[other], operator.not_)
        labels.reasons.append(
            f"{counted(len(rows), 'empty cell')} below a patient in {name} repeat what is above: "
            f"{listing(table.columns[other] for other in alike)}"
        )
    return replace(table, rows=tuple(zip(*columns, strict=True))) if dittos or written_once else table


def _filled(cells: Sequence[str], repeats: Callable[[str], bool]) -> list[str]:
    """Cells with the one above in the place of those that repeat it."""
    filled: list[str] = []
    for cell in cells:
        filled.append(filled[-1] if filled and repeats(cell) else cell)
    return filled


def _is_ditto(cell: str) -> bool:
    return cell.casefold().rstrip(".") in DITTO


def _first_ditto(table: Table) -> str:
    return next(cell for row in table.rows for cell in row if _is_ditto(cell))


def _blanks(cells: Sequence[str]) -> list[int]:
    return [row for row, cell in enumerate(cells) if not cell]


def _is_written_once(cells: Sequence[str]) -> bool:
    """Whether every patient stands in one cell, the first of the column among them, with blanks between."""
    full = [cell for cell in cells if cell]
    return bool(cells[0]) and len({*full}) == len(full) > 1 and len(_blanks(cells)) >= LEAST_BLANK * len(cells)
