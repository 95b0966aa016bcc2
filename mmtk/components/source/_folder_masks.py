"""Masks of the folder source: the files and channels of every image."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from mmtk.api import Item
from mmtk.components.source import _layout, _outlines
from mmtk.components.source._folder_pattern import FolderPattern
from mmtk.components.source._mask_channels import NUMPY, read_stack
from mmtk.components.source._mask_names import MaskFinder
from mmtk.components.source._mask_table import TableMaskFinder, mask_channels
from mmtk.counts import counted
from mmtk.errors import MmtkError, listing, nearest
from mmtk.images.files import is_image_file
from mmtk.images.loader import read_colours, read_labels, read_mask
from mmtk.io.files import is_hidden

IGNORED = 255


@dataclass(frozen=True)
class Masks:
    """Channel names, the mask files of images by id, and their reader."""

    names: tuple[str, ...]
    files: Mapping[str, tuple[Path, ...]]
    read: Callable[[Item], np.ndarray]


def find_masks(
    location: FolderPattern,
    find: MaskFinder,
    classes: tuple[str, ...],
    exclusive: bool,
    values: tuple[int | str, ...],
) -> Masks:
    """Find the masks at ``location`` for the images of ``find``; masks without an image are an error."""
    if values and not exclusive:
        raise MmtkError("values: are those of label maps, which need exclusive = true.", str(location))
    if reader := None if isinstance(find, TableMaskFinder) else _outlines.reader_of(location):
        if exclusive:
            raise MmtkError("exclusive: is for label maps; polygons may overlap.", str(location))
        names, files, read = reader(location, find, classes)
        return Masks(names, files, read)
    if channels := mask_channels(location) if isinstance(find, TableMaskFinder) else ():
        return _by_column(location, find, classes or channels, exclusive)
    if find.affixes.by_channel:
        return _by_ending(location, find, classes, exclusive)
    if exclusive:
        if len(classes) < 2:
            raise MmtkError("classes: exclusive masks need the names of their labels, the background first.")
        codes = _codes(values, classes, location)
        return Masks(classes, find.masks(location), lambda item: _label_map(item, classes, codes, find.resize))
    kind, names = _channels(location, classes, find)
    if kind == "channels in folders":
        by_channel = {name: find.masks(location / name) for name in names}
        return Masks(names, _by_image(by_channel, location, find), partial(_read_files, resize=find.resize))
    files = find.masks(location, _is_mask_file)
    if kind == "channels in files":
        find.notes.append(f"the channels of each mask file are, in order: {', '.join(names)}.")
        return Masks(names, files, lambda item: read_stack(item.target[0], item.image, len(names), find.resize))
    return Masks(names, files, partial(_read_files, resize=find.resize))


def _by_column(location: FolderPattern, find: MaskFinder, classes: tuple[str, ...], exclusive: bool) -> Masks:
    """Masks with one file per channel, by the columns of a table."""
    channels = mask_channels(location)
    if exclusive:
        raise MmtkError("exclusive: is for label maps; masks in columns may overlap.", str(location))
    for name in classes:
        if name not in channels:
            message = f"no column for the channel '{name}'.{nearest(name, channels)} Found: {listing(channels)}."
            raise MmtkError(message, str(location), "classes names columns of the table.")
    by_channel = {name: find.of_channel(name).masks(location) for name in classes}
    return Masks(classes, _by_image(by_channel, location, find), partial(_read_files, resize=find.resize))


def _by_ending(location: FolderPattern, find: MaskFinder, classes: tuple[str, ...], exclusive: bool) -> Masks:
    """Masks with one file per channel, all in one folder, by the endings of their names."""
    endings = find.affixes.mask_suffixes
    classes = classes or endings  # where the other task reads the masks
    if exclusive or len(endings) != len(classes) or len({*endings}) < len(endings):
        raise MmtkError(
            f"mask_suffix: names {counted(len(endings), 'ending')} for {counted(len(classes), 'class', 'classes')}"
            f"{', and exclusive is for label maps' if exclusive else ''}.",
            str(location),
            'Each class has one ending, in the same order: classes = ["heart"], mask_suffix = ["_heart"].',
        )
    films = {*find.images.values(), *find.extra_images.values()}
    if strange := [
        path
        for path in location.images("masks", _is_mask_file)
        if path not in films and find.affixes.ending(_layout.stem(path)) is None
    ]:
        count = counted(len(strange), "file has", "files have")
        message = f"{count} none of the endings {listing(endings)}: {listing((path.name for path in strange), 5)}."
        if not find.ignore_unmatched:
            cure = "Add the ending to mask_suffix and its class to classes, or move the files away."
            raise MmtkError(message, str(location), cure)
        find.notes.append(message)

    def masks(ending: str) -> dict[str, tuple[Path, ...]]:
        def has_ending(path: Path) -> bool:
            return _is_mask_file(path) and find.affixes.ending(_layout.stem(path)) == ending

        return find.of_channel(ending).masks(location, has_ending)

    by_channel = {name: masks(end) for name, end in zip(classes, endings, strict=True)}
    return Masks(classes, _by_image(by_channel, location, find), partial(_read_files, resize=find.resize))


def _channels(location: FolderPattern, classes: tuple[str, ...], find: MaskFinder) -> tuple[str, tuple[str, ...]]:
    """Whether masks lie in one folder per channel, hold their channels, or have one; and the channels' names."""
    entries = [
        path
        for folder in location.entries()
        if folder.is_dir()
        for path in folder.iterdir()
        if not is_hidden(path.name)
    ]
    folders = sorted({path.name for path in entries if path.is_dir()})
    flat = any(map(_is_mask_file, entries)) or isinstance(find, TableMaskFinder)
    if not classes and folders and not flat:
        if not (sites := find.sites(location)):
            return "channels in folders", tuple(folders)
        find.notes.append(
            f"the folders {listing(sites)} below {location.name} are those of the images, no channels."
        )
        return "one channel", ("mask",)
    if len(classes) < 2 and not {*classes} & {*folders}:
        return "one channel", classes or ("mask",)
    if not {*classes} & {*folders} and (flat or find.sites(location)):
        return "channels in files", classes
    for name in classes:
        if name not in folders:
            raise MmtkError(
                f"no sub-folder for the channel '{name}'.{nearest(name, folders)} "
                f"Found: {listing(folders) or 'none'}.",
                str(location),
                "Several channels need one sub-folder each, or files with as many channels; "
                "a label map needs exclusive = true.",
            )
    return "channels in folders", classes


