"""Meaning of the columns of a table: found by content first, then by name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from unicodedata import normalize

from mmtk.data.plan import words
from mmtk.data.plan.listing import Table, stem
from mmtk.images.files import without_suffix

SEVERAL = re.compile(r"\s*[|;]\s*")
MOST_CLASSES = 20


@dataclass(frozen=True)
class Columns:
    """The columns by use, as the file spells them; ``flags`` are columns of 0 and 1, one per finding."""

    image: str
    matches: Mapping[str, str]  # cell of the image column → image
    label: str = ""
    patient: str = ""
    split: str = ""
    spacing: str = ""
    flags: tuple[str, ...] = ()
    unused: tuple[str, ...] = field(default=())


def find_columns(table: Table, images: Collection[str], said: Mapping[str, str]) -> Columns | None:
    """The use of every column of a table that names some of the images; None for another table.

    ``said`` maps label, patient, split, spacing or image to a column that the user names.
    """
    image, matches = _image_column(table, images, said.get("image", ""))
    if not image:
        return None
    left = [name for name in dict.fromkeys(table.columns) if name and name != image]
    known = [row for row in table.rows if row[table.columns.index(image)] in matches] or list(table.rows)
    seen = Table(table.columns, tuple(known))
    patient = said.get("patient") or _first(left, words.PATIENT_COLUMNS)
    left = [name for name in left if name != patient]
    split = said.get("split") or _split_column(seen, left)
    left = [name for name in left if name != split]
    spacing = said.get("spacing") or _spacing_column(seen, left)
    left = [name for name in left if name != spacing]
    flags = _flags(seen, left)
    label = said.get("label") or _label_column(seen, left, flags)
    unused = tuple(name for name in left if name != label)
    return Columns(image, matches, label, patient, split, spacing, flags, unused)


def _spellings(images: Collection[str]) -> dict[str, str]:
    ways: dict[str, set[str]] = {}
    for path in images:
        pure = PurePosixPath(path)
        parts = [pure.as_posix(), pure.with_suffix("").as_posix() if pure.suffix else "", pure.name, stem(path)]
        parts += ["/".join(pure.parts[k:]) for k in range(1, len(pure.parts))]
        for way in parts:
            ways.setdefault(normalize("NFC", way), set()).add(path)
    return {way: next(iter(paths)) for way, paths in ways.items() if way and len(paths) == 1}


def _image_column(table: Table, images: Collection[str], asked: str) -> tuple[str, dict[str, str]]:
    """The column whose cells name images, with what they name."""
    ways, best, best_found = _spellings(images), "", dict[str, str]()
    for name in [asked] if asked in table.columns else dict.fromkeys(table.columns):
        cells = {cell for cell in table.cells(name) if cell}
        found = {cell: image for cell in cells if (image := _named(cell, ways))}
        if len(found) > len(best_found):
            best, best_found = name, found
    needed = min(len({*best_found.values()}), len(images)) if best else 0
    enough = needed >= max(1, 0.2 * min(len(images), len(table.rows)))
    return (best, best_found) if enough else ("", {})


def _named(cell: str, ways: Mapping[str, str]) -> str:
    """The image that a cell names: as it is, or by the end of a longer path."""
    cell = normalize("NFC", cell.replace("\\", "/").removeprefix("./"))
    parts = cell.split("/")
    short = without_suffix(PurePosixPath(parts[-1])).name  # the table may say .dcm where PNG files lie
    tails = ("/".join(parts[k:]) for k in range(len(parts)))
    return next((ways[way] for way in (*tails, short) if way in ways), "")


def _first(names: list[str], known: Collection[str]) -> str:
    return next((name for name in names if words.plain(name) in known), "")


def _split_column(table: Table, names: list[str]) -> str:
    for name in names:
        cells = {words.plain(cell).replace(" ", "") for cell in table.cells(name)} - {""}
        if cells and cells <= {*words.PARTS} and len(cells) > 1:
            return name
    return ""


def _spacing_column(table: Table, names: list[str]) -> str:
    for name in names:
        plain = words.plain(name)
        if "spacing" in plain or plain in ("pixel size", "mm per pixel", "pixel mm", "resolution mm"):
            cells = [cell for cell in table.cells(name) if cell]
            if cells and all(re.fullmatch(r"0?\.\d+|\d(\.\d+)?", cell) for cell in cells):
                return name
    return ""


def _flags(table: Table, names: list[str]) -> tuple[str, ...]:
    """Columns of 0 and 1 (−1: uncertain), one per finding, where there are several."""
    flags = []
    for name in names:
        cells = {cell.removesuffix(".0") for cell in table.cells(name)}
        if (
            {"0", "1"} & cells
            and cells <= {"0", "1", "-1", ""}
            and not {*words.plain(name).split()} & words.OTHER_COLUMNS
        ):
            flags.append(name)
    return tuple(flags) if len(flags) > 1 else ()


def _label_column(table: Table, names: list[str], flags: tuple[str, ...]) -> str:
    """The column that is most like a class: its name speaks of one, or its cells do."""
    points = {name: _label_points(name, table.cells(name)) for name in names if name not in flags}
    best = max(points, key=lambda name: points[name], default="")
    return best if best and points[best] > 0 else ""


def _label_points(name: str, cells: list[str]) -> float:
    plain = words.plain(name)
    full = [cell for cell in cells if cell]
    single = Counter(part for cell in full for part in SEVERAL.split(cell))
    if (len(single) < 2 and plain not in words.LABEL_COLUMNS) or not full:
        return 0
    if len(single) > max(MOST_CLASSES, 2) or len(single) > 0.7 * len(full) > 4:
        return 0
    if {*plain.split()} & words.OTHER_COLUMNS or all(re.fullmatch(r"-?\d+\.\d+", cell) for cell in full):
        return 0
    points = float(words.LABEL_COLUMNS.get(plain, 0))
    if not points:
        points = max((0.6 * words.LABEL_COLUMNS.get(word, 0) for word in plain.split()), default=0)
    if {words.plain(part) for part in single} & words.CLASSES:
        points += 3
    return points or (0.5 if not all(re.fullmatch(r"-?\d+", cell) for cell in full) else 0.1)
