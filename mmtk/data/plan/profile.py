"""Profiles that read a folder of films, with comments on the use of every file and column."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmtk.counts import counted
from mmtk.data.plan import words
from mmtk.data.plan.findings import FilmSet, find_sets, part_counts, separate_patients
from mmtk.data.plan.listing import Listing, list_folder, named_paths, resolve_hints, results_sentence
from mmtk.data.plan.official import official_uses, recognise
from mmtk.data.plan.patients import patients_line
from mmtk.data.plan.sources import both_tasks, choose, csv_text, rows_text, source_keys, toml_lines
from mmtk.errors import MmtkError
from mmtk.io.files import real_path, write_text
from mmtk.io.outputs import check_folder, make_folder
from mmtk.tasks import TASKS

BUDGET = "chest-xray-small"
RECIPE = {tuple(TASKS): "multimix", ("classification",): "enc-ssl", ("segmentation",): "unet-ssl"}


@dataclass
class Plan:
    """Text of a profile, the tables beside it by name, lines for the user, and the recipe that fits."""

    text: str
    recipe: str
    tables: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def write(self, out: Path) -> list[Path]:
        """Write the profile and its tables; refuse where a file of such a name exists."""
        paths = [out, *(out.parent / name for name in self.tables)]
        for path in paths:
            if path.exists() or path.is_symlink():
                raise MmtkError("is there already; nothing was written.", str(path), "Choose another --out.")
        check_folder(out.parent)
        make_folder(out.parent)
        for path, text in reversed([*zip(paths, [self.text, *self.tables.values()], strict=True)]):
            write_text(path, text)  # the profile last: it never names a table that is not there
        return paths


def plan_folder(folder: Path, out: Path, hints: Mapping[str, str] | None = None) -> Plan:
    """Inspect a folder and plan the profile ``out`` for it; ``hints`` as in ``find_sets``."""
    if folder.is_file():
        raise MmtkError("is a file, not a folder.", str(folder), "Name the folder of the films.")
    root, hints = resolve_hints(folder, hints or {})
    if root != folder:
        raise MmtkError("films, masks and tables lie in different folders.", str(folder), f"Plan for {root}.")
    listing = list_folder(folder, named_paths(hints, folder))
    sets = find_sets(listing, hints)
    separate_patients(sets)
    official = {} if hints else {id(film_set): recognise(listing, film_set) for film_set in sets}
    sets_by_task = {task: choose(sets, task, official) for task in TASKS}
    for task, task_sets in sets_by_task.items():
        if len(task_sets) > 1 and (same := _same_films(folder, task_sets[0], task_sets[1])):
            name = task_sets[0].name
            task_sets[1].notes.append(f"{counted(same, 'film')} of {name} are in it, too: it is not scored")
            sets_by_task[task] = task_sets[:1]
    tasks = tuple(task for task in TASKS if sets_by_task[task])
    if not tasks:
        raise MmtkError(
            f"{counted(len(listing.images), 'image')}, but no label for either task was found.",
            str(folder),
            "\n  ".join(
                [
                    "Say where they are: --labels TABLE.csv --label COLUMN, --labels folders, or --masks FOLDER.",
                    *dict.fromkeys(note for film_set in sets for note in (*film_set.notes, *film_set.reasons)),
                ]
            ),
        )
    plan, shared = Plan("", RECIPE[tasks]), both_tasks(sets_by_task)
    body = [f'tasks = ["{tasks[0]}"]      # no labels for the other task'] if len(tasks) == 1 else []
    for task in tasks:
        body += [*_task(task, sets_by_task[task], official, shared, plan, out)]
    comments = _comments(folder, listing, sets, sets_by_task, {} if shared else official)
    head = [
        *(f"# {line}".rstrip() for line in comments),
        f'extends = "{BUDGET}"      # its training budget and image size; everything below is yours',
        f"description = {json.dumps(f'Films of {real_path(folder).name}', ensure_ascii=False)}",
    ]
    plan.text, plan.lines = "\n".join([*head, *body]) + "\n", comments
    return plan


def _same_films(folder: Path, one: FilmSet, other: FilmSet) -> int:
    """Number of files of two sets with the same name and the same bytes."""
    first, second = (
        {Path(path).name: folder / film_set.folder / path for path in film_set.films} for film_set in (one, other)
    )
    pairs = [(first[name], second[name]) for name in first.keys() & second.keys()]
    candidates = [film_set for film_set in pairs if film_set[0].stat().st_size == film_set[1].stat().st_size]
    return sum(path.read_bytes() == copy.read_bytes() for path, copy in candidates)


def _task(
    task: str, sets: Sequence[FilmSet], official: Mapping[int, str], shared: bool, plan: Plan, out: Path
) -> Iterator[str]:
    """Yield the recipe tables of one task: its budget, its source, and its cross-domain source if any."""
    uses = official_uses(task, sets, {} if shared else official)
    yield f"\n[data.{task}]"
    yield 'labels = "full"                  # or a number: how many labels training may use'
    if len(sets) > 1:
        yield 'cross_split = "all"              # every labelled film of the other place is scored'
    else:
        yield 'cross = "none"                   # no second place to score on'
    for domain, film_set, use in zip(("source", "cross"), sets, uses, strict=False):
        yield f"[data.{task}.{domain}]"
        if use:
            yield f'use = "{use}"                      # its official layout'
            continue
        keys, rows = source_keys(task, sets[0], film_set, shared and domain == "source")
        if rows:
            folder = _file_part(film_set.folder) or "labels"
            name = f"{out.stem}-{folder}.csv"
            if plan.tables.get(name, csv_text(rows)) != csv_text(rows):
                name = f"{out.stem}-{folder}-{task}.csv"  # the other task has columns of its own
            plan.tables[name] = csv_text(rows)
            keys["labels"] = str((out.parent / name).absolute())
        if "masks" in keys and film_set.mask_rows:
            name = f"{'-'.join(filter(None, [out.stem, _file_part(film_set.folder)]))}-masks.csv"
            plan.tables[name] = rows_text(film_set.mask_rows)
            keys["masks"] = str((out.parent / name).absolute())
        yield 'use = "folder"'
        yield from toml_lines(keys)


def _file_part(folder: str) -> str:
    """The path of a folder as a part of a file's name."""
    return re.sub(r"[^\w.]+", "-", folder).strip("-")