def _by_image(
    by_channel: Mapping[str, Mapping[str, tuple[Path, ...]]], location: FolderPattern, find: MaskFinder
) -> dict[str, tuple[Path, ...]]:
    """Files of all channels by id; an image that lacks some is an error, or unlabelled where that is allowed."""
    complete: set[str] = set().union(*by_channel.values())
    for channel, files in by_channel.items():
        lacking = sorted(set().union(*by_channel.values()) - files.keys())
        complete &= files.keys()
        if lacking and not find.ignore_unmatched:
            raise MmtkError(
                f"no mask for {counted(len(lacking), 'image')}: {listing(lacking, 5)}.",
                str(location / channel),
                "Another channel has masks of them. Add the masks; "
                'unmatched_masks = "ignore" takes images without all of them as unlabelled.',
            )
        if lacking:
            count = counted(len(lacking), "image has", "images have")
            find.notes.append(
                f"{count} no mask of {channel}, but others: {listing(lacking, 5)}. They are not used."
            )
    return {
        name: tuple(path for files in by_channel.values() for path in files[name]) for name in sorted(complete)
    }


def _read_files(item: Item, resize: bool) -> np.ndarray:
    """Read [K,H,W] from one file per channel."""
    channels = [
        read_stack(path, item.image, 1, resize)[0]
        if path.suffix.lower() == NUMPY
        else _layout.fit_size(read_mask(path)[None], path, item.image, resize)[0]
        for path in item.target
    ]
    return np.stack(channels).astype(np.uint8)


def _is_mask_file(path: Path) -> bool:
    return path.suffix.lower() == NUMPY or is_image_file(path)


def _codes(values: tuple[int | str, ...], names: Collection[str], location: FolderPattern) -> tuple[int, ...]:
    """Codes of the classes in a label map: numbers, or colours as −1 − (65536 red + 256 green + blue)."""
    if not values:
        return tuple(range(len(names)))
    bad = [value for value in values if isinstance(value, str) and not re.fullmatch("#[0-9a-fA-F]{6}", value)]
    mixed = len({type(value) for value in values}) > 1
    if bad or mixed or len({*values}) < len(values) or len(values) != len(names):
        reason = (
            f"'{bad[0]}' is no colour"
            if bad
            else "numbers and colours are mixed"
            if mixed
            else f"{len({*values})} different ones for {counted(len(names), 'class', 'classes')}"
        )
        raise MmtkError(
            f"values: {reason}.",
            str(location),
            'One for each of classes, such as [0, 127, 255] or ["#000000", "#ff0000"].',
        )
    return tuple(value if isinstance(value, int) else -1 - int(value[1:], 16) for value in values)


def _label_map(item: Item, names: Sequence[str], codes: Sequence[int], resize: bool) -> np.ndarray:
    """Read [K,H,W], one channel per class; 255 where the map has it and means no class."""
    path = item.target[0]
    colours = min(codes) < 0
    labels = -1 - read_colours(path) if colours else read_labels(path)
    labels = _layout.fit_size(labels[None], path, item.image, resize)[0]
    ignored = -1 if colours or IGNORED in codes else IGNORED
    if unknown := set(np.unique(labels).tolist()) - {*codes} - ({ignored} if ignored > 0 else set()):
        code_texts = [f"#{-1 - code:06x}" if colours else str(code) for code in (*codes, min(unknown, key=abs))]
        raise MmtkError(
            f"has the label {code_texts[-1]}, but classes names {len(names)}: "
            f"{', '.join(f'{code} {name}' for code, name in zip(code_texts[:-1], names, strict=True))}.",
            str(path),
        )
    channels = (labels == np.array(codes)[:, None, None]).astype(np.uint8)
    return np.where(labels == ignored, np.uint8(IGNORED), channels) if ignored > 0 else channels
