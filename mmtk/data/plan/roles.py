"""Roles of images, films or masks: by the names of folders and files, then by how they look."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from mmtk.components.source._sides import mirrored
from mmtk.counts import counted
from mmtk.data.plan import words
from mmtk.data.plan.listing import Listing, parent, stem
from mmtk.data.plan.part_folders import shape

MASK_WORDS = {"mask", "masks", "seg", "dseg", "segmentation", "lungmask", *words.FOREIGN_MASKS}
TAIL = re.compile(r"[-_. ]+[^\W_]+$")
HEAD = re.compile(r"^[^\W\d_]+[-_. ]+")


@dataclass(frozen=True)
class Roles:
    """Paths of films, of masks, and of films in a folder for the unlabelled."""

    films: tuple[str, ...]
    masks: tuple[str, ...]
    unlabelled: tuple[str, ...] = ()


def common(paths: Iterable[str]) -> str:
    """Deepest folder that holds all files."""
    folders = [PurePosixPath(path).parent.parts for path in paths]
    shared: list[str] = []
    for parts in zip(*folders, strict=False):
        if len({*parts}) > 1:
            break
        shared.append(parts[0])
    return "/".join(shared)


def find_roles(listing: Listing, masks: str = "", images: str = "") -> Roles:
    """Tell films from masks; ``masks`` and ``images`` are folders that the user names."""
    masks = "" if PurePosixPath(masks) == PurePosixPath() else masks  # ".": beside the films, as without a word
    by_folder: dict[str, list[str]] = defaultdict(list)
    for path in listing.images:
        by_folder[parent(path)].append(path)
    role_of = _folder_roles(listing, by_folder, masks, images)
    paths: dict[str, list[str]] = defaultdict(list)
    for folder, files in by_folder.items():
        if role_of[folder] == "masks" and not (images and is_inside(folder, images) and folder != masks):
            paths["masks"] += files
        elif not images or is_inside(folder, images):
            beside = _beside(listing, files) if not masks or folder == masks else set()
            role = "unlabelled" if role_of[folder] == "unlabelled" else "films"
            for path in files:
                paths["masks" if path in beside else role].append(path)
    return Roles(tuple(paths["films"]), tuple(paths["masks"]), tuple(paths["unlabelled"]))


def _folder_roles(
    listing: Listing, by_folder: Mapping[str, Sequence[str]], masks: str, images: str
) -> dict[str, str]:
    """Role of every folder by the user, by its name, or by the look of its files; not masks alone."""
    top = len(PurePosixPath(common(listing.images)).parts) if listing.images else 0
    both = containers(by_folder)
    role_of = {folder: _role(folder, top, both) for folder in by_folder}
    for folder in by_folder:
        if masks and is_inside(folder, masks):
            role_of[folder] = "masks"
        elif images and is_inside(folder, images):
            role_of[folder] = "images"
        elif images and (masks or role_of[folder] != "masks"):
            role_of[folder] = ""
    if not images and not masks:
        for folder, files in by_folder.items():
            if _named(files, -1) or (role_of[folder] != "images" and _named(files, 0)):
                role_of[folder] = "masks"
    if not images and not masks and "masks" not in role_of.values() and len(by_folder) > 1:
        role_of = _by_look(listing, by_folder, role_of)
    return dict.fromkeys(role_of, "") if {*role_of.values()} == {"masks"} else role_of


def without_test_films(roles: Roles) -> tuple[Roles, list[str]]:
    """Leave out nnU-Net's test films, ``imagesTs`` beside ``imagesTr``, which are for scoring; with a note."""
    tests = [path for path in roles.films if _folder_word(path) == "imagests"]
    if not tests or not any(_folder_word(path) == "imagestr" for path in roles.films):
        return roles, []
    films = tuple(path for path in roles.films if path not in {*tests})
    folder = parent(tests[0])
    count = counted(len(tests), "test film")
    note = f"{count} of nnU-Net in {folder} left out of training: evaluate scores a run on them"
    return Roles(films, roles.masks, roles.unlabelled), [note]


def _folder_word(path: str) -> str:
    return words.plain(PurePosixPath(parent(path)).name).replace(" ", "")


def pattern_of(paths: Iterable[str], role: str) -> str:
    """Pattern, such as ``*/masks``, of the folders of a role that hold all files; "" where one folder does."""
    tops = {top_folder(path, role) for path in paths}
    same = len({(top.count("/"), shape(PurePosixPath(top).name)) for top in tops}) == 1
    return merged([*tops]) if len(tops) > 1 and same else ""


def merged(tops: Sequence[str]) -> str:
    """Merge folders of one depth to a pattern, with ``*`` for what they differ in: ``*/masks``, ``*_masks``."""
    parts = zip(*(top.split("/") for top in tops), strict=True)
    return "/".join(_merged_name({*names}) for names in parts)


def _merged_name(names: set[str]) -> str:
    shapes = names if len(names) == 1 else {*map(shape, names)}
    return next(iter(shapes)) if len(shapes) == 1 else "*"


