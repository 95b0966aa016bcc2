"""Names of mask files: the image of a mask, and affixes that would make names fit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unicodedata import normalize

from mmtk.components.source._folder_pattern import FolderPattern
from mmtk.components.source._layout import stem
from mmtk.counts import counted
from mmtk.errors import MmtkError, listing, nearest
from mmtk.images.files import is_image_file

WORD = re.compile(r"[-_. ][A-Za-z][A-Za-z_ -]*$")


@dataclass(frozen=True)
class Affixes:
    """Affixes that the names of images and masks have around the part that they share."""

    image_prefix: str = ""
    image_suffix: str = ""
    mask_prefix: str = ""
    mask_suffixes: tuple[str, ...] = ("",)  # one, or one for each channel

    @property
    def by_channel(self) -> bool:
        """Whether the ending says the channel."""
        return len(self.mask_suffixes) > 1

    def of_channel(self, suffix: str) -> Affixes:
        """Affixes of the masks with one of the endings."""
        return replace(self, mask_suffixes=(suffix,))

    def ending(self, name: str) -> str | None:
        """Longest ending that a mask's name has: of ``_lung`` and ``_left_lung`` the second."""
        return max((suffix for suffix in self.mask_suffixes if name.endswith(suffix)), key=len, default=None)

    def of_image(self, name: str) -> str:
        """Shared part of an image's name."""
        return name.removeprefix(self.image_prefix).removesuffix(self.image_suffix)

    def is_mask(self, name: str) -> bool:
        """Whether a name has all that a mask's has; never without a key that says so."""
        ending = self.ending(name)
        if ending is None or not (self.mask_prefix or ending):
            return False
        return len(name) >= len(self.mask_prefix) + len(ending) and name.startswith(self.mask_prefix)

    def of_mask(self, name: str) -> str:
        """Shared part of a mask's name."""
        return name.removeprefix(self.mask_prefix).removesuffix(self.ending(name) or "")


class MaskFinder:
    """Finder of the masks of a folder's images, by path first, because a stem may repeat among the images."""

    def __init__(
        self,
        folder: FolderPattern,
        images: Mapping[str, Path],
        extra_images: Mapping[str, Path],
        affixes: Affixes,
        ignore_unmatched: bool,
        notes: list[str],
        resize: bool = False,
    ) -> None:
        self.folder, self.images, self.extra_images, self.affixes = folder, images, extra_images, affixes
        self.ignore_unmatched, self.notes, self.resize = ignore_unmatched, notes, resize
        self._files = {*images.values(), *extra_images.values()}
        self._extra_keys = {self._key(stem(path), affixes.of_image) for path in extra_images.values()}
        stems = Counter(stem(path) for path in images.values())
        self._keys = {name: self._key(folder.inside(path), affixes.of_image) for name, path in images.items()}
        self._short = {
            name: self._key(stem(path), affixes.of_image)
            for name, path in images.items()
            if stems[stem(path)] == 1
        }

    def of_channel(self, suffix: str) -> MaskFinder:
        """Finder of the masks with one of the endings."""
        affixes = self.affixes.of_channel(suffix)
        return MaskFinder(
            self.folder, self.images, self.extra_images, affixes, self.ignore_unmatched, self.notes, self.resize
        )

    def masks(
        self, location: FolderPattern, predicate: Callable[[Path], bool] = is_image_file
    ) -> dict[str, tuple[Path, ...]]:
        """Masks by id below ``location``; masks without an image and masks of one name are errors."""
        by_path, by_name = self._masks(location, predicate)
        if not by_path:
            location.images("masks", predicate)  # its error names what is missing
            raise MmtkError(
                "no masks in it beside the images.", str(location), self._cure([stem(p) for p in self._files])
            )
        files: dict[str, tuple[Path, ...]] = {}
        image_of: dict[Path, str] = {}
        for name, key in self._keys.items():
            path = by_path.get(key) or by_name.get(self._short.get(name, "\0"))
            if path is None:
                continue
            if (other := image_of.setdefault(path, name)) != name:
                message = f"is the mask of two images: {other} and {name}."
                raise MmtkError(message, str(path), "Give each image a mask of its own.")
            files[name] = (path,)
        orphans = [path for path in by_path.values() if path not in image_of]
        orphans = [path for path in orphans if self._key(stem(path), self.affixes.of_mask) not in self._extra_keys]
        self.unmatched([location.inside(path) for path in orphans], location)
        return files

    def sites(self, location: FolderPattern) -> list[str]:
        """Sub-folders of ``location`` that divide the masks as the images are divided, rather than by channel."""
        by_path, _ = self._masks(location, is_image_file)
        keys = {*self._keys.values()}
        if not any(key in keys for key in by_path):
            return []
        return sorted({key.split("/")[0] for key in by_path if "/" in key})

    def _masks(
        self, location: FolderPattern, predicate: Callable[[Path], bool]
    ) -> tuple[dict[str, Path], dict[str, Path]]:
        """Masks by their path within ``location``, and by their name where it does not repeat."""
        by_path: dict[str, Path] = {}
        names: dict[str, list[Path]] = {}
        for path in location.images("masks", predicate):
            if path in self._files:
                continue
            key = self._key(location.inside(path), self.affixes.of_mask)
            if (other := by_path.setdefault(key, path)) != path:
                message = f"two masks are called {key}: {other.name} and {path.name}."
                raise MmtkError(message, str(location), "Rename one of them, or keep one.")
            names.setdefault(self._key(stem(path), self.affixes.of_mask), []).append(path)
        return by_path, {name: paths[0] for name, paths in names.items() if len(paths) == 1}

    @staticmethod
    def _key(name: str, strip: Callable[[str], str]) -> str:
        folder, slash, last = normalize("NFC", name).rpartition("/")
        return f"{folder}{slash}{strip(last)}"

    def unmatched(self, masks: Sequence[str], location: FolderPattern, noun: str = "mask") -> None:
        """Refuse masks without an image, by name, or note them where they are to be ignored."""
        if masks and self.ignore_unmatched:
            self.notes.append(f"{counted(len(masks), noun)} without an image left out: {listing(masks, 5)}.")
        elif masks:
            names = [name.rpartition("/")[2] for name in masks]
            close = nearest(names[0], [stem(path) for path in self.images.values()])
            raise MmtkError(
                f"no image for {counted(len(masks), noun)}: {listing(masks, 5)}.{close}",
                str(location),
                f'{self._cure(names)} unmatched_masks = "ignore" leaves them out.',
            )

    def _cure(self, masks: Sequence[str]) -> str:
        rule = "A mask has the file name of its image, apart from the extension (.png)."
        if line := suggestion([stem(path) for path in self.images.values()], masks):
            return f"{rule} Here it would fit with this line in the source's table: {line}"
        return f"{rule} Other names: mask_suffix, mask_prefix, image_suffix or image_prefix."


