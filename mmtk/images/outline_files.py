"""Outlines of films in the files of annotation programs: COCO, LabelMe, CVAT and VIA."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from mmtk.errors import MmtkError
from mmtk.images.brush_masks import cvat_runs, labelme_runs

UNNAMED = "mask"  # label of an outline without one
_VIA_POLYGON = 7
_VIA_SHAPES = {1: "point", 2: "rect", 3: "circle", 4: "ellipse", 5: "line", 6: "polyline"}  # by VIA 3's number
_COCO = (
    "It has the lists images (id, file_name), categories (id, name) and "
    "annotations (image_id, category_id, segmentation)."
)


@dataclass
class OutlinedImage:
    """Image in a file of annotations: its size there, height first, and its outlines, each with a label.

    An outline is a list of polygons [x, y, …], or run lengths {"counts", "size"}; of another shape, its name.
    ``single``: the file is of this image alone.
    """

    file: Path
    name: str
    size: tuple[Any, Any] = (None, None)
    outlines: list[tuple[str, Any]] = field(default_factory=list)
    single: bool = False


Annotations = tuple[list[str], list[OutlinedImage]]


def read_outlines(path: Path) -> Annotations:
    """Read the labels, in order, and the images of a file; raise MmtkError for files of another kind."""
    try:
        if path.suffix.lower() == ".xml":
            return _with_labels(*_cvat(path, ElementTree.parse(path).getroot()))
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise MmtkError(f"cannot be read: {error.strerror}.", str(path)) from error
    except (ValueError, KeyError, TypeError, ElementTree.ParseError) as error:
        raise MmtkError(f"is no file of annotations: {error!r}.", str(path), _COCO) from error
    return parse_outlines(path, content) or _coco(path, content)


def parse_outlines(path: Path, content: Any) -> Annotations | None:
    """Read the content of LabelMe's or VIA's file ``path``; None for that of another program."""
    if not isinstance(content, dict):
        return None
    entries = content.get("_via_img_metadata", content)
    try:
        if {"project", "metadata", "file", "attribute"} <= content.keys():
            return _with_labels(_via_project(path, content))
        if isinstance(content.get("shapes"), list):
            return _with_labels([_labelme(path, content)])
        if isinstance(entries, dict) and entries and all("regions" in entry for entry in entries.values()):
            return _with_labels([_via(path, entry) for entry in entries.values()])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if "shapes" in content:
            raise MmtkError(f"its shapes cannot be read: {error!r}.", str(path), "Save it again.") from error
    return None


def _with_labels(images: list[OutlinedImage], order: Sequence[str] = ()) -> Annotations:
    """Labels of the polygons, or of other shapes where there is none, in ``order`` or sorted; and the images."""
    outlines = [pair for image in images for pair in image.outlines]
    used = {label for label, outline in outlines if not isinstance(outline, str)} or {
        label for label, _ in outlines
    }
    return [*(label for label in order if label in used), *sorted(used - {*order})], images


def _labelme(path: Path, content: Mapping[str, Any]) -> OutlinedImage:
    """LabelMe: a file for each image, with points [x, y]."""
    image = OutlinedImage(path, _name(content.get("imagePath") or path.stem), single=True)
    image.size = content.get("imageHeight"), content.get("imageWidth")
    for shape in content["shapes"]:
        kind = shape.get("shape_type") or "polygon"
        outline: Any = _polygon(shape["points"]) if kind == "polygon" else kind
        if kind == "mask" and None not in image.size:
            outline = labelme_runs(shape, image.size)
        image.outlines.append((str(shape.get("label") or UNNAMED), outline))
    return image


def _via(path: Path, entry: Mapping[str, Any]) -> OutlinedImage:
    """VIA: an entry for each image, with the coordinates of x and of y apart."""
    image = OutlinedImage(path, _name(entry["filename"]))
    regions = entry["regions"]
    for region in regions.values() if isinstance(regions, dict) else regions:
        shape = region["shape_attributes"]
        outline = shape["name"]
        if outline == "polygon":
            outline = _polygon(zip(shape["all_points_x"], shape["all_points_y"], strict=True))
        for label in _via_labels(region.get("region_attributes") or {}):
            image.outlines.append((label, outline))
    return image


def _via_labels(attributes: Mapping[str, Any]) -> list[str]:
    """Labels of a region: its first attribute, as text or as a table of boxes to tick."""
    value = next(iter(attributes.values()), None)
    if isinstance(value, dict):
        return [label for label, ticked in value.items() if ticked] or [UNNAMED]
    return [str(value or UNNAMED)]


def _via_project(path: Path, content: Mapping[str, Any]) -> list[OutlinedImage]:
    """VIA 3: images by number, views of one image, and shapes [kind, x, y, …] with a choice of each attribute."""
    images = {number: OutlinedImage(path, _name(entry["fname"])) for number, entry in content["file"].items()}
    for shape in content["metadata"].values():
        kind, *points = shape["xy"] or [0]
        if not points:
            continue  # what is said of the whole image
        (number,) = content["view"][shape["vid"]]["fid_list"]
        outline = [points] if kind == _VIA_POLYGON else _VIA_SHAPES.get(kind, "shape")
        label = UNNAMED
        for attribute, choice in shape["av"].items():
            options = content["attribute"][attribute].get("options") or {}
            label = str(options.get(str(choice), choice)) or label
            break
        images[str(number)].outlines.append((label, outline))
    return [*images.values()]


def _cvat(path: Path, root: ElementTree.Element) -> tuple[list[OutlinedImage], list[str]]:
    """CVAT for images: an element for each image, with points "x,y;x,y"; and the labels of the task, in order."""
    if root.tag != "annotations" or root.find("image") is None:
        reason = "it holds a film in time (tracks)" if root.find("track") is not None else "it lists no image"
        raise MmtkError(
            f"is no file of CVAT's images: {reason}.", str(path), "Export the task as “CVAT for images 1.1”."
        )
    images = []
    for element in root.iter("image"):
        image = OutlinedImage(path, _name(element.attrib["name"]))
        image.size = int(element.attrib["height"]), int(element.attrib["width"])
        for shape in element:
            if label := shape.get("label"):
                image.outlines.append((label, _cvat_shape(shape, image.size)))
        images.append(image)
    return images, [name.text or "" for name in root.iterfind("meta//label/name")]


def _cvat_shape(shape: ElementTree.Element, size: tuple[int, int]) -> Any:
    if shape.tag == "polygon":
        return _polygon(pair.split(",") for pair in shape.get("points", "").split(";"))
    return cvat_runs(shape.attrib, size) if shape.tag == "mask" else shape.tag


def _polygon(points: Iterable[Iterable[Any]]) -> list[list[float]]:
    """Polygon as COCO writes it."""
    return [[float(number) for x, y in points for number in (x, y)]]


def _name(path: str) -> str:
    """Path with slashes, also where Windows wrote it."""
    return str(path).replace("\\", "/")


def names_by_spelling(labels: Iterable[str], class_names: Collection[str] = ()) -> dict[str, str]:
    """Name of the label that each spelling means: that of ``class_names``, else the most frequent of ``labels``.

    Spellings differ in capitals and spaces alone; two that are both classes are two labels.
    """
    counts = Counter(labels)
    groups: dict[str, list[str]] = defaultdict(list)
    for label in counts:
        groups[" ".join(re.split(r"[\s_]+", label)).casefold()].append(label)
    names: dict[str, str] = {}
    for group in groups.values():
        best = max(group, key=lambda label: (label in class_names, counts[label]))
        names |= {label: label if label in class_names else best for label in group}
    return names


def _coco(path: Path, content: Any) -> Annotations:
    """COCO: lists of categories, in the order of their numbers, of images and of annotations."""
    try:
        categories = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
        listed = {
            entry["id"]: OutlinedImage(path, _name(entry["file_name"]), (entry.get("height"), entry.get("width")))
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
    except (KeyError, TypeError) as error:
        raise MmtkError(f"is no file of COCO annotations: {error!r}.", str(path), _COCO) from error
    return [categories[number] for number in sorted(categories)], [*listed.values()]
