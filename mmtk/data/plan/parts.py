"""Whether the films can be split as the source ``folder`` does it, and what to change where they cannot. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from mmtk.components.source._splitting import (
    PARTS,
    SHARES,
    VAL_OF_TRAIN,
    class_and_mask_strata,
    hash_order,
    patients_by_stratum,
    split_by_patient,
)
from mmtk.data.plan import words
from mmtk.data.plan.labels import Film

if TYPE_CHECKING:
    from mmtk.api import Item, Split

FEWEST = 3  # patients of a class, one for each part


def rare_classes(films: Mapping[str, Film]) -> list[str]:
    """The classes of fewer patients than there are parts."""
    patients = {(film.label, film.patient or path) for path, film in films.items() if film.label}
    counts = Counter(label for label, _ in patients)
    return sorted(label for label, count in counts.items() if label and count < FEWEST)


def splits_by_itself(films: Mapping[str, Film], masked: Collection[str] = ()) -> bool:
    """Whether the split of the source brings every class, and a mask, into every part.

    There a patient counts for the class of most of his films, of equal ones for the first; with ``masked``, the
    films with a mask of a set that serves both tasks, for class and mask together.
    """
    patients = {path: film.patient or path for path, film in films.items()}
    labels = {path: film.label for path, film in films.items() if film.label}
    order = words.class_order({*labels.values()})
    strata = (
        class_and_mask_strata(labels, masked, patients)
        if masked
        else {path: order.index(label) for path, label in labels.items()}
    )
    sizes = {number: len(each) for number, each in patients_by_stratum(strata, patients).items()}
    large = {path for path, number in strata.items() if sizes.get(number, 0) >= FEWEST}
    return {*order} == {labels[path] for path in large & labels.keys()} and (not masked or bool(large & {*masked}))


def draw_parts(films: Mapping[str, Film], masked: Collection[str] = ()) -> bool:
    """Write a part into every film such that each has all classes, and masks; whole patients, in hash order.

    False, and nothing is changed, where no such split was found.
    """
    has: dict[str, set[str]] = defaultdict(set)
    for path, film in films.items():
        marks = {f"class {film.label}"} if film.label else set()
        has[film.patient or path] |= marks | ({"mask"} if path in masked else set())
    waiting = hash_order(patient for patient, marks in has.items() if marks)
    wanted = Counter(mark for patient in waiting for mark in has[patient])
    part_of: dict[str, Split] = {}

    def take(part: Split, mark: str) -> None:
        free = [patient for patient in waiting if patient not in part_of and mark in has[patient]]
        if free and not any(mark in has[patient] for patient, each in part_of.items() if each == part):
            part_of[min(free, key=lambda patient: len(has[patient]))] = part

    for mark, _ in sorted(wanted.items(), key=lambda each: (each[1], each[0])):
        for part in PARTS:
            take(part, mark)
    for part, share in SHARES.items():
        lacking = round(share * len(waiting)) - sum(each == part for each in part_of.values())
        for patient in [each for each in waiting if each not in part_of][: max(0, lacking)]:
            part_of[patient] = part
    for patient in has:
        part_of.setdefault(patient, "train")
    present = {(part_of[patient], mark) for patient in waiting for mark in has[patient]}
    if len(present) < len(PARTS) * len(wanted):
        return False
    for path, film in films.items():
        film.split = part_of[film.patient or path]
    return True


def complete_parts(films: Mapping[str, Film], labelled: Collection[str], folders: bool) -> str:
    """Fill the parts that the data give but that have no labelled film; why, or "" where nothing was changed.

    ``folders``: the parts are folders, of which the source itself takes a part of train where val is missing.
    """
    given = Counter(films[path].split for path in labelled)
    lacking = [part for part in PARTS if not given[part]]
    if not any(film.split for film in films.values()) or not lacking or (folders and lacking == ["val"]):
        return ""
    if len(lacking) > 1 or lacking == ["train"]:
        for film in films.values():
            film.split = ""
        return f"no labelled film is in {' or '.join(lacking)}: the parts are drawn anew"
    (part,) = lacking
    share: Mapping[Split, float] = VAL_OF_TRAIN if part == "val" else {"test": SHARES["test"]}
    order = words.class_order({film.label for film in films.values() if film.label})
    train = [path for path in labelled if films[path].split == "train"]
    items = [
        SimpleNamespace(
            id=path,
            patient=films[path].patient or path,
            target=order.index(films[path].label or "") if films[path].label else len(order),
        )
        for path in train
    ]
    drawn = split_by_patient(cast("list[Item]", items), share)[part]
    patients = {item.patient for item in drawn}
    for path, film in films.items():
        if film.split == "train" and (film.patient or path) in patients:
            film.split = part
        elif path not in labelled and film.split == part:
            film.split = "train"
    return f"no labelled film is in {part}: {len(drawn)} of those in train are taken for it"
