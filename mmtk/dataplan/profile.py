"""The profile that reads a folder of films, with comments that say what was taken for what."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmtk.dataplan import words
from mmtk.dataplan.findings import FilmSet, find_sets, own_table, parts_of
from mmtk.dataplan.listing import Listing, list_folder, placed
from mmtk.dataplan.official import TASK, recognise
from mmtk.errors import MmtkError

TASKS = ("classification", "segmentation")
BUDGET = "chest-xray-small"
RECIPE = {TASKS: "multimix", TASKS[:1]: "enc-ssl", TASKS[1:]: "unet-ssl"}
HEAD = ("image", "label", "patient", "split", "spacing")


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
    chosen = {task: _chosen(sets, task) for task in TASKS}
    tasks = tuple(task for task in TASKS if chosen[task])
    if not tasks:
        raise MmtkError(
            f"{len(listing.images)} images, but no label for either task was found.",
            str(folder),
            "\n  ".join(
                [
                    "Say where they are: --labels TABLE.csv --label COLUMN, --labels folders, or --masks FOLDER.",
                    *dict.fromkeys(note for each in sets for note in each.notes),
                ]
            ),
        )
    plan = Plan("", RECIPE[tasks])
    official = {id(each): recognise(listing, each) for each in sets} if not said else {}
    body = [f'tasks = ["{tasks[0]}"]      # no labels for the other task'] if len(tasks) == 1 else []
    for task in tasks:
        body.append(_task(task, chosen[task], official, plan, out))
    comments = _comments(folder, listing, sets, chosen)
    head = [
        *(f"# {line}".rstrip() for line in comments),
        f'extends = "{BUDGET}"      # its training budget and image size; everything below is yours',
        f"description = {json.dumps(f'Films of {folder.resolve().name}', ensure_ascii=False)}",
    ]
    plan.text, plan.lines = "\n".join([*head, *body]) + "\n", comments
    return plan


def _chosen(sets: Sequence[FilmSet], task: str) -> list[FilmSet]:
    """The set to train on, and the one of another place to score on where one has the same labels."""
    ranked = sorted((each for each in sets if task in each.keys), key=lambda each: -each.labelled[task])
    return ranked[:1] + [each for each in ranked[1:] if _agree(ranked[0], each, task)][:1]


def _agree(one: FilmSet, other: FilmSet, task: str) -> bool:
    if task == "classification":
        return {words.same_class(name) for name in other.classes} <= {
            words.same_class(name) for name in one.classes
        }
    ours, theirs = one.keys[task], other.keys[task]
    single = len(_names(ours)) == len(_names(theirs)) == 1
    return bool(ours.get("exclusive")) == bool(theirs.get("exclusive")) and (
        single or {*_names(ours)} == {*_names(theirs)}
    )


def _names(keys: Mapping[str, object]) -> list[str]:
    names = keys.get("classes")
    return [str(name) for name in names] if isinstance(names, list) else []


def _task(task: str, sets: list[FilmSet], official: Mapping[int, str], plan: Plan, out: Path) -> str:
    """The tables of one task: its budget, its source, and another place where there is one."""
    uses = [official.get(id(each), "") for each in sets]
    uses = [use if use and TASK[use] == task else "" for use in uses]
    if uses[0] == "nihx" or (len(uses) > 1 and bool(uses[0]) != bool(uses[1])):
        uses = ["" for _ in uses]
    lines = [
        "",
        f"[data.{task}]",
        'labels = "full"                  # or a number: how many labels training may use',
    ]
    if len(sets) > 1:
        lines.append('cross_split = "all"              # every labelled film of the other place is scored')
    else:
        lines.append('cross = "none"                   # no second place to score on')
    names = _order(task, sets)
    for domain, each, use in zip(("source", "cross"), sets, uses, strict=False):
        if use:
            lines += [f"[data.{task}.{domain}]", f'use = "{use}"                      # its official layout']
            continue
        keys = {**each.keys[task], **({"classes": names} if names else {})}
        if task == "classification" and (rows := _rows(each, names, bool(domain == "cross"))):
            place = re.sub(r"[^\w.]+", "-", each.folder).strip("-") or "labels"
            name = f"{out.stem}-{place}.csv"
            plan.tables[name] = _csv(rows)
            keys = {key: value for key, value in keys.items() if key not in ("columns", "patient_pattern")}
            keys["labels"] = str((out.parent / name).absolute())
        lines += [f"[data.{task}.{domain}]", 'use = "folder"', *_keys(keys)]
    return "\n".join(lines)


def _order(task: str, sets: Sequence[FilmSet]) -> list[str]:
    if task == "classification":
        return sorted(sets[0].classes, key=lambda name: (words.same_class(name) != "normal", name)) if sets else []
    return _names(sets[0].keys[task])


def _rows(each: FilmSet, names: Sequence[str], cross: bool) -> list[tuple[str, ...]]:
    """The cells of mmtk's own table, in the class names of the set that is trained on; empty where not needed."""
    spelled = {words.same_class(name): name for name in names}
    foreign = cross and not {*each.classes} <= {*names}
    if not each.rows and not foreign:
        return []
    if not each.rows:
        own_table(each)
    return [(image, spelled.get(words.same_class(label), label), *rest) for image, label, *rest in each.rows]


def _csv(rows: Sequence[Sequence[str]]) -> str:
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    used = [k for k, name in enumerate(HEAD) if name in ("image", "label") or any(row[k] for row in rows)]
    if "patient" in [HEAD[k] for k in used]:
        rows = [(*row[:2], row[2] or row[0], *row[3:]) for row in rows]
    table.writerow([HEAD[k] for k in used])
    table.writerows([[row[k] for k in used] for row in rows])
    return file.getvalue()


def _keys(keys: Mapping[str, object]) -> list[str]:
    order = ("images", "labels", "columns", "masks", "mask_suffix", "image_suffix", "classes", "exclusive", "swap")
    ordered = [*(key for key in order if key in keys), *(key for key in keys if key not in order)]
    return [f"{key} = {_toml(keys[key])}" for key in ordered]


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def _comments(
    folder: Path, listing: Listing, sets: Sequence[FilmSet], chosen: Mapping[str, Sequence[FilmSet]]
) -> list[str]:
    lines = [
        f"Found in {folder.resolve().name}: {len(listing.images):,} image files, {_count(len(sets), 'place')}."
    ]
    for each in sets:
        uses = [f"{task}: {('training', 'scoring')[k]}" for task in TASKS
                for k, one in enumerate(chosen[task]) if one is each]  # fmt: skip
        lines.append(f"{each.name} ({'; '.join(uses) or 'left out'}): {_count(len(each.films), 'film')}")
        if each.classes:
            lines.append(
                "  classes: " + ", ".join(f"{name} {count:,}" for name, count in each.classes.most_common())
            )
        if each.masks:
            lines.append(f"  masks: {len(each.masks):,}")
        if spare := len(each.films) - max(each.labelled.values(), default=0):
            lines.append(f"  without a label: {spare:,}, for training as unlabelled films")
        if parts := parts_of(each):
            lines.append("  parts: " + ", ".join(f"{part} {count:,}" for part, count in parts.items()))
        lines += [f"  {note}" for note in dict.fromkeys(each.notes)]
        if each.rows:
            lines += ["  a table of its own was written, because:", *(f"    {why}" for why in each.reasons)]
    spare_sets = [each for each in sets if each.keys and not any(each in some for some in chosen.values())]
    for each in spare_sets:
        lines.append(f"Score a finished run on it: mmtk evaluate RUN {shlex.quote(str(folder / each.folder))}")
    return lines


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number != 1 else ''}"
