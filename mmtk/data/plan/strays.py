"""Images that are no films of a collection: copies in folders below, and pictures of a viewer on a CD."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from mmtk.counts import counted
from mmtk.data.plan import words
from mmtk.data.plan.listing import parent, stem
from mmtk.data.plan.roles import Roles
from mmtk.errors import MmtkError, listing
from mmtk.images.files import is_dicom
from mmtk.images.loader import image_size

SMALL = {
    *(
        "thumb",
        "thumbs",
        "thumbnail",
        "thumbnails",
        "preview",
        "previews",
        "small",
        "icon",
        "icons",
        "lowres",
        "tn",
    ),
    *("vorschau", "vorschaubild", "vorschaubilder", "klein", "miniatur", "aperçu", "vignette", "vignettes"),
    *("miniatura", "miniaturas", "anteprima", "缩略图", "縮圖", "サムネイル", "миниатюра"),
}
DRAWINGS = {
    *("overlay", "overlays", "heatmap", "heatmaps", "gradcam", "cam", "cams", "saliency", "attention", "blended"),
    *("visualization", "visualizations", "visualisation", "visualisations", "viz", "vis", "superimposed"),
}


def without_strays(root: Path, roles: Roles) -> tuple[Roles, list[str]]:
    """Leave out images that are no films of their own; return the others, and a note on what is left out.

    root: of the paths in ``roles``
    """
    roles, copies = _without_copies(root, roles)
    roles, pictures = _without_viewer(root, roles)
    roles, small = _without_small(root, roles)
    roles, drawings = _without_drawings(roles)
    return roles, [*copies, *pictures, *small, *drawings]


def _without_copies(root: Path, roles: Roles) -> tuple[Roles, list[str]]:
    """Leave out folders whose images lie, byte for byte, on the same paths in a folder above; with notes."""
    inner: dict[str, str] = {}
    paths = {*roles.films, *roles.masks, *roles.unlabelled}
    for folder, images in sorted(_images_by_folder(sorted(paths)).items()):
        if not _lies_in(folder, inner):
            copied = (top for top in _above(folder) if _has_names(folder, top, images, paths))
            outer = next((top for top in copied if _is_copy(root, folder, top, images)), None)
            if outer is not None:
                inner[folder] = outer
    return _without(roles, lambda path: _lies_in(path, inner)), [*_notes(inner, roles)]


def _without_viewer(root: Path, roles: Roles) -> tuple[Roles, list[str]]:
    """Leave out pictures in other formats below a DICOMDIR, which are of the viewer on the CD; with a note."""
    folders = {folder for path in {*map(parent, roles.films)} for folder in (path, *_above(path))}
    media = [folder for folder in sorted(folders) if (root / folder / "DICOMDIR").is_file()]
    on_media = [path for path in roles.films if media and ("" in media or _lies_in(path, media))]
    pictures = {path for path in on_media if not is_dicom(root / path)}
    if not pictures or len(pictures) == len(roles.films):
        return roles, []
    note = (
        f"{counted(len(pictures), 'picture')} beside a DICOMDIR left out, as of a viewer: {listing(pictures, 3)}"
    )
    return _without(roles, pictures.__contains__), [note]


def _without_small(root: Path, roles: Roles) -> tuple[Roles, list[str]]:
    """Leave out smaller copies, ``7_thumb.png`` or ``thumbs/7.png`` of a film ``7.png``; with a note."""
    by_stem = {stem(path): path for path in roles.films if not _small_of(path)}
    small = [
        path for path in roles.films if (name := _small_of(path)) and _is_smaller(root, path, by_stem.get(name))
    ]
    if not small:
        return roles, []
    note = f"{counted(len(small), 'smaller copy', 'smaller copies')} of films left out: {listing(small, 3)}"
    return _without(roles, {*small}.__contains__), [note]


def _without_drawings(roles: Roles) -> tuple[Roles, list[str]]:
    """Leave out pictures made of films, ``overlays/7.png`` of a film ``7.png``; with a note."""
    drawn = {path for path in roles.films if {*words.plain(PurePosixPath(parent(path)).name).split()} & DRAWINGS}
    stems = {stem(path) for path in roles.films if path not in drawn}
    drawings = {path for path in drawn if any(stem(path)[:k] in stems for k in range(1, len(stem(path)) + 1))}
    if not drawings:
        return roles, []
    note = f"{counted(len(drawings), 'picture')} drawn of films left out: {listing(sorted(drawings), 3)}"
    return _without(roles, drawings.__contains__), [note]


def _small_of(path: str) -> str:
    """Name of the film that a file is a small copy of, by its own name or that of its folder; "" of others."""
    name = stem(path)
    ending = re.search(r"[-_. (]+([^\W\d_]+)\)?$", name)
    if ending and words.plain(ending[1]) in SMALL:
        return name[: ending.start()]
    return name if words.plain(PurePosixPath(parent(path)).name) in SMALL else ""


def _is_smaller(root: Path, path: str, original: str | None) -> bool:
    """Whether an image has fewer pixels than its original, if there is one."""
    try:
        height, width = image_size(root / path)
        return original is not None and height * width < math.prod(image_size(root / original))
    except MmtkError:  # whoever reads the film names the fault
        return False


def _without(roles: Roles, is_stray: Callable[[str], bool]) -> Roles:
    kinds = (roles.films, roles.masks, roles.unlabelled)
    return Roles(*(tuple(path for path in paths if not is_stray(path)) for paths in kinds))


def _lies_in(path: str, folders: Iterable[str]) -> bool:
    return any(path.startswith(f"{folder}/") for folder in folders)


def _notes(inner: Mapping[str, str], roles: Roles) -> Iterator[str]:
    for copy, outer in inner.items():
        paths = (*roles.films, *roles.masks, *roles.unlabelled)
        count = counted(sum(_lies_in(path, [copy]) for path in paths), "image")
        yield f"{copy} left out: its {count} are copies of those in {outer or '.'}"


def _images_by_folder(paths: Iterable[str]) -> dict[str, list[str]]:
    """Images below every folder but the top, as paths inside it."""
    images: dict[str, list[str]] = defaultdict(list)
    names: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        names[parent(path)].append(path)
    for inner, films in names.items():
        for folder in filter(None, (inner, *_above(inner))):
            images[folder] += [path[len(folder) + 1 :] for path in films]
    return images


def _above(path: str) -> list[str]:
    """Folders above a path, the next one first, "" for the top."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[:depth]) for depth in range(len(parts), -1, -1)]


def _has_names(folder: str, outer: str, images: Sequence[str], paths: Collection[str]) -> bool:
    """Whether ``outer`` has every image of a folder under the same path, outside of the folder."""
    others = (f"{outer}/{image}" if outer else image for image in images)
    return all(other in paths and not other.startswith(f"{folder}/") for other in others)


def _is_copy(root: Path, folder: str, outer: str, images: Sequence[str]) -> bool:
    """Whether every image of a folder is that of ``outer``: first by size, then by its bytes."""
    pairs = [(root / folder / image, root / outer / image) for image in images]
    same_size = all(one.stat().st_size == other.stat().st_size for one, other in pairs)
    return same_size and all(one.read_bytes() == other.read_bytes() for one, other in pairs)
