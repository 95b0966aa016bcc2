"""Sets of films in a listing, each with the keys of the source ``folder``."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from statistics import median

from mmtk.components.source._sides import mirrored, sides
from mmtk.components.source._splitting import are_numbered
from mmtk.counts import counted
from mmtk.data.plan import words
from mmtk.data.plan.annotations import find_annotations
from mmtk.data.plan.columns import find_columns
from mmtk.data.plan.file_notes import file_notes, unread_kinds
from mmtk.data.plan.films import Film, Labels, leave_several
from mmtk.data.plan.labels import DIVISION, find_labels
from mmtk.data.plan.listing import Listing, parent
from mmtk.data.plan.mask_groups import one_group
from mmtk.data.plan.masks import Masks, find_masks
from mmtk.data.plan.named_masks import NamedMasks, masks_by_name, take_named_masks
from mmtk.data.plan.parts import FEWEST, complete_parts, draw_parts, rare_classes, splits_by_itself
from mmtk.data.plan.patient_tables import rows_per_film
from mmtk.data.plan.patient_words import FEW, MANY, is_patient_folder
from mmtk.data.plan.roles import Roles, common, containers, find_roles, pattern_of, without_test_films
from mmtk.data.plan.strays import without_strays
from mmtk.errors import MmtkError
from mmtk.errors import listing as listing_of
from mmtk.images.loader import read_frame_count


@dataclass
class FilmSet:
    """Films of one folder (a hospital, say), their facts, and the keys of each task's source.

    ``table``: keys of classes and patients (``labels``, ``columns``, ``patient_pattern``).
    ``reasons``: why the user's table cannot be read as it is, so that mmtk writes another.
    ``left_out``: films in the folder of images that are not to be read.
    ``mask_columns``: those of a table that has to name the masks of every film, if any.
    """

    folder: str
    images: str
    films: dict[str, Film]
    keys: dict[str, dict[str, object]] = field(default_factory=dict)
    table: dict[str, object] = field(default_factory=dict)
    labelled: dict[str, int] = field(default_factory=dict)
    classes: Counter[str] = field(default_factory=Counter)
    masks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    mask_columns: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the set."""
        return self.folder or "all films"

    def inside(self, path: str) -> str:
        """Path of a film for a table: below the folder of images, or below the fixed part of its pattern."""
        fixed = self._base
        return path if fixed in ("", ".") else path.removeprefix(f"{fixed}/")

    @property
    def _base(self) -> str:
        """Folder of images, or the fixed part of its pattern."""
        return self.images.partition("*")[0].rstrip("/")

    @property
    def mask_rows(self) -> list[tuple[str, ...]]:
        """Rows of a table that names the masks of every film, with paths from the folder of images; else none."""
        if not self.mask_columns:
            return []
        rows = [
            (self.inside(film), *(posixpath.relpath(mask, self._base or ".") for mask in masks))
            for film, masks in self.masks.items()
        ]
        return [("image", *self.mask_columns), *sorted(rows)]


def find_sets(listing: Listing, hints: Mapping[str, str] | None = None, *, training: bool = True) -> list[FilmSet]:
    """Find the sets of films in a folder: one, or one for each sub-folder that is complete (a hospital).

    ``hints`` of the user: ``images``, ``masks``, ``labels`` (paths), ``label``, ``patient``,
    ``split``, ``spacing``, ``image`` (columns). ``training`` leaves out classes too rare to be split.
    """
    hints = {key: value for key, value in (hints or {}).items() if value}
    if not listing.images:
        kinds = unread_kinds(listing, with_arrays=True)
        unread = [f"{count} {kind}{cure}" for kind, (count, cure) in kinds.items()]
        unread += [f"{counted(len(listing.results), 'file')} that mmtk wrote"] if listing.results else []
        text = ", ".join(unread)
        raise MmtkError(
            f"no image that mmtk reads{f' (but {text})' if text else ''}.",
            str(listing.root),
            "It reads PNG, JPEG, TIFF, BMP, PGM and DICOM; convert other formats first.",
        )
    if not {"images", "masks", "labels"} & {*hints} and (folders := _set_folders(listing)):
        sets = [film_set for folder in folders if (film_set := _complete_set(listing, folder, hints, training))]
        if len(sets) > 1:
            if spare := sorted({*folders} - {film_set.folder for film_set in sets}):
                sets[0].notes.append(f"beside it, without labels or masks that fit, left out: {listing_of(spare)}")
            return sets
    return [find_set(listing, hints, training=training)]


