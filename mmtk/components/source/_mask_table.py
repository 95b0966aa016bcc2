"""Masks with names of their own, by a table with the columns image and mask, or one for each organ."""

from __future__ import annotations

import os
from collections.abc import Callable
from copy import copy
from pathlib import Path

from mmtk.components.source._folder_pattern import FolderPattern
from mmtk.components.source._folder_table import image_id, spellings
from mmtk.components.source._layout import MASK_SUFFIXES
from mmtk.components.source._mask_names import MaskFinder
from mmtk.counts import counted
from mmtk.errors import MmtkError, listing
from mmtk.images.files import SUFFIXES, is_image_file
from mmtk.io.csv_text import Table, read_csv
from mmtk.io.packed import inner_suffix


def named_masks(
    location: FolderPattern | None, folder: FolderPattern, channel: str = ""
) -> list[tuple[str, Path]]:
    """Rows of a table of masks: the cell of the image, and the file of its mask; none where it is no such table.

    location: of the masks
    folder: of the images, from which paths of masks are seen
    channel: the column of the masks; of all columns without it
    """
    table = _read(location)
    if table is None:
        return []
    image, *masks = (table.columns.index(name) for name in _columns(table))
    mask_columns = [number for number in masks if table.columns[number] == channel] if channel else masks
    rows = [(line.cells[image], line.cells[number]) for line in table.lines for number in mask_columns]
    return [(name, Path(os.path.abspath(folder.base / mask))) for name, mask in rows if mask]


def mask_channels(location: FolderPattern) -> tuple[str, ...]:
    """Columns of a table that has one for each channel; none of a table with one column of masks."""
    table = _read(location)
    channels = _columns(table)[1:] if table else []
    return tuple(channels) if len(channels) > 1 else ()


def _read(location: FolderPattern | None) -> Table | None:
    """The table at a location; None where it is no table of images and masks."""
    if location is None or location.pattern or inner_suffix(location.base) != ".csv":
        return None
    if not location.base.is_file():
        return None
    table = read_csv(location.base)
    return table if len(_columns(table)) > 1 else None


def _columns(table: Table) -> list[str]:
    """The column ``image``, and ``mask`` or every other column of mask files; none where either is missing."""
    by_name = {name.casefold(): name for name in reversed(table.columns)}
    masks = [
        name
        for number, name in enumerate(table.columns)
        if _holds_files(table, number) and name != by_name.get("image")
    ]
    masks = [by_name["mask"]] * (by_name["mask"] in masks) if "mask" in by_name else masks
    return [by_name["image"], *masks] if "image" in by_name and masks else []


def _holds_files(table: Table, number: int) -> bool:
    """Whether a column names mask files, and no run lengths."""
    cells = [line.cells[number] for line in table.lines if line.cells[number]]
    files = [cell for cell in cells if Path(cell).suffix.lower() in (*SUFFIXES, *MASK_SUFFIXES)]
    return 2 * len(files) > len(cells)


class TableMaskFinder(MaskFinder):
    """Finder of the masks that a table names, in one column or in that of a channel."""

    channel = ""

    def of_channel(self, suffix: str) -> TableMaskFinder:
        """Finder of the masks in a column."""
        finder = copy(self)
        finder.channel = suffix
        return finder

    def masks(
        self, location: FolderPattern, predicate: Callable[[Path], bool] = is_image_file
    ) -> dict[str, tuple[Path, ...]]:
        """Masks by id; a row without an image, a mask that is absent, and one of two images are errors."""
        ids = spellings(self.folder, self.images)
        files: dict[str, tuple[Path, ...]] = {}
        image_of: dict[Path, str] = {}
        strangers, absent, cure = [], [], "Give each image one row, and a mask of its own."
        for cell, path in named_masks(location, self.folder, self.channel):
            name = image_id(cell, ids, self.folder)
            if name is None:
                strangers.append(cell)
            elif not path.is_file():
                absent.append(str(path))
            elif name in files:
                raise MmtkError(f"names two masks of the image {name}.", str(location), cure)
            elif path in image_of:
                message = f"names one mask for the images {image_of[path]} and {name}: {path.name}."
                raise MmtkError(message, str(location), cure)
            else:
                files[name], image_of[path] = (path,), name
        if absent:
            count = counted(len(absent), "mask that is", "masks that are")
            message = f"names {count} not there: {listing(absent, 5)}."
            raise MmtkError(message, str(location), f"Paths of masks begin in {self.folder}.")
        self.unmatched(strangers, location)
        return files

    def sites(self, location: FolderPattern) -> list[str]:
        """No folders: a table names every mask."""
        return []
