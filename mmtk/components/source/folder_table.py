"""The CSV table of the folder source: label, patient, split and spacing of each image."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from mmtk.components.source.layout import PARTS
from mmtk.errors import MmtkError, Problems, listing, nearest
from mmtk.image_files import image_name, without_suffix

COLUMNS = ("image", "label", "patient", "split", "spacing", "spacing_row", "spacing_col")


@dataclass(frozen=True)
class Row:
    """What the table says of one image; ``label``: None without a column, "" for an unlabelled image."""

    label: str | None = None
    patient: str = ""
    split: str = ""
    spacing: tuple[float, float] | None = None


def read_table(table: Path, folder: Path, images: Mapping[str, Path]) -> dict[str, Row]:
    """Id → row for every image; all problems of the table together.

    The column ``image`` holds a file name, or a path within ``folder``, with or without suffix. Commas,
    semicolons or tabs separate.
    """
    known = _spellings(folder, images)
    rows: dict[str, Row] = {}
    absent: list[str] = []
    twice: list[str] = []
    problems: list[MmtkError] = []
    for number, line in _lines(table):
        name = known.get(line["image"])
        if name is None:
            absent.append(line["image"])
        elif name in rows:
            twice.append(line["image"])
        else:
            try:
                rows[name] = _row(line)
            except MmtkError as error:
                rows[name] = Row()
                problems.append(MmtkError(error.message, f"{table}:{number}"))
    undecided = [name for name, row in rows.items() if not row.split]
    if len(undecided) < len(rows) and undecided and not problems:
        problems.append(MmtkError(f"rows without a split beside others with one: {listing(undecided, 5)}."))
    if absent:
        names = f"{listing(absent, 5)}.{nearest(absent[0], known)}"
        problems.append(MmtkError(f"{len(absent)} rows name no image of {folder}: {names}"))
    if twice:
        problems.append(MmtkError(f"{len(twice)} rows name an image for the second time: {listing(twice, 5)}."))
    if unlisted := [name for name in images if name not in rows]:
        problems.append(
            MmtkError(
                f"{len(unlisted)} images of {folder} have no row: {listing(unlisted, 5)}.",
                hint="Add them; with an empty label they serve as unlabelled images for training.",
            )
        )
    if problems:
        raise Problems(
            [MmtkError(each.message, each.where or str(table), each.hint) for each in problems],
            f"{len(problems)} problems in {table}:",
        )
    return rows


def _lines(table: Path) -> list[tuple[int, dict[str, str]]]:
    """Line number and stripped cells of every row, with the columns checked."""
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise MmtkError(f"cannot be read: {getattr(error, 'strerror', None) or error}.", str(table)) from error
    first = text.partition("\n")[0]
    reader = csv.reader(text.splitlines(), delimiter=max(",;\t", key=first.count))
    columns = [name.strip().lower() for name in next(reader, [])]
    for name in columns:
        if name not in COLUMNS:
            close = nearest(name, COLUMNS)
            raise MmtkError(f"unknown column '{name}'.{close} Known: {', '.join(COLUMNS)}.", str(table))
        if columns.count(name) > 1:
            raise MmtkError(f"two columns are called '{name}'.", str(table))
    if "image" not in columns:
        raise MmtkError(f"no column 'image'. Known: {', '.join(COLUMNS)}.", str(table))
    lines = []
    for cells in reader:
        if len(cells) > len(columns):
            raise MmtkError(f"{len(cells)} cells for {len(columns)} columns.", f"{table}:{reader.line_num}")
        if any(cells):
            cells += [""] * (len(columns) - len(cells))
            lines.append((reader.line_num, dict(zip(columns, map(str.strip, cells), strict=True))))
    return lines


def _spellings(folder: Path, images: Mapping[str, Path]) -> dict[str, str]:
    """Every unambiguous way to write an image → its id."""
    ways: dict[str, set[str]] = {}
    for name, path in images.items():
        inside = path.relative_to(folder)
        for way in (name, path.name, image_name(path), inside.as_posix(), without_suffix(inside).as_posix()):
            ways.setdefault(way, set()).add(name)
    return {way: names.pop() for way, names in ways.items() if len(names) == 1}


def _row(line: Mapping[str, str]) -> Row:
    split, label = line.get("split", "").lower(), line.get("label")
    if split and split not in PARTS:
        raise MmtkError(f"split is '{line['split']}'.{nearest(split, PARTS)} Known: {', '.join(PARTS)}.")
    if label == "" and split in ("val", "test"):
        raise MmtkError(f"{line['image']} has no label, so it can only be in train, not in {split}.")
    return Row(label, line.get("patient", ""), split, _spacing(line))


def _spacing(line: Mapping[str, str]) -> tuple[float, float] | None:
    both = line.get("spacing", "")
    row, column = line.get("spacing_row", "") or both, line.get("spacing_col", "") or both
    if not row and not column:
        return None
    try:
        spacing = float(row), float(column)
    except ValueError:
        spacing = 0.0, 0.0
    if not all(isfinite(each) and each > 0 for each in spacing):
        raise MmtkError(f"the spacing of {line['image']} should be mm per pixel, not '{row}' and '{column}'.")
    return spacing
