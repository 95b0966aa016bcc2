"""From a listing to one or several sets of films, each with the keys of the source ``folder``. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from mmtk.counts import counted
from mmtk.data.plan import words
from mmtk.data.plan.annotations import find_annotations
from mmtk.data.plan.columns import find_columns
from mmtk.data.plan.labels import Film, Labels, find_labels, leave_several
from mmtk.data.plan.listing import Listing
from mmtk.data.plan.masks import Masks, find_masks
from mmtk.data.plan.parts import FEWEST, complete_parts, draw_parts, rare_classes, splits_by_itself
from mmtk.data.plan.roles import common, find_roles, one_group, pattern_of
from mmtk.errors import MmtkError

_CURES = {
    **dict.fromkeys((".xlsx", ".xls", ".ods"), " (save the sheet as CSV)"),
    **dict.fromkeys((".zip", ".rar", ".7z", ".tar", ".tgz"), " (unpack it)"),
    **dict.fromkeys((".gz", ".nii", ".mha", ".mhd", ".nrrd"), " (unpack it, or convert it to PNG or .npy)"),
}


@dataclass
class FilmSet:
    """The films of one place: where they lie, what is known of them, and the keys of each task's source.

    ``table`` holds the keys that say who is who (``labels``, ``columns``, ``patient_pattern``); ``reasons`` say
    why the user's own table cannot be read as it is, so that mmtk writes another.
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

    @property
    def name(self) -> str:
        """Name of the set."""
        return self.folder or "all films"

    def inside(self, path: str) -> str:
        """The path of a film as a table has it: below the folder of images, or what is fixed of its pattern."""
        fixed = self.images.partition("*")[0].rstrip("/")
        return path if fixed in ("", ".") else path.removeprefix(f"{fixed}/")


def find_sets(listing: Listing, said: Mapping[str, str] | None = None, *, training: bool = True) -> list[FilmSet]:
    """The sets of films in a folder: one, or one for each sub-folder that is complete by itself (a hospital).

    ``said`` holds what the user says: ``images``, ``masks``, ``labels`` (paths), ``label``, ``patient``,
    ``split``, ``spacing``, ``image`` (columns). ``training`` leaves out classes too rare to be split.
    """
    said = {key: value for key, value in (said or {}).items() if value}
    if not listing.images:
        others = ", ".join(
            f"{count} {suffix}{_CURES.get(suffix, '')}" for suffix, count in sorted(listing.others.items())
        )
        raise MmtkError(
            f"no image that mmtk reads{f' (but {others})' if others else ''}.",
            str(listing.root),
            "It reads PNG, JPEG, TIFF, BMP, PGM and DICOM; convert other formats first.",
        )
    if not {"images", "masks", "labels"} & {*said} and (places := _places(listing)):
        sets = [found for place in places if (found := _complete(listing, place, said, training))]
        if len(sets) > 1:
            return sets
    return [find_set(listing, said, training=training)]


def _places(listing: Listing) -> list[str]:
    """The sub-folders that may be sets of their own: no film and no table of the films lies beside them."""
    children = _children(listing)
    if any("/" not in path for path in listing.images) or any(words.role(child) for child in children):
        return []
    if {words.plain(child) for child in children} & words.CLASSES:
        return []
    top = [table for name, table in listing.tables.items() if "/" not in name]
    return [] if any(find_columns(table, listing.images, {}) for table in top) else children


def _children(listing: Listing) -> list[str]:
    return sorted({path.split("/")[0] for path in listing.images if "/" in path})


def _complete(listing: Listing, folder: str, said: Mapping[str, str], training: bool) -> FilmSet | None:
    found = find_set(listing.below(folder), said, folder, training=training)
    return found if found.keys else None


