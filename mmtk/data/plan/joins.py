"""Tables that name no films, but rows of a table that does: examinations and their reports, joined by a number."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from mmtk.data.plan import words
from mmtk.data.plan.columns import film_of_cell, film_spellings, label_points
from mmtk.data.plan.films import Labels
from mmtk.data.plan.tables import Table

SAMPLES = 50  # cells of a column that tell whether it names films
LEAST_JOINED = 0.8  # share of the rows of the table of films that another table has to know


def joined(tables: Mapping[str, Table], labels: Labels) -> dict[str, Table]:
    """Tables of films with the columns of others that a shared column gives to their rows, with reasons.

    tables: by name
    labels: its films, and the reasons
    """
    ways = film_spellings(labels.films)
    of_films = [name for name, table in tables.items() if _names_films(table, ways)]
    result, spare = dict(tables), [name for name in tables if name not in of_films]
    for name in of_films if len(of_films) == 1 and not _has_label(tables[of_films[0]]) else ():
        grown = True
        while grown:
            grown = False
            for other in [*spare]:
                if key := _key(result[name], tables[other]):
                    result[name] = _with_columns(result[name], tables[other], *key)
                    labels.reasons.append(f'"{key[0]}" joins {other} to {name}')
                    spare.remove(other)
                    del result[other]
                    grown = True
    return result


def _has_label(table: Table) -> bool:
    """Whether a word speaks for a column as that of classes."""
    return any(label_points(column, table.cells(column)) >= 1 for column in dict.fromkeys(table.columns))


def _names_films(table: Table, ways: Mapping[str, str]) -> bool:
    """Whether a column names films, by its first cells."""
    columns = (table.cells(column)[:SAMPLES] for column in table.columns)
    return any(2 * sum(bool(film_of_cell(cell, ways)) for cell in cells) > len(cells) for cells in columns)


def _key(table: Table, other: Table) -> tuple[str, str] | None:
    """Column of a table, and the one of the other table that has its cells once each; None without such a pair."""
    for column in table.columns:
        for twin in other.columns:
            if words.plain(column) == words.plain(twin) and _is_key(table.cells(column), other.cells(twin)):
                return column, twin
    return None


def _is_key(cells: Collection[str], keys: Collection[str]) -> bool:
    matching_cells = [cell for cell in cells if cell in {*keys}]
    return (
        len({*keys}) == len(keys)
        and len({*matching_cells}) > 2
        and len(matching_cells) >= LEAST_JOINED * len(cells)
    )


def _with_columns(table: Table, other: Table, column: str, twin: str) -> Table:
    """The table with the cells of the other one's row of the same key; empty where there is none."""
    new = [name for name in other.columns if name not in (*table.columns, twin)]
    row_of = dict(zip(other.cells(twin), other.rows, strict=True))
    numbers = [other.columns.index(name) for name in new]
    rows = (
        (*row, *(row_of[key][number] if key in row_of else "" for number in numbers))
        for row, key in zip(table.rows, table.cells(column), strict=True)
    )
    return replace(table, columns=(*table.columns, *new), rows=tuple(rows))
