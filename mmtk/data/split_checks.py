"""Checks of a source before training: ids, patients and labels, and parts with labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmtk.api import Item, LabelSpec, Source, Split
from mmtk.counts import counted, share
from mmtk.data.store import IGNORED, SPLITS, ImageStore
from mmtk.errors import MmtkError, Problems, listing
from mmtk.recipe.recipe import Recipe
from mmtk.tasks import TASKS


@dataclass(frozen=True)
class Role:
    """Role of a source: the task, the table of the recipe (``source`` or ``cross``), and its component.

    ``split`` is the part of a cross-domain source that is scored; ``folds`` counts those of an in-domain one.
    """

    task: str
    domain: str
    use: str
    split: Split = "test"
    folds: int = 0

    @classmethod
    def of(cls, recipe: Recipe, task: str, domain: str) -> Role:
        """Name a source of a recipe by its component with its folder of images, or the phantom's domain."""
        table = recipe.source(task, domain)
        use = " ".join(str(table[key]) for key in ("use", "domain", "images") if table.get(key))
        if domain == "cross":
            return cls(task, domain, use, recipe.task_data(task).cross_split)
        return cls(task, domain, use, folds=recipe.data.folds or 0)

    def __str__(self) -> str:
        return f'data.{self.task}.{self.domain} ("{self.use}")'

    @property
    def name(self) -> str:
        """Task and role in words: ``segmentation cross``."""
        return f"{self.task} {self.domain}"


def check_items(role: Role, source: Source) -> None:
    """Refuse empty ids, ids given twice or in two splits, and labels that are no class: all by name."""
    parts: dict[Split, list[Item]] = {split: source.items(split) for split in SPLITS}
    everything = source.items("all")
    problems = [*_id_problems(parts, everything)]
    if not TASKS[source.labels.task].has_masks:
        problems += _label_problems(everything, source.labels.names)
    if problems:
        raise Problems(
            [MmtkError(text, str(role)) for text in problems], f"{role}: {counted(len(problems), 'problem')}"
        )


def _id_problems(parts: Mapping[Split, Sequence[Item]], everything: Sequence[Item]) -> list[str]:
    problems = []
    for what in ("id", "patient"):
        if empty := sum(not str(getattr(item, what) or "").strip() for item in everything):
            problems.append(f"{counted(empty, 'item has', 'items have')} an empty {what}.")
    counts = Counter(item.id for item in everything)
    if twice := [repr(name) for name, count in counts.items() if count > 1]:
        problems.append(f"{counted(len(twice), 'id is', 'ids are')} given twice: {listing(twice, 5)}.")
    splits_of: dict[str, list[str]] = {}
    for split, items in parts.items():
        for name in (item.id for item in items):
            splits_of.setdefault(name, []).append(split)
    if crossing := [f"{name} ({', '.join(of)})" for name, of in splits_of.items() if len(of) > 1]:
        count = counted(len(crossing), "id stands", "ids stand")
        problems.append(f"{count} in more than one split, or twice in one: {listing(crossing, 5)}.")
    if unknown := splits_of.keys() - counts.keys():
        count = counted(len(unknown), "id of the splits is", "ids of the splits are")
        problems.append(f"{count} not among items('all'): {listing(unknown, 5)}.")
    return problems


def _label_problems(items: Sequence[Item], names: tuple[str, ...]) -> list[str]:
    def wrong(target: object) -> bool:
        number = isinstance(target, int | np.integer) and not isinstance(target, bool)
        return target is not None and not (number and 0 <= int(target) < len(names))  # type: ignore[call-overload]

    bad = [f"{item.id}: {item.target!r}" for item in items if wrong(item.target)]
    if not bad:
        return []
    classes = ", ".join(f"{number} {name}" for number, name in enumerate(names))
    return [f"{counted(len(bad), 'label is', 'labels are')} no class ({listing(bad, 5)}). Known: {classes}."]


def labelled_rows(store: ImageStore, rows: Sequence[int]) -> list[int]:
    """Rows with a label: a class, or a mask with at least one pixel that is not ignored."""
    if not TASKS[store.labels.task].has_masks:
        return [row for row in rows if store.targets[row] >= 0]
    return [row for row in rows if (store.targets[row] != IGNORED).any()]


