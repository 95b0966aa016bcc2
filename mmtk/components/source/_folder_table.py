"""CSV table of the folder source: label, patient, split and spacing of each image."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from unicodedata import normalize

from mmtk.components.source._folder_metadata import Value, read_metadata
from mmtk.components.source._folder_pattern import FolderPattern
from mmtk.components.source._folder_row import Column, Row, read_row
from mmtk.components.source._layout import inside, stem
from mmtk.components.source._words import EMPTY, unlabelled_numbers
from mmtk.counts import counted, share
from mmtk.errors import MmtkError, Problems, listing, nearest
from mmtk.images.files import SUFFIXES
from mmtk.io.csv_text import PLAN_CURE, Line, Table, read_csv

COLUMNS: tuple[Column, ...] = ("image", "label", "patient", "split", "spacing", "spacing_row", "spacing_col")
PATIENTS = frozenset(
    {"patientid", "patientno", "patientnumber", "patientkey", "patients", "subject", "subjectid", "pid", "mrn"}
)
MOST_NAMED = 30  # columns in a message
LIKELY: dict[str, str] = {
    "image": r"image|film|file|path|name|dicom",
    "label": r"label|class|finding|diagnos|target|categor",
    "patient": r"patient|subject",
}


@dataclass(frozen=True)
class TableReader:
    """Reader of the table of a folder source.

    columns: the table's names of columns, where they differ from ``COLUMNS``.
    classes: names of the classes; a word for an empty cell is a label where it is among them.
    needs_label: whether the table must have labels.
    both_tasks: whether an image without a class may be in val or test, where its mask serves.
    notes: what was assumed is added here.
    ignores_unlisted: whether images without a row are left out.
    metadata: columns that are handed on; None: all others but those that name persons, dates and free text.
    """

    columns: Mapping[Column, str]
    classes: tuple[str, ...]
    needs_label: bool
    both_tasks: bool
    notes: list[str]
    ignores_unlisted: bool = False
    metadata: tuple[str, ...] | None = None

    def read(
        self, table: Path, folder: FolderPattern, images: Mapping[str, Path], extra_images: Mapping[str, Path]
    ) -> dict[str, Row]:
        """Read a row by id for every image of ``images``; report all problems of ``table`` together.

        The column ``image`` holds a file name, or a path within ``folder``, with or without suffix.
        ``extra_images`` may have rows and need none.
        """
        content = read_csv(table)
        if content.encoding == "cp1252":
            self.notes.append(f"{table.name} is not UTF-8: it was read as Windows-1252.")
        numbers = _column_numbers(content, self.columns, self.notes)
        ids = {**spellings(folder, extra_images), **spellings(folder, images)}
        for column in ("image", "label") if self.needs_label else ("image",):
            if column not in numbers:
                raise _no_column(column, content, ids)
        lines = [(line.number, _cells(line, numbers, content)) for line in content.lines]
        _mend_cells([cells for _, cells in lines], {*self.classes}, table, self.notes)
        facts = read_metadata(content, {*numbers.values()}, self.metadata, EMPTY, self.notes)
        rows = _Rows(table)
        for (number, cells), metadata in zip(lines, facts, strict=True):
            rows.add(number, cells, image_id(cells["image"], ids, folder), metadata)
        if self.ignores_unlisted and (spare := images.keys() - rows.by_id.keys()):
            self.notes.append(
                f"{share(len(spare), len(images), 'image')} left out: without a row in {table.name}."
            )
            images = {name: path for name, path in images.items() if name in rows.by_id}
        if problems := [*rows.check(self.both_tasks), *rows.check_images(images, ids, folder)]:
            raise Problems(
                [MmtkError(problem.message, problem.where or str(table), problem.hint) for problem in problems],
                f"{counted(len(problems), 'problem')} in {table}:",
            )
        return rows.by_id


@dataclass
class _Rows:
    """Rows of a table by id, with their lines, and cells of the column ``image`` that give no row."""

    table: Path
    by_id: dict[str, Row] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    strangers: list[str] = field(default_factory=list)
    repeats: list[str] = field(default_factory=list)
    lines_by_problem: dict[str, list[int]] = field(default_factory=dict)

    def add(
        self, number: int, cells: Mapping[Column, str], name: str | None, metadata: Mapping[str, Value]
    ) -> None:
        """Add the row of one line, with its ``metadata``, for the image ``name``; None where no image is named."""
        if name is None:
            self.strangers.append(cells["image"])
        elif name in self.by_id:
            self.repeats.append(cells["image"])
        else:
            try:
                self.by_id[name], self.lines[name] = replace(read_row(cells), metadata=metadata), number
            except MmtkError as error:
                self.by_id[name] = Row()
                self.lines_by_problem.setdefault(error.message, []).append(number)

    def check(self, both_tasks: bool) -> list[MmtkError]:
        """Problems of the rows' cells."""
        problems = [
            MmtkError(f"{_rows_before(lines)}{message}", f"{self.table}:{lines[0]}")
            for message, lines in self.lines_by_problem.items()
        ]
        if not both_tasks:
            problems += _without_label(self.by_id, self.lines, self.table)
        undecided = [name for name, row in self.by_id.items() if not row.split]
        if 0 < len(undecided) < len(self.by_id) and not problems:
            problems.append(MmtkError(f"rows without a split beside others with one: {listing(undecided, 5)}."))
        return problems

    def check_images(
        self, images: Mapping[str, Path], ids: Mapping[str, str], folder: FolderPattern
    ) -> Iterator[MmtkError]:
        """Problems of rows without an image, of two rows for one, and of images without a row."""
        if self.strangers:
            count = counted(len(self.strangers), "row names", "rows name")
            names = f"{listing(self.strangers, 5)}.{nearest(self.strangers[0], ids)}"
            yield MmtkError(f"{count} no image of {folder}: {names}")
        if self.repeats:
            count = counted(len(self.repeats), "row names", "rows name")
            yield MmtkError(f"{count} an image for the second time: {listing(self.repeats, 5)}.")
        if unlisted := [name for name in images if name not in self.by_id]:
            yield MmtkError(
                f"no row for {counted(len(unlisted), 'image')} of {folder}: {listing(unlisted, 5)}.",
                hint="Add them; with an empty label they serve as unlabelled images for training. "
                'Or move them into a folder of their own: unlabelled = "FOLDER". '
                'Or leave them out: unlisted_images = "ignore".',
            )


