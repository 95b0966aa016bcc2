"""Folders of films as sets to score a run on, with their labels in the names of the run."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import cast

import numpy as np

from mmtk.api import Item, LabelSpec, Source, Split
from mmtk.components.source.folder import Folder
from mmtk.counts import counted
from mmtk.data.label_matching import LEFT_OUT, UnknownLabelsError, plain, relabel
from mmtk.data.plan import words
from mmtk.data.plan.columns import SEVERAL
from mmtk.data.plan.films import metadata_columns
from mmtk.data.plan.findings import FilmSet, find_sets
from mmtk.data.plan.listing import list_folder, named_paths, resolve_hints, results_sentence
from mmtk.errors import MmtkError, listing
from mmtk.images.files import is_image_file
from mmtk.io.files import real_path
from mmtk.registry import factory
from mmtk.tasks import file_name


class LabelledSource(Source):
    """Labelled images of another source, all in one part, without the ids ``left_out``: nothing else is read."""

    def __init__(self, source: Source, left_out: Collection[str] = ()) -> None:
        self.source, self.labels, self.left_out = source, source.labels, frozenset(left_out)
        self.one_image_per_patient = source.one_image_per_patient

    def items(self, split: Split) -> list[Item]:
        """All labelled items, whatever the part."""
        return [
            item for item in self.source.items("all") if item.target is not None and item.id not in self.left_out
        ]

    def image(self, item: Item) -> np.ndarray:
        """The source's image."""
        return self.source.image(item)

    def mask(self, item: Item) -> np.ndarray:
        """The source's mask."""
        return self.source.mask(item)

    def digest(self) -> str:
        """The source's digest, for its labelled images."""
        return " ".join((self.source.digest(), "labelled", *sorted(self.left_out)))


FolderSet = tuple[str, str, Source]


def folder_sets(
    folder: Path,
    columns: Mapping[str, str],
    targets: Mapping[str, LabelSpec],
    match: Mapping[str, str],
    scratch: Path,
) -> tuple[list[FolderSet], list[str], list[str]]:
    """Find the sets in a folder that have labels for a task of the run, as (name, task, source).

    Beside them come notes, and the names of the sets that no task can be scored on.

    ``columns``: ``masks`` and ``labels`` as paths, and columns by use. ``targets``: classes and channels of the
    run, by task. ``match``: label → name of the run. ``scratch``: folder for tables that the sources read.
    Labels that the run does not know are refused where the user named them or where nothing else can be scored;
    else the other task is scored, and a note says what was left out.
    """
    if folder.is_file() and not is_image_file(folder):
        cure = f"Name the folder of the films; {folder.name} is found in it, or is named by --labels."
        raise MmtkError("is a file, not a folder of films.", str(folder), cure)
    root, columns = resolve_hints(folder, columns)
    named = named_paths(columns, root)
    listed = list_folder(root, named, (folder, *named))
    sets: list[FolderSet] = []
    notes: list[str] = [sentence] if (sentence := results_sentence(listed)) else []
    refusals: list[UnknownLabelsError] = []
    for films in find_sets(listed, columns, training=False):
        if "classification" in targets and not columns.get("labels"):
            _take_class_of_folder(films, real_path(folder), targets["classification"].names)
        name = "/".join(part for part in (real_path(folder).name, films.folder) if part)
        before = len(sets)
        for task in targets:
            if task in films.keys:
                make = _classes if task == "classification" else _organs
                try:
                    sets.append(
                        (name, task, LabelledSource(make(name, root, films, targets[task], match, scratch)))
                    )
                except UnknownLabelsError as error:
                    if task in NAMED and any(columns.get(key) for key in NAMED[task]):
                        raise
                    refusals.append(error)
        labels = ", ".join(f"{len(source.items('all'))} with {WHAT[task]}" for _, task, source in sets[before:])
        notes.append(f"{name}: {counted(len(films.films), 'film')}; {labels or 'no labels for a task of the run'}")
        several = _several(films, targets["classification"], match) if "classification" in targets else []
        notes += [f"  {note}" for note in dict.fromkeys((*films.notes, *films.reasons, *several))]
    if refusals and not sets:
        raise refusals[0]
    notes += [f"Not scored: {refusal}" for refusal in refusals]
    if not sets:
        raise MmtkError(
            f"no labels for {listing(targets)} were found, so there is nothing to score.",
            str(folder),
            "\n  ".join(["Say where they are: --labels TABLE.csv --label COLUMN, or --masks FOLDER.", *notes]),
        )
    scored = {name for name, _, _ in sets}
    return sets, notes, [name for refusal in refusals if (name := refusal.where or "") not in scored]


NAMED = {"classification": ("labels", "label"), "segmentation": ("masks",)}  # how a user says where labels are
WHAT = {"classification": "a class", "segmentation": "a mask"}


def _take_class_of_folder(films: FilmSet, folder: Path, classes: Collection[str]) -> None:
    """Take the name of the folder of all films as their class, where nothing else gives one and it is a class.

    films: of a set in ``folder``; they get the class
    classes: of the run
    """
    if "classification" in films.keys:
        return
    names = [*reversed(PurePosixPath(films.folder, films.images).parts), folder.name]
    word = next((name for name in names if words.class_among(name, classes)), "")
    if not word:
        return
    for film in films.films.values():
        film.label = word
    films.keys["classification"] = {}
    films.notes.append(f"the folder {word} as class of all")
    if word == folder.name:
        films.notes.append(f"{folder.parent} scores the classes of its folders together, with AUROC")


