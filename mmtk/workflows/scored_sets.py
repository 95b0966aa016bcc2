"""Sets to score a run on: those of a recipe, or folders of films as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmtk import api
from mmtk.components.source.folder import Folder
from mmtk.data import sources
from mmtk.data.folder_sets import folder_sets
from mmtk.errors import MmtkError
from mmtk.model.predictor import Predictor
from mmtk.recipe.recipe import Recipe
from mmtk.runs.display import Display
from mmtk.tasks import file_name


@dataclass(frozen=True)
class LabelledSet:
    """The images of one source that one task is scored on: all of ``split``."""

    name: str
    task: str
    source: api.Source
    split: api.Split


def sets_in_recipe(
    recipe: Recipe, tasks: Sequence[str], root: Path | None, digests: Mapping[str, str]
) -> list[LabelledSet]:
    """The sets of a recipe, source before cross; those of the run's own training keep their names.

    recipe: with the sources
    tasks: to score
    root: folder of the data sets
    digests: of the data of the training, by task and domain
    """
    sets: list[LabelledSet] = []
    for task in tasks:
        for domain, domain_name in (("source", "in-domain"), ("cross", "cross-domain")):
            if not recipe.source(task, domain):
                continue
            source = sources.source(recipe, task, domain, root)
            split: api.Split = "test" if domain == "source" else recipe.task_data(task).cross_split
            name = recipe.source_name(task, domain_name)
            if source.digest() == digests.get(f"{task}/{domain_name}"):
                name = domain_name
            elif isinstance(source, Folder) and not source.has_split:
                split = "all"
            sets.append(LabelledSet(_unique(name, [s.name for s in sets if s.task == task]), task, source, split))
    return sets


def refuse_mixture(profile: str | None, overrides: Mapping[str, Any] | None) -> None:
    """Refuse a profile, or overrides of its sources, beside folders of films."""
    if profile or any(key.startswith("data.") and key != "data.match" for key in overrides or {}):
        raise MmtkError("folders and a profile (or --set data.…) both name the data to score: give one of them.")


def sets_in_folders(
    folders: Sequence[Path],
    columns: Mapping[str, str],
    predictor: Predictor,
    tasks: Sequence[str],
    match: Mapping[str, str],
    spare: Path,
    display: Display,
) -> tuple[list[LabelledSet], list[str]]:
    """The sets in folders of films, for every task that has labels there; names of those that none has.

    folders: of films
    columns: ``masks`` and ``labels`` as paths, and columns by use
    predictor: the run, with its classes and organs
    tasks: to score
    match: label of the data → name of the run
    spare: folder for tables that the sources read
    display: of the notes
    """
    sets: list[LabelledSet] = []
    unscored: list[str] = []
    targets = {task: predictor.targets[task] for task in tasks}
    for number, folder in enumerate(folders):
        scratch = spare / str(number)
        scratch.mkdir()
        new_sets, notes, refused = folder_sets(folder, columns, targets, match, scratch)
        unscored += refused
        for note in notes:
            display.note(note)
        for name, task, source in new_sets:
            used_names = [labelled_set.name for labelled_set in sets if labelled_set.task == task]
            sets.append(LabelledSet(_unique(name, used_names), task, source, "all"))
    return sets, unscored


def _unique(name: str, used_names: Sequence[str]) -> str:
    files = {file_name(used_name) for used_name in used_names}
    number, free = 2, name
    while file_name(free) in files:
        free, number = f"{name} {number}", number + 1
    return free
