"""Annotations of COCO: polygons and run lengths, in one or several JSON files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmtk.api import Item
from mmtk.components.source._folder_pattern import FolderPattern
from mmtk.components.source._mask_names import MaskFinder
from mmtk.components.source._polygons import Annotations, fill
from mmtk.counts import counted
from mmtk.errors import MmtkError, listing, nearest
from mmtk.images.loader import image_size


@dataclass
class _AnnotatedImage:
    """Image of a COCO file: its annotations as (category, outline), its size there, and the file."""

    file: Path
    name: str
    size: tuple[Any, Any]
    outlines: list[tuple[str, Any]] = field(default_factory=list)


def read_coco(location: FolderPattern, find: MaskFinder, classes: tuple[str, ...]) -> Annotations:
    """Read COCO annotations: categories are channels, in the order of their numbers or of ``classes``.

    An image that is listed without annotations has an empty mask.
    """
    files = [path for path in location.entries() if path.is_file()]
    if not files:
        raise MmtkError("no such file of annotations.", str(location))
    used: list[str] = []
    listed: list[_AnnotatedImage] = []
    for path in files:
        categories, images = _content(path)
        used += categories
        listed += images
    names = _names(tuple(dict.fromkeys(used)), classes, location)
    of: dict[str, _AnnotatedImage] = {}
    absent: list[str] = []
    for image, name in zip(listed, _ids(listed, find), strict=True):
        if name is None:
            absent.append(image.name)
        else:
            of[name] = image
    find.unmatched(absent, location, "listed name")

    def read(item: Item) -> np.ndarray:
        size, image = image_size(item.image), of[item.id]
        if None not in image.size and image.size != size:
            annotated_size = image.size
            tag_note = " A tag of the image turns it." if annotated_size == size[::-1] else ""
            raise MmtkError(
                f"{item.id} was {annotated_size[0]} × {annotated_size[1]} when it was outlined, "
                f"but is {size[0]} × {size[1]} pixels.{tag_note}",
                str(image.file),
                "Outline the image as it is now, or give the image that was outlined.",
            )
        mask = np.zeros((len(names), *size), np.uint8)
        for name, outline in image.outlines:
            if name in names:
                mask[names.index(name)] |= _draw(outline, mask.shape[1:], image.file, item.id)
        return mask

    return names, {name: (image.file,) for name, image in of.items()}, read


def _content(path: Path) -> tuple[list[str], list[_AnnotatedImage]]:
    """Read the categories in the order of their numbers, and the images."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        categories = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
        listed = {
            entry["id"]: _AnnotatedImage(path, str(entry["file_name"]), (entry.get("height"), entry.get("width")))
            for entry in content["images"]
        }
        for entry in content["annotations"]:
            if entry["image_id"] not in listed:
                raise MmtkError(
                    f"an annotation is of the image {entry['image_id']}, which the list images lacks.",
                    str(path),
                    "Add the image to the list, or remove its annotations.",
                )
            listed[entry["image_id"]].outlines.append((categories[entry["category_id"]], entry["segmentation"]))
    except OSError as error:
        raise MmtkError(f"cannot be read: {error.strerror}.", str(path)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise MmtkError(
            f"is no file of COCO annotations: {error!r}.",
            str(path),
            "It has the lists images (id, file_name), categories (id, name) and "
            "annotations (image_id, category_id, segmentation).",
        ) from error
    return [categories[number] for number in sorted(categories)], [*listed.values()]


def _ids(listed: Sequence[_AnnotatedImage], find: MaskFinder) -> list[str | None]:
    """Ids of the listed images: beside the file of annotations, in the folder of images, or by name."""
    by_path = {path: name for name, path in find.images.items()}
    counts = Counter(path.name for path in by_path)
    by_name = {path.name: name for path, name in by_path.items() if counts[path.name] == 1}
    return [
        by_path.get(image.file.parent / image.name)
        or by_path.get(find.folder.base / image.name)
        or by_name.get(Path(image.name).name)
        for image in listed
    ]


def _draw(outline: Any, shape: tuple[int, ...], file: Path, name: str) -> np.ndarray:
    """Draw one annotation as uint8 [H,W]: polygons [[x, y, …], …], or run lengths {"counts", "size"}."""
    try:
        if isinstance(outline, dict):
            return _run_lengths(outline["counts"], outline["size"], shape)
        mask = np.zeros(shape, np.uint8)
        for polygon in outline:
            mask |= fill(np.asarray(polygon, float).reshape(-1, 2), shape)
        return mask
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise MmtkError(f"the outline of {name} cannot be read: {error}.", str(file)) from error


def _run_lengths(counts: Any, size: Sequence[int], shape: tuple[int, ...]) -> np.ndarray:
    """Draw COCO's run lengths, column by column, background first; a text is their compressed form."""
    if tuple(size) != tuple(shape):
        raise ValueError(f"it is {size[0]} × {size[1]}, but the image is {shape[0]} × {shape[1]} pixels")
    runs = _decompress(counts) if isinstance(counts, str) else list(counts)
    if sum(runs) != shape[0] * shape[1] or min(runs, default=0) < 0:
        raise ValueError(f"its run lengths cover {counted(sum(runs), 'pixel')} of {shape[0] * shape[1]}")
    values = np.arange(len(runs)) % 2
    return np.repeat(values, runs).astype(np.uint8).reshape(shape[::-1]).T


def _decompress(text: str) -> list[int]:
    """Decode run lengths: five bits a character from 48 on, a sixth if more follow.

    From the third on, a run is stored as its difference from the last but one.
    """
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


def _names(categories: tuple[str, ...], classes: tuple[str, ...], location: FolderPattern) -> tuple[str, ...]:
    """Choose ``classes``, which must be among the categories, or else all categories."""
    for name in classes:
        if name not in categories:
            raise MmtkError(
                f"no category '{name}'.{nearest(name, categories)} Known: {listing(categories)}.", str(location)
            )
    if not categories:
        raise MmtkError("has no category.", str(location))
    return classes or categories
