"""Readers of outlines: lists of images in files of annotations, and YOLO polygons in a text per image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path, PurePath

import numpy as np

from mmtk.api import Item
from mmtk.components.source._folder_pattern import FolderPattern
from mmtk.components.source._layout import stem
from mmtk.components.source._listed_outlines import read_listed
from mmtk.components.source._mask_names import MaskFinder
from mmtk.components.source._polygons import Annotations, fill
from mmtk.components.source._run_lengths import read_run_lengths
from mmtk.counts import counted
from mmtk.errors import MmtkError, listing
from mmtk.images.files import find_images, is_image_file
from mmtk.images.loader import image_size
from mmtk.io.packed import inner_suffix

Reader = Callable[[FolderPattern, MaskFinder, tuple[str, ...]], Annotations]
NAME_FILES = ("classes.txt", "obj.names", "labels.txt")


def reader_of(location: FolderPattern) -> Reader | None:
    """Choose the reader: lists of images (.json, .xml), run lengths (.csv), or YOLO for a folder of .txt files."""
    if location.name.lower().endswith((".json", ".xml")):
        return read_listed
    if inner_suffix(PurePath(location.name)) == ".csv":
        return read_run_lengths
    folders = [path for path in location.entries() if path.is_dir()]
    if any(
        find_images(path, lambda file: file.suffix.lower() == ".npy" or is_image_file(file)) for path in folders
    ):
        return None
    return read_yolo if any(find_images(path, _is_text) for path in folders) else None


def _is_text(path: Path) -> bool:
    return path.suffix.lower() == ".txt" and path.name not in NAME_FILES


def read_yolo(location: FolderPattern, find: MaskFinder, classes: tuple[str, ...]) -> Annotations:
    """Read YOLO polygons: one text per image, one line per polygon.

    A line has the class, then x and y as shares of width and height. The names of the classes are ``classes``,
    or the lines of ``classes.txt``. An empty text is an empty mask.
    """
    paths = location.images("polygons", _is_text)
    by_path = {location.inside(path): path for path in paths}
    by_name = {stem(path): path for path in paths}
    files: dict[str, tuple[Path, ...]] = {}
    for name, path in find.images.items():
        if text := by_path.get(find.folder.inside(path)) or (by_name.get(name) if stem(path) == name else None):
            files[name] = (text,)
    spare = {*paths} - {text for (text,) in files.values()}
    find.unmatched([location.inside(path) for path in sorted(spare)], location)
    names = _yolo_names(location, paths, classes)
    return names, files, lambda item: _read_polygons(item, names)


def _yolo_names(location: FolderPattern, paths: Sequence[Path], classes: tuple[str, ...]) -> tuple[str, ...]:
    name_files = [
        folder / file
        for folder in (location.base, location.base.parent)
        for file in NAME_FILES
        if (folder / file).is_file()
    ]
    file_names = tuple(line.strip() for line in _text_lines(name_files[0]) if line.strip()) if name_files else ()
    names = classes or file_names
    used = {number for path in paths for number, _ in _lines(path)}
    if not names and used <= {0}:
        return ("mask",)
    if not names or max(used, default=0) >= len(names):
        raise MmtkError(
            f"classes: the polygons have the numbers {listing(map(str, used))}, "
            f"and {counted(len(names), 'name is', 'names are')} given.",
            str(location),
            'Name them from 0 on: classes = ["heart", "lung"]',
        )
    return names


def _text_lines(path: Path) -> list[str]:
    """Lines of a text in UTF-8, with or without its mark, whatever the locale."""
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise MmtkError(f"is no UTF-8: {error}.", str(path), "Save it as UTF-8.") from error
    except OSError as error:
        raise MmtkError(f"cannot be read: {error.strerror}.", str(path)) from error


def _lines(path: Path) -> list[tuple[int, np.ndarray]]:
    """Class and polygon [N,2] of every line."""
    polygons = []
    for number, line in enumerate(_text_lines(path), 1):
        if not line.strip():
            continue
        try:
            kind, *numbers = line.split()
            points = np.array([float(coordinate) for coordinate in numbers])
            if len(points) == 4:
                raise ValueError("it is a box, no polygon")
            if len(points) < 6 or len(points) % 2 or not np.isfinite(points).all() or int(kind) < 0:
                raise ValueError("it should be a class and at least three points x y")
        except ValueError as error:
            raise MmtkError(f"is no polygon of YOLO: {error}.", f"{path}:{number}") from error
        polygons.append((int(kind), points.reshape(-1, 2)))
    return polygons


def _read_polygons(item: Item, names: Sequence[str]) -> np.ndarray:
    height, width = image_size(item.image)
    mask = np.zeros((len(names), height, width), np.uint8)
    for number, points in _lines(item.target[0]):
        mask[number] |= fill(points * (width, height), (height, width))
    return mask
