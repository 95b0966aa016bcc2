"""Groups of masks: organs of the same films belong together; of other masks, one group is taken."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

from mmtk.components.source._sides import mirrored
from mmtk.counts import counted
from mmtk.data.plan import words
from mmtk.data.plan.listing import Listing, parent, stem
from mmtk.data.plan.pairing import pair
from mmtk.data.plan.part_folders import shape
from mmtk.data.plan.readers import are_readers, has_agreed, share_films
from mmtk.data.plan.roles import Roles, is_inside, merged, top_folder

NEARLY_ALL = 0.8  # of the films with masks: what readers agreed on in so many is taken
Groups = dict[str, list[str]]  # masks by their folder, or pattern of folders


def one_group(listing: Listing, roles: Roles) -> tuple[Roles, list[str]]:
    """Choose one folder, or pattern, of masks with its films where there are several; notes on the others."""
    groups = _sides(_patterns(roles, _by_folder(roles)))
    groups = _organs(listing, roles, _readers(listing, roles, groups))
    if len(groups) < 2:
        return roles, []
    pairs = {top: pair(roles.films, paths).of for top, paths in groups.items()}
    most = max(len(films) for films in pairs.values())
    agreed = [
        top for top in groups if has_agreed(PurePosixPath(top).name) and len(pairs[top]) >= NEARLY_ALL * most
    ]
    best = min(agreed or groups, key=lambda top: (-len(pairs[top]), len(groups[top]), *_rank(top)))
    beside = {parent(top) for top in groups if not {*pairs[top]} & {*pairs[best]}} - {parent(best)}
    films = [
        path for path in roles.films if not any(is_inside(parent(path), folder) for folder in beside if folder)
    ]
    notes = []
    for top in sorted({*groups} - {best}):
        notes.append(_left_out(top, groups[top], best if {*pairs[top]} & {*pairs[best]} else ""))
    if len(films) < len(roles.films):
        count = counted(len(roles.films) - len(films), "film")
        notes.append(f"{count} beside them left out, too: evaluate scores a run on them")
    return Roles(tuple(films), tuple(groups[best]), roles.unlabelled), notes


def _rank(top: str) -> tuple[object, ...]:
    """Order of masks of the same films: lungs, those drawn by hand, the outer folder, by name."""
    name = PurePosixPath(top).name
    return words.organ(name) != "lung", not re.search(r"\bmanual\d*\b", words.plain(name)), top.count("/"), top


def _left_out(top: str, paths: Sequence[str], other: str) -> str:
    """Note on masks that are left out, beside ``other`` of the same films if any."""
    ending = PurePosixPath(top).name.partition("*")[2]
    cure = f'mask_suffix = "{ending}" in the profile' if ending else "--masks"
    count = counted(len(paths), "file")
    reason = f", because {other} is of the same films" if other else ""
    return f"the masks in {top or '.'} are left out ({count}){reason}: {cure} takes them"


def _by_folder(roles: Roles) -> Groups:
    """Masks by the outermost folder that is called so; "" beside their films, as in patients' folders."""
    groups: Groups = defaultdict(list)
    film_folders = {parent(path) for path in roles.films}
    for path in roles.masks:
        top = top_folder(path, "masks")
        groups["" if top in film_folders else top].append(path)
    return groups


def _patterns(roles: Roles, groups: Groups) -> Groups:
    """Join folders of one depth and name, as those of patients, unless they have masks of the same films."""
    alike: dict[tuple[int, str], list[str]] = defaultdict(list)
    for top in groups:
        alike[top.count("/"), shape(PurePosixPath(top).name)].append(top)
    joined: Groups = {}
    for folders in alike.values():
        films = [film for top in folders for film in pair(roles.films, groups[top]).of] if len(folders) > 1 else []
        for part in [folders] if len({*films}) == len(films) else [[top] for top in folders]:
            joined[merged(part)] = [path for top in part for path in groups[top]]
    return joined


def _sides(groups: Groups) -> Groups:
    """Join the masks of left and right organs."""
    joined = dict(groups)
    for side in groups:
        if (other := mirrored(side)) != side and {side, other} <= {*joined}:
            joined[side] = [*joined[side], *joined.pop(other)]
    return joined


def _readers(listing: Listing, roles: Roles, groups: Groups) -> Groups:
    """Part the masks of a folder where several readers drew them, in a folder or with an ending for each."""
    parted: Groups = {}
    for top, paths in groups.items():
        by_name = _by_child(top, paths) or _by_ending(roles.films, top, paths)
        if len(by_name) > 1 and are_readers(listing.root, _by_film(roles, by_name)):
            parted |= by_name
        else:
            parted[top] = paths
    return parted


def _by_child(top: str, paths: Sequence[str]) -> Groups:
    """Masks by the sub-folder of ``top``; none where some lie in no sub-folder."""
    depth = top.count("/") + 1 if top else 0
    groups: Groups = defaultdict(list)
    for path in paths:
        parts = path.split("/")
        if len(parts) < depth + 2:
            return {}
        groups["/".join((top, parts[depth]))].append(path)
    return groups


def _by_ending(films: Sequence[str], top: str, paths: Sequence[str]) -> Groups:
    """Masks by what their names have behind those of their films; none where some have not."""
    stems = {stem(path) for path in films}
    groups: Groups = defaultdict(list)
    for path in paths:
        name = stem(path)
        if not (cut := next((k for k in range(len(name) - 1, 0, -1) if name[:k] in stems), 0)):
            return {}
        groups[f"{top}/*{name[cut:]}".removeprefix("/")].append(path)
    return groups


def _by_film(roles: Roles, groups: Groups) -> dict[str, dict[str, str]]:
    """Mask of each film, by the last name of the group."""
    return {
        PurePosixPath(top).name: {film: masks[0] for film, masks in pair(roles.films, paths).of.items()}
        for top, paths in groups.items()
    }


def _organs(listing: Listing, roles: Roles, groups: Groups) -> Groups:
    """Join folders side by side with masks of several organs of the same films."""
    film_folders = {parent(path) for path in roles.films}
    joined = dict(groups)
    for folder in {parent(top) for top in groups}:
        beside = {top: paths for top, paths in groups.items() if parent(top) == folder}
        organs = {words.organ(PurePosixPath(top).name) for top in beside} - {""}
        alone = folder and not any(is_inside(path, folder) for path in film_folders)
        if len(beside) < 2 or "*" in folder or not (alone or len(organs) == len(beside)):
            continue
        masks = _by_film(roles, beside)
        if share_films(masks) and not are_readers(listing.root, masks):
            joined = {top: paths for top, paths in joined.items() if top not in beside}
            joined[folder] = [path for paths in beside.values() for path in paths]
    return joined
