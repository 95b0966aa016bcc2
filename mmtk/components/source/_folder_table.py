"""The CSV table of the folder source: label, patient, split and spacing of each image."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Literal
from unicodedata import normalize

from mmtk.components.source._layout import inside, stem
from mmtk.components.source._places import Place
from mmtk.components.source._splitting import PARTS
from mmtk.counts import counted
from mmtk.errors import MmtkError, Problems, listing, nearest
from mmtk.images.files import SUFFIXES
from mmtk.io.csv_text import Line, Table, read_csv

Column = Literal["image", "label", "patient", "split", "spacing", "spacing_row", "spacing_col"]
COLUMNS: tuple[Column, ...] = ("image", "label", "patient", "split", "spacing", "spacing_row", "spacing_col")
# How spreadsheets and pandas write an empty cell.
EMPTY = frozenset({"nan", "na", "n/a", "<na>", "#n/a", "nat", "null", "none", "?", "-"})
PATIENTS = frozenset(
    {"patientid", "patientno", "patientnumber", "patientkey", "patients", "subject", "subjectid", "pid", "mrn"}
)
LIKELY: dict[str, str] = {
    "image": r"image|film|file|path|name|dicom",
    "label": r"label|class|finding|diagnos|target|categor",
    "patient": r"patient|subject",
}


@dataclass(frozen=True)
class Row:
    """What the table says of one image; ``label``: None without a column, "" for an unlabelled image."""

    label: str | None = None
    patient: str = ""
    split: str = ""
    spacing: tuple[float, float] | None = None


def read_table(
    table: Path,
    folder: Place,
    images: Mapping[str, Path],
    *,
    columns: Mapping[Column, str],
    classes: Iterable[str],
    others: Mapping[str, Path],
    needs_label: bool,
    both_tasks: bool,
    notes: list[str],
) -> dict[str, Row]:
    """Id → row for every image; all problems of the table together.

    The column ``image`` holds a file name, or a path within ``folder``, with or without suffix. ``columns``
    says what the table's own columns are called. Labels that mean nothing are empty, unless ``classes`` has
    them. ``others`` are images that need no row. With ``both_tasks`` an image without a class may be in test,
    where its mask serves. What was assumed is added to ``notes``.
    """
    content = read_csv(table)
    if content.encoding == "cp1252":
        notes.append(f"{table.name} is not UTF-8: it was read as Windows-1252.")
    chosen = _chosen(content, columns, notes)
    known = {**_spellings(folder, others), **_spellings(folder, images)}
    for column in ("image", "label") if needs_label else ("image",):
        if column not in chosen:
            raise _no_column(column, content, known)
    rows: dict[str, Row] = {}
    absent: list[str] = []
    twice: list[str] = []
    problems: list[MmtkError] = []
    numbers: dict[str, int] = {}
    lines = [(line.number, _cells(line, chosen, content)) for line in content.lines]
    _mend_cells([cells for _, cells in lines], {*classes}, table, notes)
    for number, cells in lines:
        name = _known(cells["image"], known, folder)
        if name is None:
            absent.append(cells["image"])
        elif name in rows:
            twice.append(cells["image"])
        else:
            try:
                rows[name], numbers[name] = _row(cells), number
            except MmtkError as error:
                rows[name] = Row()
                problems.append(MmtkError(error.message, f"{table}:{number}"))
    if not both_tasks:
        problems += _without_label(rows, numbers, table)
    undecided = [name for name, row in rows.items() if not row.split]
    if len(undecided) < len(rows) and undecided and not problems:
        problems.append(MmtkError(f"rows without a split beside others with one: {listing(undecided, 5)}."))
    if absent:
        names = f"{listing(absent, 5)}.{nearest(absent[0], known)}"
        problems.append(
            MmtkError(f"{counted(len(absent), 'row names', 'rows name')} no image of {folder}: {names}")
        )
    if twice:
        count = counted(len(twice), "row names", "rows name")
        problems.append(MmtkError(f"{count} an image for the second time: {listing(twice, 5)}."))
    if unlisted := [name for name in images if name not in rows]:
        problems.append(
            MmtkError(
                f"no row for {counted(len(unlisted), 'image')} of {folder}: {listing(unlisted, 5)}.",
                hint="Add them; with an empty label they serve as unlabelled images for training. "
                'Or move them into a folder of their own: unlabelled = "FOLDER".',
            )
        )
    if problems:
        raise Problems(
            [MmtkError(each.message, each.where or str(table), each.hint) for each in problems],
            f"{counted(len(problems), 'problem')} in {table}:",
        )
    return rows


def _without_label(rows: Mapping[str, Row], numbers: Mapping[str, int], table: Path) -> list[MmtkError]:
    """An error for each row without a label in a part that is scored, but for other images of patients in it."""
    scored = {(row.patient, row.split) for row in rows.values() if row.label and row.patient}
    return [
        MmtkError(
            f"{name} has no label, so it can only be in train, not in {row.split}.", f"{table}:{numbers[name]}"
        )
        for name, row in rows.items()
        if row.label == "" and row.split in ("val", "test") and (row.patient, row.split) not in scored
    ]


def _chosen(content: Table, columns: Mapping[Column, str], notes: list[str]) -> dict[Column, int]:
    """The number of the column for each thing that the table says."""
    chosen: dict[Column, int] = {}
    lower = [name.lower() for name in content.columns]
    for column in COLUMNS:
        name = columns.get(column, column)
        fits = [n for n, own in enumerate(content.columns) if own == name]
        fits = fits or [n for n, own in enumerate(lower) if own == name.lower()]
        if len(fits) > 1:
            raise MmtkError(f"two columns are called '{name}'.", content.place)
        if fits and name:
            chosen[column] = fits[0]
        elif columns.get(column):
            raise _no_column(column, content, {}, name)
    if "patient" not in chosen and "patient" not in columns:
        fits = [n for n, own in enumerate(lower) if re.sub(r"[\W_]", "", own) in PATIENTS]
        if len(fits) == 1:
            chosen["patient"] = fits[0]
            notes.append(
                f"patients are taken from the column '{content.columns[fits[0]]}' of {content.path.name}."
            )
    unused = [name for n, name in enumerate(content.columns) if name and n not in chosen.values()]
    if unused:
        notes.append(f"columns of {content.path.name} that are not used: {', '.join(unused)}.")
    return chosen


def _no_column(column: Column, content: Table, known: Mapping[str, str], name: str = "") -> MmtkError:
    """Names the file's columns as they are, and the line to write."""
    used = f"columns.{column}: no column '{name}'." if name else f"no column '{column}'."
    found = ", ".join(f"'{each}'" for each in content.columns) or "none"
    suggestion = {}
    for each in dict.fromkeys((column, "image", "label", "patient")):
        if guess := _likely(each, content, known, name if each == column else ""):
            suggestion[each] = guess
    hint = None
    if column in suggestion:
        pairs = ", ".join(f'{each} = "{guess}"' for each, guess in suggestion.items())
        hint = f"Write into the source's table: columns = {{{pairs}}}"
    return MmtkError(f"{used} Its columns: {found}.", content.place, hint)


