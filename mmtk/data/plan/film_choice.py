"""Films among the images of folders that a network is to predict, chosen as for a profile."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mmtk.data.plan.listing import Listing
from mmtk.data.plan.roles import Roles, find_roles
from mmtk.data.plan.strays import without_strays
from mmtk.data.plan.views import views_among


@dataclass(frozen=True)
class LeftOut:
    """Images that are no films to predict: masks, and others with a sentence on each kind of them."""

    masks: set[Path] = field(default_factory=set)
    others: set[Path] = field(default_factory=set)
    sentences: list[str] = field(default_factory=list)


def left_out(inputs: Iterable[Path], paths: Iterable[Path]) -> LeftOut:
    """Choose what is left out of the images ``paths`` below the folders among ``inputs``.

    Masks are found by name or place and by look; pictures of a CD's viewer, copies and lateral films as in a plan.
    An image that is given by its own name is never left out.
    """
    inputs, paths, result = [*inputs], [*paths], LeftOut()
    for folder in (path for path in inputs if os.path.isdir(path)):
        inside = {os.path.relpath(path, folder): path for path in paths if path.is_relative_to(folder)}
        files = Listing(folder, tuple(inside))
        roles = find_roles(files)
        masks = {name for name in roles.masks if (look := files.look(name)) and look.mask}
        named = {name for name, path in inside.items() if path in inputs}
        result.masks.update(inside[name] for name in masks - named)
        films = tuple(name for name in inside if name not in masks | named)
        roles, notes = without_strays(folder, Roles(films, ()))
        views = views_among(files, roles.films)
        strays = ({*films} - {*roles.films}).union(*(paths for paths, _ in views))
        result.others.update(inside[name] for name in strays)
        notes += [note for _, note in views]
        result.sentences.extend(f"{note.replace(' left out', '', 1)}." for note in notes)
    return result
