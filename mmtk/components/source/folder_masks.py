"""The masks of the folder source: which file belongs to which image, and which channel it is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmtk.api import Item
from mmtk.components.source import layout, mask_names, outlines
from mmtk.components.source.mask_channels import NUMPY, read_stack
from mmtk.components.source.mask_names import Affixes
from mmtk.errors import MmtkError, listing, nearest
from mmtk.image_files import is_image_file
from mmtk.images import read_labels

IGNORED = 255


@dataclass(frozen=True)
class Masks:
    """Channel names, the mask files of every image that has one (by id), and how they are read."""

    names: tuple[str, ...]
    files: Mapping[str, tuple[Path, ...]]
    read: Callable[[Item], np.ndarray]


def find_masks(
    place: Path,
    folder: Path,
    images: Mapping[str, Path],
    *,
    others: Mapping[str, Path],
    classes: tuple[str, ...],
    exclusive: bool,
    affixes: Affixes,
    notes: list[str],
) -> Masks:
    """The masks at ``place`` for ``images`` of ``folder``; masks without an image are an error that names them.

    ``others`` are images whose masks are left alone.
    """
    if reader := outlines.reader_of(place):
        if exclusive:
            raise MmtkError("exclusive: is for label maps; polygons may overlap.", str(place))
        names, files, read = reader(place, folder, images, classes)
        return Masks(names, files, read)
    if affixes.by_channel:
        return _by_ending(place, folder, images, others, classes, exclusive, affixes)
    find = mask_names.Finder(folder, images, others, affixes)
    if exclusive:
        if len(classes) < 2:
            raise MmtkError("classes: exclusive masks need the names of their labels, the background first.")
        return Masks(classes, find.masks(place), lambda item: _label_map(item, classes))
    kind, names = _channels(place, classes, find, notes)
    if kind == "channels in folders":
        by_channel = {name: find.masks(place / name) for name in names}
        return Masks(names, _joined(by_channel, place), _read_files)
    files = find.masks(place, _is_mask_file)
    if kind == "channels in files":
        notes.append(f"the channels of each mask file are, in order: {', '.join(names)}.")
        return Masks(names, files, lambda item: read_stack(item.target[0], item.image, len(names)))
    return Masks(names, files, _read_files)


def _by_ending(
    place: Path,
    folder: Path,
    images: Mapping[str, Path],
    others: Mapping[str, Path],
    classes: tuple[str, ...],
    exclusive: bool,
    affixes: Affixes,
) -> Masks:
    """One file per channel, all in one folder, told by the endings of their names."""
    endings = affixes.mask_suffixes
    if exclusive or len(endings) != len(classes) or len({*endings}) < len(endings):
        raise MmtkError(
            f"mask_suffix: names {len(endings)} endings for {len(classes)} classes"
            f"{', and exclusive is for label maps' if exclusive else ''}.",
            str(place),
            'Each class has one ending, in the same order: classes = ["heart"], mask_suffix = ["_heart"].',
        )
    if strange := [path for path in layout.list_images(place, "masks", _is_mask_file)
                   if path not in {*images.values(), *others.values()}
                   and affixes.ending(layout.stem(path)) is None]:  # fmt: skip
        raise MmtkError(
            f"{len(strange)} files have none of the endings {listing(endings)}: "
            f"{listing((path.name for path in strange), 5)}.",
            str(place),
            "Add the ending to mask_suffix and its class to classes, or move the files away.",
        )

    def masks(ending: str) -> dict[str, tuple[Path, ...]]:
        find = mask_names.Finder(folder, images, others, affixes.of_channel(ending))
        return find.masks(place, lambda path: _is_mask_file(path) and affixes.ending(layout.stem(path)) == ending)

    return Masks(classes, _joined({name: masks(end) for name, end in zip(classes, endings, strict=True)}, place),
                 _read_files)  # fmt: skip


def _channels(
    place: Path, classes: tuple[str, ...], find: mask_names.Finder, notes: list[str]
) -> tuple[str, tuple[str, ...]]:
    """Whether masks lie in one folder per channel, hold their channels, or have one; and the channels' names."""
    entries = [path for path in place.iterdir() if path.name[0] != "."] if place.is_dir() else []
    folders = sorted(path.name for path in entries if path.is_dir())
    flat = any(map(_is_mask_file, entries))
    if not classes and folders and not flat:
        if not (sites := find.sites(place)):
            return "channels in folders", tuple(folders)
        notes.append(f"the folders {listing(sites)} below {place.name} are those of the images, no channels.")
        return "one channel", ("mask",)
    if len(classes) < 2 and not {*classes} & {*folders}:
        return "one channel", classes or ("mask",)
    if not {*classes} & {*folders} and (flat or find.sites(place)):
        return "channels in files", classes
    for name in classes:
        if name not in folders:
            raise MmtkError(
                f"no sub-folder for the channel '{name}'.{nearest(name, folders)} "
                f"Found: {listing(folders) or 'none'}.",
                str(place),
                "Several channels need one sub-folder each, or files with as many channels; "
                "a label map needs exclusive = true.",
            )
    return "channels in folders", classes


def _joined(by_channel: Mapping[str, Mapping[str, tuple[Path, ...]]], place: Path) -> dict[str, tuple[Path, ...]]:
    """The files of all channels; an image with some of them only is an error."""
    every: set[str] = set().union(*by_channel.values())
    for channel, files in by_channel.items():
        if lacking := every - files.keys():
            raise MmtkError(
                f"no mask for {len(lacking)} images: {listing(lacking, 5)}.",
                str(place / channel),
                "They have a mask of another channel. An image has masks of all channels, or of none.",
            )
    return {name: tuple(path for files in by_channel.values() for path in files[name]) for name in every}


def _read_files(item: Item) -> np.ndarray:
    """[K,H,W] of one file per channel."""
    channels = [
        read_stack(path, item.image, 1)[0]
        if path.suffix.lower() == NUMPY
        else layout.read_channel(path, item.image)
        for path in item.target
    ]
    return np.stack(channels).astype(np.uint8)


def _is_mask_file(path: Path) -> bool:
    return path.suffix.lower() == NUMPY or is_image_file(path)


def _label_map(item: Item, names: Collection[str]) -> np.ndarray:
    """[K,H,W], one channel per number; 255 where the map says so."""
    path = item.target[0]
    labels = read_labels(path)
    layout.check_size(path, labels.shape, item.image)
    if unknown := set(np.unique(labels).tolist()) - {*range(len(names)), IGNORED}:
        raise MmtkError(
            f"has the label {min(unknown)}, but classes names {len(names)}: "
            f"{', '.join(f'{number} {name}' for number, name in enumerate(names))}.",
            str(path),
        )
    channels = labels == np.arange(len(names))[:, None, None]
    return np.where(labels == IGNORED, np.uint8(IGNORED), channels.astype(np.uint8))