def find_set(listing: Listing, said: Mapping[str, str], folder: str = "", *, training: bool = True) -> FilmSet:
    """One set of films, as the folder ``folder`` of the whole."""
    roles, choice = one_group(find_roles(listing, said.get("masks", ""), said.get("images", "")))
    films, spare = list(roles.films), list(roles.unlabelled)
    labels = find_labels(listing, films, spare, said)
    if training:
        leave_several(labels)
    masks = find_masks(listing, films, roles.masks) if roles.masks else None
    masks = masks or find_annotations(listing, films)
    patterned = masks is not None and "*" in str(masks.keys["masks"])
    images = said.get("images") or (pattern_of(films, "images") if patterned else "") or common(films)
    found = FilmSet(folder, images or ".", labels.films, notes=[*choice, *labels.notes], reasons=[*labels.reasons])
    if masks is not None:
        found.notes += masks.notes
        found.masks = masks.pairs
    elif roles.masks:
        found.notes.append(
            f"{counted(len(roles.masks), 'mask')} in {common(roles.masks) or '.'}: none has the name of a film"
        )
    found.notes += [
        f"{counted(count, 'file')} {suffix}: not read{_CURES.get(suffix, '')}"
        for suffix, count in sorted(listing.others.items())
    ]
    found.table = _place(found, labels.keys)
    _classification(found, labels, masks, training)
    _segmentation(found, labels, masks, training)
    unlabelled = common(spare) if spare else ""
    for keys in found.keys.values():
        if unlabelled:
            keys["unlabelled"] = _joined(folder, unlabelled)
    if spare:
        found.notes.append(f"{counted(len(spare), 'film')} in {unlabelled}: unlabelled")
    return found


def _joined(folder: str, path: str) -> str:
    return PurePosixPath(folder, path).as_posix()


def _place(found: FilmSet, keys: Mapping[str, object]) -> dict[str, object]:
    """Keys with paths from the whole folder."""
    paths = ("masks", "labels")
    return {
        key: _joined(found.folder, str(value)) if key in paths and value != "folders" else value
        for key, value in keys.items()
    }


def _classification(found: FilmSet, labels: Labels, masks: Masks | None, training: bool) -> None:
    if training:
        _make_splittable(labels, [*masks.pairs] if masks else [], found)
    counts = labels.counts
    if not counts or (training and len(counts) < 2):
        if counts:
            found.notes.append(f"one class only ({', '.join(counts)}): there is nothing to tell apart")
        return
    found.classes, found.labelled["classification"] = counts, sum(counts.values())
    found.keys["classification"] = {"images": _joined(found.folder, found.images)}


def _make_splittable(labels: Labels, masked: Collection[str], found: FilmSet) -> None:
    """Fill or draw the parts where the source could not; films of classes too rare for it become unlabelled."""
    films = labels.films
    known = [path for path, film in films.items() if film.label or path in masked]
    if why := complete_parts(films, known, labels.keys.get("labels") == "folders"):
        found.reasons.append(why)
    given = any(film.split for film in films.values())
    if given:
        rare = sorted({*labels.counts} - {film.label or "" for film in films.values() if film.split == "train"})
        why = "classes without a film in train serve as unlabelled"
    else:
        rare, why = rare_classes(films), f"classes of fewer than {FEWEST} patients serve as unlabelled"
    if len(labels.counts) - len(rare) > 1 and rare:
        found.reasons.append(f"{why}: {', '.join(rare)}")
    for film in films.values():
        film.label = "" if film.label in rare else film.label
    while not given and labels.counts and not (splits_by_itself(films) and splits_by_itself(films, masked)):
        if draw_parts(films, masked):
            found.reasons.append(
                "patients have films of several classes: the parts are drawn so that each has all"
            )
            return
        fewest = min(labels.counts.items(), key=lambda each: (each[1], each[0]))[0]
        found.reasons.append(f"the class {fewest} cannot stand in every part: its films serve as unlabelled")
        for film in films.values():
            film.label = "" if film.label == fewest else film.label


def _segmentation(found: FilmSet, labels: Labels, masks: Masks | None, training: bool) -> None:
    if masks is None or not masks.pairs:
        return
    patients = {labels.films[path].patient or path for path in masks.pairs if path in labels.films}
    if training and len(patients) < FEWEST:
        found.notes.append(
            f"masks of {counted(len(patients), 'patient')}: it takes {FEWEST} to have one in each part"
        )
        return
    found.keys["segmentation"] = {"images": _joined(found.folder, found.images), **_place(found, masks.keys)}
    found.labelled["segmentation"] = len(masks.pairs)


def tell_apart(sets: Sequence[FilmSet]) -> None:
    """Put the place before the patients of two places that both number theirs from 1 on."""
    seen: set[str] = set()
    for each in sets:
        patients = {film.patient for film in each.films.values()} - {""}
        if patients & seen and all(name.isdigit() and int(name) <= 3 * len(patients) for name in patients):
            for film in each.films.values():
                film.patient = f"{each.name} {film.patient}" if film.patient else ""
            each.reasons.append(
                "its patients are numbered as those of another place, from 1 on: they are taken for others"
            )
        seen |= patients


def parts_of(found: FilmSet) -> Counter[str]:
    """Films of each part that the data themselves give."""
    return Counter(film.split for film in found.films.values() if film.split)
