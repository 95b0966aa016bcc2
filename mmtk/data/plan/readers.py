"""Masks that several readers drew of the same films, of which one is taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from mmtk.components.source._sides import mirrored
from mmtk.data.plan import words
from mmtk.errors import MmtkError

READERS = {
    *(
        "reader",
        "rater",
        "observer",
        "annotator",
        "radiologist",
        "expert",
        "doctor",
        "dr",
        "physician",
        "reviewer",
    ),
    *(
        "leser",
        "befunder",
        "arzt",
        "ärztin",
        "radiologe",
        "radiologin",
        "gutachter",
        "lecteur",
        "médecin",
        "lector",
    ),
    *("lettore", "observador", "medico", "médico", "врач", "医师", "医生", "読影者"),
}
SHORT = {"rad", "r", "obs", "annot"}  # rad_id, R1
AGREED = {
    *("consensus", "final", "gt", "gold", "groundtruth", "truth", "reference", "agreed", "approved", "staple"),
    *(
        "majority",
        "corrected",
        "konsens",
        "konsensus",
        "konsensuell",
        "referenz",
        "korrigiert",
        "consenso",
        "accord",
    ),
}
SAMPLES = 4
ALIKE = 0.7  # shared part of two masks that mean the same


def are_readers(root: Path, masks: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether groups of masks are of one thing: by words for readers, or because the masks nearly agree.

    root: of the folder
    masks: path by film, of each group by its name

    Names that speak of an organ or of a side are organs.
    """
    names = {name: {*words.plain(name).split()} for name in masks}
    if any(words.organ(name) or mirrored(name) != name for name in masks) or not share_films(masks):
        return False
    if all(_without_numbers(name) & (READERS | AGREED) for name in names.values()):
        return True
    first, *others = masks.values()
    return all(_agree(root, first, other) for other in others)


def share_films(masks: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether each group has masks of the same films as the largest, at least of half of those that it has."""
    largest = {*max(masks.values(), key=len)}
    return all(2 * len(largest & {*films}) >= max(1, len(films)) for films in masks.values())


def has_agreed(name: str) -> bool:
    """Whether masks, or a column of labels, are called those that readers agreed on."""
    return bool(_without_numbers(words.plain(name).split()) & AGREED)


def is_of_reader(name: str) -> bool:
    """Whether a column is called after a reader: ``rad_id``, ``Reader 2``, ``R1``."""
    name_words = _without_numbers(words.plain(name).split()) - {""}
    return bool(name_words & READERS) or (bool(name_words & SHORT) and name_words <= SHORT | {"id", "no", "name"})


def _without_numbers(name_words: Collection[str]) -> set[str]:
    return {word.rstrip("0123456789") for word in name_words}


def _agree(root: Path, one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    films = sorted({*one} & {*other})
    samples = films[:: max(1, len(films) // SAMPLES)][:SAMPLES]
    agreements = Counter(_overlap(root / one[film], root / other[film]) >= ALIKE for film in samples)
    return agreements[True] > agreements[False]


def _overlap(one: Path, other: Path) -> float:
    """Shared part of two masks, from 0 to 1; 0 where they cannot be compared."""
    from mmtk.images.loader import read_labels

    try:
        first, second = (read_labels(path) for path in (one, other))
    except MmtkError:
        return 0
    if first.shape != second.shape:
        return 0
    inside, other_inside = (labels > labels.max() / 8 for labels in (first, second))
    return float((inside & other_inside).sum() / max(1, np.count_nonzero(inside | other_inside)))
