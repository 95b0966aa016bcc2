"""Labels of several readers of the same films, of which a class counts that most readers of the film gave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mmtk.counts import counted
from mmtk.data.plan.columns import Columns
from mmtk.data.plan.readers import is_of_reader
from mmtk.data.plan.tables import Table

NOTHING = ""  # what a reader gave who wrote 0 for every finding
Row = Mapping[str, str]


def majority(labels: Sequence[Collection[str]]) -> list[str]:
    """Classes that more than half of the readers of a film gave.

    labels: of each reader, without those who said nothing
    """
    counts = Counter(label for classes in labels for label in dict.fromkeys(classes))
    return [label for label, count in counts.items() if 2 * count > len(labels)]


def differ(labels: Sequence[Collection[str]]) -> bool:
    """Whether readers of a film gave different classes."""
    return len({frozenset(classes) for classes in labels}) > 1


def reader_column(table: Table, columns: Columns, films: Iterable[Sequence[Row]]) -> str:
    """Column that says whose reading a row is; "" where no film has rows of several readers.

    table: of the labels
    columns: its columns by use
    films: rows of each film
    """
    rows_of_films = [*films]
    for name in columns.unused if columns.label or columns.flags else ():
        if is_of_reader(name) and any(len({row[name] for row in rows} - {""}) > 1 for rows in rows_of_films):
            return name
    return ""


@dataclass
class Votes:
    """Votes of the readers in the column ``reader`` ("" for none); words of ``empty`` are no label."""

    reader: str
    columns: Columns
    empty: Collection[str]
    differing: int = 0
    undecided: int = 0

    def decided(self, joined: Row, rows: Sequence[Row]) -> Row:
        """The joined row of a film, with the classes of the majority where it has rows of several readers.

        joined: with every label of the film
        rows: of the film
        """
        rows_of: dict[str, list[Row]] = {}
        for row in rows if self.reader else ():
            rows_of.setdefault(row[self.reader], []).append(row)
        readings = [labels for reader_rows in rows_of.values() if (labels := self._labels(reader_rows))]
        if len(readings) < 2:
            return joined
        classes = majority(readings)
        self.differing += differ(readings)
        self.undecided += not classes
        if self.columns.label:
            return {**joined, self.columns.label: "|".join(classes)}
        spare = "0" if classes else "-1"
        return {**joined, **{name: "1" if name in classes else spare for name in self.columns.flags}}

    def sentence(self) -> str:
        """Sentence on films on which the readers differ."""
        films = counted(self.differing, "image")
        none = f", {self.undecided} of them without one" if self.undecided else ""
        return (
            f'"{self.reader}" names readers: an image has the classes that more than half of its readers gave '
            f"({films} on which they differ{none})"
        )

    def _labels(self, rows: Sequence[Row]) -> list[str]:
        """Classes that one reader gave; none of one who said nothing certain."""
        if column := self.columns.label:
            return [row[column] for row in rows if row[column] and row[column].casefold() not in self.empty]
        flags = self.columns.flags
        findings = [name for name in flags if any(row[name].removesuffix(".0") == "1" for row in rows)]
        stated = all(row[name].removesuffix(".0") == "0" for row in rows for name in flags)
        return findings or [NOTHING] * stated
