"""A table, how it is written as Markdown, CSV, LaTeX and HTML, and how numbers are put into words."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape

from mmtk.report.tables.latex import Column as LatexColumn
from mmtk.report.tables.latex import LatexTable
from mmtk.study.results import LONG, Cell
from mmtk.tasks import DOMAINS

DAGGER = "†"


@dataclass(frozen=True)
class Entry:
    """One cell of a table: its text, the raw numbers behind it by what they are, and its marks.

    The number called "" is the main one; the first one sorts. ``note`` stands apart from the text.
    """

    text: str
    numbers: Mapping[str, float | None] = field(default_factory=dict)
    best: bool = False
    mark: str = ""
    note: str = ""


@dataclass(frozen=True)
class Column:
    """A heading, what it means in words, whether numbers stand below it, and how LaTeX abbreviates it."""

    name: str
    meaning: str = ""
    numeric: bool = False
    short: str = ""


@dataclass(frozen=True)
class Table:
    """A table with its name (of the files), title and caption."""

    name: str
    title: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Entry]]

    def markdown(self) -> str:
        """A pipe table; the best in bold."""
        lines = [[c.name for c in self.columns], ["--:" if c.numeric else ":--" for c in self.columns]]
        for row in self.rows:
            texts = [_plain(e).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ") for e in row]
            lines.append([f"**{t}**" if e.best else t for t, e in zip(texts, row, strict=True)])
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)

    @property
    def _opening(self) -> str:
        """The title as a sentence, which a caption begins with."""
        return self.title if self.title.endswith("?") else f"{self.title}."

    def csv(self) -> str:
        """Raw numbers in full precision, each kind of number of a column in a column of its own."""
        places = [(k, part) for k in range(len(self.columns)) for part in self._parts(k)]
        file = io.StringIO()
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow([safe(" ".join(filter(None, (self.columns[k].name, part)))) for k, part in places])
        for row in self.rows:
            rows.writerow([_raw(row[k], part) for k, part in places])
        return file.getvalue()

    def _parts(self, column: int) -> list[str]:
        """The kinds of numbers in a column; just its text where there are none."""
        return list(dict.fromkeys(part for row in self.rows for part in row[column].numbers)) or [""]

    def latex(self) -> str:
        """A booktabs table; the best in bold, marks raised, abbreviated headings explained in the caption."""
        meanings = [f"{c.short}: {c.meaning or c.name}" for c in self.columns if c.short]
        caption = f"{self._opening} {self.caption}" + (f" {'; '.join(meanings)}." if meanings else "")
        columns = [LatexColumn(c.short or c.name, c.numeric) for c in self.columns]
        rows = [[(_plain(e), e.best) for e in row] for row in self.rows]
        return LatexTable(self.name, caption, columns, rows).text()

    def html(self, stacked: bool = False) -> str:
        """A table whose headings are buttons that sort it; the first column heads the rows.

        ``stacked`` sets its cells below each other on a narrow screen, each with its heading. Columns without
        text in any row, such as notes, are left out.
        """
        filled = [k for k in range(len(self.columns)) if not self.rows or any(row[k].text for row in self.rows)]
        heads = [
            f'<th scope="col"{_numeric(c)}><button type="button"{_title(c)}>{escape(c.name)}</button></th>'
            for c in (self.columns[k] for k in filled)
        ]
        rows = [
            "".join(_html_cell(k, row[column], self.columns[column], stacked) for k, column in enumerate(filled))
            for row in self.rows
        ]
        body = "".join(f"<tr>{row}</tr>\n" for row in rows)
        caption = f"<caption><span><b>{escape(self._opening)}</b> {escape(self.caption)}</span></caption>"
        kind = ' class="stacked"' if stacked else ""
        return (
            f'<table id="{escape(self.name)}"{kind}>{caption}\n'
            f"<thead><tr>{''.join(heads)}</tr></thead>\n<tbody>\n{body}</tbody></table>\n"
        )


def without_empty_columns(table: Table) -> Table:
    """The table without the columns that say nothing in any row."""
    filled = [k for k in range(len(table.columns)) if any(row[k].text.strip("–-") for row in table.rows)]
    rows = [[row[k] for k in filled] for row in table.rows]
    return replace(table, columns=[table.columns[k] for k in filled], rows=rows)


def long_csv(cells: Iterable[Cell]) -> str:
    """Every score of every run on a line of its own, in full precision, under ``LONG``."""
    lines = [f"{_csv(LONG)}\n"]
    for cell in cells:
        system = _csv((cell.name, cell.digest, cell.budget))
        for key, values in cell.scores.items():
            score = _csv(key)
            lines += [f"{system},{seed},{score},{float(value)!r}\n" for seed, value in values.items()]
    return "".join(lines)


def _csv(texts: Iterable[str]) -> str:
    """Texts as cells of a row."""
    file = io.StringIO()
    csv.writer(file, lineterminator="").writerow(map(safe, texts))
    return file.getvalue()


def _plain(entry: Entry) -> str:
    return entry.text + entry.mark + (f" [{entry.note}]" if entry.note else "")


def _raw(entry: Entry, part: str) -> str:
    if not part and part not in entry.numbers:
        return safe(entry.text)
    value = entry.numbers.get(part)
    return "" if value is None else repr(value)


def safe(cell: str) -> str:
    """A cell that a spreadsheet does not take for a formula."""
    cell = cell.replace("\r", " ")  # unquoted, it would begin a row
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t")) else cell


def _numeric(column: Column) -> str:
    return ' class="number"' if column.numeric else ""


def _title(column: Column) -> str:
    return f' title="{escape(column.meaning)}"' if column.meaning else ""


def _html_cell(column_index: int, entry: Entry, column: Column, headed: bool) -> str:
    text = escape(entry.text)
    for domain in DOMAINS:  # which is not parted at its hyphen in a narrow column
        text = text.replace(domain, f'<span class="word">{domain}</span>')
    text = f"<b>{text}</b>" if entry.best else text
    text += f"<sup>{escape(entry.mark)}</sup>" if entry.mark else ""
    text += f'<span class="note">{escape(entry.note)}</span>' if entry.note else ""
    sorts = next(iter(entry.numbers.values()), None)
    value = f' data-value="{sorts!r}"' if sorts is not None else ""
    tag = 'th scope="row"' if column_index == 0 else "td"
    head = f' data-head="{escape(column.name)}"' if headed else ""
    return f"<{tag}{_numeric(column)}{value}{head}>{text}</{tag[:2]}>"


def number(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """A number for print with a true minus; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    rounded = round(value, digits) + 0.0  # no −0.000
    return f"{rounded:{'+' if sign and rounded else ''}.{digits}f}".replace("-", "−")


def interval(low: float | None, high: float | None, digits: int = 3) -> str:
    """Both ends, or a dash."""
    return "–" if low is None or high is None else f"{number(low, digits)} to {number(high, digits)}"


def probability(p: float | None) -> str:
    """A p value, not below 0.001 in print."""
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def value_entry(value: float | None, digits: int = 3, sign: bool = False) -> Entry:
    """A number as an entry."""
    return Entry(number(value, digits, sign), {"": value})


def count_entry(value: int) -> Entry:
    """A count as an entry, with commas."""
    return Entry(f"{value:,}", {"": value})


def p_entry(p: float | None) -> Entry:
    """A p value as an entry."""
    return Entry(probability(p), {"": p})


def interval_entry(low: float | None, high: float | None, digits: int = 3) -> Entry:
    """An interval as an entry."""
    return Entry(interval(low, high, digits), {"low": low, "high": high})


def headings(*names: str) -> list[Column]:
    """Columns; a name that starts with * is of numbers."""
    return [Column(name.lstrip("*"), "", name.startswith("*")) for name in names]