def _rows_before(lines: list[int]) -> str:
    """Words before a problem of several rows, ``2 rows: ``; "" for that of one."""
    return f"{counted(len(lines), 'row')}: " if len(lines) > 1 else ""


def _without_label(rows: Mapping[str, Row], numbers: Mapping[str, int], table: Path) -> list[MmtkError]:
    """Errors for rows without a label in a scored part, but for other images of patients in it."""
    scored = {(row.patient, row.split) for row in rows.values() if row.label and row.patient}
    return [
        MmtkError(
            f"{name} has no label, so it can only be in train, not in {row.split}.", f"{table}:{numbers[name]}"
        )
        for name, row in rows.items()
        if row.label == "" and row.split in ("val", "test") and (row.patient, row.split) not in scored
    ]


def _column_numbers(content: Table, columns: Mapping[Column, str], notes: list[str]) -> dict[Column, int]:
    """Number of the table's column for each column of mmtk."""
    column_numbers: dict[Column, int] = {}
    lower = [name.lower() for name in content.columns]
    for column in COLUMNS:
        name = columns.get(column, column)
        fits = [n for n, heading in enumerate(content.columns) if heading == name]
        fits = fits or [n for n, heading in enumerate(lower) if heading == name.lower()]
        if len(fits) > 1:
            raise MmtkError(f"two columns are called '{name}'.", content.file)
        if fits and name:
            column_numbers[column] = fits[0]
        elif columns.get(column):
            raise _no_column(column, content, {}, name)
    if "patient" not in column_numbers and "patient" not in columns:
        fits = [n for n, heading in enumerate(lower) if re.sub(r"[\W_]", "", heading) in PATIENTS]
        if len(fits) == 1:
            column_numbers["patient"] = fits[0]
            notes.append(
                f"patients are taken from the column '{content.columns[fits[0]]}' of {content.path.name}."
            )
    return column_numbers


def _no_column(column: Column, content: Table, id_by_spelling: Mapping[str, str], name: str = "") -> MmtkError:
    """Error that names the columns of the file, and the line to write."""
    used = f"columns.{column}: no column '{name}'." if name else f"no column '{column}'."
    more = f", … ({len(content.columns)} in all)" if len(content.columns) > MOST_NAMED else ""
    headings = ", ".join(f"'{item}'" for item in content.columns[:MOST_NAMED]) + more or "none"
    suggestion = {}
    for item in dict.fromkeys((column, "image", "label", "patient")):
        if guess := _likely(item, content, id_by_spelling, name if item == column else ""):
            suggestion[item] = guess
    hint = PLAN_CURE
    if column in suggestion and len(content.columns) > 1:
        pairs = ", ".join(f'{item} = "{guess}"' for item, guess in suggestion.items())
        hint = f"Write into the source's table: columns = {{{pairs}}}"
    return MmtkError(f"{used} Its columns: {headings}.", content.file, hint)


def _likely(column: str, content: Table, id_by_spelling: Mapping[str, str], name: str) -> str:
    """Most probable column by its cells, then by its name; "" where nothing speaks for one."""
    if column == "image" and id_by_spelling:
        hits = Counter(
            n
            for line in content.lines[:50]
            for n, cell in enumerate(line.cells)
            if image_id(cell, id_by_spelling, None)
        )
        if hits:
            return content.columns[hits.most_common(1)[0][0]]
    close = re.search(
        r"'(.+)'", nearest((name or column).lower(), [heading.lower() for heading in content.columns])
    )
    for heading in content.columns:
        if close and heading.lower() == close[1]:
            return heading
    pattern = LIKELY.get(column)
    return next(
        (heading for heading in content.columns if pattern and re.search(pattern, heading, re.IGNORECASE)), ""
    )


