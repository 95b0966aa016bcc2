"""Tables as people have them: CSV in any usual form, texts with cells, and sheets of Excel workbooks."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from mmtk.data.plan import words
from mmtk.data.plan.encodings import decode
from mmtk.errors import MmtkError
from mmtk.io.csv_text import open_quote
from mmtk.io.spelling import without_marks

TABLES = (".csv", ".tsv", ".tab")
WORKBOOKS = (".xlsx", ".xlsm")
MOST_TITLES = 10  # lines in which the names of the columns are looked for


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
            first = file.read(4096).split(b"\n")[:2]
    except OSError:
        return None
    separators = [sep for sep in b",;\t|" if all(0 < line.count(sep) == first[0].count(sep) for line in first)]
    return read_table(path) if len(first) > 1 and separators else None


def read_table(path: Path, names: Collection[str] = ()) -> Table | None:
    """Read a CSV table in any usual encoding and separator, by ``names`` of files; None where there is no row."""
    try:
        text, encoding = decode(path.read_bytes(), names)
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
    separator = max(",;\t|", key=lambda sign: _regularity(rows[: 2 * MOST_TITLES], sign))
    if first.lower().startswith("sep=") and len(first) == 5:  # as Excel writes it
        separator, rows = first[4], rows[1:]
    if (lines := _lines(rows, separator, path)) is None:
        return None
    titles = _comment_count(lines)
    titles += _title_count(lines[titles:])
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


def _regularity(rows: Sequence[str], separator: str) -> tuple[int, int]:
    """Number of rows with the most frequent number of cells, and that number; 0 where it is 1."""
    widths = Counter(len(line) for line in csv.reader(rows, delimiter=separator) if len(line) > 1)
    return max(((count, width) for width, count in widths.items()), default=(0, 0))


def _comment_count(lines: Sequence[Sequence[str]]) -> int:
    """Number of lines above the names of the columns that begin with #; the names may be the last of these."""
    count = next((n for n, line in enumerate(lines) if not re.match(r"#.", line[0])), 0)
    if count and any(words.plain(cell) in {*words.LABEL_COLUMNS, *words.IMAGES} for cell in lines[count - 1]):
        return count - 1
    return count


def _title_count(lines: Sequence[Sequence[str]]) -> int:
    """Number of lines above the names of the columns, of one cell or of names over several columns each.

    0 for a table of one column.
    """
    first = next((number for number, line in enumerate(lines[:MOST_TITLES]) if sum(map(bool, line)) > 1), 0)
    return first + _spans_columns(lines[first:])


def _spans_columns(lines: Sequence[Sequence[str]]) -> bool:
    """Whether a first line has names over several columns each, whose own names are below it.

    Those are in every column, are no numbers or files, and do not come again below.
    """
    if len(lines) < 3 or all(lines[0]) or not lines[0][0] or not all(lines[1]):
        return False
    below = {cell for line in lines[2:] for cell in line}
    return not any(cell in below or re.search(r"\d[.,]?\d*$|[.]\w{3,4}$", cell) for cell in lines[1])


def _told_apart(columns: Sequence[str]) -> tuple[str, ...]:
    """Names of columns, a second one of a name with its number: Befund, Befund (2)."""
    counts: Counter[str] = Counter()
    names: list[str] = []
    for column in columns:
        counts[column] += bool(column)
        names.append(f"{column} ({counts[column]})" if counts[column] > 1 else column)
    return tuple(names)


def read_sheets(path: Path) -> dict[str, Table]:
    """Read the tables of a workbook by the name of their sheet; none where it cannot be read.

    Rows above the names of the columns, such as a title, have one cell at most. Formulas give their last value.
    """
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    tables: dict[str, Table] = {}
    try:
        book = load_workbook(path, read_only=True, data_only=True)
        for sheet in book.worksheets:
            rows = [[_text(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]
            if table := _sheet_table([row for row in rows if any(row)]):
                tables[sheet.title] = table
        book.close()
    except (OSError, ValueError, KeyError, BadZipFile, InvalidFileException):
        return {}
    return tables


def _sheet_table(rows: list[list[str]]) -> Table | None:
    if not any(sum(map(bool, row)) > 1 for row in rows):
        return None
    head, *rows = rows[_title_count(rows) :]
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
