"""Tables as people have them: CSV in any usual form, texts with cells, and sheets of Excel workbooks."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from mmtk.data.plan import words
from mmtk.data.plan.encodings import decode
from mmtk.errors import MmtkError
from mmtk.io.csv_text import open_quote
from mmtk.io.headings import MOST_TITLES, heading_index, regular_separator, title_count
from mmtk.io.packed import read_bytes, unpacked
from mmtk.io.spelling import without_marks

TABLES = (".csv", ".tsv", ".tab")
WORKBOOKS = (".xlsx", ".xlsm", ".parquet")


@dataclass(frozen=True)
class Table:
    """Table as text: column names as in the file, and rows of cells.

    ``encoding``: of a file that the source cannot read as it is; else "". ``titles``: lines above the columns.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    encoding: str = ""
    titles: int = 0

    @property
    def twins(self) -> list[str]:
        """Columns that have the name of another one, as they are told apart."""
        matches = (re.fullmatch(r"(.+) \(\d+\)", column) for column in self.columns)
        return [match[0] for match in matches if match and match[1] in self.columns]

    def cells(self, column: str) -> list[str]:
        """Cells of a column."""
        index = self.columns.index(column)
        return [row[index] for row in self.rows]


def read_text_table(path: Path) -> Table | None:
    """Read a text with cells in its first two lines, as a table; None for prose, lists and numbers of outlines."""
    try:
        with path.open("rb") as file:
            first = (file if unpacked(path) == path else io.BytesIO(read_bytes(path))).read(4096).split(b"\n")[:2]
    except OSError:
        return None
    separators = [sep for sep in b",;\t|" if all(0 < line.count(sep) == first[0].count(sep) for line in first)]
    return read_table(path) if len(first) > 1 and separators else None


def read_table(path: Path, names: Collection[str] = ()) -> Table | None:
    """Read a CSV table in any usual encoding and separator, by ``names`` of files; None where there is no row."""
    try:
        text, encoding = decode(read_bytes(path), names)
    except PermissionError as error:  # it may well be the table of the labels
        raise MmtkError(
            "cannot be read: permission denied.", str(path), "Ask its owner, or move it away."
        ) from error
    except OSError:
        return None
    text, formulas = re.subn(r'(?m)(^|[,;\t|])="([^"\n]*)"', r"\1\2", text)
    encoding = "formulas, as Excel keeps zeros by them" if formulas else encoding
    rows = text.splitlines()
    first = rows[0] if rows else ""
    separator = regular_separator(rows[: 2 * MOST_TITLES])
    if first.lower().startswith("sep=") and len(first) == 5:  # as Excel writes it
        separator, rows = first[4], rows[1:]
    if (lines := _lines(rows, separator, path)) is None:
        return None
    titles = heading_index(lines, _is_name)
    if len(lines) < titles + 2:
        return None
    columns = _told_apart(lines[titles])
    width = len(columns)
    rows_below = tuple((*line, *[""] * width)[:width] for line in lines[titles + 1 :])
    return Table(columns, rows_below, encoding, titles)


def _lines(rows: Sequence[str], separator: str, path: Path) -> list[tuple[str, ...]] | None:
    """Cells of all rows but empty ones; None for no table, MmtkError for a quotation mark that stays open."""
    reader = csv.reader(rows, delimiter=separator)
    lines: list[tuple[str, ...]] = []
    while True:
        start, reason = reader.line_num, ""
        try:
            line = next(reader, None)
        except csv.Error as error:
            line, reason = None, str(error)
        if reader.line_num > start + 1 and "".join(rows[start : reader.line_num]).count('"') % 2:
            raise open_quote(path, start + 1, reason or "it is never closed")
        if line is None:
            return None if reason else lines
        if any(line):
            lines.append(tuple(cell.strip() for cell in line))


def _is_name(cell: str) -> bool:
    return words.plain(cell) in {*words.LABEL_COLUMNS, *words.IMAGES}


def _told_apart(columns: Sequence[str]) -> tuple[str, ...]:
    """Names of columns, a second one of a name with its number: Befund, Befund (2)."""
    counts: Counter[str] = Counter()
    names: list[str] = []
    for column in columns:
        counts[column] += bool(column)
        names.append(f"{column} ({counts[column]})" if counts[column] > 1 else column)
    return tuple(names)


def _read_parquet(path: Path) -> dict[str, Table]:
    """Read a Parquet file, but for columns of bytes and lists and pandas' index; no table where that fails."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        columns = pq.read_table(path)
    except (OSError, ValueError, pa.ArrowException):
        return {}
    fields = [
        field.name
        for field in columns.schema
        if not (pa.types.is_nested(field.type) or pa.types.is_binary(field.type) or field.name.startswith("__"))
    ]
    if not fields or not columns.num_rows:
        return {}
    cells = (map(_text, columns[field].to_pylist()) for field in fields)
    return {path.stem: Table(tuple(fields), tuple(zip(*cells, strict=True)))}


def read_sheets(path: Path) -> dict[str, Table]:
    """Read the tables of a workbook by the name of their sheet, or that of Parquet; none where it cannot be read.

    Rows above the names of the columns, such as a title, have one cell at most. Formulas give their last value.
    """
    if path.suffix.lower() == ".parquet":
        return _read_parquet(path)
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    tables: dict[str, Table] = {}
    try:
        merged = _has_merged_cells(path)
        book = load_workbook(path, read_only=not merged, data_only=True)
        for sheet in book.worksheets:
            rows = [[_text(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]
            _fill_merged(rows, sheet.merged_cells.ranges if merged else ())
            if table := _sheet_table([row for row in rows if any(row)]):
                tables[sheet.title] = table
        book.close()
    except (OSError, ValueError, KeyError, BadZipFile, InvalidFileException):
        return {}
    return tables


def _has_merged_cells(path: Path) -> bool:
    """Whether a sheet of a workbook has merged cells, which only a slower way of reading shows."""
    with ZipFile(path) as archive:
        sheets = (name for name in archive.namelist() if name.startswith("xl/worksheets/sheet"))
        return any(b"<mergeCell " in archive.read(name) for name in sheets)


def _fill_merged(rows: list[list[str]], ranges: Iterable[Any]) -> None:
    """Write the text of cells that were merged downwards, such as a patient of several films, into each row."""
    for area in ranges:
        for row in range(area.min_row, area.max_row if area.min_col == area.max_col else area.min_row):
            rows[row][area.min_col - 1] = rows[row - 1][area.min_col - 1]


def _sheet_table(rows: list[list[str]]) -> Table | None:
    if not any(sum(map(bool, row)) > 1 for row in rows):
        return None
    head, *rows = rows[title_count(rows, _is_name) :]
    while head and not head[-1]:
        head.pop()
    width = len(head)
    return Table(_told_apart(head), tuple(tuple((*row, *[""] * width)[:width]) for row in rows)) if rows else None


def _text(cell: Any) -> str:
    """A cell as it would stand in a CSV table: 3.0 as 3, a date without the hour 0."""
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return without_marks(str(cell)).strip().removesuffix(" 00:00:00")
