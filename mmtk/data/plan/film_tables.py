"""Tables of a folder that name its films, or patients and studies of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath

from mmtk.counts import counted
from mmtk.data.plan import words
from mmtk.data.plan.columns import Columns, find_columns, with_column_names
from mmtk.data.plan.films import Labels
from mmtk.data.plan.label_files import label_tables
from mmtk.data.plan.listing import Listing, stem
from mmtk.data.plan.marks import with_marks
from mmtk.data.plan.other_columns import EXCLUDED
from mmtk.data.plan.patient_tables import rows_per_film
from mmtk.data.plan.tables import Table
from mmtk.data.plan.views import lateral_cells, other_modalities
from mmtk.errors import MmtkError, listing, nearest
from mmtk.images.files import SUFFIXES

SHEETS = (".xlsx", ".xlsm", ".xls", ".ods")


@dataclass(frozen=True)
class FilmTable:
    """Table with a row per film, its columns by use, and the columns ``key`` of patients or visits behind it."""

    table: Table
    columns: Columns
    key: tuple[str, ...] = ()

    @property
    def names_files(self) -> str:
        """A file name in the first column of ``key``; "" where it has others."""
        cells = self.table.cells(self.key[0]) if self.key else []
        return next((cell for cell in cells if PurePath(cell).suffix.lower() in SUFFIXES), "")


def with_marks_read(
    tables: Mapping[str, Table], film_tables: Mapping[str, FilmTable], labels: Labels
) -> dict[str, Table]:
    """Tables whose crosses and signs are read as 1 and 0: in the columns of labels, else in every column.

    tables: by name
    film_tables: those that name films
    labels: to which a reason is added
    """
    label_columns = {item.columns.label for item in film_tables.values()} - {""}
    marked_tables: dict[str, Table] = {}
    for name, table in tables.items():
        marked_tables[name], marked = with_marks(table, label_columns or table.columns)
        if marked:
            labels.reasons.append(
                f"crosses and signs in {listing(marked)} are read as 1, empty cells and minus as 0"
            )
    return marked_tables


def chosen_tables(files: Listing, name: str, labels: Labels) -> Mapping[str, Table]:
    """Tables of the folder, or the one that the user names."""
    tables = {**files.tables, **files.sheets}
    if not name:
        forms = [key for key in tables if "submission" in words.plain(stem(key)).split()]
        labels.notes += [
            f"the table {key} is left out: a form for answers, which holds no labels" for key in forms
        ]
        lists = [key for key in tables if {*words.plain(stem(key)).split()} & EXCLUDED]
        labels.notes += [
            f"{key} is a list of what is left out, by its name: films in it are read all the same (move them away)"
            for key in lists
        ]
        return {key: table for key, table in tables.items() if key not in {*forms, *lists}}
    if sheets := {key: table for key, table in files.sheets.items() if key.startswith(f"{name} [")}:
        return sheets
    if name not in tables:
        other_tables, _ = label_tables(files, labels.films)
        if name in other_tables:
            labels.files = {name}
            return {name: other_tables[name]}
    if name not in tables:
        cure = f"Tables here: {listing(tables)}." if tables else "There is no table here."
        if name.lower().endswith(SHEETS):
            raise MmtkError("this spreadsheet cannot be read.", name, "Save the sheet as CSV, and give that.")
        raise MmtkError(f"no table '{name}'.{nearest(name, tables)}", str(files.root), cure)
    return {name: tables[name]}


def find_film_tables(
    files: Listing, tables: Mapping[str, Table], labels: Labels, hints: Mapping[str, str]
) -> dict[str, FilmTable]:
    """Tables that name films; where none does, those that name patients or studies of them.

    files: of the folder
    tables: by name, as texts
    labels: whose notes and lateral films are filled
    hints: columns that the user names
    """
    film_tables: dict[str, FilmTable] = {}
    of_masks: set[str] = set()
    for name, file_table in tables.items():
        table = with_column_names(file_table, labels.films)
        if table is not file_table:
            labels.reasons.append(f"{name} has no row with the names of its columns")
        columns = find_columns(table, labels.films, hints)
        if columns and columns.are_of_masks:
            of_masks.add(name)
        elif columns:
            film_tables[name] = FilmTable(table, columns)
            column, films = lateral_cells(table, columns)
            labels.lateral[f'"{column}" of {name}'] = films
            column, films = other_modalities(table, columns)
            labels.modalities[f'"{column}" of {name}'] = films
    if any(has_labels(item) for item in film_tables.values()):
        return film_tables
    for name, table in tables.items():
        if name not in {*film_tables, *of_masks} and (expanded := rows_per_film(table, files, labels.films)):
            table, key = expanded
            if columns := find_columns(table, labels.films, hints):
                film_tables[name] = FilmTable(table, columns, key)
    return film_tables


def has_labels(item: FilmTable) -> bool:
    """Whether a table says the class of its films."""
    return item.columns.label in item.table.columns or bool(item.columns.flags)


def difference(one: FilmTable, other: FilmTable) -> str:
    """Words on the labels of the same films that differ in two tables of one column of labels; "" for none."""
    column = one.columns.label
    if not column or column != other.columns.label:
        return ""
    first, second = (
        {
            item.columns.matches.get(cells[item.columns.image], ""): cells[column]
            for cells in cells_by_column(item.table)
        }
        for item in (one, other)
    )
    count = sum(label != second.get(film, label) for film, label in first.items() if film)
    return f" (it has another one for {counted(count, 'film')}; --labels takes it)" if count else ""


def cells_by_column(table: Table) -> Iterator[dict[str, str]]:
    """Rows of a table, each as its cells by column."""
    yield from (dict(zip(table.columns, row, strict=True)) for row in table.rows)
