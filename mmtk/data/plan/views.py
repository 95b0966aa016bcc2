"""Lateral films among frontal ones: by a column of views, by DICOM headers, or by file names."""

from __future__ import annotations

from collections.abc import Collection

from mmtk.counts import counted
from mmtk.data.plan import words
from mmtk.data.plan.columns import Columns
from mmtk.data.plan.films import Labels
from mmtk.data.plan.listing import Listing, stem
from mmtk.data.plan.tables import Table
from mmtk.errors import MmtkError
from mmtk.images.loader import read_view

SIDEWAYS = {"lateral", "profil", "seitlich", "perfil", "laterale", "boczne", "боковая"}  # in file names
FRONTAL = {"pa", "ap", "frontal", "antero posterior", "postero anterior", "ap supine", "p a", "a p"}
LATERAL = {"lateral", "lat", "ll", "rl", "left lateral", "right lateral", "seitlich", "profil", "profile"}


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


def leave_lateral(files: Listing, labels: Labels) -> None:
    """Leave out the lateral films, where others are frontal; a reason counts them."""
    by_column = ((why, films) for why, films in labels.lateral.items() if 0 < len(films) < len(labels.films))
    why, films = next(by_column, None) or lateral_among(files, labels.films)
    if films:
        labels.reasons.append(lateral_note(films, why))
        labels.left_out += sorted(films)
        for path in films:
            del labels.films[path]


def lateral_note(films: Collection[str], why: str) -> str:
    """Sentence on lateral films that are left out, and ``why`` they count as such."""
    return f"{counted(len(films), 'lateral film')} ({why}) left out"


def lateral_among(files: Listing, films: Collection[str]) -> tuple[str, set[str]]:
    """Words for why films are lateral, by headers or names, and these films; none where no other is frontal."""
    by_header: set[str] = set()
    for path in films:
        try:
            if words.plain(read_view(files.root / path)) in LATERAL:
                by_header.add(path)
        except MmtkError:  # whoever reads the film names the fault
            continue
    if 0 < len(by_header) < len(films):
        return "ViewPosition of the headers", by_header
    by_name = {path for path in films if SIDEWAYS & {*words.plain(stem(path)).split()}}
    return ("by their names", by_name) if 0 < len(by_name) < len(films) else ("", set())
