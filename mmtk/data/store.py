"""Images decoded and resized once into a memory-mapped cache."""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from mmtk.api import Item, LabelSpec, Source, Split
from mmtk.counts import share
from mmtk.errors import MmtkError, Problems
from mmtk.io.cache import cached_folder
from mmtk.io.parallel import on_all_cores
from mmtk.tasks import TASKS

# 2: depth, sign and orientation of every file by its header; 3: tables of DICOM, thumbnails, alpha; 4: pixels
# without a value
FORMAT = 4
UNKNOWN = -1
IGNORED = 255
SPLITS: tuple[Split, ...] = ("train", "val", "test")
FORKED = 150  # images that a fork draws before it hands them over
FEWEST = 50  # of a fork, which takes as long to start as a few of them
_IMAGES, _MASKS, _ITEMS = "images.bin", "masks.bin", "items.json"

Progress = Callable[[int, int], None]


@dataclass
class ImageStore:
    """Images of a source at run size, memory-mapped and read-only.

    ``images`` [N,C,size,size] uint8; ``targets`` [N] int64 (−1: unknown) or [N,K,size,size] uint8 in {0, 1}
    with 255 ignored; ``spacing`` mm per pixel (row, column) at run size, by id where known; ``shapes`` [N,2]
    the files' own height and width; ``digest`` the source's; ``metadata`` and ``boxes`` what its items know of an
    image, by id; ``named_patients`` the patients of the whole source, sorted, without ids that stand for unknown
    ones.
    """

    images: np.ndarray
    targets: np.ndarray
    ids: list[str]
    patients: list[str]
    spacing: dict[str, tuple[float, float]]
    shapes: np.ndarray
    labels: LabelSpec
    digest: str
    named_patients: Sequence[str] = ()
    metadata: Mapping[str, Mapping[str, str | float]] = field(default_factory=dict)
    boxes: Mapping[str, tuple[tuple[float, float, float, float], ...]] = field(default_factory=dict)

    @cached_property
    def _row(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.ids)}

    def rows(self, ids: Iterable[str]) -> np.ndarray:
        """Rows of the arrays for ``ids``, in their order."""
        try:
            return np.array([self._row[name] for name in ids], dtype=np.int64)
        except KeyError as error:
            raise MmtkError(f"No stored image has the id {error}.") from None


class UnreadableError(MmtkError):
    """An image or mask that could not be read; ``id`` is its item's."""

    def __init__(self, item: Item, part: object, error: Exception) -> None:
        message, where, hint = f"could not be read: {error or type(error).__name__}", None, None
        if isinstance(error, MmtkError):
            message, where, hint = error.message, error.where, error.hint
        file = part if isinstance(part, str | Path) else item.image
        super().__init__(message, where or (str(file) if isinstance(file, str | Path) else item.id), hint)
        self.id = item.id


@dataclass(frozen=True)
class _Row:
    pixels: dict[str, bytes]
    label: int
    shape: tuple[int, int]


