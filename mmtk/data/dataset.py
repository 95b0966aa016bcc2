"""Everything a run reads: sources, their stores, the parts of each task, and the test sets."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmtk import api
from mmtk.data import leaks, sources, split_checks, store
from mmtk.data.batches import Part, split_part
from mmtk.data.split_checks import Role
from mmtk.data.store import SPLITS, Stored
from mmtk.io import status_line
from mmtk.recipe.recipe import Recipe
from mmtk.tasks import CROSS_DOMAIN, IN_DOMAIN, TASKS


@dataclass
class Data:
    """The data of a run; ``cross`` holds the rows that each task's cross-domain source is scored on.

    ``notes`` are sentences for the user, for results and reports: allowed leaks, classes that a part lacks.
    """

    stores: dict[str, Stored] = field(default_factory=dict)
    parts: dict[str, Part] = field(default_factory=dict)
    cross_stores: dict[str, Stored] = field(default_factory=dict)
    cross: dict[str, list[int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def targets(self) -> dict[str, api.LabelSpec]:
        """What each task labels."""
        return {task: stored.labels for task, stored in self.stores.items()}

    @property
    def digests(self) -> dict[str, str]:
        """A hash of the content of every source, by ``task/domain``."""
        own = {f"{task}/{IN_DOMAIN}": stored.digest for task, stored in self.stores.items()}
        return own | {f"{task}/{CROSS_DOMAIN}": stored.digest for task, stored in self.cross_stores.items()}

    def validation(self) -> list[TestSet]:
        """The validation part of every task."""
        return [TestSet(task, "validation", self.stores[task], part.val) for task, part in self.parts.items()]

    def tests(self) -> list[TestSet]:
        """The test part of every task, then the cross-domain ones."""
        own = [TestSet(task, IN_DOMAIN, self.stores[task], part.test) for task, part in self.parts.items()]
        return own + [
            TestSet(task, CROSS_DOMAIN, self.cross_stores[task], rows) for task, rows in self.cross.items()
        ]

    def splits(self) -> dict[str, Any]:
        """The ids of every part, as splits.json keeps them."""
        lists: dict[str, Any] = {}
        for task, part in self.parts.items():
            ids = self.stores[task].ids
            lists[task] = {name: [ids[row] for row in rows] for name, rows in vars(part).items()}
        for task, rows in self.cross.items():
            lists[task][CROSS_DOMAIN] = [self.cross_stores[task].ids[row] for row in rows]
        return lists


def prepare(recipe: Recipe, root: Path | None, progress: Callable[[str, int, int], None] | None = None) -> Data:
    """Open or build the stores, check their splits, choose the labelled images, refuse leaks.

    ``progress`` is told (what, done, of). What is worth a word and no reason to stop goes into ``Data.notes``.
    """
    status_line.stage("reading data")
    data = Data()
    parts: list[leaks.Images] = []
    for task in recipe.tasks:
        own = open_source(recipe, task, "source", root, progress)
        data.stores[task] = own.stored
        data.parts[task] = _split(recipe, own, data.notes)
        parts += [leaks.Images.of(own.role, own.source, own.stored, split) for split in SPLITS]
        if recipe.source(task, "cross"):
            other = open_source(recipe, task, "cross", root, progress)
            split_checks.check_same_labels(own.role, own.stored.labels, other.role, other.stored.labels)
            split = other.role.split
            rows = split_checks.scored_rows(other.role, other.source, other.stored, split, data.notes)
            data.notes += split_checks.missing_classes(other.role, other.stored, rows, split)
            data.cross_stores[task], data.cross[task] = other.stored, rows
            parts.append(leaks.Images.of(other.role, other.source, other.stored, split))
    data.notes += leaks.check(leaks.overlaps(parts), refuse=recipe.data.leaks == "refuse")
    return data


@dataclass(frozen=True)
class Opened:
    """A source in its role, with its store."""

    role: Role
    source: api.Source
    stored: Stored


def open_source(
    recipe: Recipe,
    task: str,
    domain: str,
    root: Path | None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Opened:
    """The source ``domain`` (source or cross) of a task with its store, after a look at its ids and labels."""
    role = Role.of(recipe, task, domain)
    source = sources.source(recipe, task, domain, root)
    split_checks.check_items(role, source)
    tell = None if progress is None else lambda done, of: progress(role.name, done, of)
    return Opened(role, source, store.open_store(source, recipe.data.size, recipe.data.channels, progress=tell))


def _split(recipe: Recipe, own: Opened, notes: list[str]) -> Part:
    """The parts of the in-domain source, each with labels; classes that a part lacks are noted."""
    part = split_part(recipe, own.role.task, own.source, own.stored)
    scored = {split: split_checks.scored_rows(own.role, own.source, own.stored, split, notes) for split in SCORED}
    labelled = split_checks.labelled_rows(own.stored, [int(row) for row in part.labelled])
    for split, rows in {"train": labelled, **scored}.items():
        notes += split_checks.missing_classes(own.role, own.stored, rows, split)
    return replace(part, val=scored["val"], test=scored["test"])


SCORED: tuple[api.Split, ...] = ("val", "test")


@dataclass
class TestSet:
    """The images that one task is scored on in one domain."""

    task: str
    domain: str
    stored: Stored
    rows: list[int]

    @property
    def known_rows(self) -> list[int]:
        """The rows that can be scored: without images of no class."""
        if TASKS[self.task].has_masks:
            return self.rows
        return [row for row in self.rows if self.stored.targets[row] >= 0]


def file_name(domain: str) -> str:
    """A set's name as file names have it."""
    return re.sub(r"[^\w.]+", "-", domain).strip("-.") or "set"
