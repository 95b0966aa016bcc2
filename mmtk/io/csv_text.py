"""CSV tables of spreadsheets, with encoding, separator and the lines of every row."""

from __future__ import annotations

import codecs
import csv
import io
from dataclasses import dataclass
from pathlib import Path

from mmtk.counts import counted
from mmtk.errors import MmtkError
from mmtk.io.headings import SEPARATORS, IsName, lines_above
from mmtk.io.packed import inner_suffix, read_bytes

OTHER_FORMS = (".json", ".jsonl", ".ndjson", ".yaml", ".yml", ".xml")
PLAN_CURE = "mmtk data plan FOLDER reads labels in JSON, YAML and texts too, and writes the table."
WORKBOOK_CURE = "Or mmtk data plan FOLDER reads an .xlsx file, and writes the table."


@dataclass(frozen=True)
class Line:
    """Row of a table: its stripped cells, one for each column, and its first and last line in the file."""

    number: int
    end: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Table of a file, without its empty rows.

    ``titles``: lines above the names of the columns.
    """

    path: Path
    encoding: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    titles: int = 0

    @property
    def file(self) -> str:
        """Path of the file, for messages."""
        return str(self.path)


def read_csv(path: Path, is_name: IsName | None = None) -> Table:
    """Read the columns and rows of a table; cells are parted by , ; | or a tab, or by what ``sep=`` says.

    is_name: whether a cell is a name that columns often have; with it, titles, comments and names over several
        columns may stand above the line with the names
    """
    if inner_suffix(path) in OTHER_FORMS:
        raise MmtkError("is no CSV table.", str(path), PLAN_CURE)
    text, encoding = decoded(path)
    rows = io.StringIO(text, newline=None).readlines()
    titles = skipped = lines_above(rows, is_name) if is_name else 0
    first = rows[skipped].rstrip("\n") if rows else ""
    separator = max(SEPARATORS, key=first.count)
    if first.lower().startswith("sep=") and len(first) == 5:
        separator, skipped = first[4], skipped + 1
    reader = csv.reader(rows[skipped:], delimiter=separator)
    columns: tuple[str, ...] = ()
    lines: list[Line] = []
    while True:
        start = skipped + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return Table(path, encoding, columns, tuple(lines), titles)
        except csv.Error as error:
            raise open_quote(path, start, str(error)) from error
        end = skipped + reader.line_num
        if end > start and "".join(rows[start - 1 : end]).count('"') % 2:
            raise open_quote(path, start, "it is never closed")
        stripped = tuple(map(str.strip, cells))
        if not columns:
            columns = stripped
        elif len(stripped) > len(columns) and any(stripped[len(columns) :]):
            raise MmtkError(
                f"{counted(len(stripped), 'cell')} for {counted(len(columns), 'column')}.", f"{path}:{end}"
            )
        elif any(stripped):
            padding = ("",) * (len(columns) - len(stripped))
            lines.append(Line(start, end, (stripped + padding)[: len(columns)]))


def open_quote(path: Path, number: int, reason: str) -> MmtkError:
    """Error for a row, by its number, in which a quotation mark opens."""
    return MmtkError(
        f"a quotation mark opens in this row and takes in the rows below it: {reason}.",
        f"{path}:{number}",
        "Remove or double the quotation mark.",
    )


def decoded(path: Path, workbook_cure: str = WORKBOOK_CURE) -> tuple[str, str]:
    """Read text and encoding of a file, packed or not: UTF-8, UTF-16 with its mark, else Windows-1252.

    workbook_cure: what helps with a workbook, beside saving it as CSV
    """
    try:
        content = read_bytes(path)
    except OSError as error:
        raise MmtkError(f"cannot be read: {error.strerror}.", str(path)) from error
    cure = "Save it as CSV, encoded in UTF-8."
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise MmtkError("is a workbook, not a CSV table.", str(path), f"{cure} {workbook_cure}".strip())
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if wide else ("utf-8-sig", "cp1252"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text, encoding
    raise MmtkError("is not text that can be read: neither UTF-8 nor UTF-16 nor Windows-1252.", str(path), cure)