def _likely(column: str, content: Table, known: Mapping[str, str], name: str) -> str:
    """The column that most probably holds this: by its cells, by its name; "" where nothing speaks for one."""
    if column == "image" and known:
        hits = Counter(
            n for line in content.lines[:50] for n, cell in enumerate(line.cells) if _known(cell, known, None)
        )
        if hits:
            return content.columns[hits.most_common(1)[0][0]]
    close = re.search(r"'(.+)'", nearest((name or column).lower(), [each.lower() for each in content.columns]))
    for each in content.columns:
        if close and each.lower() == close[1]:
            return each
    pattern = LIKELY.get(column)
    return next((each for each in content.columns if pattern and re.search(pattern, each, re.IGNORECASE)), "")


def _cells(line: Line, chosen: Mapping[Column, int], content: Table) -> dict[Column, str]:
    cells: dict[Column, str] = {}
    for column, number in chosen.items():
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
    """Cells that mean nothing become empty, patients lose the .0 that only some of them have; notes say so."""
    blank: Counter[tuple[Column, str]] = Counter()
    for cells in lines:
        for column in [*cells]:
            cell = cells[column]
            if cell.casefold() in EMPTY and column != "image" and not (column == "label" and cell in classes):
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
    if lost := [patient for patient in patients if re.fullmatch(r"\d[.,]\d+E\+\d+", patient)]:
        notes.append(
            f"{table.name}: patients such as {lost[0]} have lost digits in a spreadsheet "
            f"({counted(len(lost), 'row')}): different patients may have become one."
        )


def _spellings(folder: Place, images: Mapping[str, Path]) -> dict[str, str]:
    """Every unambiguous way to write an image, composed (NFC) → its id."""
    ways: dict[str, set[str]] = {}
    for name, path in images.items():
        within = path.relative_to(folder.base).as_posix() if path.is_relative_to(folder.base) else path.name
        for way in (name, path.name, stem(path), within, inside(path, folder.base), folder.inside(path)):
            ways.setdefault(normalize("NFC", way), set()).add(name)
    return {way: names.pop() for way, names in ways.items() if len(names) == 1}


def _known(cell: str, known: Mapping[str, str], folder: Place | None) -> str | None:
    """The id of what a cell names: as it stands, with other slashes, below the folder's name, without suffix."""
    way = normalize("NFC", cell)
    plain = way.replace("\\", "/").removeprefix("./")
    below = plain.removeprefix(f"{folder.base.name}/") if folder else plain
    for each in (way, plain, below):
        short, _, suffix = each.rpartition(".")
        name = known.get(each) or (known.get(short) if f".{suffix.lower()}" in SUFFIXES else None)
        if name is not None:
            return name
    return None


def _row(cells: Mapping[Column, str]) -> Row:
    split, label = cells.get("split", "").lower(), cells.get("label")
    if split and split not in PARTS:
        raise MmtkError(f"split is '{cells['split']}'.{nearest(split, PARTS)} Known: {', '.join(PARTS)}.")
    return Row(label, cells.get("patient", ""), split, _spacing(cells))


def _spacing(cells: Mapping[Column, str]) -> tuple[float, float] | None:
    both = cells.get("spacing", "")
    row, column = cells.get("spacing_row", "") or both, cells.get("spacing_col", "") or both
    if not row and not column:
        return None
    try:
        spacing = _number(row), _number(column)
    except ValueError:
        spacing = 0.0, 0.0
    if not all(isfinite(each) and each > 0 for each in spacing):
        raise MmtkError(f"the spacing of {cells['image']} should be mm per pixel, not '{row}' and '{column}'.")
    return spacing


def _number(cell: str) -> float:
    """A number with a decimal point or a decimal comma."""
    return float(cell.replace(",", ".") if cell.count(",") == 1 and "." not in cell else cell)
