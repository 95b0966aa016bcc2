"""Images of the folder source: files, ids and patients."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from mmtk.components.source._folder_pattern import FolderPattern
from mmtk.components.source._folder_row import Row
from mmtk.components.source._layout import stem
from mmtk.components.source._part_words import part_of_folder
from mmtk.components.source._words import EMPTY
from mmtk.counts import counted, share
from mmtk.errors import MmtkError, listing
from mmtk.images.loader import read_patient

UNLABELLED_FOLDERS = {"unlabelled", "unlabeled"}


def images_by_id(paths: Iterable[Path], folder: FolderPattern) -> dict[str, Path]:
    """Paths by id: the stem, or the path within the folder without suffix where stems repeat."""
    paths = list(paths)
    stems = Counter(stem(path) for path in paths)
    names: dict[str, Path] = {}
    for path in paths:
        name = stem(path) if stems[stem(path)] == 1 else folder.inside(path)
        if (other := names.setdefault(name, path)) != path:
            message = f"two images are called {name}: {other.name} and {path.name}."
            raise MmtkError(message, str(folder), "Rename one of them, or keep one.")
    return names


def unlabelled_images(folder: FolderPattern, images: Mapping[str, Path]) -> dict[str, Path]:
    """Paths by id of a folder for training alone; an id of ``images`` gets the folder's name before it."""
    names: dict[str, Path] = {}
    for name, path in images_by_id(folder.images(), folder).items():
        names[f"{folder.name}/{folder.inside(path)}" if name in images else name] = path
    return names


def rows_of_folders(
    images: Mapping[str, Path], folder: FolderPattern, classes: Iterable[str], notes: list[str]
) -> dict[str, Row]:
    """Rows by id from the folders that the images lie in: ``CLASS/…`` or ``train/CLASS/…``."""
    parents_of = {name: folder.inside(path).split("/")[:-1] for name, path in images.items()}
    top = {parents[0] for parents in parents_of.values() if parents}
    split = {name for name in top if part_of_folder(name)}
    if split and split != top:
        raise MmtkError(
            f"folders of parts ({listing(split)}) beside folders of classes ({listing(top - split, 5)}).",
            str(folder),
            "Either all images lie in train, val and test, each with folders of classes, or none.",
        )
    rows: dict[str, Row] = {}
    loose = [name for name, parents in parents_of.items() if len(parents) < (2 if split else 1)]
    if loose:
        raise MmtkError(
            f"{counted(len(loose), 'image lies', 'images lie')} in no folder of a class: {listing(loose, 5)}.",
            str(folder),
            'labels = "folders" takes the folder directly below images for the class. '
            'Images without a class: unlabelled = "FOLDER".',
        )
    blank: Counter[str] = Counter()
    for name, parents in parents_of.items():
        label, part = (parents[1], part_of_folder(parents[0]) or "") if split else (parents[0], "")
        if label.casefold() in EMPTY | UNLABELLED_FOLDERS and label not in {*classes}:
            blank[label] += 1
            label = ""
        rows[name] = Row(label, split=part)
    for label, count in sorted(blank.items()):
        notes.append(f"{counted(count, 'image')} in folders called '{label}' counted as unlabelled.")
    if split:
        notes.append(f"the parts are those of the folders {listing(split)}.")
    return rows


def patients_of(
    images: Mapping[str, Path],
    bases: Mapping[str, Path],
    rows: Mapping[str, Row],
    pattern: str | None,
    notes: list[str],
) -> dict[str, str]:
    """Patients by id: from the table, the pattern of the path, the DICOM header; else each image is its own."""
    expression = _expression(pattern) if pattern else None
    patients: dict[str, str] = {}
    unmatched: list[str] = []
    unknown: list[str] = []
    for name, path in images.items():
        patient = rows[name].patient
        if not patient and expression:
            within = path.relative_to(bases[name]).as_posix()
            match = expression.search(within)
            patient = match[1] if match and match[1] else ""
            if not patient:
                unmatched.append(within)
        patient = patient or read_patient(path)
        if not patient:
            unknown.append(name)
        patients[name] = patient or name
    if unmatched:
        raise MmtkError(
            f"patient_pattern: finds no patient in {share(len(unmatched), len(images), 'path')}: "
            f"{listing(unmatched, 5)}.",
            hint="It is searched in the path below the folder of images, with suffix.",
        )
    if unknown:
        some = share(len(unknown), len(images), "image")
        notes.append(f"the patients of {some} are not known: each image counts as a patient of its own.")
    return patients


def check_single(patients: Mapping[str, str]) -> None:
    """Refuse patients of several images, for sources that declare one image per patient."""
    counts = Counter(patients.values())
    if several := [f"{patient} ({count})" for patient, count in sorted(counts.items()) if count > 1]:
        raise MmtkError(
            f"one_image_per_patient: {counted(len(several), 'patient has', 'patients have')} several images: "
            f"{listing(several, 5)}.",
            hint="Leave the key out: patients come from the table, the pattern or the DICOM header.",
        )


def _expression(pattern: str) -> re.Pattern[str]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise MmtkError(f"patient_pattern: '{pattern}' is not a regular expression: {error}.") from error
    if expression.groups != 1:
        raise MmtkError(
            f"patient_pattern: '{pattern}' has {counted(expression.groups, 'group')}, not one.",
            hint="The group is the patient, as in '^(p[0-9]+)_'; (?:…) groups without being one.",
        )
    return expression
