"""Facts of a film from its rows in a table."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from mmtk.components.source._personal_columns import is_personal
from mmtk.data.plan import words
from mmtk.data.plan.columns import Columns
from mmtk.data.plan.films import Film
from mmtk.errors import MmtkError, listing

USES = ("image", "label", "patient", "split", "spacing")  # of columns


def joined_row(
    path: str, rows: Sequence[Mapping[str, str]], columns: Columns, empty: Collection[str]
) -> Mapping[str, str]:
    """One row for all of an image: with every label; MmtkError where they name several patients or parts.

    path: of the image
    rows: cells by column
    columns: by use
    empty: labels that stand for none
    """
    row = dict(rows[0])
    for name in (columns.patient, columns.split, columns.spacing):
        values = dict.fromkeys(row[name] for row in rows if name and row[name])
        if len(values) > 1:
            cure = f'Leave one row for the image, or name another column than "{name}".'
            raise MmtkError(f"its rows differ in {name}: {listing(values)}.", path, cure)
        if values:
            row[name] = next(iter(values))
    if columns.label:
        labels = (row[columns.label] for row in rows)
        row[columns.label] = "|".join(dict.fromkeys(x for x in labels if x.casefold() not in empty))
    for name in columns.unused:
        row[name] = row[name] if len({other[name] for other in rows}) == 1 else ""
    for name in columns.flags:
        cells = {row[name].removesuffix(".0"): row[name] for row in rows}
        row[name] = cells[next((cell for cell in ("1", "-1", "") if cell in cells), "0")]
    return row


def write_row(
    film: Film, row: Mapping[str, str], columns: Columns, part_of_table: str, empty: Collection[str]
) -> None:
    """Write the cells of one row into its film.

    film: to be filled
    row: cells by column
    columns: by use
    part_of_table: that the name of the table says, else ""
    empty: labels that stand for none
    """
    if columns.label:
        film.label = "" if row[columns.label].casefold() in empty else row[columns.label]
    elif columns.flags:
        film.label = _flagged({name: row[name].removesuffix(".0") for name in columns.flags})
    film.split = part_of_table or film.split
    film.patient = columns.person(row)
    film.spacing = row[columns.spacing] if columns.spacing else ""
    film.metadata = {
        name: row[name] for name in columns.unused if name.casefold() not in USES and not is_personal(name)
    }
    if columns.split:
        film.split = words.part(row[columns.split])


def _flagged(cells: Mapping[str, str]) -> str:
    """Findings of a row with a column of 0 and 1 for each; "" where none is certain."""
    positive = [name for name, cell in cells.items() if cell == "1"]
    if positive:
        return "|".join(positive)
    stated = all(cell == "0" for cell in cells.values())
    return "no finding" if stated and not any(words.same_class(name) == "normal" for name in cells) else ""
