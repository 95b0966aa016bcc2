"""Folders of images and masks: one folder, or the folders of a pattern such as ``*/images``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmtk.components.source._layout import inside, list_images
from mmtk.errors import MmtkError
from mmtk.images.files import is_image_file
from mmtk.io.files import is_hidden

ANY = "*"


@dataclass(frozen=True)
class FolderPattern:
    """Files below ``base``, whose path begins with the parts of ``pattern``; the part ``*`` stands for any folder.

    What ``*`` stands for is a part of the name of a file, all else of the pattern is not: below ``*/images``, the
    file ``COVID/images/1.png`` is ``COVID/1``, as is ``COVID/masks/1.png`` below ``*/masks``, or
    ``COVID_masks/1.png`` below ``*_masks``.
    """

    base: Path
    pattern: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Last part of the path or pattern."""
        return self.pattern[-1] if self.pattern else self.base.name

    def __str__(self) -> str:
        return str(self.base.joinpath(*self.pattern))

    def __truediv__(self, name: str) -> FolderPattern:
        return FolderPattern(self.base, (*self.pattern, name)) if self.pattern else FolderPattern(self.base / name)

    def holds(self, path: Path) -> bool:
        """Whether a file lies in a folder of the pattern."""
        if not path.is_relative_to(self.base):
            return False
        parts = path.relative_to(self.base).parts
        matches = (fits(part, name) for part, name in zip(self.pattern, parts, strict=False))
        return len(parts) > len(self.pattern) and all(matches)

    def lies_in(self, other: FolderPattern) -> bool:
        """Whether the pattern is another than ``other``, and below it."""
        return (
            self != other
            and self.base.is_relative_to(other.base)
            and (bool(self.pattern) or self.base != other.base)
        )

    def inside(self, path: Path) -> str:
        """Path of a file below the folders of the pattern, without suffix."""
        if not self.holds(path):
            return inside(path, self.base)
        parts = path.relative_to(self.base).parts
        names = [starred(part, name) for part, name in zip(self.pattern, parts, strict=False) if ANY in part]
        return inside(self.base.joinpath(*names, *parts[len(self.pattern) :]), self.base)

    def entries(self) -> list[Path]:
        """Files or folders that the whole pattern names."""
        paths = [self.base]
        for part in self.pattern:
            below = (
                sorted(entry for entry in path.iterdir() if fits(part, entry.name))
                if ANY in part
                else [path / part]
                for path in paths
                if path.is_dir()
            )
            paths = [path for level in below for path in level if not is_hidden(path.name) and path.exists()]
        return paths

    def images(self, expected: str = "images", predicate: Callable[[Path], bool] = is_image_file) -> list[Path]:
        """List all image files (or those of ``predicate``) in order; none is an error."""
        if not self.pattern:
            return list_images(self.base, expected, predicate)
        folders = [path for path in self.entries() if path.is_dir()]
        if not folders:
            raise MmtkError(f"no folder of this pattern: it should hold {expected}.", str(self))
        paths = [path for path in list_images(self.base, expected, predicate) if self.holds(path)]
        if not paths:
            raise MmtkError(f"no {expected} in the folders of this pattern.", str(self))
        return paths


def fits(part: str, name: str) -> bool:
    """Whether a part of a pattern stands for a name: ``*`` for any, ``*.json`` for those that end so."""
    start, star, end = part.partition(ANY)
    if not star:
        return part == name
    return len(name) > len(start) + len(end) and name.startswith(start) and name.endswith(end)


def starred(part: str, name: str) -> str:
    """Letters of a name that fits for which ``*`` of a part of a pattern stands."""
    start, _, end = part.partition(ANY)
    return name.removeprefix(start).removesuffix(end)


def folder_pattern(root: Path, name: str) -> FolderPattern:
    """Read a path or pattern of the recipe: below the data folder, absolute, or from the user's home (~)."""
    try:
        path = Path(root) / Path(name).expanduser()
    except RuntimeError as error:
        raise MmtkError(f"{name}: the home folder is not known.", hint="Write the whole path.") from error
    at = next((k for k, part in enumerate(path.parts) if ANY in part), len(path.parts))
    return FolderPattern(Path(*path.parts[:at]), path.parts[at:])
