"""Columns that mark films with a finding by a cross or a sign, as people fill in tables."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from mmtk.data.plan.tables import Table

YES = {"x", "✓", "✔", "+", "(+)"}
NO = {"", "-", "−", "–"}


def with_marks(table: Table, columns: Collection[str]) -> tuple[Table, list[str]]:
    """Write 1 and 0 for crosses and empty cells, or plus and minus, in those of ``columns`` with nothing else.

    Also return the columns that were changed.
    """
    marked = [name for name in dict.fromkeys(table.columns) if name in columns and _is_marked(table.cells(name))]
    positions = {table.columns.index(name) for name in marked}
    rows = tuple(
        tuple(
            str(int(cell.casefold() in YES)) if position in positions else cell
            for position, cell in enumerate(row)
        )
        for row in table.rows
    )
    return (replace(table, rows=rows) if marked else table), marked


def _is_marked(cells: list[str]) -> bool:
    signs = {cell.casefold() for cell in cells}
    return signs <= YES | NO and bool(signs & YES) and bool(signs & NO)
