"""Test images of a run among those that the runs it starts from have seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmtk.components.source._splitting import person
from mmtk.counts import counted
from mmtk.data.dataset import Data, TestSet
from mmtk.errors import MmtkError
from mmtk.io.files import read_facts
from mmtk.recipe.recipe import Recipe
from mmtk.runs.folder import RunDir
from mmtk.tasks import CROSS_DOMAIN, IN_DOMAIN

SCORED = ("test", CROSS_DOMAIN)  # parts that a run does not learn from


def start_facts(recipe: Recipe, data: Data) -> dict[str, Any]:
    """Runs that a run starts from, and how many of its test images they have seen, patients included; {} for none.

    recipe: with ``encoder.weights`` or ``init``
    data: of the run

    MmtkError where a test image was seen, unless ``data.leaks`` allows it. Of data that differ in their digest
    nothing is known; their names are in ``not_compared``.
    """
    runs = list(_runs_behind(recipe))
    if not runs:
        return {}
    not_compared: set[str] = set()
    overlaps = 0
    for folder in runs:
        splits = read_facts(folder.splits_file)
        digests = folder.provenance["data"]
        for test in data.tests():
            sources = [task for task in splits if digests.get(f"{task}/{IN_DOMAIN}") == test.store.digest]
            not_compared |= set() if sources else {f"{test.task}/{test.domain}"}
            count = sum(_overlap(test, splits[task]) for task in sources)
            if count and recipe.data.leaks == "refuse":
                raise _leak(folder, test, count)
            overlaps += count
    names = ", ".join(run.path.name for run in runs)
    others = f"; of other data, not compared: {', '.join(sorted(not_compared))}" if not_compared else ""
    sentence = f"{names}, which saw {overlaps or 'none'} of the test images or their patients{others}"
    facts = {"runs": [str(run.path) for run in runs], "seen": overlaps, "not_compared": sorted(not_compared)}
    return {**facts, "sentence": sentence}


def _runs_behind(recipe: Recipe) -> Iterator[RunDir]:
    """Run directories that the weights come from, each start's own start behind it."""
    visited_runs: set[Path] = set()
    waiting = [recipe]
    while waiting:
        one = waiting.pop(0)
        for start in filter(None, (one.encoder.get("weights"), one.init)):
            folder = RunDir(Path(start))
            if folder.splits_file.is_file() and folder.path.resolve() not in visited_runs:
                visited_runs.add(folder.path.resolve())
                waiting.append(folder.recipe)
                yield folder


def _overlap(test: TestSet, parts: dict[str, list[str]]) -> int:
    """Number of test images whose patient has an image in a part that was learned from."""
    patients = {
        name: person(patient, name) for name, patient in zip(test.store.ids, test.store.patients, strict=True)
    }
    learned = {
        patients[name] for part, ids in parts.items() if part not in SCORED for name in ids if name in patients
    }
    return sum(patients[test.store.ids[row]] in learned for row in test.rows)


def _leak(folder: RunDir, test: TestSet, count: int) -> MmtkError:
    return MmtkError(
        f"the run that this one starts from has seen {count} of {counted(len(test.rows), 'test image')}, "
        f"or their patients: {test.task}, {test.domain}.",
        str(folder.path),
        "Start from a run with the same split (data.folds and seed), or accept it: --set data.leaks=allow",
    )
