"""Notes on files that no profile reads: annotations of other programs, sheets, archives, odd names."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

from mmtk.counts import counted
from mmtk.data.plan import words
from mmtk.data.plan.annotations import outline_lines
from mmtk.data.plan.film_tables import SHEETS
from mmtk.data.plan.listing import Listing, parent, stem
from mmtk.errors import listing as listing_of
from mmtk.images.files import SAVE, is_unread_image, pages_sentence
from mmtk.images.loader import read_frame_count

VOLUMES = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd")
CURES = {
    **dict.fromkeys(SHEETS, " (save the sheet as CSV)"),
    **dict.fromkeys((".zip", ".rar", ".7z", ".tar", ".tgz"), " (unpack it)"),
    "of DICOM's RTSTRUCT": " (save its contours as DICOM SEG or PNG, such as with 3D Slicer or rt-utils)",
    ".pdf": " (if they are masks or films, save the pages as PNG)",
    ".gz": " (unpack it)",
    **dict.fromkeys(VOLUMES, " (save masks of films as PNG, such as with SimpleITK: ReadImage, WriteImage)"),
}


NO_MASKS = "they are no masks. mmtk learns from outlines, or from a class per film in a table (image, label)"
TABLE_CURE = "Labels are taken from a CSV table, a row per film (image, label)"
NO_OUTLINE = f"without a polygon on a film of this folder, {NO_MASKS}"
AS_COCO = "export them as COCO with polygons or run lengths"
FEW_NAMES = 5  # that may agree by chance
FEW = 20  # files of a kind that are opened
# Programs by what their JSON files hold, with the cure.
_JSON: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "Label Studio": (
        lambda content: (
            isinstance(content, list)
            and any(isinstance(task, dict) and "annotations" in task for task in content[:1])
        ),
        f"{AS_COCO} (or brush labels as PNG)",
    ),
    "labelme": (lambda content: isinstance(content, dict) and "shapes" in content, NO_OUTLINE),
    "VGG Image Annotator": (
        lambda content: (
            isinstance(content, dict)
            and any(isinstance(entry, dict) and "regions" in entry for entry in _entries(content))
        ),
        NO_OUTLINE,
    ),
    "V7 Darwin": (
        lambda content: isinstance(content, dict) and {"item", "annotations"} <= content.keys(),
        AS_COCO,
    ),
    "MD.ai": (
        lambda content: isinstance(content, dict) and {"labelGroups", "datasets"} <= content.keys(),
        AS_COCO,
    ),
    "Supervisely": (lambda content: isinstance(content, dict) and {"objects", "size"} <= content.keys(), AS_COCO),
    "COCO": (
        lambda content: (
            isinstance(content, dict)
            and isinstance(content.get("images"), list)
            and any(
                entry.get("segmentation") for entry in content.get("annotations") or () if isinstance(entry, dict)
            )
        ),
        "its images have other names than the films of this folder",
    ),
    "boxes in COCO's form": (
        lambda content: (
            isinstance(content, dict)
            and bool(content.get("annotations"))
            and isinstance(content.get("images"), list)
        ),
        NO_MASKS,
    ),
}
_XML = {
    "annotations": ("CVAT", f"{NO_OUTLINE}. Tracks: export the task as “CVAT for images 1.1”, or as COCO"),
    "annotation": ("Pascal VOC", NO_MASKS),
    "eCitation": ("Open-i", f"they are reports. {TABLE_CURE}"),
}


def file_notes(
    listing: Listing, films: Collection[str], outlined: bool, label_files: Collection[str] = ()
) -> list[str]:
    """Notes on the files of a folder that are not read, each with its cure.

    listing: the files
    films: images that are no masks
    outlined: masks are there
    label_files: JSON and text files whose labels are read
    """
    notes = [*_names(listing), *_links(listing), *_formats(films), *_pages(listing, films), *_versions(films)]
    jsons, texts = ([path for path in kind if path not in label_files] for kind in (listing.jsons, listing.texts))
    listing = replace(listing, jsons=tuple(jsons), texts=tuple(texts))
    if not outlined:
        notes += [*_annotations(listing), *_boxes(listing, films), *_possible_masks(films)]
    unread = unread_kinds(listing, with_arrays=not outlined)
    return notes + [f"{counted(count, 'file')} {kind}: not read{cure}" for kind, (count, cure) in unread.items()]


def _pages(listing: Listing, films: Collection[str]) -> list[str]:
    """Note on films of several pages, by a sample of them."""
    sample = [*films][:: max(1, len(films) // FEW)]
    sentence = pages_sentence({path: read_frame_count(listing.root / path) for path in sample})
    return [f"{sentence.rstrip('.')} (a page of its mask under its name)"] if sentence else []


def _versions(films: Collection[str]) -> list[str]:
    """Note on folders of which one name differs and whose films have the same names: copies, ``raw/normal``."""
    stems: dict[str, set[str]] = defaultdict(set)
    for path in films:
        stems[parent(path)].add(stem(path))
    alike: dict[tuple[str, int, frozenset[str]], list[str]] = defaultdict(list)
    for folder, names in stems.items():
        parts = folder.split("/")
        for depth, name in enumerate(parts) if len(names) >= FEW_NAMES and len(parts) > 1 else ():
            if not re.search(r"\d", name) and not _means_something(name):
                others = "/".join((*parts[:depth], "*", *parts[depth + 1 :]))
                alike[others, depth, frozenset(names)].append(folder)
    return [
        f"{listing_of(sorted(folders))} have films of the same names: if they are copies, move all but one away; "
        "else train and test may share films"
        for folders in alike.values()
        if len(folders) > 1
    ][:1]


def _possible_masks(films: Collection[str]) -> list[str]:
    """Note on two folders side by side whose images have the same names, as films and soft masks have."""
    stems: dict[str, set[str]] = defaultdict(set)
    for path in films:
        stems[parent(path)].add(stem(path))
    folders = sorted(stems, key=lambda folder: (words.role(PurePosixPath(folder).name) != "images", folder))
    if len(folders) != 2 or stems[folders[0]] != stems[folders[1]] or "" in folders:
        return []
    first, second = folders
    if any(map(_means_something, folders)) or parent(first) != parent(second):
        return []
    return [
        f"{second} has images with the names of those in {first}: if they are masks, --masks {second} takes them"
    ]


def _means_something(name: str) -> bool:
    """Whether a folder is called after a class, a part, or films without a label."""
    plain = words.without_number(name)
    return plain in words.CLASSES or words.role(name) == "unlabelled" or bool(words.part(name))


def unread_kinds(listing: Listing, with_arrays: bool) -> dict[str, tuple[int, str]]:
    """Number of files of every kind that is not read, by suffix, with the cure in brackets or "".

    with_arrays: arrays of numpy serve as no masks
    """
    arrays = {".npy": len(listing.arrays)} if with_arrays and listing.arrays else {}
    counts = sorted({**listing.unread, **arrays}.items())
    return {kind: (count, CURES.get(kind) or _film_cure(kind)) for kind, count in counts}


def _film_cure(suffix: str) -> str:
    return f" (films: {SAVE[0].lower()}{SAVE[1:-1]})" if is_unread_image(Path(f"x{suffix}")) else ""


def _names(listing: Listing) -> list[str]:
    """Names with backslashes, as programs leave them that unpack an archive of Windows without its folders."""
    odd = [path for path in listing.images if "\\" in path]
    if not odd:
        return []
    return [
        f"{counted(len(odd), 'name has backslashes', 'names have backslashes')} ({odd[0]}): an archive of Windows "
        "was unpacked without its folders. Unpack it with unzip or 7z, which make the folders"
    ]


def _links(listing: Listing) -> list[str]:
    """Images that are links to files which are not there."""
    if not listing.broken:
        return []
    return [f"{counted(len(listing.broken), 'link')} to nothing left out: {listing_of(listing.broken, 3)}"]


def _formats(films: Collection[str]) -> list[str]:
    """Films of one name in two formats, such as DICOM and the PNG that was made of it."""
    formats: dict[str, dict[str, str]] = {}
    for path in films:
        formats.setdefault(stem(path), {})[PurePosixPath(path).suffix.lower()] = path
    twins = [paths for paths in formats.values() if len(paths) > 1]
    if not twins or 2 * len(twins) < len(formats):
        return []
    count, kinds = counted(len(twins), "film lies", "films lie"), " and ".join(sorted(twins[0]))
    return [f"{count} here as {kinds}: each counts twice (--images FOLDER takes one format)"]


def _annotations(listing: Listing) -> list[str]:
    """Annotations of other programs, by the content of the first files."""
    programs: Counter[tuple[str, str]] = Counter()
    for path in listing.jsons[:FEW]:
        content = listing.json(path)
        kind = next(((name, cure) for name, (fits, cure) in _JSON.items() if fits(content)), None)
        programs[kind or ("", "")] += 1
    for path in listing.markup[:FEW]:
        programs[_XML.get(_root_tag(listing.root / path), ("", ""))] += 1
    notes = [f"annotations of {name} are not read: {cure}" for name, cure in programs if name]
    if other := programs["", ""]:
        all_opened = len(listing.jsons) <= FEW and len(listing.markup) <= FEW
        files = counted(other, "file") if all_opened else "files"
        notes.append(f"{files} .json or .xml: not read. {TABLE_CURE}")
    return notes


def _root_tag(path: Path) -> str:
    try:
        return next(ElementTree.iterparse(path, events=("start",)))[1].tag
    except (OSError, ElementTree.ParseError, StopIteration):
        return ""


def _entries(content: Mapping[str, Any]) -> Sequence[Any]:
    inner = content.get("_via_img_metadata", content)
    return [*inner.values()][:FEW] if isinstance(inner, dict) else []


def _boxes(listing: Listing, films: Collection[str]) -> list[str]:
    """Texts with the names of films: YOLO boxes, of five numbers a line, or words."""
    names = {stem(path) for path in films}
    texts = [outline_lines(listing, path) for path in listing.texts if stem(path) in names]
    if words := texts.count(None):
        count = counted(words, "text")
        return [
            f"{count} beside films: not read. Labels are taken from a CSV table, a row per film (image, label)"
        ]
    points = sum(bool(lines) and all(len(line) == 2 for line in lines or ()) for lines in texts)
    if points:
        return [
            f"points of outlines or landmarks ({counted(points, 'text')} with x and y in each line) are not read: "
            "draw them as masks (PNG, by ImageDraw.polygon of PIL), or save them as polygons of LabelMe or COCO"
        ]
    boxes = sum(bool(lines) and all(len(line) == 5 for line in lines or ()) for lines in texts)
    if not boxes:
        return []
    return [f"boxes as YOLO writes them ({counted(boxes, 'text')}) are not read: {NO_MASKS}"]
