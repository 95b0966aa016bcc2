"""Masks in other files than pictures: lists of outlines, YOLO polygons, arrays of numpy, run lengths."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from mmtk.components.source._organ_words import first_organ
from mmtk.counts import counted
from mmtk.data.plan.columns import find_columns
from mmtk.data.plan.listing import Listing, parent, stem
from mmtk.data.plan.masks import Masks, unnamed_note
from mmtk.data.plan.roles import common, merged, pattern_of
from mmtk.errors import MmtkError
from mmtk.errors import listing as listing_of
from mmtk.images.outline_files import Annotations, names_by_spelling, parse_outlines, read_outlines
from mmtk.images.run_lengths import EMPTY, are_along_rows, are_relative
from mmtk.io.packed import inner_suffix

LABELME = "LabelMe"


def find_annotations(listing: Listing, films: Sequence[str]) -> Masks | None:
    """Find annotations of the films, as keys of the source ``folder``; None where there are none."""
    readers = (_listed, _yolo, _arrays, _run_lengths)
    return next((masks for reader in readers if (masks := reader(listing, films))), None)


def _arrays(listing: Listing, films: Sequence[str]) -> Masks | None:
    """Masks as arrays of numpy, [H,W], with the names of their films."""
    by_stem = {stem(path): path for path in films}
    pairs = {by_stem[stem(path)]: (path,) for path in listing.arrays if stem(path) in by_stem}
    if not pairs or any(_dimensions(listing, path) != 2 for (path,) in [*pairs.values()][:8]):
        return None
    folder = common(path for (path,) in pairs.values())
    organs = [first_organ((*reversed(folder.split("/")), listing.root.name))]
    notes = ("masks as arrays (.npy)", *unnamed_note(organs))
    return Masks({"masks": folder or ".", "classes": organs}, pairs, notes)


def _dimensions(listing: Listing, path: str) -> int:
    import numpy as np

    try:
        return int(np.load(listing.root / path, mmap_mode="r", allow_pickle=False).ndim)
    except (OSError, ValueError):
        return 0


def _run_lengths(listing: Listing, films: Sequence[str]) -> Masks | None:
    """Masks as run lengths in a table: of one organ, or a column for each."""
    for name, table in listing.tables.items():
        columns = find_columns(table, films, {})
        if not columns or not columns.run_lengths or inner_suffix(PurePosixPath(name)) != ".csv":
            continue
        film_of_row = [columns.matches.get(cell, "") for cell in table.cells(columns.image)]
        organs = columns.run_lengths
        cells = table.cells(organs[0])
        relative = are_relative([cell for column in organs for cell in table.cells(column)])
        drawn = ((cell, listing.root / film) for cell, film in zip(cells, film_of_row, strict=True) if film)
        lines = "along the rows" if are_along_rows(drawn, relative, len(organs)) else "down the columns"
        count = "from the end of the last run" if relative else "from the first pixel, which is 1"
        quoted = listing_of(f'"{column}"' for column in organs)
        note = f"{name}: masks as run lengths in {quoted}, {lines}; starts count {count}"
        empty = sum(cell in EMPTY for cell in cells)  # as of films without a lesion; every film has lungs
        default = "lesion" if 10 * empty > len(cells) else ""
        single = [first_organ((name, listing.root.name, default))]
        keys: dict[str, object] = {"masks": name, "classes": [*organs] if len(organs) > 1 else single}
        if not all(film_of_row):
            keys["unmatched_masks"] = "ignore"
        return Masks(
            keys, dict.fromkeys(filter(None, film_of_row), (name,)), (note, *unnamed_note(keys["classes"]))
        )
    return None


@dataclass(frozen=True)
class _Outlines:
    """Outlines of a file: its program, its films, those with an outline, and the labels with their use."""

    program: str
    films: frozenset[str]
    outlined: frozenset[str]
    labels: tuple[str, ...]
    used: frozenset[str]


def _listed(listing: Listing, films: Sequence[str]) -> Masks | None:
    """Outlines in files that list images: COCO, LabelMe, CVAT, VIA."""
    by_name = {PurePosixPath(path).name: path for path in films}
    paths = (*listing.jsons, *listing.markup)
    files = {path: outlines for path in paths if (outlines := _outlines(listing, path, by_name))}
    if not any(outlines.outlined for outlines in files.values()):
        return None
    first = max(files, key=lambda path: (bool(files[path].outlined), len(files[path].films)))
    masks, outline_files = first, [first]
    for pattern, group in _groups([*files], paths).items():
        if first in group and sum(len(files[path].films) for path in group) == len(
            frozenset().union(*(files[path].films for path in group))
        ):
            masks, outline_files = pattern, group
    name_by_label = names_by_spelling(name for path in outline_files for name in files[path].labels)
    used = frozenset(name_by_label[name] for path in outline_files for name in files[path].used)
    labels = list(dict.fromkeys(name_by_label.values()))
    notes = [f"{masks}: outlines as {files[first].program} writes them"]
    if joined := [f"{label} as {name}" for label, name in name_by_label.items() if label != name]:
        notes.append(f"spellings of one label are put together: {listing_of(joined)}")
    if files[first].program == LABELME:
        labels.sort()  # no file has the order of all
    if unused := [name for name in labels if name not in used]:
        notes.append(f"categories without an outline, left out: {listing_of(unused)}")
    pairs = {film: (path,) for path in outline_files for film in sorted(files[path].films)}
    if empty := len(pairs) - len(frozenset().union(*(files[path].outlined for path in outline_files))):
        notes.append(
            f"{counted(empty, 'film is', 'films are')} listed without an outline: an empty mask, which says that "
            "there is no organ. Take a film that nobody outlined off the list of images"
        )
    if left := [path for path in files if path not in outline_files]:
        notes.append(f"the outlines in {listing_of(left, 5)} are left out: --masks takes them")
    organs = [name for name in labels if name in used]
    return Masks({"masks": masks, "classes": organs}, pairs, tuple(notes))


def _outlines(listing: Listing, path: str, by_name: Mapping[str, str]) -> _Outlines | None:
    """Outlines of films in a file; None where it is of another kind, or has boxes alone."""
    content = listing.json(path) if path in listing.jsons else None
    if outlines := _coco(content, by_name):
        return outlines
    try:
        file = listing.root / path
        annotations = parse_outlines(file, content) if path in listing.jsons else read_outlines(file)
    except MmtkError:
        return None
    return _of_films(annotations, path, by_name) if annotations else None


def _of_films(annotations: Annotations, path: str, by_name: Mapping[str, str]) -> _Outlines | None:
    """Outlines of the films of LabelMe, CVAT or VIA; None where they are of no film."""
    labels, images = annotations
    by_path = {film: film for film in by_name.values()}
    by_stem = {stem(name): film for name, film in by_name.items()}
    film_of = {
        id(image): by_path.get(os.path.normpath(f"{parent(path)}/{image.name}").lstrip("/"))
        or by_name.get(PurePosixPath(image.name).name)
        or (by_stem.get(stem(path)) if image.single else None)
        for image in images
    }
    drawn = [
        (film, label)
        for image in images
        for label, outline in image.outlines
        if not isinstance(outline, str) and (film := film_of[id(image)])
    ]
    listed = frozenset(film for film in film_of.values() if film)
    single = any(image.single for image in images)
    program = LABELME if single else "CVAT" if path.lower().endswith(".xml") else "VIA"
    outlined, used = (frozenset(pair[k] for pair in drawn) for k in (0, 1))
    return _Outlines(program, listed, outlined, tuple(labels), used) if outlined or (single and listed) else None


def _coco(content: Any, by_name: Mapping[str, str]) -> _Outlines | None:
    """Outlines of films in the content of a COCO file; None where it is another, or has boxes alone."""
    try:
        names = {
            image["id"]: by_name.get(PurePosixPath(str(image["file_name"]).replace("\\", "/")).name)
            for image in content["images"]
        }
        categories = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
        drawn = [entry for entry in content["annotations"] if entry.get("segmentation")]
        outlined = frozenset(name for entry in drawn if (name := names.get(entry["image_id"])))
        used = frozenset(categories[entry["category_id"]] for entry in drawn)
    except (KeyError, TypeError, AttributeError):
        return None
    films = frozenset(name for name in names.values() if name)
    order = tuple(categories[number] for number in sorted(categories))
    return _Outlines("COCO", films, outlined, order, used) if outlined else None


def _groups(paths: Sequence[str], all_paths: Sequence[str]) -> dict[str, list[str]]:
    """Files of annotations that one key reads: of one name in several folders, all of one folder or of all.

    A pattern that names other files of ``all_paths`` as well is left out.
    """
    groups: dict[str, list[str]] = {}
    folders = {parent(path) for path in paths}
    depths = {folder.count("/") for folder in folders}
    for path in paths:
        ending = PurePosixPath(path).suffix
        groups.setdefault(f"{parent(path)}/*{ending}".removeprefix("/"), []).append(path)
        if len(folders) > 1 and len(depths) == 1 and "" not in folders:
            groups.setdefault(f"{merged([*folders])}/*{ending}", []).append(path)
    if len({(path.count("/"), PurePosixPath(path).name) for path in paths}) == 1:
        groups[merged(paths)] = [*paths]
    return {
        pattern: group
        for pattern, group in groups.items()
        if len(group) > 1
        and {*group}
        == {path for path in all_paths if path.count("/") == pattern.count("/") and fnmatchcase(path, pattern)}
    }


def _yolo(listing: Listing, films: Sequence[str]) -> Masks | None:
    by_stem = {stem(path): path for path in films}
    pairs: dict[str, tuple[str, ...]] = {}
    numbers: set[int] = set()
    for path in listing.texts:
        film = by_stem.get(stem(path))
        if film is None:
            continue
        lines = outline_lines(listing, path)
        if lines is None:
            continue
        if outlines := [line for line in lines if len(line) >= 7]:
            pairs[film] = (path,)
            numbers |= {int(line[0]) for line in outlines}
    if not pairs:
        return None
    names = _names(listing) or [f"label {number}" for number in range(max(numbers) + 1)]
    texts = [path for paths in pairs.values() for path in paths]
    folder = pattern_of(texts, "masks") or common(texts)
    return Masks({"masks": folder or ".", "classes": names}, pairs, ("outlines as YOLO writes them",))


def outline_lines(listing: Listing, path: str) -> list[list[float]] | None:
    """Numbers of every line of a text; None where it has others, or cannot be read."""
    try:
        text = (listing.root / path).read_text(encoding="utf-8")
        return [[float(number) for number in line.split()] for line in text.splitlines() if line.strip()]
    except (OSError, ValueError):
        return None


def _names(listing: Listing) -> list[str]:
    for path in listing.texts:
        if PurePosixPath(path).name in ("classes.txt", "obj.names", "labels.txt"):
            lines = (listing.root / path).read_text(encoding="utf-8", errors="replace").splitlines()
            return [line.strip() for line in lines if line.strip()]
    for path in listing.configs:
        if names := _config_names(listing, path):
            return names
    return []


def _config_names(listing: Listing, path: str) -> list[str]:
    """Names of the classes in a YAML file of a YOLO data set: a list, or a table by number."""
    content = listing.content(path)
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict) and {*names} == {*range(len(names))}:
        names = [names[number] for number in range(len(names))]
    return [str(name) for name in names] if isinstance(names, list) else []