def _classes(
    name: str, root: Path, films: FilmSet, target: LabelSpec, match: Mapping[str, str], scratch: Path
) -> Source:
    """Source of the films with a class of the run, by a table in the names of the run."""
    strangers: Counter[str] = Counter()
    rows: list[tuple[str, ...]] = []
    metadata = metadata_columns(films.films.values())
    for path, film in sorted(films.films.items()):
        labels = _run_classes(film.label or "", target, match)
        run_classes = {label for label in labels if label}
        if film.label and not run_classes and None in labels and LEFT_OUT not in match:
            strangers[film.label] += 1
        label = run_classes.pop() if len(run_classes) == 1 else ""
        facts = (film.metadata.get(column, "") for column in metadata)
        rows.append((films.inside(path), label, film.patient, film.spacing, *facts))
    if strangers:
        raise _unknown_labels(name, strangers, target)
    table = _csv_file(
        scratch / f"{file_name(name)}.csv", [("image", "label", "patient", "spacing", *metadata), *rows]
    )
    images = (Path(films.folder) / films.images).as_posix()
    return Folder(
        root,
        "classification",
        images=images,
        labels=str(table),
        masks=_masks_among(films, scratch / f"{file_name(name)}-mask-files.csv"),
        classes=target.names,
        unlisted_images="ignore",  # lateral films, and masks below the same folder
    )


def _masks_among(films: FilmSet, path: Path) -> str:
    """Table ``path`` of the masks that lie among the films under names of their own, so that they are no films."""
    return str(_csv_file(path, films.mask_rows)) if films.mask_rows else ""


def _run_classes(label: str, target: LabelSpec, match: Mapping[str, str]) -> list[str | None]:
    """The class of the run for every finding of a film: "" for one that is left out, None for an unknown one."""
    class_by_spelling = {plain(name): name for name in target.names}
    class_by_label = {plain(one): class_by_spelling.get(plain(name), "") for one, name in match.items()}
    if label and plain(label) in class_by_label:
        return [class_by_label[plain(label)]]
    return [
        class_by_label.get(plain(text), words.class_among(text, target.names) or None)
        for text in SEVERAL.split(label)
    ]


def _several(films: FilmSet, target: LabelSpec, match: Mapping[str, str]) -> list[str]:
    """Sentences on films with several findings: those that count as a class of the run, and those of two."""
    labels = Counter(film.label for film in films.films.values() if film.label and SEVERAL.search(film.label))
    classes = {label: {*_run_classes(label, target, match)} - {None, ""} for label in labels}
    one, two = ([label for label in labels if len(classes[label]) == size] for size in (1, 2))
    sentences = []
    if one:
        count = counted(sum(labels[label] for label in one), "film")
        examples = listing((f"{label} as {next(iter(classes[label]))}" for label in one), 3)
        sentences.append(f"{count} with several findings, counted as the one that the run knows: {examples}")
    if two:
        count = counted(sum(labels[label] for label in two), "film")
        sentences.append(f"{count} with two classes of the run, left out: {listing(two, 3)}")
    return sentences


def _unknown_labels(name: str, strangers: Counter[str], target: LabelSpec) -> UnknownLabelsError:
    """The refusal of labels that are no classes of the run, with their counts."""
    some = ", ".join(f"{label} ({count})" for label, count in strangers.most_common(5))
    first = next(iter(strangers))
    count = counted(len(strangers), "label is no class", "labels are no classes")
    return UnknownLabelsError(
        f"{count} of the run, which knows {listing(target.names)}: {some}{', …' if len(strangers) > 5 else ''}.",
        name,
        f'Say which is which: --match "{first}={target.names[-1]}"; --match "{first}=" leaves its films out, '
        f'--match "{LEFT_OUT}=" those of all labels that the run does not know.',
    )


def _organs(
    name: str, root: Path, films: FilmSet, target: LabelSpec, match: Mapping[str, str], scratch: Path
) -> Source:
    """Source of the films with a mask, their patients and spacing from the table of the films."""
    keys = {"use": "folder", **films.keys["segmentation"]}
    if films.mask_rows:
        keys["masks"] = str(_csv_file(scratch / f"{file_name(name)}-mask-files.csv", films.mask_rows))
    metadata = metadata_columns(films.films.values())
    rows = [
        (films.inside(path), film.patient, film.spacing, *(film.metadata.get(column, "") for column in metadata))
        for path, film in sorted(films.films.items())
    ]
    if any(any(row[1:]) for row in rows) and "labels" not in keys:
        head = ("image", "patient", "spacing", *metadata)
        table = _csv_file(scratch / f"{file_name(name)}-masks.csv", [head, *rows])
        keys |= {"labels": str(table), "columns": {"label": ""}, "unlisted_images": "ignore"}
    source = cast(Source, factory.component("source", keys, {"root": root, "task": "segmentation"}))
    return relabel(source, target, match, name)


def _csv_file(path: Path, rows: Sequence[Sequence[str]]) -> Path:
    """A CSV table."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path
