"""Masks from files that list images with their outlines: COCO, LabelMe, CVAT and VIA."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
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
from mmtk.images.outline_files import OutlinedImage, names_by_spelling, read_outlines


def read_listed(location: FolderPattern, find: MaskFinder, classes: tuple[str, ...]) -> Annotations:
    """Read outlines: labels are channels, in the order of the file or of ``classes``.

    An image that is listed without annotations has an empty mask.
    """
    files = [path for path in location.entries() if path.is_file()]
    if not files:
        raise MmtkError("no such file of annotations.", str(location))
    used: list[str] = []
    listed: list[OutlinedImage] = []
    for path in files:
        categories, images = read_outlines(path)
        used += categories
        listed += images
    name_by_label = names_by_spelling(used, classes)
    used = [name_by_label[label] for label in used]
    by_file = any(image.single for image in listed)
    names = _names(tuple(sorted({*used}) if by_file else dict.fromkeys(used)), classes, location)
    of = _by_id(listed, find, location)

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
        for label, outline in image.outlines:
            if (name := name_by_label.get(label, label)) in names:
                mask[names.index(name)] |= _draw(outline, mask.shape[1:], image.file, item.id)
        return mask

    return names, {name: (image.file,) for name, image in of.items()}, read


def _by_id(listed: Sequence[OutlinedImage], find: MaskFinder, location: FolderPattern) -> dict[str, OutlinedImage]:
    """Listed images by id; MmtkError for one that is listed twice, and for names of no image."""
    of: dict[str, OutlinedImage] = {}
    absent: list[str] = []
    for image, name in zip(listed, _ids(listed, find), strict=True):
        if name is None:
            absent.append(image.name)
        elif (other := of.setdefault(name, image)) is not image:
            raise MmtkError(
                f"{image.name} is listed twice: in {other.file.name} and in {image.file.name}.",
                str(location),
                "Keep one of them: which outlines are right is not known.",
            )
    find.unmatched(absent, location, "listed name")
    return of


def _ids(listed: Sequence[OutlinedImage], find: MaskFinder) -> list[str | None]:
    """Ids of the listed images: beside the file of annotations, in the folder of images, or by name."""
    by_path = {path: name for name, path in find.images.items()}
    counts = Counter(path.name for path in by_path)
    by_name = {path.name: name for path, name in by_path.items() if counts[path.name] == 1}
    by_stem = {Path(file).stem: name for file, name in by_name.items()}
    return [
        by_path.get(Path(os.path.normpath(image.file.parent / image.name)))
        or by_path.get(find.folder.base / image.name)
        or by_name.get(Path(image.name).name)
        or (by_stem.get(image.file.stem) if image.single else None)
        for image in listed
    ]


def _draw(outline: Any, shape: tuple[int, ...], file: Path, name: str) -> np.ndarray:
    """Draw one annotation as uint8 [H,W]: polygons [[x, y, …], …], or run lengths {"counts", "size"}."""
    if isinstance(outline, str):
        raise MmtkError(
            f"a shape of {name} is a {outline}, no polygon.",
            str(file),
            "Outline it with a polygon, or leave its label out of classes.",
        )
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
