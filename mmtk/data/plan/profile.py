"""The profile that reads a folder of films, with comments that say what was taken for what."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmtk.counts import counted
from mmtk.data.plan.findings import FilmSet, find_sets, parts_of, tell_apart
from mmtk.data.plan.listing import Listing, list_folder, placed
from mmtk.data.plan.official import official_uses, recognise
from mmtk.data.plan.sources import both_tasks, choose, csv_text, source_keys, toml_lines
from mmtk.errors import MmtkError
from mmtk.tasks import TASKS

BUDGET = "chest-xray-small"
RECIPE = {tuple(TASKS): "multimix", ("classification",): "enc-ssl", ("segmentation",): "unet-ssl"}


@dataclass
class Plan:
    """The profile's text, the tables beside it by name, what to say, and the recipe that fits."""

    text: str
    recipe: str
    tables: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def write(self, out: Path) -> list[Path]:
        """Write the profile and its tables; refuse where a file of such a name is there."""
        paths = [out, *(out.parent / name for name in self.tables)]
        for path in paths:
            if path.exists() or path.is_symlink():
                raise MmtkError("is there already; nothing was written.", str(path), "Choose another --out.")
        out.parent.mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, [self.text, *self.tables.values()], strict=True):
            path.write_text(text, encoding="utf-8")
        return paths


def plan_folder(folder: Path, out: Path, said: Mapping[str, str] | None = None) -> Plan:
    """Look at a folder and plan the profile ``out`` for it."""
    if folder.is_file():
        raise MmtkError("is a file, not a folder.", str(folder))
    root, said = placed(folder, said or {})
    if root != folder:
        raise MmtkError("films, masks and tables lie in different folders.", str(folder), f"Plan for {root}.")
    listing = list_folder(folder)
    sets = find_sets(listing, said)
    tell_apart(sets)
    official = {} if said else {id(each): recognise(listing, each) for each in sets}
    chosen = {task: choose(sets, task, official) for task in TASKS}
    for task, each in chosen.items():
        if len(each) > 1 and (same := _same_films(folder, each[0], each[1])):
            each[1].notes.append(f"{counted(same, 'film')} of {each[0].name} are in it, too: it is not scored")
            chosen[task] = each[:1]
    tasks = tuple(task for task in TASKS if chosen[task])
    if not tasks:
        raise MmtkError(
            f"{counted(len(listing.images), 'image')}, but no label for either task was found.",
            str(folder),
            "\n  ".join(
                [
                    "Say where they are: --labels TABLE.csv --label COLUMN, --labels folders, or --masks FOLDER.",
                    *dict.fromkeys(note for each in sets for note in each.notes),
                ]
            ),
        )
    plan, shared = Plan("", RECIPE[tasks]), both_tasks(chosen)
    body = [f'tasks = ["{tasks[0]}"]      # no labels for the other task'] if len(tasks) == 1 else []
    for task in tasks:
        body += [*_task(task, chosen[task], official, shared, plan, out)]
    comments = _comments(folder, listing, sets, chosen)
    head = [
        *(f"# {line}".rstrip() for line in comments),
        f'extends = "{BUDGET}"      # its training budget and image size; everything below is yours',
        f"description = {json.dumps(f'Films of {folder.resolve().name}', ensure_ascii=False)}",
    ]
    plan.text, plan.lines = "\n".join([*head, *body]) + "\n", comments
    return plan


def _same_films(folder: Path, one: FilmSet, other: FilmSet) -> int:
    """How many files of two sets have the same name and the same bytes."""
    first, second = (
        {Path(path).name: folder / each.folder / path for path in each.films} for each in (one, other)
    )
    pairs = [(first[name], second[name]) for name in first.keys() & second.keys()]
    alike = [each for each in pairs if each[0].stat().st_size == each[1].stat().st_size]
    return sum(path.read_bytes() == copy.read_bytes() for path, copy in alike)


def _task(
    task: str, sets: Sequence[FilmSet], official: Mapping[int, str], shared: bool, plan: Plan, out: Path
) -> Iterator[str]:
    """The tables of one task: its budget, its source, and another place where there is one."""
    uses = official_uses(task, sets, {} if shared else official)
    yield f"\n[data.{task}]"
    yield 'labels = "full"                  # or a number: how many labels training may use'
    if len(sets) > 1:
        yield 'cross_split = "all"              # every labelled film of the other place is scored'
    else:
        yield 'cross = "none"                   # no second place to score on'
    for domain, each, use in zip(("source", "cross"), sets, uses, strict=False):
        yield f"[data.{task}.{domain}]"
        if use:
            yield f'use = "{use}"                      # its official layout'
            continue
        keys, rows = source_keys(task, sets[0], each, shared and domain == "source")
        if rows:
            place = re.sub(r"[^\w.]+", "-", each.folder).strip("-") or "labels"
            name = f"{out.stem}-{place}.csv"
            if plan.tables.get(name, csv_text(rows)) != csv_text(rows):
                name = f"{out.stem}-{place}-{task}.csv"  # the other task has columns of its own
            plan.tables[name] = csv_text(rows)
            keys["labels"] = str((out.parent / name).absolute())
        yield 'use = "folder"'
        yield from toml_lines(keys)


def _comments(
    folder: Path, listing: Listing, sets: Sequence[FilmSet], chosen: Mapping[str, Sequence[FilmSet]]
) -> list[str]:
    files = counted(len(listing.images), "image file")
    lines = [f"Found in {folder.resolve().name}: {files}, {counted(len(sets), 'place')}."]
    for each in sets:
        uses = [
            f"{task}: {('training', 'scoring')[k]}"
            for task in TASKS
            for k, one in enumerate(chosen[task])
            if one is each
        ]
        lines.append(f"{each.name} ({'; '.join(uses) or 'left out'}): {counted(len(each.films), 'film')}")
        if each.classes:
            lines.append(
                "  classes: " + ", ".join(f"{name} {count:,}" for name, count in each.classes.most_common())
            )
        if each.masks:
            lines.append(f"  masks: {len(each.masks):,}")
        if spare := len(each.films) - max(each.labelled.values(), default=0):
            lines.append(f"  without a label: {spare:,}, for training as unlabelled films")
        if parts := parts_of(each):
            lines.append("  parts: " + ", ".join(f"{part} {parts[part]:,}" for part in ("train", "val", "test")))
        lines += [f"  {note}" for note in dict.fromkeys(each.notes)]
        if each.reasons:
            lines += ["  a table of its own was written, because:", *(f"    {why}" for why in each.reasons)]
    spare_sets = [each for each in sets if each.keys and not any(each in some for some in chosen.values())]
    for each in spare_sets:
        lines.append(f"Score a finished run on it: mmtk evaluate RUN {shlex.quote(str(folder / each.folder))}")
    return lines
