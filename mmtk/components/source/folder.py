"""Own data: a folder of images with a table of classes or masks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from mmtk.api import Item, LabelSpec, MmtkError, Source, Split, Task
from mmtk.components.source import _layout
from mmtk.components.source._folder_checks import check_classes, check_split, class_names
from mmtk.components.source._folder_images import (
    check_single,
    images_by_id,
    patients_of,
    rows_of_folders,
    unlabelled_images,
)
from mmtk.components.source._folder_masks import Masks, find_masks
from mmtk.components.source._folder_pattern import FolderPattern, folder_pattern
from mmtk.components.source._folder_row import Column, Row
from mmtk.components.source._folder_table import TableReader
from mmtk.components.source._mask_names import Affixes, MaskFinder, beside_images
from mmtk.components.source._mask_table import TableMaskFinder, named_masks
from mmtk.components.source._sides import sides
from mmtk.components.source._splitting import PARTS, SHARES, VAL_OF_TRAIN, class_and_mask_strata, split_by_patient
from mmtk.components.source._words import EMPTY
from mmtk.counts import counted, share
from mmtk.errors import listing, nearest
from mmtk.images.files import find_images, is_unread_image, unread_sentence, without_results
from mmtk.images.loader import read_metadata, read_spacing

FOLDERS = "folders"


class Folder(Source):
    """Your own images: a folder, with classes in a CSV table or masks in a second folder.

    images: folder of images (png, jpeg, tiff, dicom, …), relative to the data folder or absolute; or a pattern
        such as "*/images", where * stands for any folder, with "*/masks" for masks.
    labels: CSV table with the columns image, label and optionally patient, split (train, val, test), spacing
        (mm per pixel, or spacing_row and spacing_col); other columns are metadata. Or "folders": the class is the
        folder directly below ``images``, or below train, val and test there; without val, an
        eighth of train. Needed for classes. An empty label is
        an unlabelled image, for train only.
    masks: folder of masks named like their images: one file per image, one sub-folder of files per channel, or
        files with one colour channel, page or plane (.npy) per class. Or outlines of COCO, VIA (a .json file),
        LabelMe (*.json) or CVAT (.xml), a folder of YOLO polygons (.txt), or a table (.csv) of run lengths; or a
        table with the columns image and mask, or image and a column for each channel, for masks with names of
        their own (paths from the folder of images). An image without a mask is unlabelled, for train only.
    classes: order of the classes or channels. Default: sorted.
    exclusive: masks are label maps with the numbers of ``classes``; 0 is the background, 255 is ignored.
    values: what stands for each of ``classes`` in label maps where it is not 0, 1, 2, …: numbers such as
        [0, 127, 255], or colours such as ["#000000", "#ff0000"].
    swap: pairs of channels that a horizontal flip exchanges, such as [["left lung", "right lung"]].
    columns: what the table's columns are called, such as {image = "Image Index", label = "Finding Labels"}; ""
        for none.
    both_tasks: the films serve both tasks, which share one split: write the same ``images``, ``labels`` and
        ``masks`` for both. A film then needs a class or a mask to be in val or test.
    unlabelled: folder of more images, without labels, for train only.
    patient_pattern: regular expression with one group, the patient, searched in an image's path below ``images``.
    one_image_per_patient: every image without a named patient is the only one of its patient, so that intervals
        speak of patients; refused where a named patient has several images.
    mask_suffix: what a mask's name has behind that of its image, such as "_mask"; or one for each of ``classes``,
        whose masks then lie in one folder: ["_heart", "_left_lung"].
    mask_prefix: what a mask's name has before that of its image.
    image_suffix: what an image's name has behind that of its mask, such as "_0000".
    image_prefix: what an image's name has before that of its mask.
    resize_masks: masks of another size than their images are scaled to them, by nearest neighbours.
    unmatched_masks: "ignore" leaves out masks without an image, and those of one that lacks another channel's;
        by default both are refused by name.
    metadata: columns of the table that results carry for every image; by default all that have no other use, but
        for those whose name speaks of a person, dates, and free text. A DICOM header adds age, sex, view,
        manufacturer and site.
    unlisted_images: "ignore" leaves out images without a row in the table; by default they are refused by name.

    Without a split column, 70 / 10 / 20 % of the images of each class, whole patients, in hash order. A patient
    is what the table says, else the pattern, else the DICOM header; else every image is a patient of its own.
    ``notes`` says what was assumed.
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
        columns: dict[Column, str] | None = None,
        both_tasks: bool | None = None,
        unlabelled: str | None = None,
        patient_pattern: str | None = None,
        one_image_per_patient: bool | None = None,
        mask_suffix: str | tuple[str, ...] | None = None,
        mask_prefix: str | None = None,
        image_suffix: str | None = None,
        image_prefix: str | None = None,
        values: tuple[int | str, ...] | None = None,
        unmatched_masks: Literal["refuse", "ignore"] | None = None,
        resize_masks: bool | None = None,
        unlisted_images: Literal["refuse", "ignore"] | None = None,
        metadata: tuple[str, ...] | None = None,
    ) -> None:
        self.notes: list[str] = []
        self._task, self._classes, self._exclusive, self._both = task, classes, exclusive, bool(both_tasks)
        self._values, self._unmatched = values or (), unmatched_masks or "refuse"
        self._resize_masks = bool(resize_masks)
        self._folder, self._by_folders = folder_pattern(root, images), labels == FOLDERS
        self._mask_folder = folder_pattern(root, masks) if masks else None
        self._named_masks = {path for _, path in named_masks(self._mask_folder, self._folder)}
        endings = (mask_suffix,) if isinstance(mask_suffix, str) else mask_suffix or ("",)
        self._affixes = Affixes(image_prefix or "", image_suffix or "", mask_prefix or "", endings)
        self._folder.images()
        self._check_keys(labels, masks)
        extra_folder = folder_pattern(root, unlabelled) if unlabelled else None
        self._unlisted, self._metadata = unlisted_images or "refuse", metadata
        paths = self._images(extra_folder)
        extra = unlabelled_images(extra_folder, paths) if extra_folder else {}
        table = folder_pattern(root, labels).base if labels not in ("", FOLDERS) else None
        rows = self._rows(paths, extra, table, labels, columns or {})
        paths = {name: path for name, path in paths.items() if name in rows}
        files = paths | extra
        bases = dict.fromkeys(paths, self._folder.base) | dict.fromkeys(extra, (extra_folder or self._folder).base)
        names, targets = self._targets(paths, extra, rows, table)
        pairs = tuple((_index(one, names), _index(other, names)) for one, other in swap)
        if task == "segmentation" and not swap and (mirrored := sides(names)):
            keys = ", ".join(f'["{one}", "{other}"]' for one, other in mirrored)
            self.notes.append(f"a flipped image keeps the sides of its masks: swap = [{keys}] exchanges them.")
        self.labels = LabelSpec(task, names, exclusive=exclusive or task == "classification", swap=pairs)
        self.one_image_per_patient = bool(one_image_per_patient)
        patients = patients_of(files, bases, rows, patient_pattern, [] if one_image_per_patient else self.notes)
        if one_image_per_patient:
            check_single(patients)
        items = [
            Item(
                name,
                path,
                targets.get(name),
                patients[name],
                rows[name].spacing or read_spacing(path),
                {**read_metadata(path), **rows[name].metadata},
            )
            for name, path in files.items()
        ]
        self.has_split = any(row.split for row in rows.values())
        self._parts = _layout.Parts(Path(root), self._split(items, rows), (table,) if table else ())

    def items(self, split: Split) -> list[Item]:
        """Ids are the file stems, or the paths without suffix where stems repeat."""
        if split == "train" and self.labels.task == "classification":
            check_classes(self._parts.items("all"), self.labels, self._folder)
        if split != "all" and not self.has_split:
            check_split(self._parts.parts, self.labels, self._folder)
        return self._parts.items(split)

    def mask(self, item: Item) -> np.ndarray:
        """[K,H,W], one channel per class or sub-folder; uint8 in {0, 1}, 255 where a label map says so."""
        assert self._masks is not None
        return self._masks.read(item)

    def digest(self) -> str:
        """SHA-256 of files, labels and keys."""
        target = self.labels
        return self._parts.digest(names=target.names, exclusive=target.exclusive, swap=target.swap)

    def files(self) -> list[Path]:
        """The table, all images and all masks."""
        return self._parts.files()

    def _check_keys(self, labels: str, masks: str) -> None:
        if self._task == "classification" and not labels:
            raise MmtkError(
                "labels: missing. Classes need a CSV table with the columns image and label, "
                'or "folders" where each class is a folder.'
            )
        if self._task == "segmentation" and not masks:
            raise MmtkError("masks: missing. Segmentation needs a folder of masks named like the images.")
        if self._both and not (labels and masks):
            raise MmtkError(
                f"both_tasks: needs labels and masks; {'masks' if labels else 'labels'} is missing.",
                hint="Write the same images, labels and masks into the sources of both tasks.",
            )

    def _images(self, extra_folder: FolderPattern | None) -> dict[str, Path]:
        """Paths by id of all images but masks and unlabelled ones that lie among them."""
        other_folders = [
            folder for folder in (extra_folder, self._mask_folder) if folder and folder != self._folder
        ]
        inner = [folder for folder in other_folders if folder.lies_in(self._folder)]
        unread = [
            path
            for path in find_images(self._folder.base, is_unread_image)
            if self._folder.holds(path) and not self._holds_mask(path)
        ]
        self.notes += [f"left out: {sentence}"] if (sentence := unread_sentence(unread)) else []
        paths = without_results(self._folder.images(), self.notes)
        paths = [path for path in paths if not any(folder.holds(path) for folder in inner)]
        if self._named_masks:
            paths = [path for path in paths if Path(os.path.abspath(path)) not in self._named_masks]
        if self._mask_folder == self._folder:
            paths = [path for path in paths if not self._affixes.is_mask(_layout.stem(path))]
            self.notes += beside_images([_layout.stem(path) for path in paths])
        if not paths:
            raise MmtkError("no images in it beside masks, unlabelled ones and mmtk's own.", str(self._folder))
        return images_by_id(paths, self._folder)

    def _holds_mask(self, path: Path) -> bool:
        """Whether a file that is no image lies among the masks and is read as one."""
        among_masks = self._mask_folder is not None and self._mask_folder.holds(path)
        return among_masks and path.suffix.lower() in _layout.MASK_SUFFIXES

    def _rows(
        self,
        images: Mapping[str, Path],
        extra: Mapping[str, Path],
        table: Path | None,
        labels: str,
        columns: Mapping[Column, str],
    ) -> dict[str, Row]:
        rows = dict.fromkeys(images, Row())
        if labels == FOLDERS:
            classes = self._classes if self._task == "classification" else ()
            rows = rows_of_folders(images, self._folder, classes, self.notes)
        elif table:
            needs_label = self._task == "classification"
            classes = self._classes if needs_label else ()
            ignore = self._unlisted == "ignore"
            reader = TableReader(columns, classes, needs_label, self._both, self.notes, ignore, self._metadata)
            rows = reader.read(table, self._folder, images, extra)
        split = any(row.split for row in rows.values())
        for name in extra:
            row = rows.get(name, Row())
            rows[name] = Row("", row.patient, "train" if split else "", row.spacing, row.metadata)
        return rows

    def _targets(
        self, images: Mapping[str, Path], extra: Mapping[str, Path], rows: Mapping[str, Row], table: Path | None
    ) -> tuple[tuple[str, ...], dict[str, object]]:
        """Names of classes or channels, and the target of every labelled image."""
        self._masks: Masks | None = None
        if self._mask_folder and (self._task == "segmentation" or self._both):
            ignore = self._unmatched == "ignore"
            kind = TableMaskFinder if self._named_masks else MaskFinder
            finder = kind(self._folder, images, extra, self._affixes, ignore, self.notes, self._resize_masks)
            organs = self._classes if self._task == "segmentation" else ()
            self._masks = find_masks(self._mask_folder, finder, organs, self._exclusive, self._values)
        if self._task == "classification":
            names = class_names(rows, self._classes, table or self._folder.base)
            return names, {name: names.index(row.label) for name, row in rows.items() if row.label}
        assert self._masks is not None
        hidden = set() if self._both else {name for name in images if rows[name].label == ""}
        files_of = {name: paths for name, paths in self._masks.files.items() if name not in hidden}
        if unused := len(self._masks.files) - len(files_of):
            self.notes.append(
                f"{counted(unused, 'mask is', 'masks are')} not used, because the table has no label for "
                f"{'its image' if unused == 1 else 'their images'}."
            )
        if lacking := [name for name in images if name not in self._masks.files and name not in hidden]:
            without = share(len(lacking), len(images), "image", "has", "have")
            self.notes.append(f"{without} no mask: unlabelled, for training alone.")
        return self._masks.names, dict(files_of)

    def _split(self, items: list[Item], rows: Mapping[str, Row]) -> dict[Split, list[Item]]:
        """Split the items; images without a label are in train alone, or left out where their part is scored."""
        if self.has_split:
            parts = {part: [item for item in items if rows[item.id].split == part] for part in PARTS}
            if self._by_folders and parts["train"] and not parts["val"]:  # folders cannot leave the split out
                parts |= split_by_patient(parts["train"], VAL_OF_TRAIN) | {"test": parts["test"]}
                self.notes.append(f"no folder val: {counted(len(parts['val']), 'image')} of train taken for it.")
        else:
            strata = self._strata(items, rows) if self._both else None
            parts = split_by_patient(items, SHARES, strata)
        for part in SHARES:
            parts[part] = [item for item in parts[part] if item.target is not None]
        left_out = len(items) - sum(map(len, parts.values()))
        if left_out:
            self.notes.append(
                f"{counted(left_out, 'image')} without a label for {self._task} left out: of val, of test, or of "
                "their patients."
            )
        return parts

    def _strata(self, items: list[Item], rows: Mapping[str, Row]) -> dict[str, int]:
        """Strata by id of every image with a class or a mask, the same for both tasks."""
        assert self._masks is not None
        # What may be a class in one task and an empty cell in the other must not decide.
        labels = {name: row.label for name, row in rows.items() if (row.label or "-").casefold() not in EMPTY}
        patients = {item.id: item.patient for item in items}
        class_of = {name: label for name, label in labels.items() if label and name in patients}
        masked = [name for name in self._masks.files if name in patients]
        return class_and_mask_strata(class_of, masked, patients)


def _index(name: str, names: tuple[str, ...]) -> int:
    if name not in names:
        raise MmtkError(f"swap: no channel '{name}'.{nearest(name, names)} Known: {listing(names)}.")
    return names.index(name)
