"""A table of texts, and its columns as numbers: European decimals, percent, blanks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmtk.compare import json_tables
from mmtk.compare.latex_rows import is_latex, latex_table
from mmtk.compare.levels import joined_levels
from mmtk.compare.markdown_rows import is_markdown, markdown_table
from mmtk.compare.score_names import is_score_name
from mmtk.counts import counted
from mmtk.errors import MmtkError
from mmtk.io.csv_text import OTHER_FORMS, decoded, read_csv
from mmtk.io.packed import inner_suffix

if TYPE_CHECKING:
    from pandas import DataFrame, Series

BLANKS = frozenset(["", "na", "n/a", "nan", "none", "null", "-", "–", "—", "?", "<na>"])
EXACT = 2**53  # largest number up to which floats hold all whole numbers
SPREAD = re.compile(
    r"([-+]?[\d.,]+)\s*%?\s*(?:(?:±|\+/-|\+-|\\pm)\s*[\d.,]+\s*%?|[(\[][\d.,;\s%–-]+[)\]])"
)  # 0.91 ± 0.02, 0.91 (0.02), 0.91 [0.89, 0.93]
SPREAD_CURE = "Means with spreads, such as 0.91 ± 0.02, can be judged by mmtk audit; tests need values per run."
BESIDE = re.compile(
    r"\s*(?:[↑↓]|[(\[](?:\d+\s*%?[\s\-,]*(?:CI|KI|IC|ДИ)|(?:mean\s*)?(?:±|\+/-)\s*(?:SD|STD|SE|SEM))[)\]])\s*$",
    re.IGNORECASE,
)  # behind the name of a score, what stands beside its means: Sensitivity (95 % CI); and arrows
CURVE = ("Wall time", "Step", "Value")  # columns of a scalar that TensorBoard saves
FIGURE = re.compile(
    r"[-+]?\d*\.\d{3,}(?:e[-+]?\d+)?", re.IGNORECASE
)  # in a name of a column: a first line of values
EMPHASIS = re.compile(
    r"(?:\\(?:textbf|textit|underline|mathbf|mathit|bm|bf)\{(.*)\}|\*\*(.*)\*\*|\$(.*)\$)"
)  # bold
COMMA = re.compile(r"[-+]?\d*,\d+(?:e[-+]?\d+)?%?", re.IGNORECASE)


class Sheet:
    """A table with named columns.

    frame: of texts, or of texts and numbers
    where: the file, for messages
    lines: line of every row in the file; empty for a table that has none
    """

    def __init__(self, frame: DataFrame, where: str, lines: Sequence[int] = ()) -> None:
        self.frame, self.where, self.lines = frame, where, lines
        self._numbers: dict[str, np.ndarray | None] = {}
        self.notes: list[str] = []
        names = [str(name).strip() for name in frame.columns]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            cure = "Give them names of their own; a pivot table of pandas: frame.reset_index()."
            raise MmtkError(f"two columns are called '{repeated[0]}'.", where, cure)
        bare = [BESIDE.sub("", name) or name for name in names]
        self.frame.columns = bare if len({*bare}) == len(bare) else names

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self.frame.columns)

    def texts(self, column: str) -> Series:
        """A column as stripped texts; numbers that are whole without a point."""
        values = self.frame[column]
        if values.dtype.kind == "f" and (values.dropna() % 1 == 0).all() and not (values.abs() > EXACT).any():
            values = values.astype("Int64")
        return values.astype(object).where(values.notna(), "").astype(str).str.strip()

    def is_numeric(self, column: str) -> bool:
        """Whether a column holds numbers and blanks alone, at least one number."""
        values = self._parsed(column)
        return values is not None and bool(np.isfinite(values).any())

    def is_mostly_numeric(self, column: str) -> bool:
        """Whether half of the cells that are filled hold numbers: the others are mistakes."""
        texts = [text for text in self.texts(column) if text.casefold() not in BLANKS]
        return bool(texts) and 2 * sum(map(_is_number, texts)) >= len(texts)

    def numbers(self, column: str) -> np.ndarray:
        """A column as floats, NaN where it is blank; MmtkError naming the line of what is no number."""
        values = self._parsed(column)
        if values is not None:
            return values
        texts = self.texts(column)
        row = next(row for row, text in enumerate(texts) if not _is_number(text))
        cure = SPREAD_CURE if SPREAD.fullmatch(texts.iloc[row]) else "Correct it, or leave it empty."
        raise MmtkError(f"'{texts.iloc[row]}' in column '{column}' is no number.", self.at(row), cure)

    def has_spreads(self) -> bool:
        """Whether some cell is a mean with its spread: 0.91 ± 0.02."""
        return any(self.texts(name).str.fullmatch(SPREAD.pattern).any() for name in self.columns)

    def without_spreads(self) -> Sheet:
        """The table with the mean alone where a cell has a spread beside it."""
        texts = {name: self.texts(name).str.replace(SPREAD, r"\1", regex=True) for name in self.columns}
        return Sheet(self.frame.assign(**texts), self.where, self.lines)

    def at(self, row: int) -> str:
        """Place of a row, for messages."""
        return f"{self.where}:{self.lines[row]}" if self.lines else f"{self.where}, row {row}"

    def repeats(self, column: str) -> bool:
        """Whether a value of a column stands in several rows."""
        return self.frame[column].nunique() < len(self.frame)

    @cached_property
    def _comma(self) -> bool:
        """Whether the table writes decimals with a comma: some cell does, which is then parted by another sign."""
        texts = [self.texts(name) for name in self.columns if self.frame[name].dtype.kind == "O"]
        return any(column.str.fullmatch(COMMA.pattern, flags=re.IGNORECASE).any() for column in texts)

    def _parsed(self, column: str) -> np.ndarray | None:
        if column not in self._numbers:
            self._numbers[column] = self._parse(column)
        return self._numbers[column]

    def _parse(self, column: str) -> np.ndarray | None:
        from pandas import to_numeric

        values = self.frame[column]
        if values.dtype.kind in "fiub":
            return np.asarray(values, float)
        texts = self.texts(column)
        texts = texts.where(~texts.str.casefold().isin(BLANKS), "")
        percent = texts.str.endswith("%")
        texts = texts.str.rstrip("% ")
        if self._comma:
            fits = texts.str.fullmatch(r"[-+]?\d*,\d+(?:[eE][-+]?\d+)?")
            texts = texts.where(~fits, texts.str.replace(",", "."))
        numbers = np.array(to_numeric(texts.where(texts != "", np.nan), errors="coerce"), float)
        if (np.isnan(numbers) & (texts != "")).any():
            return None
        if percent.any():
            self.notes.append(f"{column}: {counted(int(percent.sum()), 'value')} in percent, divided by 100")
        return np.where(percent, numbers / 100, numbers)


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", ".").rstrip("% ") or "0")
    except ValueError:
        return text.casefold() in BLANKS
    return True


def read_sheet(path: Path) -> Sheet:
    """Read a table: CSV with any of its separators and encodings, Parquet, JSON, or rows of LaTeX or Markdown."""
    _check_file(path)
    from pandas import DataFrame

    if path.suffix.lower() in (".parquet", ".pq"):
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return Sheet(pq.read_table(path).to_pandas(), str(path))
        except (pa.ArrowException, OSError) as error:
            raise MmtkError(f"is no Parquet file that can be read: {error}", str(path)) from error
    if inner_suffix(path) in json_tables.SUFFIXES:
        return _json_sheet(path)
    text = decoded(path, "")[0]
    if is_latex(text):
        latex = latex_table(text, str(path))
        return Sheet(DataFrame(latex.rows, columns=latex.columns, dtype=object), str(path), latex.lines)
    if is_markdown(text):
        names, rows, lines = markdown_table(text, str(path))
        cells = [[_bare(cell) for cell in row] for row in rows]
        return Sheet(DataFrame(cells, columns=names, dtype=object), str(path), lines)
    table = read_csv(path, is_score_name)
    if {*CURVE} <= {*table.columns}:
        cure = "Keep the value of each run that counts, in a table of system, seed and score."
        raise MmtkError("is a curve over the steps of a training, as TensorBoard saves it.", str(path), cure)
    if not table.lines:
        raise MmtkError(
            "has no rows.", str(path), "A table has a line of names, and a row for each number or case."
        )
    cells = [[_bare(cell) for cell in line.cells] for line in table.lines]
    level_names, levels = joined_levels([table.columns, *cells])
    cells, value_lines = cells[max(levels - 1, 0) :], table.lines[max(levels - 1, 0) :]
    names = [name or f"Unnamed: {place}" for place, name in enumerate(level_names or table.columns)]
    if number := next((name for name in names if FIGURE.fullmatch(name.strip())), None):
        raise MmtkError(f"its first line holds the number {number}.", str(path), "Put a line of names above it.")
    sheet = Sheet(DataFrame(cells, columns=names, dtype=object), str(path), [line.end for line in value_lines])
    if table.titles:
        sheet.notes.append(f"{counted(table.titles, 'line')} above the names of the columns: left out")
    return sheet


def _json_sheet(path: Path) -> Sheet:
    from pandas import DataFrame

    table = json_tables.read_json_table(path)
    sheet = Sheet(DataFrame(table.rows), str(path), table.lines)
    sheet.notes += table.notes
    return sheet


def _bare(cell: str) -> str:
    """A cell without the signs that LaTeX and Markdown print the best number of a table with."""
    if cell[:1] in ("\\", "*", "$") and (match := EMPHASIS.fullmatch(cell.strip())):
        return _bare(next(text for text in match.groups() if text is not None))
    return cell


def _check_file(path: Path) -> None:
    """Refuse what holds no table: nothing, a folder, a device, an empty file."""
    if not path.exists():
        raise MmtkError("no such file.", str(path), "Name a table: a CSV or Parquet file.")
    if path.is_dir():
        raise MmtkError("is a folder, not a table.", str(path), "Name a CSV or Parquet file in it.")
    if inner_suffix(path) in {*OTHER_FORMS} - {*json_tables.SUFFIXES}:
        raise MmtkError("is no table.", str(path), "Write its numbers as a CSV: system, seed, case, dice.")
    if not path.is_file() or not path.stat().st_size:
        raise MmtkError("is empty.", str(path), "A table has a line of names, and a row for each number or case.")
