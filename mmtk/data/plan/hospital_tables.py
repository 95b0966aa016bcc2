"""Tables of one hospital each, called after the folders of their films."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from itertools import chain
from pathlib import PurePosixPath

from mmtk.components.source._splitting import are_numbered
from mmtk.data.plan import words
from mmtk.data.plan.films import Labels
from mmtk.data.plan.listing import parent, stem
from mmtk.errors import listing


def title(name: str) -> str:
    """Name of a table: that of its sheet in a workbook, else of its file without the suffix."""
    sheet = re.fullmatch(r".*\[(.+)\]", name)
    return sheet[1] if sheet else stem(name)


def namesake(name: str, films: Collection[str]) -> str:
    """The folder of films that a table is called after, "nord" of labels_nord.csv; "" for none or several."""
    spoken = words.plain(title(name)).split()
    inner = {*map(parent, films)}
    folders = {folder for path in inner for folder in (path, *map(str, PurePosixPath(path).parents))}
    named = [
        folder
        for folder in folders
        if (called := words.plain(PurePosixPath(folder).name).split())
        and words.role(PurePosixPath(folder).name) not in ("images", "masks")
        and any(spoken[k : k + len(called)] == called for k in range(len(spoken)))
    ]
    return named[0] if len(named) == 1 else ""


def shared_patients(films_of: Mapping[str, Collection[str]], labels: Labels) -> list[str]:
    """Note on patients whom several tables, read together, each number from 1 on; they may be others in each.

    films_of: films by the tables
    labels: of the films
    """
    patients = [{labels.films[film].patient for film in films} - {""} for films in films_of.values()]
    shared = sum(map(len, patients)) - len({*chain(*patients)})
    if not shared or not all(map(are_numbered, patients)):
        return []
    return [
        f"{listing(films_of)} each number their patients from 1 on: a number counts as one person in all of them "
        "(write the hospital before the numbers if they are others)"
    ]
