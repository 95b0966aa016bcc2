"""Everything a run reads: sources, their stores, the parts of each task, and the test sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmtk import api, build, store
from mmtk.errors import MmtkError
from mmtk.evaluate import CROSS_DOMAIN, IN_DOMAIN, TestSet
from mmtk.recipe import Recipe
from mmtk.store import Stored
from mmtk.streams import Part, split_part


@dataclass
class Data:
    """The data of a run; ``cross`` holds the rows that each task's cross-domain source is scored on."""

    stores: dict[str, Stored] = field(default_factory=dict)
    parts: dict[str, Part] = field(default_factory=dict)
    cross_stores: dict[str, Stored] = field(default_factory=dict)
    cross: dict[str, list[int]] = field(default_factory=dict)

    @property
    def targets(self) -> dict[str, api.Target]:
        """What each task labels."""
        return {task: stored.target for task, stored in self.stores.items()}

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


def prepare(
    recipe: Recipe,
    root: Path | None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Data:
    """Open or build the stores, choose the labelled images, refuse leaks.

    ``progress`` is told (what, done, of).
    """
    data = Data()

    def opened(task: str, domain: str) -> tuple[api.Source, Stored]:
        source = build.source(recipe, task, domain, root)
        tell = None if progress is None else lambda done, of: progress(f"{task} {domain}", done, of)
        stored = store.open_store(source, recipe["data.size"], recipe["data.channels"], progress=tell)
        if recipe["data.leaks"] == "refuse":
            store.check_leaks(source, stored)
        return source, stored

    for task in recipe.tasks:
        source, stored = opened(task, "source")
        data.stores[task] = stored
        data.parts[task] = split_part(recipe, task, source, stored)
        if not recipe.get(f"data.{task}.cross"):
            continue
        other, cross = opened(task, "cross")
        if cross.target.names != stored.target.names or cross.target.exclusive != stored.target.exclusive:
            raise MmtkError(
                f"data.{task}: the source labels {', '.join(stored.target.names)}, but the cross-domain source "
                f"labels {', '.join(cross.target.names)}.",
                hint="Give both sources the same organs or classes.",
            )
        data.cross_stores[task] = cross
        split = recipe[f"data.{task}.cross_split"]
        data.cross[task] = [int(row) for row in cross.rows([item.id for item in other.items(split)])]
    return data
