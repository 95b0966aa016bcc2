"""Masks as outlines: annotations of COCO (polygons and run lengths) and polygons of YOLO."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmtk.api import Item
from mmtk.components.source.layout import inside, stem
from mmtk.errors import MmtkError, listing, nearest
from mmtk.image_files import find_images, is_image_file
from mmtk.images import image_size

# Channel names, files by id, and what reads [K,H,W].
Found = tuple[tuple[str, ...], dict[str, tuple[Path, ...]], Callable[[Item], np.ndarray]]
Reader = Callable[[Path, Path, Mapping[str, Path], tuple[str, ...]], Found]
NAME_FILES = ("classes.txt", "obj.names", "labels.txt")


def reader_of(place: Path) -> Reader | None:
    """Choose the reader of annotations: COCO for a .json file, YOLO for a folder with .txt files alone."""
    if place.suffix.lower() == ".json":
        return read_coco
    if not place.is_dir() or find_images(place, lambda path: path.suffix.lower() == ".npy" or is_image_file(path)):
        return None
    return read_yolo if find_images(place, _is_text) else None


def _is_text(path: Path) -> bool:
    return path.suffix.lower() == ".txt" and path.name not in NAME_FILES


# ---------------------------------------------------------------- COCO


def read_coco(place: Path, folder: Path, images: Mapping[str, Path], classes: tuple[str, ...]) -> Found:
    """Categories are channels, in the order of their numbers or of ``classes``; a listed image has a mask.

    An image that is listed without annotations has an empty mask.
    """
    try:
        content = json.loads(place.read_text(encoding="utf-8-sig"))
        categories = {each["id"]: str(each["name"]) for each in content["categories"]}
        listed = {each["id"]: str(each["file_name"]) for each in content["images"]}
        sizes = {each["id"]: (each.get("height"), each.get("width")) for each in content["images"]}
        outlines: dict[Any, list[tuple[str, Any]]] = defaultdict(list)
        for each in content["annotations"]:
            if each["image_id"] not in listed:
                raise MmtkError(
                    f"an annotation is of the image {each['image_id']}, which is not listed.", str(place)
                )
            outlines[each["image_id"]].append((categories[each["category_id"]], each["segmentation"]))
    except OSError as error:
        raise MmtkError(f"cannot be read: {error.strerror}.", str(place)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise MmtkError(
            f"is no file of COCO annotations: {error!r}.",
            str(place),
            "It has the lists images (id, file_name), categories (id, name) and "
            "annotations (image_id, category_id, segmentation).",
        ) from error
    used = [categories[number] for number in sorted(categories)]
    names = _names(tuple(dict.fromkeys(used)), classes, place)
    by_file = {path.name: name for name, path in images.items()}
    by_file |= {path.relative_to(folder).as_posix(): name for name, path in images.items()}
    id_of = {number: by_file.get(file) or by_file.get(Path(file).name) for number, file in listed.items()}
    if absent := [file for number, file in listed.items() if id_of[number] is None]:
        close = nearest(absent[0], by_file)
        raise MmtkError(f"no image for {len(absent)} that it lists: {listing(absent, 5)}.{close}", str(place))
    outlines_of = {id_of[number]: outlines[number] for number in listed}
    size_of = {id_of[number]: sizes[number] for number in listed if None not in sizes[number]}

    def read(item: Item) -> np.ndarray:
        size = image_size(item.image)
        if (drawn := size_of.get(item.id, size)) != size:
            turned = " A tag of the image turns it." if drawn == size[::-1] else ""
            raise MmtkError(
                f"{item.id} was {drawn[0]} × {drawn[1]} when it was outlined, but is {size[0]} × {size[1]} "
                f"pixels.{turned}",
                str(place),
                "Outline the image as it is now, or give the image that was outlined.",
            )
        mask = np.zeros((len(names), *size), np.uint8)
        for name, outline in outlines_of[item.id]:
            if name in names:
                mask[names.index(name)] |= _outlined(outline, mask.shape[1:], place, item.id)
        return mask

    return names, {str(name): (place,) for name in outlines_of}, read


def _outlined(outline: Any, shape: tuple[int, ...], place: Path, name: str) -> np.ndarray:
    """One annotation as uint8 [H,W]: polygons [[x, y, …], …], or run lengths {"counts", "size"}."""
    try:
        if isinstance(outline, dict):
            return _run_lengths(outline["counts"], outline["size"], shape)
        mask = np.zeros(shape, np.uint8)
        for polygon in outline:
            mask |= fill(np.asarray(polygon, float).reshape(-1, 2), shape)
        return mask
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise MmtkError(f"the outline of {name} cannot be read: {error}.", str(place)) from error


def _run_lengths(counts: Any, size: Sequence[int], shape: tuple[int, ...]) -> np.ndarray:
    """COCO's run lengths, column by column, background first; a text is their compressed form."""
    if tuple(size) != tuple(shape):
        raise ValueError(f"it is {size[0]} × {size[1]}, but the image is {shape[0]} × {shape[1]} pixels")
    runs = _decompressed(counts) if isinstance(counts, str) else list(counts)
    if sum(runs) != shape[0] * shape[1] or min(runs, default=0) < 0:
        raise ValueError(f"its run lengths cover {sum(runs)} pixels of {shape[0] * shape[1]}")
    values = np.arange(len(runs)) % 2
    return np.repeat(values, runs).astype(np.uint8).reshape(shape[::-1]).T