def _set_folders(listing: Listing) -> list[str]:
    """Sub-folders that may be sets by themselves: no film and no table of the films lies beside them."""
    children = _children(listing)
    if any("/" not in path for path in listing.images) or any(
        words.role(child) for child in {*children} - containers({*map(parent, listing.images)})
    ):
        return []
    if {words.plain(child) for child in children} & words.CLASSES or _are_patients(listing, children):
        return []
    if all(map(DIVISION.fullmatch, children)):
        return []  # years of one hospital, or folds of one set
    top = [table for name, table in {**listing.tables, **listing.sheets}.items() if "/" not in name]
    named = any(
        find_columns(table, listing.images, {}) or rows_per_film(table, listing, listing.images) for table in top
    )
    return [] if named else children


def _are_patients(listing: Listing, children: list[str]) -> bool:
    """Whether sub-folders are patients: by their names, or many that hold a handful of images each."""
    if children and all(is_patient_folder(child) for child in children):
        return True
    counts = Counter(path.split("/")[0] for path in listing.images)
    return len(children) >= MANY and median(counts.values()) < FEW


def _children(listing: Listing) -> list[str]:
    return sorted({path.split("/")[0] for path in listing.images if "/" in path})


def _complete_set(listing: Listing, folder: str, hints: Mapping[str, str], training: bool) -> FilmSet | None:
    film_set = find_set(listing.below(folder), hints, folder, training=training)
    return film_set if film_set.keys else None


def find_set(listing: Listing, hints: Mapping[str, str], folder: str = "", *, training: bool = True) -> FilmSet:
    """Describe the films of ``listing`` as one set, the sub-folder ``folder`` of the whole.

    ``hints`` and ``training`` as in ``find_sets``.
    """
    all_roles = find_roles(listing, hints.get("masks", ""), hints.get("images", ""))
    roles, choice = one_group(listing, all_roles)
    roles, strays = without_strays(listing.root, roles)
    roles, named = take_named_masks(listing, roles)
    if training:
        roles, left = without_test_films(roles)
        choice += left
    films, spare = list(roles.films), list(roles.unlabelled)
    labels = find_labels(listing, films, hints)
    if training:
        leave_several(labels)
    films = [path for path in films if path in labels.films]
    masks = _masks(listing, films, roles, named)
    patterned = masks is not None and "*" in str(masks.keys["masks"])
    images = hints.get("images") or (pattern_of(films, "images") if patterned else "") or common(films)
    film_set = FilmSet(
        folder,
        images or ".",
        labels.films,
        notes=[*choice, *strays, *labels.notes, *file_notes(listing, films, masks is not None, labels.files)],
        reasons=[*labels.reasons],
        left_out=labels.left_out,
    )
    if masks is not None:
        film_set.notes += masks.notes
        film_set.masks, film_set.mask_columns = masks.pairs, named.columns
    elif roles.masks:
        film_set.notes.append(_unmatched(listing, films, roles.masks))
    named_files = {*roles.films, *roles.masks, *named.files}
    _leave_out(film_set, {*all_roles.films, *all_roles.masks, *listing.broken} - named_files)
    film_set.table = _keys_from_root(film_set, labels.keys)
    _classification(film_set, labels, masks, training)
    _segmentation(film_set, labels, masks, training)
    unlabelled = common(spare) if spare else ""
    for keys in film_set.keys.values():
        if unlabelled:
            keys["unlabelled"] = _join_path(folder, unlabelled)
    if spare:
        film_set.notes.append(f"{counted(len(spare), 'film')} in {unlabelled}: unlabelled")
    return film_set


def _masks(listing: Listing, films: Sequence[str], roles: Roles, named: NamedMasks) -> Masks | None:
    """Masks of the films: those that a table or a format names, those of fitting names, or outlines."""
    masks = masks_by_name(listing, films, named) if named.pairs else None
    masks = masks or (find_masks(listing, films, roles.masks) if roles.masks else None)
    return masks or find_annotations(listing, films)


def _unmatched(listing: Listing, films: Collection[str], masks: Sequence[str]) -> str:
    """Note on masks of which none was matched to a film."""
    why = _why_stacked(listing, films, masks) or _why_unmatched(masks)
    return f"{counted(len(masks), 'mask')} in {common(masks) or '.'}: {why}"


def _why_stacked(listing: Listing, films: Collection[str], masks: Sequence[str]) -> str:
    """Why masks have no film where they lie as pages of one file, "" where they do not."""
    pages = read_frame_count(listing.root / masks[0]) if len(masks) == 1 else 1
    if pages == 1:
        return ""
    return (
        f"it has {counted(pages, 'page')} for {counted(len(films), 'film')}, and no page says whose it is. "
        "Save each page under the name of its film"
    )


