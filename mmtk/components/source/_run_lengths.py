"""Masks as run lengths in a table, as competitions of Kaggle give them."""

from __future__ import annotations

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
from mmtk.images.run_lengths import are_relative, are_run_lengths, draw
from mmtk.io.csv_text import Table, read_csv


def read_run_lengths(location: FolderPattern, find: MaskFinder, classes: tuple[str, ...]) -> Annotations:
    """Read a table with a column of image names and one of run lengths, and any number of rows per image.

    An image whose cells are empty or −1 has an empty mask, one without a row has none.
    """
    file = location.base
    if location.pattern or not file.is_file():
        raise MmtkError("no such table of run lengths.", str(location))
    if len(classes) > 1:
        raise MmtkError("classes: run lengths are masks of one organ.", str(file), "Give one name.")
    table = read_csv(file)
    names, cells = _columns(table, find)
    relative = are_relative(cells)
    cells_of: dict[str, list[str]] = {}
    for name, cell in zip(names, cells, strict=True):
        if name in find.images:
            cells_of.setdefault(name, []).append(cell)
    find.unmatched([name for name in dict.fromkeys(names) if name not in find.images], location, "name")

    def read(item: Item) -> np.ndarray:
        try:
            return draw(cells_of[item.id], image_size(item.image), relative)[None]
        except ValueError as error:
            cure = "Were they drawn on an image of another size? Give the image that they were drawn on."
            raise MmtkError(f"the run lengths of {item.id} do not fit: {error}.", str(file), cure) from error

    return classes or ("mask",), dict.fromkeys(cells_of, (file,)), read


def _columns(table: Table, find: MaskFinder) -> tuple[list[str], list[str]]:
    """The ids that the rows name, or their words where they name no image, and the cells with run lengths."""
    columns = [[line.cells[k] for line in table.lines] for k in range(len(table.columns))]
    runs = next((cells for cells in columns if are_run_lengths(cells)), None)
    if runs is None:
        raise MmtkError(
            "has no column of run lengths.",
            table.file,
            f'Its cells are pairs of start and length, as "5 3 21 4". Columns here: {listing(table.columns)}.',
        )
    ids = {stem(path): name for name, path in find.images.items()} | {name: name for name in find.images}

    def id_of(cell: str) -> str:
        short = without_suffix(PurePosixPath(cell)).as_posix()
        return next((ids[name] for name in (cell, short, PurePosixPath(short).name) if name in ids), cell)

    named = [[id_of(cell) for cell in cells] for cells in columns if cells is not runs]
    if not named:
        raise MmtkError("has no column with the names of images.", table.file)
    return max(named, key=lambda names: sum(name in find.images for name in names)), runs
