"""Parts of films: checks of the split of the source ``folder``, and other splits where it fails."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
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
from mmtk.data.plan.films import Film

if TYPE_CHECKING:
    from mmtk.api import Item, Split

FEWEST = 3  # patients of a class, one for each part


def rare_classes(films: Mapping[str, Film]) -> list[str]:
    """Classes of fewer patients than there are parts."""
    patients = {(film.label, film.patient or path) for path, film in films.items() if film.label}
    counts = Counter(label for label, _ in patients)
    return sorted(label for label, count in counts.items() if label and count < FEWEST)


def splits_by_itself(films: Mapping[str, Film], masked: Collection[str] = ()) -> bool:
    """Whether the split of the source brings every class, and a mask, into every part.

    A patient counts for the class of most of his films, of equal ones for the first; with ``masked``, films with
    a mask of a set that serves both tasks, for class and mask together.
    """
    patients = {path: film.patient or path for path, film in films.items()}
    labels = {path: film.label for path, film in films.items() if film.label}
    order = words.class_order({*labels.values()})
    strata = (
        class_and_mask_strata(labels, masked, patients)
        if masked
        else {path: order.index(label) for path, label in labels.items()}
    )
    sizes = {number: len(members) for number, members in patients_by_stratum(strata, patients).items()}
    large = {path for path, number in strata.items() if sizes.get(number, 0) >= FEWEST}
    return {*order} == {labels[path] for path in large & labels.keys()} and (not masked or bool(large & {*masked}))


def draw_parts(films: Mapping[str, Film], masked: Collection[str] = ()) -> bool:
    """Draw parts such that each has all classes, and masks; whole patients, in hash order.

    Return False, and change nothing, where no such split is found.
    """
    labels_of: dict[str, set[str]] = defaultdict(set)
    for path, film in films.items():
        labels = {f"class {film.label}"} if film.label else set()
        labels_of[film.patient or path] |= labels | ({"mask"} if path in masked else set())
    patients = hash_order(patient for patient, labels in labels_of.items() if labels)
    counts = Counter(label for patient in patients for label in labels_of[patient])
    part_of: dict[str, Split] = {}
    for label, _ in sorted(counts.items(), key=lambda item: (item[1], item[0])):
        for part in PARTS:
            _cover(part, label, patients, labels_of, part_of)
    for part, share in SHARES.items():
        lacking = round(share * len(patients)) - [*part_of.values()].count(part)
        free = [patient for patient in patients if patient not in part_of]
        part_of |= dict.fromkeys(free[: max(0, lacking)], part)
    for patient in labels_of:
        part_of.setdefault(patient, "train")
    present = {(part_of[patient], label) for patient in patients for label in labels_of[patient]}
    if len(present) < len(PARTS) * len(counts):
        return False
    for path, film in films.items():
        film.split = part_of[film.patient or path]
    return True


def _cover(
    part: Split, label: str, patients: Sequence[str], labels_of: Mapping[str, set[str]], part_of: dict[str, Split]
) -> None:
    """Put a patient with ``label`` into a part that has none, of those without a part the one of fewest labels."""
    free = [patient for patient in patients if patient not in part_of and label in labels_of[patient]]
    if free and not any(label in labels_of[patient] for patient, other in part_of.items() if other == part):
        part_of[min(free, key=lambda patient: len(labels_of[patient]))] = part


def complete_parts(films: Mapping[str, Film], labelled: Collection[str], folders: bool) -> str:
    """Fill parts of the data that have no labelled film; return the reason, "" where nothing is changed.

    ``folders``: the parts are folders, of which the source itself takes a part of train where val is missing.
    """
    part_counts = Counter(films[path].split for path in labelled)
    lacking = [part for part in PARTS if not part_counts[part]]
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
    moved_items = split_by_patient(cast("list[Item]", items), share)[part]
    patients = {item.patient for item in moved_items}
    for path, film in films.items():
        if film.split == "train" and (film.patient or path) in patients:
            film.split = part
        elif path not in labelled and film.split == part:
            film.split = "train"
    return f"no labelled film is in {part}: {len(moved_items)} of those in train are taken for it"
