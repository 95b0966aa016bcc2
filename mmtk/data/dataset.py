"""Data of a run: sources, their stores, the parts of each task, and the test sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmtk import api
from mmtk.data import folds, leaks, sources, split_checks
from mmtk.data.label_budget import SplitRows, split_part
from mmtk.data.split_checks import Role
from mmtk.data.store import SPLITS, ImageStore, noise_store, open_store
from mmtk.errors import MmtkError, listing, nearest
from mmtk.io import status_line
from mmtk.recipe.recipe import Recipe
from mmtk.tasks import CROSS_DOMAIN, IN_DOMAIN, TASKS


@dataclass
class Data:
    """Data of a run; ``cross`` holds the rows of each task's cross-domain source that are scored.

    ``notes`` are sentences for the user, for results and reports: allowed leaks, classes that a part lacks.
    """

    stores: dict[str, ImageStore] = field(default_factory=dict)
    parts: dict[str, SplitRows] = field(default_factory=dict)
    cross_stores: dict[str, ImageStore] = field(default_factory=dict)
    cross: dict[str, list[int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def targets(self) -> dict[str, api.LabelSpec]:
        """Classes or channels of each task."""
        return {task: store.labels for task, store in self.stores.items()}

    @property
    def digests(self) -> dict[str, str]:
        """Hash of the content of every source, by ``task/domain``."""
        in_domain = {f"{task}/{IN_DOMAIN}": store.digest for task, store in self.stores.items()}
        return in_domain | {f"{task}/{CROSS_DOMAIN}": store.digest for task, store in self.cross_stores.items()}

    def validation(self) -> list[TestSet]:
        """Validation part of every task."""
        return [TestSet(task, "validation", self.stores[task], part.val) for task, part in self.parts.items()]

    def tests(self) -> list[TestSet]:
        """Test part of every task, then the cross-domain ones."""
        in_domain = [TestSet(task, IN_DOMAIN, self.stores[task], part.test) for task, part in self.parts.items()]
        return in_domain + [
            TestSet(task, CROSS_DOMAIN, self.cross_stores[task], rows) for task, rows in self.cross.items()
        ]

    def splits(self) -> dict[str, Any]:
        """Ids of every part, as in ``splits.json``."""
        lists: dict[str, Any] = {}
        for task, part in self.parts.items():
            ids = self.stores[task].ids
            lists[task] = {name: [ids[row] for row in rows] for name, rows in vars(part).items()}
        for task, rows in self.cross.items():
            lists[task][CROSS_DOMAIN] = [self.cross_stores[task].ids[row] for row in rows]
        return lists


def prepare(recipe: Recipe, root: Path | None, progress: Callable[[str, int, int], None] | None = None) -> Data:
    """Open or build the stores, check their splits, choose the labelled images, refuse leaks.

    ``progress`` gets (name of the source, images read, images in all). Notes and warnings go into ``Data.notes``.
    """
    status_line.stage("reading data")
    data = Data()
    image_sets: list[leaks.Images] = []
    for task in recipe.tasks:
        in_domain = open_source(recipe, task, "source", root, progress)
        data.stores[task] = in_domain.store
        data.notes += folds.notes(in_domain.source)
        data.parts[task] = _split(recipe, in_domain, data.notes)
        image_sets += [
            leaks.Images.of(in_domain.role, in_domain.source, in_domain.store, split) for split in SPLITS
        ]
        if recipe.source(task, "cross"):
            cross = open_source(recipe, task, "cross", root, progress)
            split_checks.check_same_labels(in_domain.role, in_domain.store.labels, cross.role, cross.store.labels)
            split = cross.role.split
            rows = split_checks.scored_rows(cross.role, cross.source, cross.store, split, data.notes)
            data.notes += split_checks.missing_classes(cross.role, cross.store, rows, split)
            data.cross_stores[task], data.cross[task] = cross.store, rows
            image_sets.append(leaks.Images.of(cross.role, cross.source, cross.store, split))
    data.notes += leaks.check(leaks.overlaps(image_sets), refuse=recipe.data.leaks == "refuse")
    _check_match(recipe.data.match, data.tests())
    return data


def _check_match(names: Sequence[str], tests: Sequence[TestSet]) -> None:
    """Refuse attributes to match by that no source of classes knows; those of pixels end in ``(image)``."""
    facts = [facts for test in tests if not TASKS[test.task].has_masks for facts in test.metadata.values()]
    known = list(dict.fromkeys(name for one in facts for name in one))
    if absent := [name for name in names if name not in known and not name.endswith(" (image)")]:
        message = f"data.match: no test set has the attribute '{absent[0]}'.{nearest(absent[0], known)}"
        raise MmtkError(message, hint=f"Known: {listing(known)}." if known else "mmtk data inspect lists them.")


def without_images(recipe: Recipe, root: Path | None) -> Data:
    """Data of a recipe with noise in place of pixels: lists, labels and parts as a run has them.

    For what needs no image. Lists that a run would refuse are refused; files are not opened.
    """
    data = Data()
    for task in recipe.tasks:
        role, source, store = _listed(recipe, task, "source", root)
        data.stores[task], data.parts[task] = store, split_part(recipe, task, source, store)
        if recipe.source(task, "cross"):
            cross_role, cross, data.cross_stores[task] = _listed(recipe, task, "cross", root)
            split_checks.check_same_labels(role, source.labels, cross_role, cross.labels)
            scored = [item.id for item in cross.items(cross_role.split) if item.target is not None]
            data.cross[task] = [int(row) for row in data.cross_stores[task].rows(scored)]
    return data


def _listed(recipe: Recipe, task: str, domain: str, root: Path | None) -> tuple[Role, api.Source, ImageStore]:
    """A source in its role, with a store of noise, after the checks of its list."""
    role, source = Role.of(recipe, task, domain), sources.source(recipe, task, domain, root)
    split_checks.check_items(role, source)
    split_checks.check_parts(role, source)
    return role, source, noise_store(source, recipe.data.size, recipe.data.channels)


@dataclass(frozen=True)
class SourceData:
    """Source in its role, with its store."""

    role: Role
    source: api.Source
    store: ImageStore


def open_source(
    recipe: Recipe,
    task: str,
    domain: str,
    root: Path | None,
    progress: Callable[[str, int, int], None] | None = None,
) -> SourceData:
    """Open a source of a recipe with its store, after a check of its ids and labels.

    recipe: with the source
    task: that it serves
    domain: ``source``, read whole, or ``cross``, of which the part that is scored is read
    root: folder of the data
    progress: as in ``prepare``
    """
    role = Role.of(recipe, task, domain)
    source = sources.source(recipe, task, domain, root)
    split_checks.check_items(role, source)
    split_checks.check_parts(role, source)
    report = None if progress is None else lambda count, total: progress(role.name, count, total)
    size, channels = recipe.data.size, recipe.data.channels
    split: api.Split = "all" if domain == "source" else role.split
    return SourceData(role, source, open_store(folds.undivided(source), size, channels, split, progress=report))


def _split(recipe: Recipe, data: SourceData, notes: list[str]) -> SplitRows:
    """Split the in-domain source; each part needs labels, and classes that a part lacks are noted."""
    part = split_part(recipe, data.role.task, data.source, data.store)
    scored = {
        split: split_checks.scored_rows(data.role, data.source, data.store, split, notes) for split in SCORED
    }
    labelled = split_checks.labelled_rows(data.store, [int(row) for row in part.labelled])
    for split, rows in {"train": labelled, **scored}.items():
        notes += split_checks.missing_classes(data.role, data.store, rows, split)
    return replace(part, val=scored["val"], test=scored["test"])


SCORED: tuple[api.Split, ...] = ("val", "test")


@dataclass
class TestSet:
    """Images that one task is scored on in one domain."""

    __test__ = False  # pytest would take the class for a test by its name

    task: str
    domain: str
    store: ImageStore
    rows: list[int]

    @property
    def known_rows(self) -> list[int]:
        """Rows that can be scored: without images of no class."""
        if TASKS[self.task].has_masks:
            return self.rows
        return [row for row in self.rows if self.store.targets[row] >= 0]

    @property
    def patients(self) -> dict[str, str | None]:
        """Patient of every scored image by id, as a number of this source; None where the source names none.

        Numbers follow the order of the names, and say nothing of them: names may be those of a hospital.
        """
        store = self.store
        numbers = {name: f"p{number:06d}" for number, name in enumerate(store.named_patients, start=1)}
        return {store.ids[row]: numbers.get(store.patients[row]) for row in self.known_rows}

    @property
    def metadata(self) -> dict[str, Mapping[str, str | float]]:
        """Return what the source knows of every scored image, by id."""
        return {
            name: self.store.metadata.get(name, {}) for name in (self.store.ids[row] for row in self.known_rows)
        }