def scored_rows(role: Role, source: Source, store: ImageStore, split: Split, notes: list[str]) -> list[int]:
    """Labelled rows of a scored part; refuse a part without any, note images that cannot be scored.

    ``role`` and ``source`` name the part ``split``, ``store`` has its labels; sentences are added to ``notes``.
    """
    rows = [int(row) for row in store.rows([item.id for item in source.items(split)])]
    labelled = labelled_rows(store, rows)
    _check_part(role, split, np.isin(rows, labelled).tolist())
    if unlabelled := len(rows) - len(labelled):
        without = share(unlabelled, len(rows), "image" if split == "all" else f"{split} image")
        notes.append(f"{role}: {without} without a label, not scored.")
    return labelled


def _cure(role: Role, split: str) -> str:
    if role.domain == "cross":
        return (
            f'Give some rows that split, or score all images: data.{role.task}.cross_split = "all". '
            f'Or leave the set out: data.{role.task}.cross = "none".'
        )
    use = {"val": "chooses the best weights", "test": "is what a run is scored on"}[split]
    return f"The {split} part {use}. Give it images with labels, or leave the split out to have it made for you."


def check_parts(role: Role, source: Source) -> None:
    """Refuse parts that are scored and have no images or no labels, by the listing alone."""
    scored: tuple[Split, ...] = ("val", "test") if role.domain == "source" else (role.split,)
    for split in scored:
        _check_part(role, split, [item.target is not None for item in source.items(split)])


def _check_part(role: Role, split: Split, labelled: Sequence[bool]) -> None:
    """Refuse a part without images, or with no label among them."""
    if not labelled:
        raise MmtkError(
            f'has no images for {split}: no row with split = "{split}".' if split != "all" else "has no images.",
            str(role),
            _cure(role, split),
        )
    if not any(labelled):
        what = "class" if not TASKS[role.task].has_masks else "mask"
        raise MmtkError(f"no image of {split} has a {what} (of {len(labelled)}).", str(role), _cure(role, split))


def missing_classes(role: Role, store: ImageStore, rows: Sequence[int], part: str) -> list[str]:
    """Sentence on classes, or organs, that the labelled ``rows`` of ``part`` lack; ``store`` has their labels."""
    names = store.labels.names
    if not TASKS[store.labels.task].has_masks:
        present = {int(store.targets[row]) for row in rows}
        what = "no image of the class"
    else:
        present = set()
        for row in rows:
            present |= {k for k in range(len(names)) if k not in present and (store.targets[row, k] == 1).any()}
            if len(present) == len(names):
                break
        what = "no mask with"
    absent = [name for number, name in enumerate(names) if number not in present]
    if not absent:
        return []
    effect = "it cannot be learnt" if part == "train" else "scores of this part say nothing of it"
    return [f"{role}: {what} {' or '.join(absent)} in {part}: {effect}."]


def check_same_labels(source: Role, target: LabelSpec, cross: Role, foreign: LabelSpec) -> None:
    """Refuse a ``cross`` source with other classes or organs than ``source``, with the line that mends it.

    ``target``: labels of the in-domain source; ``foreign``: those of the cross-domain one.
    """
    if foreign.names == target.names and foreign.exclusive == target.exclusive:
        return
    if foreign.names != target.names:
        # The set that can be told: a folder's channels have the names that its profile gives them.
        change, names = (source, foreign.names) if target.names == ("mask",) else (cross, target.names)
        quoted = ", ".join(f'"{name}"' for name in names)
        raise MmtkError(
            f"data.{source.task}: the source labels {', '.join(target.names)}, but the cross-domain source "
            f"labels {', '.join(foreign.names)}.",
            hint=f"If they mean the same, write into [data.{change.task}.{change.domain}]: classes = [{quoted}]",
        )
    value = str(target.exclusive).lower()
    raise MmtkError(
        f"data.{source.task}: the masks of one source are label maps, those of the other are separate channels.",
        hint=f"Write into the table [data.{cross.task}.{cross.domain}]: exclusive = {value}",
    )
