"""Masks of the films as keys of the source ``folder``."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from mmtk.components.source._sides import mirrored
from mmtk.data.plan import words
from mmtk.data.plan.label_maps import SAMPLES, label_map
from mmtk.data.plan.listing import Listing, parent, stem
from mmtk.data.plan.pairing import pair
from mmtk.data.plan.roles import common, pattern_of
from mmtk.errors import MmtkError
from mmtk.images.loader import image_size, read_frame_count, read_segments


@dataclass(frozen=True)
class Masks:
    """Masks in a folder, matched to films by name; ``keys`` are those of the source ``folder``."""

    keys: Mapping[str, object]
    pairs: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...] = field(default=())


def find_masks(listing: Listing, films: Sequence[str], masks: Sequence[str]) -> Masks | None:
    """Find the masks of the films, as keys of the source ``folder``; None where none fits."""
    if organs := _by_ending(listing, films, masks):
        return organs
    paired = pair(films, masks)
    pairs, notes = paired.of, list[str]()
    used = [path for paths in pairs.values() for path in paths]
    spare_masks = {*masks} - {*used}
    if not pairs or any(mirrored(path) in spare_masks for path in used):
        return None  # or one lung of two
    folder = pattern_of(used, "masks") or common(used)
    keys: dict[str, object] = {"masks": folder or "."}
    several = sum(len(paths) > 1 for paths in pairs.values()) > len(pairs) / 2
    depth = len([part for part in folder.split("/") if part])
    children = sorted({parts[depth] for path in used if len(parts := path.split("/")) > depth + 1})
    if several and len(children) > 1:
        keys["classes"] = children
        pairs = {film: paths for film, paths in pairs.items() if len(paths) >= len(children)}
    else:
        channels, notes = _channels(listing, used)
        keys |= channels or {
            "classes": [words.organ(paired.mask) or words.organ(f"{listing.root.name} {folder}") or "lung"]
        }
    for name, affix in (("mask", paired.mask), ("image", paired.image)):
        if affix:
            keys[f"{name}_{paired.side}"] = affix
    if _resized(listing, pairs):
        keys["resize_masks"] = True
        notes.append("masks of another size than their films: scaled to them")
    if spare := len(spare_masks):
        some = ", ".join(sorted(spare_masks)[:3])
        keys["unmatched_masks"] = "ignore"
        notes.append(f"masks without a film, left out: {spare} ({some}{', …' if spare > 3 else ''})")
    return Masks(keys, {film: tuple(paths) for film, paths in pairs.items()}, tuple(notes))


def _channels(listing: Listing, masks: Sequence[str]) -> tuple[dict[str, object], list[str]]:
    """Keys of files with several channels, and notes: DICOM segmentations, label maps, pages; none of others."""
    if segments := _segments(listing, masks):
        return {"classes": [*segments]}, []
    if labels := label_map(listing, masks):
        return labels.keys, [labels.note]
    if pages := _pages(listing, masks):
        note = f"each mask file has {pages} pages, a channel each: name them in classes"
        return {"classes": [f"page {number}" for number in range(1, pages + 1)]}, [note]
    return {}, []


def _segments(listing: Listing, masks: Sequence[str]) -> tuple[str, ...]:
    """Names of the segments of DICOM segmentations, if they agree in them and no two are alike."""
    names = {read_segments(listing.root / path) for path in masks[:: max(1, len(masks) // SAMPLES)]}
    labels = names.pop() if len(names) == 1 else ()
    return labels if len({*labels} - {""}) == len(labels) else ()


def _pages(listing: Listing, masks: Sequence[str]) -> int:
    """Number of pages of the mask files; 0 where they have one, or differ in it."""
    try:
        counts = {read_frame_count(listing.root / path) for path in masks[:: max(1, len(masks) // SAMPLES)]}
    except MmtkError:
        return 0
    return counts.pop() if len(counts) == 1 and counts != {1} else 0


def _resized(listing: Listing, pairs: Mapping[str, Sequence[str]]) -> bool:
    """Whether a mask of some films has another size than its film, by the headers."""
    step = max(1, len(pairs) // SAMPLES)
    try:
        return any(
            image_size(listing.root / film) != image_size(listing.root / paths[0])
            for film, paths in [*pairs.items()][::step][:SAMPLES]
        )
    except MmtkError:  # the source names unreadable files
        return False


def _by_ending(listing: Listing, films: Sequence[str], masks: Sequence[str]) -> Masks | None:
    """Match masks of several organs by endings, as in ``p1_heart.png``, in one folder or one for each ending."""
    by_stem = {stem(path): path for path in films}
    pairs: dict[str, dict[str, str]] = defaultdict(dict)
    for path in masks:
        name = stem(path)
        if cut := next((k for k in range(len(name) - 1, 0, -1) if name[:k] in by_stem), 0):
            pairs[by_stem[name[:cut]]][name[cut:]] = path
    counts = Counter(ending for files in pairs.values() for ending in files)
    endings = sorted(counts)
    spoken = all(re.fullmatch(r"[-_. ]+[^\W\d_][\w -]*", ending) for ending in endings)
    if len(endings) < 2 or not spoken or len(by_stem) < len(films):
        return None
    folder_of = {end: {parent(files[end]) for files in pairs.values() if end in files} for end in endings}
    folders = {folder for end_folders in folder_of.values() for folder in end_folders}
    if len(folders) > 1 and (
        {len(one) for one in folder_of.values()} != {1}
        or len(folders) < len(endings)
        or (not common(masks) and {*listing.images} - {*films, *masks})
    ):
        return None
    if min(counts.values()) < len(pairs) or sum(counts.values()) < len(masks):
        return None  # an image has masks of all organs, or of none
    names = [re.sub(r"[-_. ]+", " ", ending).strip() for ending in endings]
    if len(folders) > 1:
        names = [PurePosixPath(next(iter(folder_of[ending]))).name for ending in endings]
    keys: dict[str, object] = {"masks": common(masks) or ".", "classes": names, "mask_suffix": endings}
    return Masks(keys, {film: tuple(files[end] for end in endings) for film, files in pairs.items()})