def _why_unmatched(masks: Sequence[str]) -> str:
    """Why no mask was matched to a film, with the masks whose other side is missing."""
    sides = {path: other for path in masks if (other := mirrored(path)) != path}
    if not {*sides.values()} & {*masks}:
        return "none has the name of a film, or a film has several of one organ (leave those of one reader)"
    lonely = [path for path, other in sides.items() if other not in masks]
    if not lonely:
        return "left and right, but not both of every film by one rule (p1_L and p1_R, or a folder of each)"
    return (
        f"the other side of {listing_of(lonely, 5)} is missing. Add it, or move the lonely "
        f"{'mask' if len(lonely) == 1 else 'masks'} away: films without masks serve as unlabelled"
    )


def _leave_out(film_set: FilmSet, paths: Collection[str]) -> None:
    """Keep images that were not chosen, and lie in the folder of images, from being read as films."""
    folder = film_set.images
    if among := sorted(path for path in paths if folder == "." or path.startswith(f"{folder}/")):
        film_set.left_out += among
        film_set.reasons.append(f"{counted(len(among), 'image')} below {folder} left out")


def _join_path(folder: str, path: str) -> str:
    return PurePosixPath(folder, path).as_posix()


def _keys_from_root(film_set: FilmSet, keys: Mapping[str, object]) -> dict[str, object]:
    """Keys with paths from the folder of all sets."""
    paths = ("masks", "labels")
    return {
        key: _join_path(film_set.folder, str(value)) if key in paths and value != "folders" else value
        for key, value in keys.items()
    }


def _classification(film_set: FilmSet, labels: Labels, masks: Masks | None, training: bool) -> None:
    if training:
        _make_splittable(labels, [*masks.pairs] if masks else [], film_set)
    counts = labels.counts
    if not counts or (training and len(counts) < 2):
        if counts:
            film_set.notes.append(f"one class only ({', '.join(counts)}): there is nothing to tell apart")
        return
    film_set.classes, film_set.labelled["classification"] = counts, sum(counts.values())
    film_set.keys["classification"] = {"images": _join_path(film_set.folder, film_set.images)}


def _make_splittable(labels: Labels, masked: Collection[str], film_set: FilmSet) -> None:
    """Fill or draw the parts where the source could not; unlabel films of classes too rare for it."""
    films = labels.films
    labelled = [path for path, film in films.items() if film.label or path in masked]
    if why := complete_parts(films, labelled, labels.keys.get("labels") == "folders" and not film_set.reasons):
        film_set.reasons.append(why)
    has_parts = any(film.split for film in films.values())
    if has_parts:
        rare = sorted({*labels.counts} - {film.label or "" for film in films.values() if film.split == "train"})
        why = "classes without a film in train serve as unlabelled"
    else:
        rare, why = rare_classes(films), f"classes of fewer than {FEWEST} patients serve as unlabelled"
    if len(labels.counts) - len(rare) > 1 and rare:
        film_set.reasons.append(f"{why}: {', '.join(rare)}")
    for film in films.values():
        film.label = "" if film.label in rare else film.label
    while not has_parts and labels.counts and not (splits_by_itself(films) and splits_by_itself(films, masked)):
        if draw_parts(films, masked):
            film_set.reasons.append(
                "patients have films of several classes: the parts are drawn so that each has all"
            )
            return
        fewest = min(labels.counts.items(), key=lambda item: (item[1], item[0]))[0]
        film_set.reasons.append(f"the class {fewest} cannot stand in every part: its films serve as unlabelled")
        for film in films.values():
            film.label = "" if film.label == fewest else film.label


def _segmentation(film_set: FilmSet, labels: Labels, masks: Masks | None, training: bool) -> None:
    if masks is None or not masks.pairs:
        return
    patients = {labels.films[path].patient or path for path in masks.pairs if path in labels.films}
    if training and len(patients) < FEWEST:
        film_set.notes.append(
            f"masks of {counted(len(patients), 'patient')}: it takes {FEWEST} to have one in each part"
        )
        return
    keys = _keys_from_root(film_set, masks.keys)
    names = keys.get("classes")
    if swap := sides(names) if isinstance(names, list) else []:
        keys["swap"] = swap
    film_set.keys["segmentation"] = {"images": _join_path(film_set.folder, film_set.images), **keys}
    film_set.labelled["segmentation"] = len(masks.pairs)


def separate_patients(sets: Sequence[FilmSet]) -> None:
    """Put the name of the set before the patients of two sets that both number them from 1 on."""
    other_patients: set[str] = set()
    for film_set in sets:
        patients = {film.patient for film in film_set.films.values()} - {""}
        if patients & other_patients and are_numbered(patients):
            for film in film_set.films.values():
                film.patient = f"{film_set.name} {film.patient}" if film.patient else ""
            film_set.reasons.append(
                "its patients are numbered as those of another place, from 1 on: they are taken for others"
            )
        other_patients |= patients


def part_counts(film_set: FilmSet) -> Counter[str]:
    """Number of films of each part, where the data give parts."""
    return Counter(film.split for film in film_set.films.values() if film.split)
