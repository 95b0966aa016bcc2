"""Lateral films among frontal ones: by a column of views, by DICOM headers, or by file names."""

from __future__ import annotations

from collections.abc import Mapping

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
    for why, films in (*labels.lateral.items(), *_by_themselves(files, labels).items()):
        if films and len(films) < len(labels.films):
            labels.reasons.append(f"{counted(len(films), 'lateral film')} ({why}) left out")
            labels.left_out += sorted(films)
            for path in films:
                del labels.films[path]
            return


def _by_themselves(files: Listing, labels: Labels) -> Mapping[str, set[str]]:
    by_name = {path for path in labels.films if SIDEWAYS & {*words.plain(stem(path)).split()}}
    by_header: set[str] = set()
    for path in labels.films:
        try:
            if words.plain(read_view(files.root / path)) in LATERAL:
                by_header.add(path)
        except MmtkError:  # the source names unreadable files
            continue
    return {"ViewPosition of the headers": by_header, "by their names": by_name}