def top_folder(path: str, role: str) -> str:
    """Outermost folder of a file whose name has the role; its own folder where none has."""
    parts = PurePosixPath(path).parent.parts
    depths = [k for k, part in enumerate(parts, 1) if words.role(part) == role] or [len(parts)]
    collection = len(depths) > 1 and words.plain(parts[depths[0] - 1]) in ("segmentation", "segmentations")
    depth = depths[1] if collection else depths[0]
    return "/".join(parts[:depth])


def is_inside(folder: str, outer: str) -> bool:
    """Whether a folder is ``outer``, or lies in it."""
    return outer in ("", ".") or folder == outer or folder.startswith(f"{outer}/")


def containers(folders: Iterable[str]) -> set[str]:
    """Folders called after masks that hold a folder of films as well as one of masks: ``segmentation/cxr``."""
    holds: dict[str, set[str]] = defaultdict(set)
    for folder in folders:
        parts = folder.split("/")
        for depth, part in enumerate(parts, 1):
            if words.role(part) == "masks":
                below = {*map(words.role, parts[depth:])}
                holds["/".join(parts[:depth])].add("masks" if "masks" in below else "images" * ("images" in below))
    return {folder for folder, roles in holds.items() if {"masks", "images"} <= roles}


def _role(folder: str, top: int, both: Collection[str]) -> str:
    """Role by the deepest folder below the common one whose name speaks of one, but for ``both``."""
    parts = PurePosixPath(folder).parts
    spoken = [part for depth, part in enumerate(parts, 1) if depth > top and "/".join(parts[:depth]) not in both]
    roles = [role for part in reversed(spoken) if (role := words.role(part)) in ("masks", "images", "unlabelled")]
    return "masks" if "masks" in roles else roles[0] if roles else ""


def _by_look(listing: Listing, by_folder: Mapping[str, Sequence[str]], role_of: dict[str, str]) -> dict[str, str]:
    """Add folders whose files look like masks and have the names of other files, or that are left and right."""
    stems = {folder: {stem(path) for path in paths} for folder, paths in by_folder.items()}
    for folder, paths in by_folder.items():
        other_names = set().union(*(names for other, names in stems.items() if other != folder))
        fits = (
            stems[folder] & other_names
            or _begin_with(stems[folder], other_names)
            or mirrored(folder) in {*by_folder} - {folder}
        )
        if role_of[folder] == "" and fits and _masklike(listing, paths):
            role_of[folder] = "masks"
    return role_of


def _begin_with(names: Collection[str], others: Collection[str]) -> bool:
    """Whether most names begin with another one and a sign, as ``film 3.tif - lung`` does."""
    begun = sum(any(name[:k] in others and not name[k].isalnum() for k in range(1, len(name))) for name in names)
    return 2 * begun > len(names)


def _named(paths: Sequence[str], end: int) -> bool:
    """Whether the last or first word of all names, at ``end`` −1 or 0, says that they are masks, as in BIDS."""
    names = [words.plain(stem(path)).split() for path in paths]
    return all(len(name) > 1 and name[end] in MASK_WORDS for name in names)


def _masklike(listing: Listing, paths: Collection[str]) -> bool:
    looks = [look for path in [*paths][:3] if (look := listing.look(path))]
    return bool(looks) and all(look.mask for look in looks)


def _beside(listing: Listing, paths: Sequence[str]) -> set[str]:
    """Masks among the files of one folder, as ``p1_mask.png`` or ``mask_p1.png`` beside ``p1.png``."""
    stems = {stem(path): path for path in paths}
    masks = {path for name, path in stems.items() if words.plain(name).rstrip("0123456789 ") in MASK_WORDS}
    masks |= {path for name, path in stems.items() if _is_organ(name) and _masklike(listing, [path])}
    if masks:  # mask.png or lungs.png beside image.png, mask7.png beside image7.png
        return masks if len(masks) < len(stems) else set()
    for turn, end in ((1, TAIL), (-1, HEAD)):
        groups: dict[str, list[str]] = defaultdict(list)
        variants = {name[::turn] for name in stems}
        for name, path in stems.items():
            cut = next((k for k in range(len(name) - 1, 0, -1) if name[::turn][:k] in variants), 0)
            rest = name[::turn][cut:][::turn] if cut else ""
            if not re.search(r"[^\W\d_]", rest):
                rest = match[0] if (match := end.search(name)) else ""
            groups[rest].append(path)
        for rest, files in groups.items():
            spoken = {*words.plain(rest).split()} & (words.MASKS | {*words.ORGANS})
            paired = sum(_cut(stem(path), rest, turn) in stems for path in files)
            if rest and (spoken or (paired > len(files) / 2 and _masklike(listing, files))):
                masks |= {*files}
        if masks:
            break
    return masks if len(masks) < len(stems) else set()


def _is_organ(name: str) -> bool:
    """Whether a name is that of an organ, with its side or a word for masks."""
    rest = {word for word in words.plain(name).split() if word not in words.ORGANS and word not in MASK_WORDS}
    return bool(words.organ(name)) and all(mirrored(word) != word for word in rest)


def _cut(name: str, rest: str, turn: int) -> str:
    return name.removesuffix(rest) if turn == 1 else name.removeprefix(rest)
