"""Anybody's own data: a folder of images with a table of classes or a folder of masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from mmtk.api import Item, MmtkError, Source, Split, Target, Task
from mmtk.components.source import layout
from mmtk.components.source.folder_table import Row, read_table
from mmtk.errors import listing, nearest
from mmtk.image_files import image_name, is_image_file, without_suffix
from mmtk.images import read_labels, read_spacing

IGNORED = 255


class Folder(Source):
    """Your own images: a folder, with classes in a CSV table or masks in a second folder.

    images: folder of images (png, jpeg, tiff, dicom, …), relative to the data folder or absolute.
    labels: CSV table with the columns image, label and optionally patient, split (train, val, test), spacing
        (mm per pixel, or spacing_row and spacing_col). Needed for classes. An empty label is an unlabelled
        image, for train only.
    masks: folder of masks named like their images, or with one sub-folder of them per channel.
    classes: order of the classes or channels. Default: sorted.
    exclusive: masks are label maps with the numbers of ``classes``; 0 is the background, 255 is ignored.
    swap: pairs of channels that a horizontal flip exchanges, such as [["left lung", "right lung"]].

    Without a split column, 70 / 10 / 20 % of the images of each class, whole patients, in hash order.
    """

    def __init__(
        self,
        root: Path,
        task: Task,
        *,
        images: str,
        labels: str = "",
        masks: str = "",
        classes: tuple[str, ...] = (),
        exclusive: bool = False,
        swap: tuple[tuple[str, str], ...] = (),
    ) -> None:
        folder, table = Path(root) / images, Path(root) / labels if labels else None
        found = _named(layout.list_images(folder), folder)
        rows = read_table(table, folder, found) if table else {name: Row() for name in found}
        targets: Mapping[str, object]
        if task == "classification":
            if table is None:
                raise MmtkError("labels: missing. Classes need a CSV table with the columns image and label.")
            names = _classes(rows, classes, table)
            targets = {name: names.index(row.label) for name, row in rows.items() if row.label}
        else:
            if not masks:
                raise MmtkError("masks: missing. Segmentation needs a folder of masks named like the images.")
            labelled = {name: path for name, path in found.items() if rows[name].label != ""}
            names, targets = _masks(Path(root) / masks, folder, found, labelled, classes, exclusive)
        pairs = tuple((_index(one, names), _index(other, names)) for one, other in swap)
        self.target = Target(task, names, exclusive=exclusive or task == "classification", swap=pairs)
        items = []
        for name, path in found.items():
            row = rows[name]
            spacing = row.spacing or read_spacing(path)
            items.append(Item(name, path, targets.get(name), row.patient or name, spacing))
        self.has_split = any(row.split for row in rows.values())
        if self.has_split:
            parts = {part: [each for each in items if rows[each.id].split == part] for part in layout.PARTS}
        else:
            parts = layout.split_by_patient(items, {"test": 0.2, "val": 0.1})
        self._folder = folder
        self._parts = layout.Parts(Path(root), parts, (table,) if table else ())

    def items(self, split: Split) -> list[Item]:
        """Ids are the file stems, or the paths without suffix where stems repeat."""
        if split == "train" and self.target.task == "classification":
            _check_classes(self._parts.items("all"), self.target, self._folder)
        if split != "all" and not self.has_split:
            _check_split(self._parts.parts, self.target, self._folder)
        return self._parts.items(split)

    def mask(self, item: Item) -> np.ndarray:
        """[K,H,W], one channel per class or sub-folder; uint8 in {0, 1}, 255 where a label map says so."""
        if not self.target.exclusive:
            return np.stack([layout.read_channel(path, item.image) for path in item.target]).astype(np.uint8)
        path, names = item.target[0], self.target.names
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

    def digest(self) -> str:
        """SHA-256 of files, labels and keys."""
        target = self.target
        return self._parts.digest(names=target.names, exclusive=target.exclusive, swap=target.swap)

    def files(self) -> list[Path]:
        """The table, all images and all masks."""
        return self._parts.files()


def _inside(path: Path, folder: Path) -> str:
    return without_suffix(path.relative_to(folder)).as_posix()


def _named(paths: Iterable[Path], folder: Path) -> dict[str, Path]:
    """Id → path: the stem, or the path within the folder without suffix where stems repeat."""
    paths = list(paths)
    stems = Counter(image_name(path) for path in paths)
    named: dict[str, Path] = {}
    for path in paths:
        name = image_name(path) if stems[image_name(path)] == 1 else _inside(path, folder)
        if (other := named.setdefault(name, path)) != path:
            raise MmtkError(f"two images are called {name}: {other.name} and {path.name}.", str(folder))
    return named


def _classes(rows: Mapping[str, Row], classes: tuple[str, ...], table: Path) -> tuple[str, ...]:
    """The class names in order, at least two; one that is named may be absent."""
    used = {row.label for row in rows.values() if row.label}
    if not used:
        raise MmtkError("has no label: classes need a column 'label'.", str(table))
    names = classes or tuple(sorted(used))
    for label in sorted(used - {*names}):
        raise MmtkError(
            f"the class '{label}' is not among classes.{nearest(label, names)} Known: {listing(names)}.",
            str(table),
        )
    if len(names) < 2:
        raise MmtkError(f"has one class only ('{names[0]}'): there is nothing to tell apart.", str(table))
    return names


def _masks(
    folder: Path,
    image_folder: Path,
    images: Mapping[str, Path],
    labelled: Mapping[str, Path],
    classes: tuple[str, ...],
    exclusive: bool,
) -> tuple[tuple[str, ...], dict[str, tuple[Path, ...]]]:
    """Channel names, and the mask files of each labelled image in the order of the channels."""
    if exclusive:
        if len(classes) < 2:
            raise MmtkError("classes: exclusive masks need the names of their labels, the background first.")
        names, places = classes, [folder]
    else:
        names, places = _channels(folder, classes)
    targets: dict[str, tuple[Path, ...]] = dict.fromkeys(labelled, ())
    for place in places:
        found = _named(layout.list_images(place, "masks"), place)
        inside = {_inside(path, place): path for path in found.values()}
        # By place first, because a stem may repeat among the images and not among the masks.
        own: dict[str, Path] = {}
        for name, path in images.items():
            if mask := inside.get(_inside(path, image_folder)) or found.get(name):
                own[name] = mask
        spare = {_inside(path, place) for path in {*found.values()} - {*own.values()}}
        layout.match(targets, (own.keys() & targets.keys()) | spare, place)
        targets = {name: (*paths, own[name]) for name, paths in targets.items()}
    return names, targets


def _channels(folder: Path, classes: tuple[str, ...]) -> tuple[tuple[str, ...], list[Path]]:
    """One sub-folder per channel, or the folder itself for a single channel."""
    entries = [path for path in folder.iterdir() if path.name[0] != "."] if folder.is_dir() else []
    found = sorted(path.name for path in entries if path.is_dir())
    flat = any(is_image_file(path) for path in entries)
    if not classes and found and not flat:
        return tuple(found), [folder / name for name in found]
    if len(classes) < 2 and not {*classes} & {*found}:
        return classes or ("mask",), [folder]
    for name in classes:
        if name not in found:
            raise MmtkError(
                f"no sub-folder for the channel '{name}'.{nearest(name, found)} "
                f"Found: {listing(found) or 'none'}.",
                str(folder),
                "Several channels need one sub-folder each; a label map needs exclusive = true.",
            )
    return classes, [folder / name for name in classes]


def _index(name: str, names: tuple[str, ...]) -> int:
    if name not in names:
        raise MmtkError(f"swap: no channel '{name}'.{nearest(name, names)} Known: {listing(names)}.")
    return names.index(name)


def _check_classes(items: Iterable[Item], target: Target, folder: Path) -> None:
    """A class without any image may be scored, but not learned."""
    present = {item.target for item in items}
    absent = [name for number, name in enumerate(target.names) if number not in present]
    if absent:
        used = [name for name in target.names if name not in absent]
        raise MmtkError(f"no image of the class '{absent[0]}'. Found: {listing(used)}.", str(folder))


def _check_split(parts: Mapping[Split, list[Item]], target: Target, folder: Path) -> None:
    """Every class, or at least one mask, in every part; a part without one could say nothing."""
    classes = target.task == "classification"
    for part in layout.PARTS:
        present = {item.target if classes else 0 for item in parts[part] if item.target is not None}
        for number, name in enumerate(target.names if classes else ("a mask",)):
            if number not in present:
                raise MmtkError(
                    f"too few patients with {name} to split: none is left for {part}.",
                    str(folder),
                    "It takes three. Or say which image goes where in a column 'split' of the table.",
                )
