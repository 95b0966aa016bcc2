"""Recipe tables for sets of films, and the CSV table that mmtk writes for them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from mmtk.components.source._organ_words import UNNAMED
from mmtk.data.plan import words
from mmtk.data.plan.films import Film, metadata_columns
from mmtk.data.plan.findings import FilmSet
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
    "unlisted_images",
    "resize_masks",
)
OUTSIDE = {"external", "extern", "externe", "externo", "esterno", "esterna", "外部"}  # sets to score on
ONE_TASK = ("classes", "exclusive", "values", "swap")

Rows = list[tuple[str, ...]]  # the first one has the names of the columns


def choose(sets: Sequence[FilmSet], task: str, official: Mapping[int, str]) -> list[FilmSet]:
    """Choose the set with most labels to train on, best one that is not external, and another to score on."""

    def agree(one: FilmSet, other: FilmSet) -> bool:
        uses = [official.get(id(film_set), "") for film_set in (one, other)]
        return all(TASK.get(use) == task for use in uses) or _agree(one, other, task)

    ranked = sorted(
        (candidate for candidate in sets if task in candidate.keys),
        key=lambda one: (bool({*words.plain(one.folder).split()} & OUTSIDE), -one.labelled[task]),
    )
    return ranked[:1] + [candidate for candidate in ranked[1:] if agree(ranked[0], candidate)][:1]


def both_tasks(sets_by_task: Mapping[str, Sequence[FilmSet]]) -> bool:
    """Whether one set of films serves both tasks, so that they have to share one split."""
    first = [sets_by_task[task][0] for task in TASKS if sets_by_task[task]]
    return len(first) == 2 and first[0] is first[1]


def _agree(one: FilmSet, other: FilmSet, task: str) -> bool:
    if task == "classification":
        classes, other_classes = (
            {words.same_class(name) for name in film_set.classes} for film_set in (one, other)
        )
        return other_classes <= classes
    keys, other_keys = one.keys[task], other.keys[task]
    names, other_names = {*_names(keys)}, {*_names(other_keys)}
    same = names == other_names or (len(names) == len(other_names) == 1 and UNNAMED in names | other_names)
    return same and bool(keys.get("exclusive")) == bool(other_keys.get("exclusive"))


def _names(keys: Mapping[str, object]) -> list[str]:
    names = keys.get("classes")
    return [str(name) for name in names] if isinstance(names, list) else []


def source_keys(
    task: str, training_set: FilmSet, film_set: FilmSet, shared: bool
) -> tuple[dict[str, object], Rows]:
    """Keys of the source ``folder`` for ``film_set`` in ``task``, in the class names of ``training_set``.

    ``shared``: the set serves both tasks. Also returned are the rows of a table to be written where the user's
    does not do; the caller adds its path.
    """
    keys = {**film_set.keys[task]}
    classes = task == "classification"
    names = words.class_order(training_set.classes) if classes else _names(training_set.keys[task])
    if shared:
        masks = {key: value for key, value in film_set.keys["segmentation"].items() if key not in ONE_TASK}
        keys = {**masks, **keys, "both_tasks": True}
    with_labels = classes or shared
    rows = _rows(film_set, names if classes else [*film_set.classes], with_labels, shared)
    if not rows:
        keys |= _table(film_set, with_labels)
    elif film_set.left_out:
        keys["unlisted_images"] = "ignore"
    return {**keys, "classes": names}, rows


def _table(film_set: FilmSet, with_labels: bool) -> dict[str, object]:
    """Keys of the user's table; without its classes where only the masks count."""
    if with_labels:
        return dict(film_set.table)
    columns = film_set.table.get("columns")
    names = {**columns} if isinstance(columns, dict) else {}
    if film_set.table.get("labels") == "folders" or not any(
        film.patient or film.spacing for film in film_set.films.values()
    ):
        return {key: value for key, value in film_set.table.items() if key == "patient_pattern"}
    keys = {key: value for key, value in film_set.table.items() if key != "columns"}
    return {**keys, "columns": {**names, "label": ""}} if "labels" in keys else keys


def _rows(film_set: FilmSet, names: Sequence[str], with_labels: bool, shared: bool) -> Rows:
    """Rows of the table that mmtk writes; empty where the user's does."""
    parts = {film.split for film in film_set.films.values()} - {""}
    foreign = with_labels and not {*film_set.classes} <= {*names}
    of_folders = not with_labels and film_set.table.get("labels", "folders") == "folders" and len(parts) > 1
    if not (foreign or of_folders or film_set.reasons):
        return []
    rows: Rows = []
    metadata = metadata_columns(film_set.films.values())

    def scored(path: str, film: Film) -> bool:
        return bool(not with_labels or film.label or (shared and path in film_set.masks))

    held_out = {
        film.patient: film.split
        for path, film in film_set.films.items()
        if film.patient and film.split in ("val", "test") and scored(path, film)
    }
    for path, film in sorted(film_set.films.items()):
        label = film.label if with_labels else ""
        split = film.split if len(parts) > 1 else ""
        if len(parts) > 1 and not (split and scored(path, film)):
            split = held_out.get(film.patient, "train")  # beside his films that are scored, it is left out
        rows.append(
            (
                film_set.inside(path),
                words.class_among(label, names) or label if label else "",
                film.patient,
                split,
                film.spacing,
                *(film.metadata.get(name, "") for name in metadata),
            )
        )
    is_needed = with_labels or film_set.left_out or any(any(row[2:]) for row in rows)
    return [(*HEAD, *metadata), *rows] if is_needed else []


def csv_text(rows: Rows) -> str:
    """CSV text with the columns that are not empty; an image without a patient is its own."""
    head, *images = rows
    used = [k for k, name in enumerate(head) if name == "image" or any(row[k] for row in images)]
    cells = ([row[0] if k == 2 and not row[2] else row[k] for k in used] for row in images)
    return rows_text([[head[k] for k in used], *cells])


def rows_text(rows: Iterable[Sequence[str]]) -> str:
    """CSV text of rows."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()


def toml_lines(keys: Mapping[str, object]) -> Iterator[str]:
    """Lines of TOML, in the order in which people read the keys."""
    for key in [*(key for key in ORDER if key in keys), *(key for key in keys if key not in ORDER)]:
        yield f"{key} = {_toml(keys[key])}"


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(entry)}" for key, entry in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)
