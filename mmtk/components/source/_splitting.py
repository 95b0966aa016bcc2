"""Train, val and test in hash order: random to the eye, the same everywhere. No torch."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from mmtk.io.spelling import folded_word

if TYPE_CHECKING:
    from mmtk.api import Item, Split

PARTS: tuple[Split, ...] = ("train", "val", "test")
SHARES: Mapping[Split, float] = {"test": 0.2, "val": 0.1}
VAL_OF_TRAIN: Mapping[Split, float] = {"val": 0.125}  # as one of eight tenths
SPLIT_SALT = "mmtk-split-v1/"


def person(patient: str, image_id: str) -> str:
    """Patient of an image, in one spelling: systems write one in capitals, small or wide letters, as 7 or 7,0.

    An image without a patient, which stands for itself, keeps its name. ``0007`` is 7, too.
    """
    if patient == image_id:
        return patient
    folded = folded_word(patient)
    number = re.fullmatch(r"0*(\d+)(?:[.,]0+)?", folded)
    return number[1] if number else folded


def one_spelling(patients: Mapping[str, str]) -> dict[str, str]:
    """Patients by image, each in the spelling that comes first."""
    spellings: dict[str, str] = {}
    return {name: spellings.setdefault(person(patient, name), patient) for name, patient in patients.items()}


def are_numbered(patients: Collection[str]) -> bool:
    """Whether patients are numbered from 1 on, as any hospital numbers its own: they say nothing of another's."""
    names = {*patients}
    return bool(names) and all(name.isdecimal() and int(name) <= 3 * len(names) for name in names)


def hash_order(ids: Iterable[str]) -> list[str]:
    """Ids in the order of SHA-256 of ``"mmtk-split-v1/" + id``: random to the eye, the same everywhere."""
    return sorted(
        ids, key=lambda name: hashlib.sha256((SPLIT_SALT + name).encode(errors="surrogateescape")).digest()
    )


def split_by_size(items: Iterable[Item], sizes: Sequence[int]) -> dict[Split, list[Item]]:
    """Split into train, val and test in hash order, in these sizes; an incomplete set in the same proportions."""
    by_id = {item.id: item for item in items}
    ordered = [by_id[name] for name in hash_order(by_id)]
    first, second = (round(len(ordered) * sum(sizes[:end]) / sum(sizes)) for end in (1, 2))
    return {"train": ordered[:first], "val": ordered[first:second], "test": ordered[second:]}


def patients_by_stratum(strata_of: Mapping[str, int], patients: Mapping[str, str]) -> dict[int, list[str]]:
    """Patients by stratum: each counts for the most frequent one of his images, of equal ones the first.

    Both arguments are by id; images without a stratum do not count.
    """
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for name, patient in patients.items():
        if name in strata_of:
            counts[patient][strata_of[name]] += 1
    strata: dict[int, list[str]] = defaultdict(list)
    for patient, images in counts.items():
        strata[min(images, key=lambda stratum: (-images[stratum], stratum))].append(patient)
    return dict(strata)


def split_by_patient(
    items: Iterable[Item], shares: Mapping[Split, float], strata_of: Mapping[str, int] | None = None
) -> dict[Split, list[Item]]:
    """Split whole patients in hash order, per class, until each part has its share of images; the rest is train.

    A patient counts for the most frequent class of his images. Three patients of a class are enough for
    three parts. Unlabelled images go to train, but those of a val or test patient are left out. ``strata_of``
    says by id which stratum stands in place of the class; images without one are the unlabelled ones.
    """
    items = list(items)
    if strata_of is None:
        labelled = [item for item in items if item.target is not None]
        strata_of = {item.id: item.target if isinstance(item.target, int) else 0 for item in labelled}
    of: dict[str, list[Item]] = defaultdict(list)
    unlabelled: list[Item] = []
    patient_of = one_spelling({item.id: item.patient for item in items})
    for item in items:
        (of[patient_of[item.id]] if item.id in strata_of else unlabelled).append(item)
    strata = patients_by_stratum(strata_of, patient_of)
    parts: dict[Split, list[Item]] = {part: [] for part in PARTS}
    for _, patients in sorted(strata.items()):
        waiting = hash_order(patients)
        total = sum(len(of[patient]) for patient in patients)
        for later, (part, share) in enumerate(shares.items()):
            must_stay = len(shares) - later  # at least one patient for each part still to come, and for train
            image_count = 0
            while image_count < max(1, round(share * total)) and len(waiting) > must_stay:
                images = of[waiting.pop(0)]
                image_count += len(images)
                parts[part] += images
        parts["train"] += [image for patient in waiting for image in of[patient]]
    held_out = {patient_of[item.id] for part in shares for item in parts[part]}
    parts["train"] += [item for item in unlabelled if patient_of[item.id] not in held_out]
    return parts


def class_and_mask_strata(
    labels: Mapping[str, str], masked: Collection[str], patients: Mapping[str, str]
) -> dict[str, int]:
    """Strata by id of every image with a class or a mask: by class, then by mask.

    ``labels`` and ``patients`` are by id. A class with fewer than three patients with, or without, a mask is one
    stratum.
    """
    kinds = {name: (labels.get(name, ""), name in masked) for name in {*labels, *masked}}
    counts = Counter(kind for kind, _ in {(kind, patients[name]) for name, kind in kinds.items()})
    small = {label for label, _ in counts if min(counts[label, True], counts[label, False]) < 3}
    strata = {name: (label, mask and label not in small) for name, (label, mask) in kinds.items()}
    numbers = {kind: number for number, kind in enumerate(sorted({*strata.values()}))}
    return {name: numbers[kind] for name, kind in strata.items()}
