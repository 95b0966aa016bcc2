"""Files of masks: PNG and other images, NIfTI volumes; two values, soft edges, JPEG noise, label maps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmtk.errors import MmtkError, listing
from mmtk.images.files import is_image_file
from mmtk.images.loader import read_labels, read_mask
from mmtk.io.extras import install_line
from mmtk.io.files import is_hidden
from mmtk.io.packed import unpacked

NIFTI = (".nii", ".nii.gz")
LABELS = 64  # more values than that are gray levels, not labels
SOFT = 8  # more values than that in a file of two classes are soft edges
SEED = re.compile(r"(?:seed|fold|run|rep|replicate|trial)?[\s_\-=]*\d+", re.IGNORECASE)
Spacing = tuple[float, ...]


@dataclass(frozen=True)
class Pixels:
    """Content of a file of masks.

    values: [H,W] or [D,H,W] whole numbers; of a soft mask gray levels of 255
    spacing: of the axes in mm; empty where the file says none
    is_lossy: whether the values are those of a lossy format, and the mask is already found: 0 and 1
    """

    values: np.ndarray
    spacing: Spacing = ()
    is_lossy: bool = False

    @property
    def labels(self) -> list[int]:
        """Distinct values, ascending."""
        if not self.values.size:
            return []
        low, high = int(self.values.min()), int(self.values.max())
        if low == high:
            return [low]
        if np.count_nonzero(self.values == high) == np.count_nonzero(self.values > low):  # two, as most masks have
            return [low, high]
        if low >= 0 and high < 1 << 16:
            return [int(value) for value in np.flatnonzero(np.bincount(self.values.ravel()))]
        return [int(value) for value in np.unique(self.values)]


def is_nifti(path: Path) -> bool:
    """Whether a file is a NIfTI volume, by its name."""
    return path.name.lower().endswith(NIFTI)


def is_mask_file(path: Path) -> bool:
    """Whether a file may hold a mask."""
    return not path.is_dir() and (is_nifti(path) or is_image_file(path))


def case_name(path: Path, folder: Path) -> str:
    """Name of the case of a file: its path in the folder, without the suffix."""
    relative = path.relative_to(folder).as_posix()
    suffix = next((end for end in reversed(NIFTI) if relative.lower().endswith(end)), path.suffix)
    return relative[: len(relative) - len(suffix)]


def read_pixels(path: Path) -> Pixels:
    """Read a file of masks."""
    if is_nifti(path):
        return _read_nifti(path)
    try:
        return Pixels(read_labels(path, compact=True))
    except MmtkError:
        return Pixels(read_mask(path).astype(np.int64), is_lossy=True)  # lossy, or in colours


def _read_nifti(path: Path) -> Pixels:
    try:
        import nibabel
    except ImportError as error:
        raise MmtkError("is NIfTI, which needs nibabel.", str(path), install_line("nifti")) from error
    try:
        image: Any = nibabel.load(path)
        values = np.squeeze(np.asanyarray(image.dataobj))
    except Exception as error:  # nibabel raises errors of many kinds
        raise MmtkError(f"cannot be read: {error}", str(path)) from error
    if values.ndim not in (2, 3):
        raise MmtkError(f"has the shape {values.shape}: a mask has two or three axes.", str(path))
    spacing = tuple(float(size) for size in image.header.get_zooms()[: values.ndim])
    rounded = np.rint(values)
    if np.abs(values - rounded).max(initial=0) > 1e-3:  # probabilities
        if values.min() < 0 or values.max() > 1:
            cure = "Save labels as whole numbers, or probabilities from 0 to 1."
            raise MmtkError("holds numbers that are neither labels nor probabilities.", str(path), cure)
        return Pixels((values >= 0.5).astype(np.int64), spacing)
    return Pixels(rounded.astype(np.int64), spacing)


def structures(references: Sequence[Path]) -> list[int]:
    """Labels of the structures in the reference masks, without the background; one where they have two values.

    Raises MmtkError for references that hold no structure.
    """
    labels: set[int] = set()
    for path in references:
        pixels = read_pixels(path)
        labels_of_mask = pixels.labels
        if pixels.is_lossy or len(labels_of_mask) > LABELS:
            return [1]
        labels |= {*labels_of_mask}
    foreground = sorted(labels - {0})
    if not foreground:
        cure = "They hold one value. Is this the folder of references?"
        raise MmtkError("all reference masks are empty.", str(references[0].parent), cure)
    is_binary = len(foreground) == 1 or all(
        len({*read_pixels(path).labels} - {0}) <= 1 for path in references[:50]
    )
    if is_binary and {*foreground} <= {1, 255, 128, 254}:
        return [1]
    return foreground if len(foreground) > 1 else [1]


def channels(pixels: Pixels, path: Path, labels: Sequence[int]) -> tuple[np.ndarray, bool]:
    """Masks [K, …] of the structures, bool, and whether soft values were cut at one half.

    pixels: content of the file
    path: of the file, for messages
    labels: of the structures; one for masks of two values
    """
    if len(labels) > 1:
        if unknown := sorted({*pixels.labels} - {0, *labels}):
            message = f"has the values {listing(map(str, unknown), 8)}, which no reference has."
            raise MmtkError(message, str(path), f"Labels of the references: {listing(map(str, labels))}.")
        return np.array([pixels.values == label for label in labels]), False
    present = pixels.labels
    if len(present) <= 2:
        low = 0 if len(present) < 2 else present[0]
        return (pixels.values > low)[None], False
    if len(present) <= SOFT:
        message = f"is not a mask: it has the values {listing(map(str, present))}, the references two."
        raise MmtkError(message, str(path), "Save it with two values, or give label maps as references.")
    return (pixels.values >= 128)[None], True


def files_by_case(paths: Iterable[Path], folder: Path) -> dict[str, Path]:
    """Files of a folder by the name of their case; MmtkError for two of one name."""
    files: dict[str, Path] = {}
    for path in paths:
        name = case_name(path, folder)
        if (other := files.setdefault(name, path)) != path:
            message = f"two files are of the case {name}: {other.name} and {path.name}."
            raise MmtkError(message, str(folder), "Keep one of them.")
    return files


def distinct_runs(runs: Iterable[tuple[Path, str, str, Path]]) -> list[tuple[str, str, Path]]:
    """System, seed and file or folder of every run; systems of one name are told apart by their sources.

    runs: source, system, seed and file or folder. MmtkError for two of one source with the same system and seed.
    """
    runs = list(dict.fromkeys(runs))
    sources: dict[tuple[str, str], set[Path]] = {}
    for source, system, seed, _ in runs:
        sources.setdefault((system, seed), set()).add(source)
    shared = {system for (system, _), origins in sources.items() if len(origins) > 1}
    names = _short_names({source for source, system, *_ in runs if system in shared})
    result: dict[tuple[str, str], Path] = {}
    for source, system, seed, path in runs:
        name = system
        if system in shared:
            name = names[source] if source.name == system else f"{names[source]}/{system}"
        if (other := result.setdefault((name, seed), path)) != path:
            message = f"{other} and {path} are both system '{name}', seed {seed}."
            raise MmtkError(message, hint="Rename one of them, or name one alone.")
    return [(system, seed, path) for (system, seed), path in result.items()]


def distinct_stems(files: Collection[Path]) -> dict[Path, str]:
    """Name of every file without its suffix, and of files of one name the folders that tell them apart."""
    names = {path: unpacked(path).with_suffix("") for path in files}
    counts = Counter(name.name for name in names.values())
    longer = _short_names({name for name in names.values() if counts[name.name] > 1})
    return {path: longer.get(name, name.name) for path, name in names.items()}


def _short_names(sources: Collection[Path]) -> dict[Path, str]:
    """The shortest ends of paths that tell them apart."""
    parts = {source: source.resolve().parts for source in sources}
    for length in range(1, max(map(len, parts.values()), default=0) + 1):
        names = {source: "/".join(part[-length:]) for source, part in parts.items()}
        if len({*names.values()}) == len(names):
            return names
    return {source: str(source) for source in sources}


def folders_of_systems(
    source: Path, is_result: Callable[[Path], bool] = is_mask_file
) -> Iterator[tuple[str, str, Path]]:
    """System, seed and folder of every set of results below a folder; ``is_result``: of a file.

    ``SYSTEM/SEED/files``, ``SYSTEM/files``, or, of one system, ``SEED/files`` and files; nnU-Net's
    ``SYSTEM/fold_N/validation/files``, without its folder of all folds together.
    """
    if any(map(is_result, source.iterdir())):
        yield source.name, "0", source
        return
    inside = _folders(source)
    flat = all(one.is_file() for path in inside for one in _validation(path).iterdir())
    if inside and flat and all(SEED.fullmatch(path.name) for path in inside):
        for path in inside:
            yield source.name, seed_of(path.name), _validation(path)
        return
    for system in inside:
        below = _folders(system)
        if any(map(is_result, system.iterdir())) or not below:
            yield system.name, "0", system
        else:
            for path in below:
                yield system.name, seed_of(path.name), _validation(path)


def _folders(path: Path) -> list[Path]:
    return [
        one
        for one in sorted(path.iterdir())
        if one.is_dir() and not is_hidden(one.name) and not one.name.startswith("crossval_results")
    ]


def _validation(path: Path) -> Path:
    """The folder of the predictions of a fold of nnU-Net; of others the folder itself."""
    return path / "validation" if (path / "validation").is_dir() else path


def seed_of(name: str) -> str:
    """The number in the name of a folder of seeds, else the name."""
    digits = re.findall(r"\d+", name)
    return digits[-1] if SEED.fullmatch(name) and digits else name
