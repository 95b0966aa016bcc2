"""Doubts about the columns of a table that was read: labels of programs, and marks of films to leave out."""

from __future__ import annotations

from collections.abc import Iterator

from mmtk.counts import counted
from mmtk.data.plan import words
from mmtk.data.plan.columns import Columns, is_of_machine
from mmtk.data.plan.spellings import NO
from mmtk.data.plan.tables import Table
from mmtk.io.spelling import folded_word

EXCLUDED = {
    *("exclude", "excluded", "exclusion", "drop", "discard", "ignore", "skip", "reject", "rejected", "unusable"),
    *("ausschluss", "ausgeschlossen", "ausschließen", "verworfen", "unbrauchbar", "exclu", "exclure", "écarté"),
    *(
        "excluir",
        "excluido",
        "excluído",
        "escludi",
        "escluso",
        "uitgesloten",
        "исключить",
        "исключён",
        "排除",
        "除外",
    ),
}
NEARLY_ALL = 0.5  # of the films: so many marks mean something else


def doubts(table: Table, columns: Columns) -> Iterator[str]:
    """Yield notes on a label that a program may have given, and on films that are marked to be left out."""
    if columns.label and is_of_machine(columns.label):
        yield f'"{columns.label}" may be what a program said of the films (--label COLUMN takes another)'
    for name in columns.unused:
        if {*words.plain(name).split()} & EXCLUDED:
            marked = sum(bool(cell) and folded_word(cell) not in NO for cell in table.cells(name))
            if 0 < marked < NEARLY_ALL * len(table.rows):
                rows = counted(marked, "row")
                yield f'"{name}" marks {rows}: their films are read all the same (take the rows and films out)'
