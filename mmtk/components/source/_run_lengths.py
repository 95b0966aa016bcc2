"""Masks as run lengths in a table, as competitions of Kaggle and CheXmask give them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePosixPath

import numpy as np

from mmtk.api import Item
from mmtk.components.source._folder_pattern import FolderPattern
from mmtk.components.source._layout import stem
from mmtk.components.source._mask_names import MaskFinder
from mmtk.components.source._polygons import Annotations
from mmtk.errors import MmtkError, listing
from mmtk.images.files import without_suffix
from mmtk.images.loader import image_size
from mmtk.images.run_lengths import are_along_rows, are_relative, are_run_lengths, draw
from mmtk.io.csv_text import Table, read_csv


def read_run_lengths(location: FolderPattern, find: MaskFinder, classes: tuple[str, ...]) -> Annotations:
    """Read a table with a column of image names and one of run lengths, and any number of rows per image.

    An image whose cells are empty or −1 has an empty mask, one without a row has none. ``classes`` name columns of
    run lengths, as ``Left Lung`` and ``Heart`` of CheXmask; a single class may have another name than its column.
    """
    file = location.base
    if location.pattern or not file.is_file():
        raise MmtkError("no such table of run lengths.", str(location))
    table = read_csv(file)
    runs = {name: cells for name in table.columns if are_run_lengths(cells := _cells(table, name))}
    names, columns = _names(table, runs, find), _columns(table, runs, classes)
    relative = are_relative([cell for column in columns for cell in runs[column]])
    rows_of: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        if name in find.images:
            rows_of.setdefault(name, []).append(number)
    find.unmatched([name for name in dict.fromkeys(names) if name not in find.images], location, "name")
    drawn = ((runs[columns[0]][row], find.images[name]) for name, rows in rows_of.items() for row in rows)
    along_rows = are_along_rows(drawn, relative, len(runs))

    def read(item: Item) -> np.ndarray:
        shape, rows = image_size(item.image), rows_of[item.id]
        try:
            return np.stack(
                [draw([runs[name][row] for row in rows], shape, relative, along_rows) for name in columns]
            )
        except ValueError as error:
            cure = "Were they drawn on an image of another size? Give the image that they were drawn on."
            raise MmtkError(f"the run lengths of {item.id} do not fit: {error}.", str(file), cure) from error

    return classes or ("mask",), dict.fromkeys(rows_of, (file,)), read


def _columns(table: Table, runs: Collection[str], classes: tuple[str, ...]) -> list[str]:
    """Columns of run lengths of the classes, or the first one of a single class that no column is called after."""
    if not runs:
        raise MmtkError(
            "has no column of run lengths.",
            table.file,
            f'Its cells are pairs of start and length, as "5 3 21 4". Columns here: {listing(table.columns)}.',
        )
    if absent := [name for name in classes if name not in runs]:
        if len(classes) == 1:
            return [next(iter(runs))]
        message = f"classes: no column of run lengths is called {listing(absent)}."
        raise MmtkError(message, table.file, f"Columns of run lengths here: {listing(runs)}.")
    return [*classes] or [next(iter(runs))]


def _cells(table: Table, column: str) -> list[str]:
    position = table.columns.index(column)
    return [line.cells[position] for line in table.lines]


def _names(table: Table, runs: Collection[str], find: MaskFinder) -> list[str]:
    """The ids that the rows name, or their words where they name no image."""
    ids = {stem(path): name for name, path in find.images.items()} | {name: name for name in find.images}

    def id_of(cell: str) -> str:
        short = without_suffix(PurePosixPath(cell)).as_posix()
        return next((ids[name] for name in (cell, short, PurePosixPath(short).name) if name in ids), cell)

    named = [[id_of(cell) for cell in _cells(table, name)] for name in table.columns if name not in runs]
    if not named:
        raise MmtkError("has no column with the names of images.", table.file)
    return max(named, key=lambda names: sum(name in find.images for name in names))
