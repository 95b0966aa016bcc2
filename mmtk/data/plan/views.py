"""Films of another view: lateral ones by a column, DICOM headers or names, and other parts of the body."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from mmtk.counts import counted
from mmtk.data.plan import words
from mmtk.data.plan.columns import Columns
from mmtk.data.plan.films import Labels
from mmtk.data.plan.listing import Listing, stem
from mmtk.data.plan.tables import Table
from mmtk.errors import MmtkError, listing
from mmtk.images.loader import read_body_part, read_view

CHEST = {"chest", "thorax", "torax", "lung", "lungs", "lunge", "cxr", "poumon", "tórax", "toraks", "胸部", "грудь"}
SIDEWAYS = {"lateral", "profil", "seitlich", "perfil", "laterale", "boczne", "боковая"}  # in file names
MODALITIES = {"ct", "mr", "mri", "us", "ultrasound", "pt", "pet", "nm", "mg", "xa"}
FRONTAL = {"pa", "ap", "frontal", "antero posterior", "postero anterior", "ap supine", "p a", "a p"}
LATERAL = {"lateral", "lat", "ll", "rl", "left lateral", "right lateral", "seitlich", "profil", "profile"}


def other_modalities(table: Table, columns: Columns) -> tuple[str, set[str]]:
    """Column of modalities in a table, and its films of CT, say, where others are not; "" and none without one."""
    for name in columns.unused:
        if "modality" not in words.plain(name).split():
            continue
        cells = zip(table.cells(name), table.cells(columns.image), strict=True)
        modality_of = {
            columns.matches[image]: words.plain(cell) for cell, image in cells if image in columns.matches
        }
        others = {film for film, modality in modality_of.items() if {*modality.split()} & MODALITIES}
        if 0 < len(others) < len(modality_of):
            return name, others
    return "", set()


def lateral_cells(table: Table, columns: Columns) -> tuple[str, set[str]]:
    """Column of views in a table, and the films that it calls lateral; "" and none without such a column."""
    for name in columns.unused:
        if not {*words.plain(name).split()} & words.VIEW_COLUMNS:
            continue
        frontal = FRONTAL & {words.plain(cell) for cell in table.cells(name)}
        lateral = {*LATERAL, "l"} if frontal else LATERAL
        views: dict[str, bool] = {}
        for cell, image in zip(table.cells(name), table.cells(columns.image), strict=True):
            if image in columns.matches and cell:
                views[columns.matches[image]] = words.plain(cell) in lateral
        if {*views.values()} == {True, False}:
            return name, {film for film, sideways in views.items() if sideways}
    return "", set()


def leave_other_views(files: Listing, labels: Labels) -> None:
    """Leave out films of other modalities and parts of the body, and lateral films where others are frontal.

    Each with a reason.
    """
    by_column = ((films, _lateral_note(films, why)) for why, films in labels.lateral.items())
    lateral = next((entry for entry in by_column if 0 < len(entry[0]) < len(labels.films)), None)
    views = [lateral, *body_parts_among(files, labels.films)] if lateral else views_among(files, labels.films)
    modalities = [
        (films, f"{counted(len(films), 'film')} of other modalities ({why}) left out")
        for why, films in labels.modalities.items()
        if films
    ]
    for films, note in (*modalities, *views):
        labels.reasons.append(note)
        labels.left_out += sorted(films & {*labels.films})
        for path in films & {*labels.films}:
            del labels.films[path]


def views_among(files: Listing, films: Collection[str]) -> list[tuple[set[str], str]]:
    """Films of other parts of the body, and lateral ones where others are frontal, each with a note."""
    elsewhere = body_parts_among(files, films)
    rest = {*films}.difference(*(paths for paths, _ in elsewhere))
    why, lateral = _lateral_among(files, rest)
    return [*elsewhere, *([(lateral, _lateral_note(lateral, why))] if lateral else [])]


def body_parts_among(files: Listing, films: Collection[str]) -> list[tuple[set[str], str]]:
    """Films whose headers name another part of the body than the chest, where most name the chest, with a note."""
    part_of = {path: part for path in films if (part := _read(read_body_part, files, path))}
    others = {path for path, part in part_of.items() if not CHEST & {*words.plain(part).split()}}
    if not others or 2 * len(others) >= len(part_of):
        return []
    named = listing({part_of[path] for path in others}, 5)
    count = counted(len(others), "film")
    return [(others, f"{count} of other parts of the body ({named}, by BodyPartExamined) left out")]


def _read(reader: Callable[[Path], str], files: Listing, path: str) -> str:
    try:
        return reader(files.root / path)
    except MmtkError:  # whoever reads the film names the fault
        return ""


def _lateral_note(films: Collection[str], why: str) -> str:
    """Sentence on lateral films that are left out, and ``why`` they count as such."""
    return f"{counted(len(films), 'lateral film')} ({why}) left out"


def _lateral_among(files: Listing, films: Collection[str]) -> tuple[str, set[str]]:
    """Words for why films are lateral, by headers or names, and these films; none where no other is frontal."""
    view_of = {path: words.plain(_read(read_view, files, path)) for path in films}
    by_view = {path for path, view in view_of.items() if view in LATERAL}
    by_series = {path for path, view in view_of.items() if _is_lateral(view)}
    for why, by_header in (("ViewPosition", by_view), ("the series", by_series)):
        if 0 < len(by_header) < len(films):
            return f"{why} of the headers", by_header
    by_name = {path for path in films if SIDEWAYS & {*words.plain(stem(path)).split()}}
    return ("by their names", by_name) if 0 < len(by_name) < len(films) else ("", set())


def _is_lateral(series: str) -> bool:
    """Whether the plain name of a series says lateral alone: "thorax seitlich", not "pa and lateral"."""
    spoken = {*series.split()}
    return bool(spoken & (LATERAL | SIDEWAYS)) and not spoken & FRONTAL