def beside_images(names: Sequence[str]) -> list[str]:
    """Note on images that are called like another one with a word behind it: they may be masks."""
    all_names = {*names}
    like = [name for name in names if (match := WORD.search(name)) and name[: match.start()] in all_names]
    if not like:
        return []
    some = counted(len(like), "image is", "images are")
    return [
        f"{some} called like another one with a word behind it: {listing(like, 5)}. "
        "If they are masks, add their endings to mask_suffix and their names to classes."
    ]


def suggestion(images: Sequence[str], masks: Sequence[str]) -> str:
    """Recipe line under which at least half of the masks have an image; "" where none does."""
    candidates: Counter[tuple[tuple[str, str], ...]] = Counter()
    for keys in (*_one_sided(images, masks), *_two_sided(images, masks)):
        affix_keys = dict(keys)
        suffix = affix_keys.pop("mask_suffix", "")
        affixes = Affixes(**affix_keys, mask_suffixes=(suffix,))
        image_names = {affixes.of_image(name) for name in images}
        hits = sum(affixes.of_mask(name) in image_names and affixes.of_mask(name) != name for name in masks)
        hits += sum(name in image_names for name in masks) if not (affixes.mask_prefix or suffix) else 0
        candidates[keys] = hits
    best = candidates.most_common(1)
    if not best or best[0][1] * 2 < len(masks):
        return ""
    return ", ".join(f'{key} = "{value}"' for key, value in best[0][0])


def _one_sided(images: Iterable[str], masks: Iterable[str]) -> Iterable[tuple[tuple[str, str], ...]]:
    """Remainders of a longer name around a shorter one, by key, the most frequent first."""
    counts: Counter[tuple[str, str]] = Counter()
    for kind, longer, shorter in (("mask", masks, {*images}), ("image", images, {*masks})):
        for name in list(longer)[:500]:
            for cut in range(1, len(name)):
                if name[:cut] in shorter:
                    counts[f"{kind}_suffix", name[cut:]] += 1
                if name[cut:] in shorter:
                    counts[f"{kind}_prefix", name[:cut]] += 1
    return [(pair,) for pair, _ in counts.most_common(5)]


def _two_sided(images: Sequence[str], masks: Sequence[str]) -> Iterable[tuple[tuple[str, str], ...]]:
    """Beginnings or endings of all images and of all masks, without digits that they share."""
    if len(images) < 2 or len(masks) < 2:
        return
    reversed_names = [[name[::-1] for name in names] for names in (images, masks)]
    begins = [_beginning(names) for names in (images, masks)]
    ends = [_beginning(names)[::-1] for names in reversed_names]
    for which, (image, mask) in (("prefix", begins), ("suffix", ends)):
        if image and mask and image != mask:
            yield (f"image_{which}", image), (f"mask_{which}", mask)


def _beginning(names: Sequence[str]) -> str:
    """Common beginning of all names, without digits at its end."""
    first, last = min(names), max(names)
    same = next(
        (n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last))
    )
    return first[:same].rstrip("0123456789")
