"""Masks of the films as keys of the source ``folder``."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from mmtk.components.source._organ_words import UNNAMED, first_organ
from mmtk.components.source._sides import mirrored
from mmtk.data.plan.label_maps import SAMPLES, label_map
from mmtk.data.plan.listing import Listing, parent, stem
from mmtk.data.plan.organs import complete
from mmtk.data.plan.pairing import END, pair, shifted_numbers
from mmtk.data.plan.roles import common, pattern_of
from mmtk.errors import MmtkError
from mmtk.errors import listing as listing_of
from mmtk.images.loader import image_size, read_frame_count, read_segments

RESIZED = "masks of another size than their films: scaled to them"


@dataclass(frozen=True)
class Masks:
    """Masks in a folder, matched to films by name; ``keys`` are those of the source ``folder``."""

    keys: Mapping[str, object]
    pairs: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...] = field(default=())


def find_masks(listing: Listing, films: Sequence[str], masks: Sequence[str]) -> Masks | None:
    """Find the masks of the films, as keys of the source ``folder``; None where none fits."""
    if by_name := _by_ending(listing, films, masks) or _of_cases(films, masks):
        return by_name
    paired = pair(films, masks)
    pairs, notes = {film: tuple(paths) for film, paths in paired.of.items()}, list[str]()
    used = [path for paths in pairs.values() for path in paths]
    spare_masks = {*masks} - {*used}
    if not pairs or any(mirrored(path) in spare_masks for path in used):
        return None  # or one lung of two
    folder = pattern_of(used, "masks") or common(used)
    keys: dict[str, object] = {"masks": folder or "."}
    several = sum(len(paths) > 1 for paths in pairs.values()) > len(pairs) / 2
    depth = len([part for part in folder.split("/") if part])
    children = sorted({parts[depth] for path in used if len(parts := path.split("/")) > depth + 1})
    partial = False
    if several and len(children) > 1:
        by_organ = {film: {path.split("/")[depth]: path for path in paths} for film, paths in pairs.items()}
        if any(len(paths) > len(by_organ[film]) for film, paths in pairs.items()):
            return None  # several masks of one organ, as of readers within it
        organs = complete(by_organ, children)
        partial = len(organs.pairs) < len(pairs)
        keys["classes"], pairs, notes = [*organs.names], dict(organs.pairs), [*organs.notes]
    else:
        organ = first_organ((paired.mask, *reversed(folder.split("/")), listing.root.name))
        channels, notes = keys_by_look(listing, pairs, [organ])
        keys |= channels
    for name, affix in (("mask", paired.mask), ("image", paired.image)):
        if affix:
            keys[f"{name}_{paired.side}"] = affix
    if several and len(children) > 1 and (note := _size_note(listing, pairs)):
        keys["resize_masks"] = True
        notes.append(note)
    notes += _spare_notes(films, pairs, spare_masks)
    if partial or spare_masks or _others(listing, folder, {*films, *used}):
        keys["unmatched_masks"] = "ignore"
    return Masks(keys, pairs, tuple(notes))


def keys_by_look(
    listing: Listing, pairs: Mapping[str, Sequence[str]], organs: Sequence[str]
) -> tuple[dict[str, object], list[str]]:
    """Keys for the mask files of each film, by channels and size, and notes; ``organs``: those of plain masks."""
    paths = [path for paths in pairs.values() for path in paths]
    keys, notes = _channels(listing, [*pairs], paths) if len(organs) == 1 else ({}, [])
    keys = keys or {"classes": [*organs]}
    notes += unnamed_note(keys.get("classes"))
    if note := _size_note(listing, pairs):
        keys["resize_masks"] = True
        notes.append(note)
    return keys, notes


def unnamed_note(organs: object) -> list[str]:
    """Note on masks of which no name says what they show; none of others."""
    if organs != [UNNAMED]:
        return []
    return ['no name says what the masks show (classes = ["lung"] in the profile names it)']


def _others(listing: Listing, folder: str, used: Collection[str]) -> bool:
    """Whether masks of another reader, say, lie in the folder of the masks."""
    return any(path not in used and parent(path) == folder for path in listing.images)


def _spare_notes(films: Sequence[str], pairs: Collection[str], spare_masks: Collection[str]) -> list[str]:
    """Notes on masks without a film, and on films and masks whose numbers are shifted."""
    if not spare_masks:
        return []
    notes = [f"masks without a film, left out: {len(spare_masks)} ({listing_of(sorted(spare_masks), 3)})"]
    if shifted := shifted_numbers(pairs, {*films} - {*pairs}, spare_masks):
        notes.append(shifted)
    return notes


def _channels(listing: Listing, films: Sequence[str], masks: Sequence[str]) -> tuple[dict[str, object], list[str]]:
    """Keys of files with several channels, and notes: DICOM segmentations, label maps, pages; none of others."""
    if segments := _segments(listing, masks):
        return {"classes": [*segments]}, []
    if labels := label_map(listing, masks):
        return labels.keys, [labels.note]
    pages = _pages(listing, masks)
    if pages and pages != _pages(listing, films):  # as many pages as its film: one page for each of them
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


def _size_note(listing: Listing, pairs: Mapping[str, Sequence[str]]) -> str:
    """Note on masks of another size than their films, by the headers of some; "" where all have their size.

    Those of other proportions, by more than 2 %, are refused by the source.
    """
    step = max(1, len(pairs) // SAMPLES)
    note = ""
    try:
        for film, (mask, *_) in [*pairs.items()][::step][:SAMPLES]:
            size, shape = image_size(listing.root / film), image_size(listing.root / mask)
            scales = [side / max(other, 1) for side, other in zip(size, shape, strict=True)]
            if max(scales) > 1.02 * min(scales):
                return (
                    f"masks of other proportions than their films, as {mask} ({shape[0]} × {shape[1]} for "
                    f"{size[0]} × {size[1]} pixels): they are refused. Save them in the proportions of the films"
                )
            note = note or RESIZED * (size != shape)
    except MmtkError:  # the source names unreadable files
        return ""
    return note


def _by_ending(listing: Listing, films: Sequence[str], masks: Sequence[str]) -> Masks | None:
    """Match masks of several organs by endings, as ``p1_heart.png``, in one folder or one for each ending.

    Names of films may have an ending, too, which all share: ``p1_film.png``.
    """
    ends = {match[0] if (match := END.search(stem(path))) else "" for path in films}
    tries = (_of_endings(listing, films, masks, end) for end in ["", *(ends if len(ends) == 1 else ())])
    return next(filter(None, tries), None)


def _of_cases(films: Sequence[str], masks: Sequence[str]) -> Masks | None:
    """Match masks of several organs to the film in their folder, where files of all folders have these names."""
    film_of = {parent(path): path for path in films}
    film_names, organs = {stem(path) for path in films}, sorted({stem(path) for path in masks})
    in_folders = len(film_of) == len(films) > 1 and all(parent(path) in film_of for path in masks)
    if len(film_names) > 1 or not 1 < len(organs) < len(films) or not in_folders:
        return None
    of_film: dict[str, dict[str, str]] = defaultdict(dict)
    for path in masks:
        of_film[film_of[parent(path)]][stem(path)] = path
    shared_organs = complete(of_film, organs)
    if len(shared_organs.names) < 2 or not shared_organs.pairs:
        return None
    keys: dict[str, object] = {
        "masks": common(masks) or ".",
        "classes": [re.sub(r"[-_. ]+", " ", name).strip() for name in shared_organs.names],
        "mask_suffix": [*shared_organs.names],
        "image_suffix": film_names.pop(),
    }
    if len(shared_organs.pairs) < len(of_film) or len(shared_organs.names) < len(organs):
        keys["unmatched_masks"] = "ignore"
    return Masks(keys, shared_organs.pairs, shared_organs.notes)


def _of_endings(listing: Listing, films: Sequence[str], masks: Sequence[str], film_end: str) -> Masks | None:
    """Match masks by endings behind the names of films without ``film_end``."""
    by_stem = {stem(path).removesuffix(film_end): path for path in films}
    pairs: dict[str, dict[str, str]] = defaultdict(dict)
    strangers: list[str] = []
    for path in masks:
        name = stem(path)
        if cut := next((k for k in range(len(name) - 1, 0, -1) if name[:k] in by_stem), 0):
            pairs[by_stem[name[:cut]]][name[cut:]] = path
        else:
            strangers.append(path)
    organs = complete(pairs, sorted({ending for files in pairs.values() for ending in files}))
    endings = organs.names
    spoken = all(re.fullmatch(r"[-_. ]+[^\W\d_][\w -]*", ending) for ending in endings)
    if len(endings) < 2 or not spoken or len(by_stem) < len(films) or not organs.pairs:
        return None
    folder_of = {end: {parent(files[end]) for files in pairs.values() if end in files} for end in endings}
    folders = {folder for end_folders in folder_of.values() for folder in end_folders}
    if len(folders) > 1 and (
        {len(one) for one in folder_of.values()} != {1}
        or len(folders) < len(endings)
        or (not common(masks) and {*listing.images} - {*films, *masks})
    ):
        return None
    others = any(not stem(path).endswith(endings) for path in masks)
    if others and {parent(path) for path in masks} & {parent(path) for path in films}:
        return None  # among the films they would be films
    names = [re.sub(r"[-_. ]+", " ", ending).strip() for ending in endings]
    if len(folders) > 1:
        names = [PurePosixPath(next(iter(folder_of[ending]))).name for ending in endings]
    keys: dict[str, object] = {"masks": common(masks) or ".", "classes": names, "mask_suffix": [*endings]}
    if film_end:
        keys["image_suffix"] = film_end
    if others or strangers or len(organs.pairs) < len(pairs):
        keys["unmatched_masks"] = "ignore"
    return Masks(keys, organs.pairs, (*organs.notes, *_spare_notes(films, pairs, strangers)))