def _comments(
    folder: Path,
    listing: Listing,
    sets: Sequence[FilmSet],
    sets_by_task: Mapping[str, Sequence[FilmSet]],
    official: Mapping[int, str],
) -> list[str]:
    """Lines on what was found; sets of an ``official`` layout know their patients by themselves."""
    knowing = [
        film_set
        for task, task_sets in sets_by_task.items()
        for film_set, use in zip(task_sets, official_uses(task, task_sets, official), strict=False)
        if use
    ]
    files = counted(len(listing.images), "image file")
    lines = [f"Found in {real_path(folder).name}: {files}, {counted(len(sets), 'place')}."]
    for film_set in sets:
        uses = [
            f"{task}: {('training', 'scoring')[k]}"
            for task in TASKS
            for k, candidate in enumerate(sets_by_task[task])
            if candidate is film_set
        ]
        lines.append(f"{film_set.name} ({'; '.join(uses) or 'left out'}): {counted(len(film_set.films), 'film')}")
        lines += _class_lines(film_set) if film_set.classes else []
        if film_set.masks:
            lines.append(f"  masks: {len(film_set.masks):,}")
        if uses and not any(film_set is one for one in knowing):
            lines.append("  " + patients_line([film.patient for film in film_set.films.values()]))
        if spare := len(film_set.films) - max(film_set.labelled.values(), default=0):
            lines.append(f"  without a label: {spare:,}, for training as unlabelled films")
        if parts := part_counts(film_set):
            lines.append("  parts: " + ", ".join(f"{part} {parts[part]:,}" for part in ("train", "val", "test")))
        lines += [f"  {note}" for note in dict.fromkeys(film_set.notes)]
        if film_set.reasons:
            lines += [
                "  a table of its own was written, because:",
                *(f"    {why}" for why in dict.fromkeys(film_set.reasons)),
            ]
    lines += [sentence] if (sentence := results_sentence(listing)) else []
    used = [film_set for task_sets in sets_by_task.values() for film_set in task_sets]
    for film_set in sets:
        if film_set.keys and not any(film_set is one for one in used):
            hospital = shlex.quote(str(folder / film_set.folder))
            lines.append(f"Score a finished run on it: mmtk evaluate RUN {hospital}")
    return lines


def _class_lines(film_set: FilmSet) -> Iterator[str]:
    """Yield the classes with their films, and which is the positive one where no word tells."""
    yield "  classes: " + ", ".join(f"{name} {count:,}" for name, count in film_set.classes.most_common())
    if not any(map(words.is_healthy, film_set.classes)):
        last = words.class_order(film_set.classes)[-1]
        yield f"  no class is known as that without a finding: {last}, the last of classes, is the positive one"
