"""Masks in other files than pictures: COCO annotations, YOLO polygons, arrays of numpy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from mmtk.data.plan.listing import Listing, stem
from mmtk.data.plan.masks import Masks
from mmtk.data.plan.roles import common, pattern_of
from mmtk.data.plan.words import organ


def find_annotations(listing: Listing, films: Sequence[str]) -> Masks | None:
    """Find annotations of the films, as keys of the source ``folder``; None where there are none."""
    return _coco(listing, films) or _yolo(listing, films) or _arrays(listing, films)


def _arrays(listing: Listing, films: Sequence[str]) -> Masks | None:
    """Masks as arrays of numpy, [H,W], with the names of their films."""
    by_stem = {stem(path): path for path in films}
    pairs = {by_stem[stem(path)]: (path,) for path in listing.arrays if stem(path) in by_stem}
    if not pairs or any(_dimensions(listing, path) != 2 for (path,) in [*pairs.values()][:8]):
        return None
    folder = common(path for (path,) in pairs.values())
    return Masks(
        {"masks": folder or ".", "classes": [organ(folder) or "lung"]}, pairs, ("masks as arrays (.npy)",)
    )


def _dimensions(listing: Listing, path: str) -> int:
    import numpy as np

    try:
        return int(np.load(listing.root / path, mmap_mode="r", allow_pickle=False).ndim)
    except (OSError, ValueError):
        return 0


def _coco(listing: Listing, films: Sequence[str]) -> Masks | None:
    by_name = {PurePosixPath(path).name: path for path in films}
    best: Masks | None = None
    for path in listing.jsons:
        about = listing.json(path)
        if not isinstance(about, dict) or not isinstance(about.get("annotations"), list):
            continue
        names = {image["id"]: PurePosixPath(str(image["file_name"])).name for image in about.get("images", ())}
        if not any(entry.get("segmentation") for entry in about["annotations"]):
            continue
        pairs = {by_name[name]: (path,) for name in names.values() if name in by_name}
        organs = [str(entry["name"]) for entry in about.get("categories", ())]
        if pairs and (best is None or len(pairs) > len(best.pairs)):
            best = Masks({"masks": path, "classes": organs}, pairs, (f"{path}: outlines as COCO writes them",))
    return best


def _yolo(listing: Listing, films: Sequence[str]) -> Masks | None:
    by_stem = {stem(path): path for path in films}
    pairs: dict[str, tuple[str, ...]] = {}
    numbers: set[int] = set()
    for path in listing.texts:
        film = by_stem.get(stem(path))
        if film is None:
            continue
        lines = _lines(listing, path)
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


def _lines(listing: Listing, path: str) -> list[list[float]] | None:
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
    import yaml

    try:
        content = yaml.safe_load((listing.root / path).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return []
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict) and {*names} == {*range(len(names))}:
        names = [names[number] for number in range(len(names))]
    return [str(name) for name in names] if isinstance(names, list) else []
