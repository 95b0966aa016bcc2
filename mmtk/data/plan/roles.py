"""Films and masks apart: by the names of folders and files, then by how they look."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from mmtk.counts import counted
from mmtk.data.plan import words
from mmtk.data.plan.listing import Listing, parent, stem
from mmtk.data.plan.pairing import pair

TAIL = re.compile(r"[-_. ]+[A-Za-z0-9]+$")
HEAD = re.compile(r"^[A-Za-z]+[-_. ]+")


@dataclass(frozen=True)
class Roles:
    """Films, masks and films in a folder for the unlabelled, each as paths."""

    films: tuple[str, ...]
    masks: tuple[str, ...]
    unlabelled: tuple[str, ...] = ()


def common(paths: Iterable[str]) -> str:
    """The deepest folder that holds all files."""
    folders = [PurePosixPath(path).parent.parts for path in paths]
    shared: list[str] = []
    for parts in zip(*folders, strict=False):
        if len({*parts}) > 1:
            break
        shared.append(parts[0])
    return "/".join(shared)


def find_roles(listing: Listing, masks: str = "", images: str = "") -> Roles:
    """Films and masks apart; ``masks`` and ``images`` are folders that the user names."""
    top = len(PurePosixPath(common(listing.images)).parts) if listing.images else 0
    by_folder: dict[str, list[str]] = defaultdict(list)
    for path in listing.images:
        by_folder[parent(path)].append(path)
    of: dict[str, str] = {folder: _role(folder, top) for folder in by_folder}
    for folder in by_folder:
        if masks and _inside(folder, masks):
            of[folder] = "masks"
        elif images and _inside(folder, images):
            of[folder] = "images"
        elif images:
            of[folder] = of[folder] if of[folder] == "masks" and not masks else ""
    if not images and not masks and "masks" not in of.values() and len(by_folder) > 1:
        of = _by_look(listing, by_folder, of)
    if {*of.values()} == {"masks"}:
        of = dict.fromkeys(of, "")
    found: dict[str, list[str]] = defaultdict(list)
    for folder, paths in by_folder.items():
        if of[folder] == "masks" and not (images and _inside(folder, images) and folder != masks):
            found["masks"] += paths
        elif not images or _inside(folder, images):
            beside = _beside(listing, paths) if not masks or folder == masks else set()
            for path in paths:
                kind = "masks" if path in beside else "unlabelled" if of[folder] == "unlabelled" else "films"
                found[kind].append(path)
    return Roles(tuple(found["films"]), tuple(found["masks"]), tuple(found["unlabelled"]))


def one_group(roles: Roles) -> tuple[Roles, list[str]]:
    """One folder, or pattern, of masks with its films, where there are several; and what is left out."""
    tops: dict[str, list[str]] = defaultdict(list)
    for path in roles.masks:
        tops[_top(path, "masks")].append(path)
    alike: dict[tuple[int, str], list[str]] = defaultdict(list)
    for top in tops:
        alike[top.count("/"), PurePosixPath(top).name].append(top)
    groups: dict[str, list[str]] = {}
    for each in alike.values():
        films = [film for top in each for film in pair(roles.films, tops[top]).of] if len(each) > 1 else []
        for part in [each] if len({*films}) == len(films) else [[top] for top in each]:  # or of two readers
            groups[_merged(part)] = [path for top in part for path in tops[top]]
    if len(groups) < 2:
        return roles, []
    pairs = {top: pair(roles.films, paths).of for top, paths in groups.items()}
    best = max(groups, key=lambda top: (len(pairs[top]), -len(groups[top]), top))
    beside = {parent(top) for top in groups if not {*pairs[top]} & {*pairs[best]}} - {parent(best)}
    kept = [path for path in roles.films if not any(_inside(parent(path), place) for place in beside if place)]
    notes = [
        f"the masks in {top or '.'} are left out ({counted(len(groups[top]), 'file')}): --masks takes them"
        for top in sorted(groups)
        if top != best
    ]
    if len(kept) < len(roles.films):
        notes.append(f"{counted(len(roles.films) - len(kept), 'film')} beside them left out, too")
    return Roles(tuple(kept), tuple(groups[best]), roles.unlabelled), notes


def pattern_of(paths: Iterable[str], role: str) -> str:
    """The pattern, such as ``*/masks``, of the folders of a role that hold all files; "" where one folder does."""
    tops = {_top(path, role) for path in paths}
    same = len({(top.count("/"), PurePosixPath(top).name) for top in tops}) == 1
    return _merged([*tops]) if len(tops) > 1 and same else ""


def _merged(tops: Sequence[str]) -> str:
    """Folders of one depth as a pattern, with ``*`` for the parts in which they differ."""
    parts = zip(*(top.split("/") for top in tops), strict=True)
    return "/".join(each[0] if len({*each}) == 1 else "*" for each in parts)


def _top(path: str, role: str) -> str:
    """The outermost folder of a file that is called so; its own folder where none is."""
    parts = PurePosixPath(path).parent.parts
    depth = next((k for k, part in enumerate(parts, 1) if words.role(part) == role), len(parts))
    return "/".join(parts[:depth])


def _inside(folder: str, outer: str) -> bool:
    return outer in ("", ".") or folder == outer or folder.startswith(f"{outer}/")


def _role(folder: str, top: int) -> str:
    """The role by the deepest folder below the common one whose name speaks of one."""
    parts = PurePosixPath(folder).parts[top:]
    roles = [role for part in reversed(parts) if (role := words.role(part)) in ("masks", "images", "unlabelled")]
    return "masks" if "masks" in roles else roles[0] if roles else ""


def _by_look(listing: Listing, by_folder: Mapping[str, Sequence[str]], of: dict[str, str]) -> dict[str, str]:
    """Folders without a telling name whose files look like masks, and have the names of others' files."""
    stems = {folder: {stem(path) for path in paths} for folder, paths in by_folder.items()}
    for folder, paths in by_folder.items():
        others = set().union(*(names for other, names in stems.items() if other != folder))
        if of[folder] == "" and stems[folder] & others and _masklike(listing, paths):
            of[folder] = "masks"
    return of


def _masklike(listing: Listing, paths: Collection[str]) -> bool:
    looks = [look for path in [*paths][:3] if (look := listing.look(path))]
    return bool(looks) and all(look.mask for look in looks)


def _beside(listing: Listing, paths: Sequence[str]) -> set[str]:
    """The masks among the files of one folder, as ``p1_mask.png`` or ``mask_p1.png`` beside ``p1.png``."""
    stems = {stem(path): path for path in paths}
    masks: set[str] = set()
    for turn, end in ((1, TAIL), (-1, HEAD)):
        groups: dict[str, list[str]] = defaultdict(list)
        turned = {name[::turn] for name in stems}
        for name, path in stems.items():
            cut = next((k for k in range(len(name) - 1, 0, -1) if name[::turn][:k] in turned), 0)
            rest = name[::turn][cut:][::turn] if cut else ""
            if not re.search(r"[A-Za-z]", rest):
                rest = found[0] if (found := end.search(name)) else ""
            groups[rest].append(path)
        for rest, files in groups.items():
            spoken = {*words.plain(rest).split()} & (words.MASKS | {*words.ORGANS})
            paired = sum(_cut(stem(path), rest, turn) in stems for path in files)
            if rest and (spoken or (paired > len(files) / 2 and _masklike(listing, files))):
                masks |= {*files}
        if masks:
            break
    return masks if len(masks) < len(stems) else set()


def _cut(name: str, rest: str, turn: int) -> str:
    return name.removesuffix(rest) if turn == 1 else name.removeprefix(rest)
