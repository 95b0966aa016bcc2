"""Verdicts of ``mmtk data inspect`` on a set: a sentence, and the cure of a fault."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmtk.api import Item, Source, Split
from mmtk.counts import counted, share
from mmtk.data import split_checks
from mmtk.data.leaks import Overlap, cure_of
from mmtk.data.mask_checks import MaskCheck
from mmtk.data.plan import words
from mmtk.data.split_checks import Role
from mmtk.data.store import SPLITS, ImageStore
from mmtk.errors import MmtkError, Problems, listing
from mmtk.images.loader import read_frame_count
from mmtk.tasks import TASKS

LEAST_SIDE = 16  # pixels
EVERYWHERE = {"lung", "heart", "clavicle", "rib", "trachea", "spine"}  # organs that every chest film shows
NEARLY_ALL = 0.95  # of all masks: so many empty ones leave nothing to learn
MOST_ELONGATED = 4  # long side by short side
INVERTED = ', or write exclusive = true, values = [255, 0], classes = ["background", "{}"]'
PATIENTS_CURE = (
    "Films of one person may lie in train and test. A column patient or patient_pattern says whose they are; "
    "one_image_per_patient = true that all are of different patients."
)


@dataclass(frozen=True)
class Verdict:
    """Verdict ``text`` on the set ``name``, with its ``cure``; ``refused``: training stops.

    One that is ``ok`` and has a cure leaves a doubt.
    """

    name: str
    ok: bool
    text: str
    cure: str = ""
    refused: bool = False

    @classmethod
    def of(cls, role: Role, error: MmtkError) -> Verdict:
        """Verdict of an error that training would end with."""
        if isinstance(error, Problems):
            text = "\n".join(problem.message for problem in error.problems)
        else:
            text = error.message if error.where in (None, str(role)) else f"{error.where}: {error.message}"
        return cls(role.name, False, text, error.hint or "", refused=True)


def on_items(role: Role, source: Source) -> list[Verdict]:
    """Faults of ids, patients and labels."""
    return _verdict_of_error(role, lambda: split_checks.check_items(role, source))


def on_parts(role: Role, source: Source, store: ImageStore) -> list[Verdict]:
    """Parts without images, labels or a class."""
    verdicts: list[Verdict] = []
    scored: tuple[Split, ...] = ("val", "test") if role.domain == "source" else (role.split,)
    for split in scored:
        try:
            notes = _part_notes(role, source, store, split)
        except MmtkError as error:
            verdicts.append(Verdict.of(role, error))
            continue
        verdicts += [
            _note(role, note, "Training goes on. Label them, or give the part other images.") for note in notes
        ]
    if role.domain == "source":
        train = [int(row) for row in store.rows([item.id for item in source.items("train")])]
        labelled = split_checks.labelled_rows(store, train)
        if not labelled:
            text = f"no training image has a label (of {len(train)})."
            verdicts.append(Verdict(role.name, False, text, "Training needs some labelled images.", refused=True))
        else:
            notes = split_checks.missing_classes(role, store, labelled, "train")
            verdicts += [
                _note(role, note, "Give training images of it, or leave the class out.") for note in notes
            ]
    return verdicts


def _part_notes(role: Role, source: Source, store: ImageStore, split: Split) -> list[str]:
    notes: list[str] = []
    rows = split_checks.scored_rows(role, source, store, split, notes)
    return notes + split_checks.missing_classes(role, store, rows, split)


def on_unreadable(role: Role, texts: list[str]) -> list[Verdict]:
    """Files that cannot be read, by name."""
    if not texts:
        return []
    cure = "Mend or remove them; with masks, each has the size of its image."
    text = f"{counted(len(texts), 'file')} cannot be read:\n" + "\n".join(texts)
    return [Verdict(role.name, False, text, cure, refused=True)]


def on_images(role: Role, store: ImageStore, items: Iterable[Item]) -> list[Verdict]:
    """Images that are hardly films: of one gray level, or strips; and films of several frames."""
    blank = [name for name, image in zip(store.ids, store.images, strict=True) if image.min() == image.max()]
    strips = [
        f"{name} ({height} × {width})"
        for name, (height, width) in zip(store.ids, store.shapes.tolist(), strict=True)
        if min(height, width) < LEAST_SIDE or max(height, width) > MOST_ELONGATED * min(height, width)
    ]
    files = [item for item in items if isinstance(item.image, Path)]
    several = [item.id for item in files if read_frame_count(item.image) > 1]
    kinds = (
        (blank, ("is of one gray level", "are of one gray level"), "Export them again, or leave them out."),
        (strips, ("is a strip", "are strips"), "They are stretched to the run size: were they cut off?"),
        (several, ("has several frames", "have several frames"), "The first is read: is it the film?"),
    )
    return [
        Verdict(role.name, False, f"{share(len(ids), len(store.ids), 'image', *verbs)}: {listing(ids, 5)}.", cure)
        for ids, verbs, cure in kinds
        if ids
    ]


def empty_note(check: MaskCheck, count: int, names: Iterable[str]) -> str:
    """Note on empty masks, of ``count``, of something that not every film shows; "" where they are a fault.

    They are one where a channel of ``names`` is an organ of every chest, or where nearly all masks are empty.
    """
    organs = {words.organ(name) for name in names}
    if not check.empty or organs & EVERYWHERE or len(check.empty) >= NEARLY_ALL * count:
        return ""
    return f"{share(len(check.empty), count, 'mask', 'is', 'are')} empty: these films are learned as free of it."


def on_masks(role: Role, check: MaskCheck, count: int, names: Iterable[str]) -> list[Verdict]:
    """Masks that are empty, full, turned or elsewhere, and tags that turn an image without its mask.

    role: of the set
    check: its masks that need a look
    count: of its masks
    names: of its channels
    """
    kinds: list[tuple[list[str], str, str]] = [
        (
            [] if empty_note(check, count, names) else check.empty,
            "masks are empty",
            "Draw them, or leave them out: an empty mask says that there is no organ.",
        ),
        (check.full, "masks cover the whole image", "Look whether they are inverted."),
        (
            check.inverted,
            "masks cover the border of their images and leave out what lies inside: they seem to be inverted",
            f"Invert them{INVERTED.format([*names][-1]) if len(check.inverted) == count else ''}.",
        ),
        (
            [] if check.turn else check.turned,
            "masks lie turned on their images",
            "Turn them back: the edges of these masks fit their images better after a turn.",
        ),
        (
            check.misaligned,
            "masks do not follow the edges of their images as the others do",
            "Look at them: they may be shifted, drawn roughly, or belong to another image.",
        ),
        (
            check.tagged,
            "images and their masks have different orientation tags",
            "mmtk turns what has a tag. Save images and masks upright, without a tag.",
        ),
    ]
    verdicts = [
        Verdict(role.name, False, f"{len(ids)} of {count} {what}: {listing(ids, 5)}.", cure)
        for ids, what, cure in kinds
        if ids
    ]
    if check.turn:
        text = f"all masks seem to be turned: they fit their images when turned {check.turn}."
        verdicts.append(
            Verdict(role.name, False, text, "Turn the masks, or take the orientation tags of the images away.")
        )
    return verdicts


def on_overlaps(overlaps: Iterable[Overlap]) -> list[Verdict]:
    """Images and patients shared by parts: a verdict for each set, or two sets, with all pairs of parts."""
    by_sets: dict[tuple[Role, Role], list[Overlap]] = defaultdict(list)
    for overlap in overlaps:
        by_sets[overlap.roles].append(overlap)
    return [_on_parts_of(sets, one) for sets, one in by_sets.items()]


def _on_parts_of(sets: tuple[Role, Role], overlaps: Sequence[Overlap]) -> Verdict:
    """Verdict on the overlaps of the parts of one set, or of two."""
    name = " and ".join(dict.fromkeys(role.name for role in sets))
    persons = replace(
        overlaps[0], patients=[match for overlap in overlaps for match in overlap.patients], identical=[], near=[]
    )
    lines = [*persons.lines(), *(line for overlap in overlaps for line in replace(overlap, patients=[]).lines())]
    if overlaps[0].across:
        cure = (
            "Training goes on with a warning: the tasks share an encoder. A column split in both tables avoids it."
        )
        return Verdict(name, False, "\n".join(lines), cure)
    return Verdict(name, False, "\n".join(lines), cure_of(overlaps), refused=True)


def on_labels(source: Role, store: ImageStore, cross: Role, cross_store: ImageStore) -> list[Verdict]:
    """Fault of a ``cross`` source with other classes or organs than ``source``.

    ``store`` and ``cross_store`` have their labels.
    """
    return _verdict_of_error(
        cross, lambda: split_checks.check_same_labels(source, store.labels, cross, cross_store.labels)
    )


def on_duplicates(
    role: Role, store: ImageStore, groups: Sequence[Sequence[str]], overlaps: Iterable[Overlap]
) -> list[Verdict]:
    """Identical images of several classes, or why identical images of the set do no harm.

    role: of the set
    store: its images and classes
    groups: of identical images, as ids
    overlaps: of all parts; those of this set with identical images are faults by themselves
    """
    label_by_id = {} if TASKS[store.labels.task].has_masks else dict(zip(store.ids, store.targets, strict=True))
    torn = [group for group in groups if len({label_by_id.get(name, -1) for name in group} - {-1}) > 1]
    if torn:
        count = counted(len(torn), "group of identical images has", "groups of identical images have")
        some = listing((" = ".join(group) for group in torn), 5)
        return [
            Verdict(role.name, False, f"{count} several classes: {some}.", "Keep one of each, with its class.")
        ]
    if not groups or any(overlap.identical and overlap.roles == (role, role) for overlap in overlaps):
        return []
    count = counted(len(groups), "group of identical images does", "groups of identical images do")
    classes = ", and none has two classes" if label_by_id else ""
    return [Verdict(role.name, True, f"{count} no harm: no image of them is both trained on and scored{classes}.")]


def all_well(role: Role, source: Source) -> Verdict:
    """Verdict on a set without faults; with a cure where nobody can say whether a person is in two parts."""
    items = source.items("all")
    counts = " / ".join(f"{len(source.items(split)):,}" for split in SPLITS)
    unknown = 0 if source.one_image_per_patient else sum(item.patient == item.id for item in items)
    if not unknown or role.domain != "source":
        return Verdict(role.name, True, f"nothing to mend ({counts} images for train / val / test).")
    text = (
        f"nothing to mend that shows ({counts} images for train / val / test), "
        f"but the patients of {share(unknown, len(items), 'image')} are not known."
    )
    return Verdict(role.name, True, text, PATIENTS_CURE)


def _note(role: Role, text: str, cure: str) -> Verdict:
    return Verdict(role.name, False, text.removeprefix(f"{role}: "), cure)


def _verdict_of_error(role: Role, check: Callable[[], Any]) -> list[Verdict]:
    try:
        check()
    except MmtkError as error:
        return [Verdict.of(role, error)]
    return []
