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
from mmtk.components.source._mask_names import Finder
from mmtk.components.source._places import Place
from mmtk.components.source._polygons import Found, fill
from mmtk.counts import counted
from mmtk.errors import MmtkError, listing, nearest
from mmtk.images.loader import image_size


@dataclass
class _Outlined:
    """One listed image: its annotations as (category, outline), the size when it was outlined, and the file."""

    file: Path
    name: str
    size: tuple[Any, Any]
    outlines: list[tuple[str, Any]] = field(default_factory=list)


def read_coco(place: Place, find: Finder, classes: tuple[str, ...]) -> Found:
    """Categories are channels, in the order of their numbers or of ``classes``; a listed image has a mask.

    An image that is listed without annotations has an empty mask.
    """
    files = [path for path in place.entries() if path.is_file()]
    if not files:
        raise MmtkError("no such file of annotations.", str(place))
    used: list[str] = []
    listed: list[_Outlined] = []
    for path in files:
        categories, images = _content(path)
        used += categories
        listed += images
    names = _names(tuple(dict.fromkeys(used)), classes, place)
    of: dict[str, _Outlined] = {}
    absent: list[str] = []
    for image, name in zip(listed, _ids(listed, find), strict=True):
        if name is None:
            absent.append(image.name)
        else:
            of[name] = image
    find.unmatched(absent, place, "listed name")

    def read(item: Item) -> np.ndarray:
        size, image = image_size(item.image), of[item.id]
        if None not in image.size and image.size != size:
            drawn = image.size
            turned = " A tag of the image turns it." if drawn == size[::-1] else ""
            raise MmtkError(
                f"{item.id} was {drawn[0]} × {drawn[1]} when it was outlined, but is {size[0]} × {size[1]} "
                f"pixels.{turned}",
                str(image.file),
                "Outline the image as it is now, or give the image that was outlined.",
            )
        mask = np.zeros((len(names), *size), np.uint8)
        for name, outline in image.outlines:
            if name in names:
                mask[names.index(name)] |= _outlined(outline, mask.shape[1:], image.file, item.id)
        return mask

    return names, {name: (image.file,) for name, image in of.items()}, read


def _content(path: Path) -> tuple[list[str], list[_Outlined]]:
    """The categories in the order of their numbers, and the listed images."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        categories = {each["id"]: str(each["name"]) for each in content["categories"]}
        listed = {
            each["id"]: _Outlined(path, str(each["file_name"]), (each.get("height"), each.get("width")))
            for each in content["images"]
        }
        for each in content["annotations"]:
            if each["image_id"] not in listed:
                raise MmtkError(
                    f"an annotation is of the image {each['image_id']}, which is not listed.", str(path)
                )
            listed[each["image_id"]].outlines.append((categories[each["category_id"]], each["segmentation"]))
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


def _ids(listed: Sequence[_Outlined], find: Finder) -> list[str | None]:
    """The id of every listed image: beside the file of annotations, in the folder of images, or by its name."""
    by_path = {path: name for name, path in find.images.items()}
    counts = Counter(path.name for path in by_path)
    by_name = {path.name: name for path, name in by_path.items() if counts[path.name] == 1}
    return [
        by_path.get(image.file.parent / image.name)
        or by_path.get(find.folder.base / image.name)
        or by_name.get(Path(image.name).name)
        for image in listed
    ]


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
        raise ValueError(f"its run lengths cover {counted(sum(runs), 'pixel')} of {shape[0] * shape[1]}")
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


def _names(known: tuple[str, ...], classes: tuple[str, ...], place: Place) -> tuple[str, ...]:
    """``classes``, all of which must be known, else all that are."""
    for name in classes:
        if name not in known:
            raise MmtkError(f"no category '{name}'.{nearest(name, known)} Known: {listing(known)}.", str(place))
    if not known:
        raise MmtkError("has no category.", str(place))
    return classes or known