def _decompressed(text: str) -> list[int]:
    """Five bits a character from 48 on, the sixth says that more follow; later runs add the last but one."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs


def fill(polygon: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """uint8 [H,W]: 1 where a pixel's centre lies inside the polygon [N,2] of x and y in pixels (even-odd)."""
    height, width = shape
    start, end = polygon, np.roll(polygon, -1, axis=0)
    centres = np.arange(height) + 0.5
    above = start[:, 1] <= centres[:, None]
    rows, edges = np.nonzero(above != (end[:, 1] <= centres[:, None]))
    (x, y), (x2, y2) = start[edges].T, end[edges].T
    crossings = x + (centres[rows] - y) / (y2 - y) * (x2 - x)
    turns = np.zeros((height, width + 1), np.int64)
    np.add.at(turns, (rows, np.clip(np.ceil(crossings - 0.5), 0, width).astype(int)), 1)
    return np.asarray(turns.cumsum(1)[:, :width] % 2, np.uint8)


# ---------------------------------------------------------------- YOLO


def read_yolo(place: Path, folder: Path, images: Mapping[str, Path], classes: tuple[str, ...]) -> Found:
    """One text per image, one polygon per line: class, then x and y as shares of width and height.

    The names of the classes are ``classes``, or the lines of ``classes.txt``. An empty text is an empty mask.
    """
    paths = find_images(place, _is_text)
    by_place = {inside(path, place): path for path in paths}
    by_name = {stem(path): path for path in paths}
    files: dict[str, tuple[Path, ...]] = {}
    for name, path in images.items():
        if text := by_place.get(inside(path, folder)) or (by_name.get(name) if stem(path) == name else None):
            files[name] = (text,)
    spare = {*paths} - {text for (text,) in files.values()}
    if spare:
        close = nearest(stem(min(spare)), map(stem, images.values()))
        raise MmtkError(
            f"no image for {len(spare)} polygon files: {listing(map(stem, spare), 5)}.{close}", str(place)
        )
    names = _yolo_names(place, paths, classes)
    return names, files, lambda item: _read_polygons(item, names)


def _yolo_names(place: Path, paths: Sequence[Path], classes: tuple[str, ...]) -> tuple[str, ...]:
    listed = [each / file for each in (place, place.parent) for file in NAME_FILES if (each / file).is_file()]
    written = tuple(line.strip() for line in listed[0].read_text().splitlines() if line.strip()) if listed else ()
    names = classes or written
    used = {number for path in paths for number, _ in _lines(path)}
    if not names and used <= {0}:
        return ("mask",)
    if not names or max(used, default=0) >= len(names):
        raise MmtkError(
            f"classes: the polygons have the numbers {listing(map(str, used))}, "
            f"and {len(names) or 'no'} names are given.",
            str(place),
            'Name them from 0 on: classes = ["heart", "lung"]',
        )
    return names


def _lines(path: Path) -> list[tuple[int, np.ndarray]]:
    """Class and polygon [N,2] of every line."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MmtkError(f"cannot be read: {error}.", str(path)) from error
    polygons = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            kind, *numbers = line.split()
            points = np.array([float(each) for each in numbers])
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


# ---------------------------------------------------------------- both


def _names(known: tuple[str, ...], classes: tuple[str, ...], place: Path) -> tuple[str, ...]:
    """``classes``, all of which must be known, else all that are."""
    for name in classes:
        if name not in known:
            raise MmtkError(f"no category '{name}'.{nearest(name, known)} Known: {listing(known)}.", str(place))
    if not known:
        raise MmtkError("has no category.", str(place))
    return classes or known
