"""Tables with a column for each occasion, ``Befund_prae`` and ``Befund_post``, as tables with a row for each."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace

from mmtk.data.plan import words
from mmtk.data.plan.columns import film_of_cell
from mmtk.data.plan.films import Labels
from mmtk.data.plan.tables import Table
from mmtk.errors import listing

OCCASION = "visit"  # name of the added column
PIECE = re.compile(r"[\W_]+")


def row_per_occasion(name: str, table: Table, ways: Mapping[str, str], labels: Labels) -> Table:
    """A row for each occasion where columns differ in a word that parts the films: in their folders or names.

    name: of the table, which names no films but patients
    table: with a row for each patient
    ways: film by the ways to write it
    labels: with the films; the reason is added
    """
    if any(film_of_cell(cell, ways) for row in table.rows[:20] for cell in row if cell):
        return table
    for bases in _occasions(table.columns, labels.films):
        occasions = [*bases]
        spare = {column for columns in bases.values() for column in columns.values()}
        others = [number for number, column in enumerate(table.columns) if column not in spare]
        names = [*dict.fromkeys(base for columns in bases.values() for base in columns)]
        rows = [
            (
                *(row[number] for number in others),
                *(_cell(table, row, bases[word].get(base)) for base in names),
                word,
            )
            for row in table.rows
            for word in occasions
        ]
        labels.reasons.append(f"{name} has columns for {listing(occasions)}: a row for each")
        columns = (*(table.columns[number] for number in others), *names, OCCASION)
        return replace(table, columns=columns, rows=tuple(rows))
    return table


def _cell(table: Table, row: tuple[str, ...], column: str | None) -> str:
    return row[table.columns.index(column)] if column else ""


def _occasions(columns: Collection[str], films: Collection[str]) -> list[dict[str, dict[str, str]]]:
    """Occasion → rest of a column's name → column, of every position in films' paths that has one in each."""
    by_word: dict[str, dict[str, str]] = defaultdict(dict)
    for column in columns:
        pieces = [piece for piece in PIECE.split(column.casefold()) if piece]
        for number, word in enumerate(pieces) if len(pieces) > 1 else ():
            base = " ".join((*pieces[:number], *pieces[number + 1 :]))
            if not (word in words.CLASSES or words.part(word)):
                by_word[word][base] = column
    positions: dict[int, list[str]] = defaultdict(list)
    for path in films:
        for number, word in enumerate(reversed(PIECE.split(path.casefold().rpartition(".")[0]))):
            positions[number].append(word)
    values = [{*pieces} for pieces in positions.values() if len(pieces) == len(films) and len({*pieces}) > 1]
    columns_of = [{word: by_word[word] for word in sorted(some)} for some in values if some <= by_word.keys()]
    return [bases for bases in columns_of if set.intersection(*({*names} for names in bases.values()))]
