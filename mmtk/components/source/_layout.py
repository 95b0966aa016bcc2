"""Shared code of the sources on disk: finding files, reading masks, hashing content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from mmtk.api import Item, Split
from mmtk.components.source._splitting import PARTS
from mmtk.counts import counted
from mmtk.errors import MmtkError, listing
from mmtk.images.files import SUFFIXES, find_images, image_name, is_image_file, without_results
from mmtk.images.loader import image_size, read_mask
from mmtk.io.spelling import visible

CURE = (
    "Give the data folder by --data DIR or MMTK_DATA, or use --profile phantom, which needs no files. "
    "For films in a layout of their own, mmtk data plan DIR writes the profile."
)
RESIZE = "resize_masks = true in the source's table scales the masks to their images."
MATCHING = "A mask has the file name of its image, apart from the suffix."
MASK_SUFFIXES = (".npy", ".txt")  # of files that hold masks and are no images


@dataclass(frozen=True)
class Parts:
    """Items of each part, in order of their ids, with the folder and the tables they were read from."""

    root: Path
    parts: Mapping[Split, list[Item]]
    tables: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        everything = [item for part in PARTS for item in self.parts.get(part, [])]
        items: dict[str, Item] = {}
        for item in everything:
            if (other := items.setdefault(item.id, item)) is not item:
                message = f"two images are called {item.id}: {other.image} and {item.image}."
                raise MmtkError(message, hint="Rename one of them, or keep one.")

    def items(self, split: Split) -> list[Item]:
        """Items of one part, or of all, ordered by id."""
        parts: tuple[Split, ...] = PARTS if split == "all" else (split,)
        return sorted((item for part in parts for item in self.parts.get(part, [])), key=lambda item: item.id)

    def files(self) -> list[Path]:
        """Files, each once: tables, images, masks."""
        return sorted({*self.tables, *(path for item in self.items("all") for path in _files_of(item))})

    def digest(self, **keys: object) -> str:
        """SHA-256 over the component's keys, the files' names and content, and every item with its part."""
        files = [(self._name(path), _content(path)) for path in self.files()]
        items = [
            (part, item.id, self._name(item.image), self._target(item), item.patient, item.spacing)
            for part in PARTS
            for item in self.items(part)
        ]
        return hashlib.sha256(json.dumps([keys, files, items], sort_keys=True).encode()).hexdigest()

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.name

    def _target(self, item: Item) -> object:
        if isinstance(item.target, tuple):
            return [self._name(path) for path in item.target]
        return item.target


def _files_of(item: Item) -> tuple[Path, ...]:
    return (item.image, *item.target) if isinstance(item.target, tuple) else (item.image,)


def _content(path: Path) -> str:
    try:
        status = path.stat()
        return _hash(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise MmtkError(f"cannot be read: {error.strerror}.", str(path)) from error


@lru_cache(maxsize=1 << 18)
def _hash(path: Path, size: int, mtime_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def find_folder(root: Path, names: Sequence[str], holding: Sequence[str]) -> Path:
    """Find the first of ``root/name`` and ``root`` itself with a sub-folder or file for one of ``holding``."""
    for folder in (*(root / name for name in names), root):
        if any((folder / entry).exists() for entry in holding):
            return folder
    looked = " or ".join(f"{name}/" for name in names)
    what = (
        f"{root} is not a folder" if not root.is_dir() else f"{root} has no {looked} with {' or '.join(holding)}"
    )
    raise MmtkError(f"no data: {what}.", hint=CURE)


def stem(path: Path) -> str:
    """File name without its suffix; the last number of a name such as 1.2.840.3 is none."""
    return visible(path.stem) if path.suffix.lower() in MASK_SUFFIXES else image_name(path)


def inside(path: Path, folder: Path) -> str:
    """Path within a folder, without suffix."""
    within = path.relative_to(folder) if path.is_relative_to(folder) else Path(path.name)
    return visible(within.with_name(stem(path)).as_posix())


def list_images(
    folder: Path, expected: str = "images", predicate: Callable[[Path], bool] = is_image_file
) -> list[Path]:
    """List all image files (or those of ``predicate``) below a folder in order; none is an error."""
    if not folder.is_dir():
        raise MmtkError(f"no such folder: it should hold {expected}.", str(folder), CURE)
    if not (paths := find_images(folder, predicate)):
        raise MmtkError(f"no {expected} in it. Known suffixes: {' '.join(sorted(SUFFIXES))}.", str(folder), CURE)
    return paths


def list_films(folder: Path, expected: str = "images") -> list[Path]:
    """List images as :func:`list_images` does, without those that mmtk itself wrote."""
    return without_results(list_images(folder, expected), [])


def by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """Paths by name without suffix; a name that two files share is an error."""
    path_of: dict[str, Path] = {}
    for path in paths:
        if (other := path_of.setdefault(image_name(path), path)) != path:
            raise MmtkError(
                f"two files are called {image_name(path)}: {other} and {path}.", hint="Keep one of them."
            )
    return path_of


def match(images: Collection[str], masks: Collection[str], folder: Path) -> None:
    """Refuse images without a mask and masks without an image, by name."""
    lonely = [name for name in images if name not in masks]
    orphans = [name for name in masks if name not in images]
    if lonely:
        raise MmtkError(
            f"no mask for {counted(len(lonely), 'image')}: {listing(lonely, 5)}.", str(folder), MATCHING
        )
    if orphans:
        raise MmtkError(
            f"no image for {counted(len(orphans), 'mask')}: {listing(orphans, 5)}.", str(folder), MATCHING
        )


def read_channel(path: Path, image: Path, *, enlarge: bool = False) -> np.ndarray:
    """Read one mask as bool [H,W] in the size of its image.

    ``enlarge`` repeats the pixels of a mask that was drawn at a whole fraction of the image's resolution.
    """
    mask, (height, width) = read_mask(path), image_size(image)
    times = height // mask.shape[0]
    if enlarge and (mask.shape[0] * times, mask.shape[1] * times) == (height, width):
        mask = mask.repeat(times, 0).repeat(times, 1)
    check_size(path, mask.shape, image)
    return mask


def check_size(path: Path, shape: tuple[int, ...], image: Path, hint: str | None = None) -> None:
    """Refuse a mask ``path`` whose ``shape`` is not that of its ``image``."""
    if tuple(shape) != (size := image_size(image)):
        raise MmtkError(
            f"the mask is {shape[0]} × {shape[1]}, but its image {image} is {size[0]} × {size[1]} pixels.",
            str(path),
            hint,
        )


def fit_size(mask: np.ndarray, path: Path, image: Path, resize: bool) -> np.ndarray:
    """Mask [K,H,W] in the size of its image: by nearest neighbours with ``resize``, else of that size already.

    A mask of another aspect ratio, by more than 2 %, is refused.
    """
    size, shape = image_size(image), mask.shape[1:]
    if size == shape:
        return mask
    scales = size[0] / max(shape[0], 1), size[1] / max(shape[1], 1)
    similar = max(scales) <= 1.02 * min(scales)
    if not resize or not similar:
        check_size(path, shape, image, RESIZE if similar else None)
    rows, columns = ((np.arange(new) + 0.5) * old // new for new, old in zip(size, shape, strict=True))
    return mask[:, rows.astype(int)[:, None], columns.astype(int)]
