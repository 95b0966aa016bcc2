"""Masks of several organs, a file for each: films that lack one, and organs that few films have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from mmtk.counts import counted
from mmtk.errors import listing


@dataclass(frozen=True)
class Organs:
    """Organs that at least half of the films have; ``pairs``: masks of films that have all of them, in that order.

    ``notes`` name the films that lack some, which serve without a label, and the organs that are left out.
    """

    names: tuple[str, ...]
    pairs: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()


def complete(masks: Mapping[str, Mapping[str, str]], organs: Sequence[str]) -> Organs:
    """Take the films that have a mask of every organ, without organs that most films lack.

    masks: of each film, its mask by organ
    organs: in the order that is wished for
    """
    counts = {organ: sum(organ in files for files in masks.values()) for organ in organs}
    names = tuple(organ for organ in organs if 2 * counts[organ] >= max(counts.values()))
    notes = [
        f"{organ} is left out: {counted(counts[organ], 'film has', 'films have')} a mask of it, of {len(masks)}"
        for organ in organs
        if organ not in names
    ]
    pairs = {film: tuple(files[name] for name in names) for film, files in masks.items() if {*names} <= {*files}}
    film_names = Counter(PurePosixPath(film).name for film in masks)
    for name in names:
        films = [PurePosixPath(film) for film, files in masks.items() if name not in files]
        if lacking := [film.name if film_names[film.name] == 1 else str(film) for film in films]:
            notes.append(f"no mask of {name} for {listing(lacking, 5)}: without a label, until it is added")
    return Organs(names, pairs, tuple(notes))
