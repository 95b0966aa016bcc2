"""Masks among the files, and of which films: by the names of folders and files, then by how they look."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from mmtk.dataplan import words
from mmtk.dataplan.listing import Listing, parent, stem

SAMPLES = 8
TAIL = re.compile(r"[-_. ]+[A-Za-z0-9]+$")
END = re.compile(r"[-_. ]+[A-Za-z0-9]+$|[A-Za-z]+$")
HEAD = re.compile(r"^[A-Za-z]+[-_. ]+")


@dataclass(frozen=True)
class Roles:
    """Films, masks and films in a folder for the unlabelled, each as paths."""

    films: tuple[str, ...]
    masks: tuple[str, ...]
    unlabelled: tuple[str, ...] = ()


@dataclass(frozen=True)
class Masks:
    """Masks in a folder, matched to films by name; ``keys`` are those of the source ``folder``."""

    keys: Mapping[str, object]
    pairs: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...] = field(default=())


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
    """One folder of masks with its films, where several serve the same films or other films each; and the rest."""
    groups: dict[str, list[str]] = defaultdict(list)
    for path in roles.masks:
        groups[_top(path)].append(path)
    if len(groups) < 2:
        return roles, []
    pairs = {top: pair(roles.films, paths).of for top, paths in groups.items()}
    best = max(groups, key=lambda top: (len(pairs[top]), -len(groups[top]), top))
    beside = {parent(top) for top in groups if not {*pairs[top]} & {*pairs[best]}} - {parent(best)}
    films = [path for path in roles.films if not any(_inside(parent(path), place) for place in beside if place)]
    notes = [f"the masks in {top or '.'} are left out ({len(groups[top])} files): --masks takes them"
             for top in sorted(groups) if top != best]  # fmt: skip
    if len(films) < len(roles.films):
        notes.append(f"{len(roles.films) - len(films)} films beside them are left out, too")
    return Roles(tuple(films), tuple(groups[best]), roles.unlabelled), notes


def _top(path: str) -> str:
    """The outermost folder of a mask that is called so; its own folder where none is."""
    parts = PurePosixPath(path).parent.parts
    depth = next((k for k, part in enumerate(parts, 1) if words.role(part) == "masks"), len(parts))
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


# --- pairs -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pairs:
    """Film → its masks, and what their names have around the part that they share."""

    of: Mapping[str, list[str]]
    mask: str = ""
    image: str = ""
    side: str = "suffix"


def pair(films: Sequence[str], masks: Sequence[str]) -> Pairs:
    """Masks and films by the endings, or else the beginnings, of names that bring most of them together."""
    best = Pairs({})
    for side in ("suffix", "prefix"):
        film_stems, mask_stems = ({_turned(stem(path), side) for path in paths} for paths in (films, masks))
        for image_tail in _tails(film_stems, mask_stems):
            for mask_tail in _tails(mask_stems, film_stems):
                found = _pairs(films, masks, mask_tail, image_tail, side)
                if len(found) > len(best.of):
                    best = Pairs(found, _turned(mask_tail, side), _turned(image_tail, side), side)
        if len(best.of) >= min(len(films), len(mask_stems)) / 2:
            break
    return best


def _turned(name: str, side: str) -> str:
    return name if side == "suffix" else name[::-1]


def _tails(names: Collection[str], others: Collection[str]) -> list[str]:
    """Endings that names may have: none, those that most share, and what is left over one of the others."""
    counts: Counter[str] = Counter()
    rests: Counter[str] = Counter()
    for name in names:
        cut, end = name, ""
        for _ in range(2):
            if found := END.search(cut):
                end, cut = found[0] + end, cut[: found.start()]
                counts[end] += 1
        if (k := next((k for k in range(len(name) - 1, 0, -1) if name[:k] in others), 0)) > 0:
            rests[name[k:]] += 1
    shared = [tail for tail, count in counts.most_common(3) if count > len(names) / 3]
    return list(dict.fromkeys(["", *(tail for tail, _ in rests.most_common(2)), *shared]))


def _pairs(
    films: Sequence[str], masks: Sequence[str], mask_tail: str, image_tail: str, side: str
) -> dict[str, list[str]]:
    by_stem: dict[str, list[str]] = defaultdict(list)
    for path in films:
        if (name := _turned(stem(path), side)).endswith(image_tail):
            by_stem[name.removesuffix(image_tail)].append(path)
    pairs: dict[str, list[str]] = defaultdict(list)
    for path in masks:
        if (name := _turned(stem(path), side)).endswith(mask_tail):
            near = by_stem.get(name.removesuffix(mask_tail), [])
            if len(near) > 1:
                own = {*PurePosixPath(path).parent.parts}
                near = sorted(near, key=lambda film: -len(own & {*PurePosixPath(film).parent.parts}))
            if near:
                pairs[near[0]].append(path)
    return pairs


# --- keys ------------------------------------------------------------------------------------------------------


def find_masks(listing: Listing, films: Sequence[str], masks: Sequence[str]) -> Masks | None:
    """The masks of the films as keys of the source ``folder``; None where none fits."""
    if organs := _by_ending(films, masks):
        return organs
    paired = pair(films, masks)
    pairs, notes = paired.of, []
    if not pairs:
        return None
    used = [path for paths in pairs.values() for path in paths]
    folder = common(used)
    keys: dict[str, object] = {"masks": folder or "."}
    several = sum(len(paths) > 1 for paths in pairs.values()) > len(pairs) / 2
    children = sorted({path[len(folder) :].strip("/").split("/")[0] for path in used if parent(path) != folder})
    if several and len(children) > 1:
        keys["classes"] = children
        if swap := _sides(children):
            keys["swap"] = swap
        pairs = {film: paths for film, paths in pairs.items() if len(paths) >= len(children)}
    elif names := _label_map(listing, _values(listing, used)):
        keys |= {"classes": names, "exclusive": True}
    else:
        keys["classes"] = [words.organ(paired.mask) or words.organ(f"{listing.root.name} {folder}") or "lung"]
    for name, affix in (("mask", paired.mask), ("image", paired.image)):
        if affix:
            keys[f"{name}_{paired.side}"] = affix
    if spare := len({*masks} - {*used}):
        notes.append(f"{spare} masks have no film: move them away, because training refuses them")
    return Masks(keys, {film: tuple(paths) for film, paths in pairs.items()}, tuple(notes))


def _by_ending(films: Sequence[str], masks: Sequence[str]) -> Masks | None:
    """Masks of several organs in one folder, one ending each, as ``p1_heart.png`` and ``p1_left_lung.png``."""
    by_stem = {stem(path): path for path in films}
    pairs: dict[str, dict[str, str]] = defaultdict(dict)
    for path in masks:
        name = stem(path)
        if cut := next((k for k in range(len(name) - 1, 0, -1) if name[:k] in by_stem), 0):
            pairs[by_stem[name[:cut]]][name[cut:]] = path
    counts = Counter(ending for each in pairs.values() for ending in each)
    endings = sorted(counts)
    spoken = all(re.fullmatch(r"[-_. ]+[A-Za-z][\w -]*", ending) for ending in endings)
    if len(endings) < 2 or not spoken or len(by_stem) < len(films) or len({parent(path) for path in masks}) > 1:
        return None
    if min(counts.values()) < len(pairs) or sum(counts.values()) < len(masks):
        return None  # an image has masks of all organs, or of none
    names = [re.sub(r"[-_. ]+", " ", ending).strip() for ending in endings]
    keys: dict[str, object] = {"masks": common(masks) or ".", "classes": names, "mask_suffix": endings}
    if swap := _sides(names):
        keys["swap"] = swap
    return Masks(keys, {film: tuple(each[end] for end in endings) for film, each in pairs.items()})


def _values(listing: Listing, masks: Sequence[str]) -> tuple[int, ...] | None:
    """The gray values of some masks together; None where they are many."""
    step = max(1, len(masks) // SAMPLES)
    looks = [look for path in masks[::step][:SAMPLES] if (look := listing.look(path))]
    if not looks or any(look.values is None for look in looks):
        return None
    return tuple(sorted({value for look in looks for value in look.values or ()}))


def _label_map(listing: Listing, values: tuple[int, ...] | None) -> list[str]:
    """The names of the numbers of a label map; empty for plain masks."""
    for path in listing.jsons:
        if PurePosixPath(path).name == "dataset.json" and isinstance(about := listing.json(path), dict):
            named = about.get("labels")
            if isinstance(named, dict) and len(named) > 1:
                pairs = [(int(b), str(a)) if str(b).isdigit() else (int(a), str(b)) for a, b in named.items()
                         if str(a).isdigit() or str(b).isdigit()]  # fmt: skip
                return [name for _, name in sorted(pairs)]
    own = [value for value in values or () if value != 255]
    if values and own and own[-1] > 1 and own[-1] <= 20:
        return ["background", *(f"label {number}" for number in range(1, own[-1] + 1))]
    return []


def _sides(names: Sequence[str]) -> list[list[str]]:
    """The pairs of channels that a flip exchanges."""
    plain = {name.casefold(): name for name in names}
    others = {name: name.casefold().replace("left", "right") for name in names if "left" in name.casefold()}
    return [[name, plain[other]] for name, other in others.items() if other in plain]
