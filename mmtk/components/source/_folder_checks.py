"""Classes and parts of the folder source: what cannot be learned, scored or told apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from mmtk.api import Item, LabelSpec, MmtkError, Split
from mmtk.components.source._folder_pattern import FolderPattern
from mmtk.components.source._folder_row import Row
from mmtk.components.source._splitting import PARTS
from mmtk.errors import listing, nearest
from mmtk.io.spelling import folded_word


def class_names(rows: Mapping[str, Row], classes: tuple[str, ...], location: Path) -> tuple[str, ...]:
    """Class names in order, at least two; a class of ``classes`` may be absent."""
    used = {row.label for row in rows.values() if row.label}
    if not used:
        raise MmtkError(
            "has no label: every cell of its column is empty.",
            str(location),
            "Fill in the classes that are known.",
        )
    if not classes:
        _refuse_alike(used, location)
    names = classes or tuple(sorted(used))
    for label in sorted(used - {*names}):
        raise MmtkError(
            f"the class '{label}' is not among classes.{nearest(label, names)} Known: {listing(names)}.",
            str(location),
        )
    if len(names) < 2:
        raise MmtkError(f"has one class only ('{names[0]}'): there is nothing to tell apart.", str(location))
    return names


def _refuse_alike(labels: Iterable[str], location: Path) -> None:
    """Refuse classes that differ in case, spaces or a .0 alone, where the recipe does not name them."""
    spellings: dict[str, list[str]] = {}
    for label in sorted(labels):
        spellings.setdefault(re.sub(r"(?<=\d)\.0+$", "", folded_word(label)), []).append(label)
    for alike in spellings.values():
        if len(alike) > 1:
            raise MmtkError(
                f"{listing(alike)} differ in {_difference(alike)} alone: are they one class?",
                str(location),
                f'Give them one spelling. If they are several classes, name all: classes = ["{alike[0]}", …].',
            )


def _difference(alike: Iterable[str]) -> str:
    """Name what parts the spellings of one word: what can be seen, or their codes alone."""
    spellings = {" ".join(label.casefold().split()) for label in alike}
    if len(spellings) == 1 or len({label.removesuffix(".0") for label in spellings}) == 1:
        return "case, spaces or .0"
    return f"signs that look alike ({listing(map(ascii, alike))})"


def check_classes(items: Iterable[Item], target: LabelSpec, folder: FolderPattern) -> None:
    """Refuse a class without any image: it may be scored, but not learned."""
    present = {item.target for item in items}
    absent = [name for number, name in enumerate(target.names) if number not in present]
    if absent:
        used = [name for name in target.names if name not in absent]
        raise MmtkError(f"no image of the class '{absent[0]}'. Found: {listing(used)}.", str(folder))


def check_split(parts: Mapping[Split, list[Item]], target: LabelSpec, folder: FolderPattern) -> None:
    """Refuse a part without an image of every class, or without a mask."""
    classes = target.task == "classification"
    for part in PARTS:
        present = {item.target if classes else 0 for item in parts[part] if item.target is not None}
        for number, name in enumerate(target.names if classes else ("a mask",)):
            if number not in present:
                raise MmtkError(
                    f"too few patients with {name} to split: none is left for {part}.{_one_for_many(parts)}",
                    str(folder),
                    "It takes three. Or say which image goes where in a column 'split' of the table.",
                )


def _one_for_many(parts: Mapping[Split, list[Item]]) -> str:
    """Sentence on a patient of half of the images, as all films have whose headers were made anonymous; or ""."""
    counts = Counter(item.patient for part in PARTS for item in parts[part])
    ((patient, count),) = counts.most_common(1) or [("", 0)]
    if count < 3 or 2 * count < counts.total():
        return ""
    return (
        f" Of {counts.total()} images, {count} are of the patient '{patient}': if that is no patient, name the "
        "patients in a column patient or by patient_pattern."
    )
