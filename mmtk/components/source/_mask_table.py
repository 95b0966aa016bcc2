"""Masks with names of their own, by a table with the columns image and mask."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from mmtk.components.source._folder_pattern import FolderPattern
from mmtk.components.source._folder_table import image_id, spellings
from mmtk.components.source._layout import MASK_SUFFIXES
from mmtk.components.source._mask_names import MaskFinder
from mmtk.counts import counted
from mmtk.errors import MmtkError, listing
from mmtk.images.files import SUFFIXES, is_image_file
from mmtk.io.csv_text import read_csv


def named_masks(location: FolderPattern | None, folder: FolderPattern) -> list[tuple[str, Path]]:
    """Rows of a table of masks: the cell of the image, and the file of its mask; none where it is no such table.

    location: of the masks
    folder: of the images, from which paths of masks are seen
    """
    if location is None or location.pattern or location.base.suffix.lower() != ".csv":
        return []
    if not location.base.is_file():
        return []
    table = read_csv(location.base)
    numbers = {name.casefold(): number for number, name in enumerate(table.columns)}
    if not {"image", "mask"} <= {*numbers}:
        return []
    rows = [(line.cells[numbers["image"]], line.cells[numbers["mask"]]) for line in table.lines]
    if not any(Path(mask).suffix.lower() in (*SUFFIXES, *MASK_SUFFIXES) for _, mask in rows):
        return []  # run lengths
    return [(image, Path(os.path.abspath(folder.base / mask))) for image, mask in rows if mask]


class TableMaskFinder(MaskFinder):
    """Finder of the masks that a table names."""

    def masks(
        self, location: FolderPattern, predicate: Callable[[Path], bool] = is_image_file
    ) -> dict[str, tuple[Path, ...]]:
        """Masks by id; a row without an image, a mask that is absent, and one of two images are errors."""
        ids = spellings(self.folder, self.images)
        files: dict[str, tuple[Path, ...]] = {}
        image_of: dict[Path, str] = {}
        strangers, absent, cure = [], [], "Give each image one row, and a mask of its own."
        for cell, path in named_masks(location, self.folder):
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