def open_store(
    source: Source,
    size: int,
    channels: int = 1,
    split: Split = "all",
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> ImageStore:
    """Open the items of a source, decoded and resized on first use.

    source: of the images
    size: pixels of a side
    channels: 1 (gray) or 3
    split: part that is read
    cache: folder of the files: by default ``$MMTK_CACHE``, else ``~/.cache/mmtk``
    progress: gets (images read, images in all)

    Raises Problems that name every bad file, and RunFailed where the disk is full.
    """
    everything, items = source.items("all"), source.items(split)
    if len(items) == len(everything):
        items = everything  # one cache for both
    target, digest, origin = source.labels, source.digest(), type(source).__name__
    if not items:
        raise MmtkError(f"{origin} has no images.", hint="Look at the folder of the data set.")
    if len({item.id for item in items}) < len(items):
        raise MmtkError(f"{origin} gives two items the same id.")
    masks = len(target.names) if TASKS[target.task].has_masks else 0
    spec = repr(target).replace("LabelSpec(", "Target(", 1)  # the name of the class when caches were first named
    part = "" if items is everything else f", {[item.id for item in items]!r}"
    key = hashlib.sha256(f"({FORMAT!r}, {digest!r}, {spec}, {size!r}, {channels!r}{part})".encode()).hexdigest()
    folder = cached_folder(
        f"{origin.lower()}-{size}x{size}x{channels}-{key[:20]}",
        partial(_write, source, items, size, channels, progress or (lambda number, total: None)),
        len(items) * (channels + masks) * size * size,
        cache,
    )
    about = json.loads((folder / _ITEMS).read_bytes())
    count = len(about["ids"])
    images = np.memmap(folder / _IMAGES, np.uint8, "r", shape=(count, channels, size, size))
    targets: np.ndarray = np.array(about["labels"], dtype=np.int64)
    if masks:
        targets = np.memmap(folder / _MASKS, np.uint8, "r", shape=(count, masks, size, size))
    spacing = {name: (row, column) for name, (row, column) in about["spacing"].items()}
    shapes = np.array(about["shapes"], dtype=np.int64)
    facts = {item.id: item.metadata for item in items if item.metadata}
    boxes = {item.id: item.boxes for item in items if item.boxes}
    ids, patients = about["ids"], about["patients"]
    named = _named_patients(everything, source.one_image_per_patient)
    return ImageStore(images, targets, ids, patients, spacing, shapes, target, digest, named, facts, boxes)


def _named_patients(items: Iterable[Item], single: bool) -> list[str]:
    """Patients, sorted; an id stands for one only where every image is ``single``."""
    return sorted({item.patient for item in items if single or item.patient != item.id})


def noise_store(source: Source, size: int, channels: int = 1) -> ImageStore:
    """Store of the items of ``source`` with noise in place of images and masks: nothing is read, drawn or kept.

    ``size`` and ``channels`` are those of ``open_store``. All items share the same pixels, and so their memory.
    """
    items, labels = source.items("all"), source.labels
    noise = np.random.default_rng(0).integers(0, 256, (channels, size, size), dtype=np.uint8)
    if TASKS[labels.task].has_masks:
        mask = np.arange(len(labels.names))[:, None, None] == noise[:1] % (len(labels.names) + 1)
        targets = np.broadcast_to(mask.astype(np.uint8), (len(items), *mask.shape))
    else:
        targets = np.array([UNKNOWN if item.target is None else int(item.target) for item in items], np.int64)
    images = np.broadcast_to(noise, (len(items), *noise.shape))
    ids, patients = [item.id for item in items], [item.patient for item in items]
    return ImageStore(images, targets, ids, patients, {}, np.full((len(items), 2), size), labels, source.digest())


def _write(source: Source, items: list[Item], size: int, channels: int, progress: Progress, folder: Path) -> None:
    names = [_IMAGES, _MASKS] if TASKS[source.labels.task].has_masks else [_IMAGES]
    labels: list[int] = []
    shapes: list[tuple[int, int]] = []
    bad: list[UnreadableError] = []
    with ExitStack() as stack:
        files = {name: stack.enter_context((folder / name).open("wb")) for name in names}
        for count, row in enumerate(_ordered(partial(_read, source, size, channels), items), start=1):
            if isinstance(row, UnreadableError):
                bad.append(row)
            elif not bad:
                for name, file in files.items():
                    file.write(row.pixels[name])
                labels.append(row.label)
                shapes.append(row.shape)
            progress(count, len(items))
    if bad:
        raise Problems(bad, f"{share(len(bad), len(items), 'image')} could not be read:")
    about = {
        "ids": [item.id for item in items],
        "patients": [item.patient for item in items],
        "labels": labels,
        "shapes": shapes,
        "spacing": {
            item.id: [step * length / size for step, length in zip(item.spacing, shape, strict=True)]
            for item, shape in zip(items, shapes, strict=True)
            if item.spacing
        },
    }
    (folder / _ITEMS).write_text(json.dumps(about))


def _ordered(
    read: Callable[[Item], _Row | UnreadableError], items: list[Item]
) -> Iterator[_Row | UnreadableError]:
    """Read files on all cores, a few items ahead of the writer, so that memory does not grow with the set.

    Each core reads an item by itself: a BLAS that divides small products among the cores as well would wait for
    most of the time. Forks draw images that are made in code: threads pass Python's lock to and fro, and take
    twice the processor time, and more of the clock's.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        if not any(isinstance(item.image, str | Path) for item in items):
            yield from _draw_in_forks(read, items)
            return
        cores = _cores()
        waiting: deque[Future[_Row | UnreadableError]] = deque()
        with ThreadPoolExecutor(cores) as pool:
            for item in items:
                waiting.append(pool.submit(read, item))
                if len(waiting) > 2 * cores:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()


def _cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _draw_in_forks(
    read: Callable[[Item], _Row | UnreadableError], items: list[Item]
) -> Iterator[_Row | UnreadableError]:
    """Draw a few hundred items at a time in forks, in their order; what fails there is tried again here."""
    count = _cores()
    for start in range(0, len(items), FORKED * count):
        several = items[start : start + FORKED * count]
        length = max(FEWEST, -(-len(several) // count))
        parts = [several[index : index + length] for index in range(0, len(several), length)]
        rows_of_parts = on_all_cores([partial(_read_several, read, part) for part in parts])
        for part, rows in zip(parts, rows_of_parts, strict=True):
            yield from (row or read(item) for item, row in zip(part, rows, strict=True))


def _read_several(read: Callable[[Item], _Row | UnreadableError], items: list[Item]) -> list[_Row | None]:
    """Rows of several items; None for one that cannot be read, whose error no process can hand over."""
    rows = map(read, items)
    return [row if isinstance(row, _Row) else None for row in rows]


def _read(source: Source, size: int, channels: int, item: Item) -> _Row | UnreadableError:
    part = item.image
    try:
        image = source.image(item)
        pixels = {_IMAGES: _planes(image, size, channels).tobytes()}
        part, label, classes = item.target, UNKNOWN, len(source.labels.names)
        if TASKS[source.labels.task].has_masks:
            pixels[_MASKS] = _masks(source, item, size).tobytes()
        elif part is not None:
            label = int(part)
            if not 0 <= label < classes:
                raise MmtkError(f"class {label} of '{item.id}' is not in 0…{classes - 1}.")
        return _Row(pixels, label, (image.shape[0], image.shape[1]))
    except Exception as error:  # decoders raise nearly everything on a damaged file
        return UnreadableError(item, part, error)


def _planes(image: np.ndarray, size: int, channels: int) -> np.ndarray:
    """Resize [H,W] or [H,W,C] to [channels,size,size]: gray is repeated, colour becomes gray for one channel."""
    from PIL import Image

    from mmtk.images.loader import resize_image

    if image.dtype != np.uint8:
        raise MmtkError(f"the image is {image.dtype}, not uint8.")
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if image.ndim == 3 and image.shape[2] == 3 and channels == 1:
        image = np.asarray(Image.fromarray(image).convert("L"))
    if image.ndim == 2:
        return np.repeat(resize_image(image, size)[None], channels, axis=0)
    if image.ndim != 3 or image.shape[2] != channels:
        raise MmtkError(f"an image of shape {image.shape} does not give {channels} channels.")
    return np.stack([resize_image(np.ascontiguousarray(plane), size) for plane in np.moveaxis(image, 2, 0)])


def _masks(source: Source, item: Item, size: int) -> np.ndarray:
    """Mask [K,size,size] of an item; ignored everywhere where it has none."""
    from mmtk.images.loader import resize_mask

    channels = len(source.labels.names)
    if item.target is None:
        return np.full((channels, size, size), IGNORED, np.uint8)
    mask = source.mask(item)
    if mask.dtype != np.uint8 or mask.ndim != 3 or len(mask) != channels:
        raise MmtkError(f"the mask is {mask.dtype} {mask.shape}, not uint8 with {channels} channels.")
    counts = np.bincount(mask.ravel(), minlength=IGNORED + 1)
    if other := np.flatnonzero(counts[2:IGNORED]).tolist():
        raise MmtkError(f"the mask has the value {other[0] + 2}: 0 and 1 are allowed, and 255 for ignored pixels.")
    return resize_mask(mask, size)


def duplicates(store: ImageStore) -> list[tuple[str, ...]]:
    """Groups of ids whose images in the store are the same byte for byte."""
    # A grid of pixels tells most images apart; those that agree in it are read whole.
    alike: dict[bytes, list[int]] = defaultdict(list)
    for index, image in enumerate(store.images):
        alike[image[..., ::32, ::32].tobytes()].append(index)
    groups: dict[bytes, list[str]] = defaultdict(list)
    for index in sorted(i for indices in alike.values() if len(indices) > 1 for i in indices):
        groups[hashlib.blake2b(store.images[index]).digest()].append(store.ids[index])
    return [tuple(group) for group in groups.values() if len(group) > 1]