def _cells(line: Line, column_numbers: Mapping[Column, int], content: Table) -> dict[Column, str]:
    cells: dict[Column, str] = {}
    for column, number in column_numbers.items():
        cells[column] = line.cells[number]
        if "\n" in cells[column]:
            raise MmtkError(
                f"a quotation mark opens here and takes lines {line.number} to {line.end} into one cell "
                f"of the column '{content.columns[number]}'.",
                f"{content.path}:{line.number}",
                "Remove or double the quotation mark.",
            )
    return cells


def _mend_cells(lines: list[dict[Column, str]], classes: set[str], table: Path, notes: list[str]) -> None:
    """Empty cells that mean nothing, and mend numbers of patients that only some rows have whole; add notes."""
    blank: Counter[tuple[Column, str]] = Counter()
    labels = {cells.get("label", "") for cells in lines}
    numbers = unlabelled_numbers({label for label in labels if label.casefold() not in EMPTY})
    for cells in lines:
        for column in [*cells]:
            cell = cells[column]
            empty = EMPTY | numbers if column == "label" else EMPTY
            if cell.casefold() in empty and column != "image" and not (column == "label" and cell in classes):
                blank[column, cell] += 1
                cells[column] = ""
    for (column, cell), count in sorted(blank.items()):
        cure = f' A class of that name is named in classes: [..., "{cell}"].' if column == "label" else ""
        where = f"{table.name}: '{cell}' in the column of the {column}"
        notes.append(f"{where} counts as empty ({counted(count, 'row')}).{cure}")
    patients = [cells.get("patient", "") for cells in lines]
    whole = [patient for patient in patients if re.fullmatch(r"\d+", patient)]
    floats = [patient for patient in patients if re.fullmatch(r"\d+\.0", patient)]
    if whole and floats:
        for cells in lines:
            cells["patient"] = re.sub(r"^(\d+)\.0$", r"\1", cells["patient"])
        notes.append(f"{table.name}: patients such as {floats[0]} are the same as {floats[0][:-2]}.")
    _join_zeros(lines, table, notes)
    if rounded := [patient for patient in patients if re.fullmatch(r"\d[.,]\d+E\+\d+", patient)]:
        notes.append(
            f"{table.name}: patients such as {rounded[0]} have lost digits in a spreadsheet "
            f"({counted(len(rounded), 'row')}): different patients may have become one."
        )


def _join_zeros(lines: list[dict[Column, str]], table: Path, notes: list[str]) -> None:
    """Give a patient who is 007 in some rows and 7 in others one number, the longest; add a note."""
    longest: dict[str, str] = {}
    numbers = {
        number for cells in lines if (number := cells.get("patient", "")) and re.fullmatch(r"[0-9]+", number)
    }
    for number in sorted(numbers, key=len):
        longest[number.lstrip("0")] = number
    for cells in lines:
        if (number := cells.get("patient", "")) in numbers:
            cells["patient"] = longest[number.lstrip("0")]
    if changed := sorted(number for number in numbers if longest[number.lstrip("0")] != number):
        same = longest[changed[0].lstrip("0")]
        notes.append(f"{table.name}: patients such as {changed[0]} are the same as {same}, which has its zeros.")


def spellings(folder: FolderPattern, images: Mapping[str, Path]) -> dict[str, str]:
    """Ids by every unambiguous way to write an image, composed (NFC); a whole path is that of its image alone."""
    ways: dict[str, set[str]] = {}
    paths: dict[str, str] = {}
    for name, path in images.items():
        within = path.relative_to(folder.base).as_posix() if path.is_relative_to(folder.base) else path.name
        for way in (name, path.name, stem(path), within, inside(path, folder.base), folder.inside(path)):
            ways.setdefault(normalize("NFC", way), set()).add(name)
        paths[normalize("NFC", within)] = name
    return {way: next(iter(names)) for way, names in ways.items() if len(names) == 1} | paths


def image_id(cell: str, id_by_spelling: Mapping[str, str], folder: FolderPattern | None) -> str | None:
    """Id of the image of a cell: as written, with other slashes, below the folder's name, or without suffix."""
    way = normalize("NFC", cell)
    plain = way.replace("\\", "/").removeprefix("./")
    below = plain.removeprefix(f"{folder.base.name}/") if folder else plain
    for spelling in (way, plain, below):
        short, _, suffix = spelling.rpartition(".")
        name = id_by_spelling.get(spelling) or (
            id_by_spelling.get(short) if f".{suffix.lower()}" in SUFFIXES else None
        )
        if name is not None:
            return name
    return None
