"""The tables of the recipe for the sets of films that were found, and the table of classes that mmtk writes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence

from mmtk.data.plan import words
from mmtk.data.plan.findings import FilmSet
from mmtk.data.plan.labels import Film
from mmtk.data.plan.official import TASK
from mmtk.tasks import TASKS

HEAD = ("image", "label", "patient", "split", "spacing")
ORDER = (
    "images",
    "labels",
    "columns",
    "both_tasks",
    "masks",
    "mask_suffix",
    "mask_prefix",
    "image_suffix",
    "image_prefix",
    "classes",
    "exclusive",
    "values",
    "swap",
    "unmatched_masks",
)
ONE_TASK = ("classes", "exclusive", "values", "swap")

Rows = list[tuple[str, str, str, str, str]]


def choose(sets: Sequence[FilmSet], task: str, official: Mapping[int, str]) -> list[FilmSet]:
    """The set to train on, the one with most labels, and another to score on where one has the same labels."""

    def agree(one: FilmSet, other: FilmSet) -> bool:
        uses = [official.get(id(each), "") for each in (one, other)]
        return all(TASK.get(use) == task for use in uses) or _agree(one, other, task)

    ranked = sorted((each for each in sets if task in each.keys), key=lambda each: -each.labelled[task])
    return ranked[:1] + [each for each in ranked[1:] if agree(ranked[0], each)][:1]


def both_tasks(chosen: Mapping[str, Sequence[FilmSet]]) -> bool:
    """Whether one set of films serves both tasks, so that they have to share one split."""
    first = [chosen[task][0] for task in TASKS if chosen[task]]
    return len(first) == 2 and first[0] is first[1]


def _agree(one: FilmSet, other: FilmSet, task: str) -> bool:
    if task == "classification":
        ours, theirs = ({words.same_class(name) for name in each.classes} for each in (one, other))
        return theirs <= ours
    keys, others = one.keys[task], other.keys[task]
    same = len(_names(keys)) == len(_names(others)) == 1 or {*_names(keys)} == {*_names(others)}
    return same and bool(keys.get("exclusive")) == bool(others.get("exclusive"))


def _names(keys: Mapping[str, object]) -> list[str]:
    names = keys.get("classes")
    return [str(name) for name in names] if isinstance(names, list) else []


def source_keys(task: str, trained: FilmSet, each: FilmSet, shared: bool) -> tuple[dict[str, object], Rows]:
    """The keys of the source ``folder`` for one set, in the names of the set that is trained on.

    With the rows of a table to be written where the user's own does not do; its place is then to be added.
    """
    keys = {**each.keys[task]}
    classes = task == "classification"
    names = words.class_order(trained.classes) if classes else _names(trained.keys[task])
    if shared:
        masks = {key: value for key, value in each.keys["segmentation"].items() if key not in ONE_TASK}
        keys = {**masks, **keys, "both_tasks": True}
    with_labels = classes or shared
    rows = _rows(each, names if classes else [*each.classes], with_labels, shared)
    if not rows:
        keys |= _table(each, with_labels)
    return {**keys, "classes": names}, rows


def _table(each: FilmSet, with_labels: bool) -> dict[str, object]:
    """The keys of the user's own table; without its classes where only the masks count."""
    if with_labels:
        return dict(each.table)
    columns = each.table.get("columns")
    names = {**columns} if isinstance(columns, dict) else {}
    if each.table.get("labels") == "folders" or not any(
        film.patient or film.spacing for film in each.films.values()
    ):
        return {key: value for key, value in each.table.items() if key == "patient_pattern"}
    keys = {key: value for key, value in each.table.items() if key != "columns"}
    return {**keys, "columns": {**names, "label": ""}} if "labels" in keys else keys


def _rows(each: FilmSet, names: Sequence[str], with_labels: bool, shared: bool) -> Rows:
    """The cells of mmtk's own table; empty where the user's own does."""
    parts = {film.split for film in each.films.values()} - {""}
    foreign = with_labels and not {*each.classes} <= {*names}
    of_folders = not with_labels and each.table.get("labels", "folders") == "folders" and len(parts) > 1
    if not (foreign or of_folders or each.reasons):
        return []
    rows: Rows = []

    def scored(path: str, film: Film) -> bool:
        return bool(not with_labels or film.label or (shared and path in each.masks))

    held_out = {
        film.patient: film.split
        for path, film in each.films.items()
        if film.patient and film.split in ("val", "test") and scored(path, film)
    }
    for path, film in sorted(each.films.items()):
        label = film.label if with_labels else ""
        split = film.split if len(parts) > 1 else ""
        if len(parts) > 1 and not (split and scored(path, film)):
            split = held_out.get(film.patient, "train")  # beside his films that are scored, it is left out
        rows.append(
            (
                each.inside(path),
                words.class_among(label, names) or label if label else "",
                film.patient,
                split,
                film.spacing,
            )
        )
    return rows if with_labels or any(row[2] or row[3] or row[4] for row in rows) else []


def csv_text(rows: Rows) -> str:
    """The table, with the columns that say something; an image without a patient is its own."""
    used = [k for k, name in enumerate(HEAD) if name == "image" or any(row[k] for row in rows)]
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow([HEAD[k] for k in used])
    table.writerows([[row[0] if k == 2 and not row[2] else row[k] for k in used] for row in rows])
    return file.getvalue()


def toml_lines(keys: Mapping[str, object]) -> Iterator[str]:
    """The keys as lines of TOML, in the order in which people read them."""
    for key in [*(key for key in ORDER if key in keys), *(key for key in keys if key not in ORDER)]:
        yield f"{key} = {_toml(keys[key])}"


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)
