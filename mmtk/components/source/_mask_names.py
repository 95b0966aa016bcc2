"""Names of mask files: which image a mask belongs to, and what is common to names that do not fit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unicodedata import normalize

from mmtk.components.source._layout import stem
from mmtk.components.source._places import Place
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
        """Return the masks with one of the endings."""
        return replace(self, mask_suffixes=(suffix,))

    def ending(self, name: str) -> str | None:
        """The longest ending that a mask's name has: of ``_lung`` and ``_left_lung`` the second."""
        return max((each for each in self.mask_suffixes if name.endswith(each)), key=len, default=None)

    def of_image(self, name: str) -> str:
        """The shared part of an image's name."""
        return name.removeprefix(self.image_prefix).removesuffix(self.image_suffix)

    def is_mask(self, name: str) -> bool:
        """Whether a name has all that a mask's has; never without a key that says so."""
        ending = self.ending(name)
        if ending is None or not (self.mask_prefix or ending):
            return False
        return len(name) >= len(self.mask_prefix) + len(ending) and name.startswith(self.mask_prefix)

    def of_mask(self, name: str) -> str:
        """The shared part of a mask's name."""
        return name.removeprefix(self.mask_prefix).removesuffix(self.ending(name) or "")


class Finder:
    """Finds the masks of the images of a folder, by place first, because a stem may repeat among the images."""

    def __init__(
        self,
        folder: Place,
        images: Mapping[str, Path],
        others: Mapping[str, Path],
        affixes: Affixes,
        ignore_unmatched: bool,
        notes: list[str],
    ) -> None:
        self.folder, self.images, self.others, self.affixes = folder, images, others, affixes
        self.ignore_unmatched, self.notes = ignore_unmatched, notes
        self._files = {*images.values(), *others.values()}
        self._others = {self._key(stem(path), affixes.of_image) for path in others.values()}
        stems = Counter(stem(path) for path in images.values())
        self._keys = {name: self._key(folder.inside(path), affixes.of_image) for name, path in images.items()}
        self._short = {
            name: self._key(stem(path), affixes.of_image)
            for name, path in images.items()
            if stems[stem(path)] == 1
        }

    def of_channel(self, suffix: str) -> Finder:
        """The same for the masks with one of the endings."""
        affixes = self.affixes.of_channel(suffix)
        return Finder(self.folder, self.images, self.others, affixes, self.ignore_unmatched, self.notes)

    def masks(self, place: Place, wanted: Callable[[Path], bool] = is_image_file) -> dict[str, tuple[Path, ...]]:
        """Id → its mask below ``place``; masks without an image and masks of one name are errors."""
        by_place, by_name = self._masks(place, wanted)
        if not by_place:
            place.images("masks", wanted)  # says what is missing
            raise MmtkError(
                "no masks in it beside the images.", str(place), self._cure([stem(p) for p in self._files])
            )
        files: dict[str, tuple[Path, ...]] = {}
        image_of: dict[Path, str] = {}
        for name, key in self._keys.items():
            path = by_place.get(key) or by_name.get(self._short.get(name, "\0"))
            if path is None:
                continue
            if (other := image_of.setdefault(path, name)) != name:
                raise MmtkError(f"is the mask of two images: {other} and {name}.", str(path))
            files[name] = (path,)
        orphans = [path for path in by_place.values() if path not in image_of]
        orphans = [path for path in orphans if self._key(stem(path), self.affixes.of_mask) not in self._others]
        self.unmatched([place.inside(path) for path in orphans], place)
        return files

    def sites(self, place: Place) -> list[str]:
        """Sub-folders of ``place`` that divide the masks as the images are divided, rather than by channel."""
        by_place, _ = self._masks(place, is_image_file)
        keys = {*self._keys.values()}
        if not any(key in keys for key in by_place):
            return []
        return sorted({key.split("/")[0] for key in by_place if "/" in key})

    def _masks(self, place: Place, wanted: Callable[[Path], bool]) -> tuple[dict[str, Path], dict[str, Path]]:
        """Masks by their path within ``place``, and by their name where it does not repeat."""
        by_place: dict[str, Path] = {}
        names: dict[str, list[Path]] = {}
        for path in place.images("masks", wanted):
            if path in self._files:
                continue
            key = self._key(place.inside(path), self.affixes.of_mask)
            if (other := by_place.setdefault(key, path)) != path:
                raise MmtkError(f"two masks are called {key}: {other.name} and {path.name}.", str(place))
            names.setdefault(self._key(stem(path), self.affixes.of_mask), []).append(path)
        return by_place, {name: paths[0] for name, paths in names.items() if len(paths) == 1}

    @staticmethod
    def _key(name: str, strip: Callable[[str], str]) -> str:
        folder, slash, last = normalize("NFC", name).rpartition("/")
        return f"{folder}{slash}{strip(last)}"

    def unmatched(self, masks: Sequence[str], place: Place, noun: str = "mask") -> None:
        """Refuse masks without an image, by name, or note them where they are to be ignored."""
        if masks and self.ignore_unmatched:
            self.notes.append(f"{counted(len(masks), noun)} without an image left out: {listing(masks, 5)}.")
        elif masks:
            names = [name.rpartition("/")[2] for name in masks]
            close = nearest(names[0], [stem(path) for path in self.images.values()])
            raise MmtkError(
                f"no image for {counted(len(masks), noun)}: {listing(masks, 5)}.{close}",
                str(place),
                f'{self._cure(names)} unmatched_masks = "ignore" leaves them out.',
            )

    def _cure(self, masks: Sequence[str]) -> str:
        rule = "A mask has the file name of its image, apart from the extension (.png)."
        if line := suggestion([stem(path) for path in self.images.values()], masks):
            return f"{rule} Here it would fit with this line in the source's table: {line}"
        return f"{rule} Other names: mask_suffix, mask_prefix, image_suffix or image_prefix."


def beside_images(names: Sequence[str]) -> list[str]:
    """A note on images that are called like another one with a word behind it: they may be masks."""
    known = {*names}
    like = [name for name in names if (found := WORD.search(name)) and name[: found.start()] in known]
    if not like:
        return []
    some = counted(len(like), "image is", "images are")
    return [
        f"{some} called like another one with a word behind it: {listing(like, 5)}. "
        "If they are masks, add their endings to mask_suffix and their names to classes."
    ]


def suggestion(images: Sequence[str], masks: Sequence[str]) -> str:
    """The line of a recipe under which at least half of the masks have an image; "" where none does."""
    candidates: Counter[tuple[tuple[str, str], ...]] = Counter()
    for keys in (*_one_sided(images, masks), *_two_sided(images, masks)):
        named = dict(keys)
        suffix = named.pop("mask_suffix", "")
        affixes = Affixes(**named, mask_suffixes=(suffix,))
        known = {affixes.of_image(name) for name in images}
        hits = sum(affixes.of_mask(name) in known and affixes.of_mask(name) != name for name in masks)
        hits += sum(name in known for name in masks) if not (affixes.mask_prefix or suffix) else 0
        candidates[keys] = hits
    best = candidates.most_common(1)
    if not best or best[0][1] * 2 < len(masks):
        return ""
    return ", ".join(f'{key} = "{value}"' for key, value in best[0][0])


def _one_sided(images: Iterable[str], masks: Iterable[str]) -> Iterable[tuple[tuple[str, str], ...]]:
    """Each remainder of a longer name around a shorter one, by key, the most frequent first."""
    found: Counter[tuple[str, str]] = Counter()
    for kind, longer, shorter in (("mask", masks, {*images}), ("image", images, {*masks})):
        for name in list(longer)[:500]:
            for cut in range(1, len(name)):
                if name[:cut] in shorter:
                    found[f"{kind}_suffix", name[cut:]] += 1
                if name[cut:] in shorter:
                    found[f"{kind}_prefix", name[:cut]] += 1
    return [(pair,) for pair, _ in found.most_common(5)]


def _two_sided(images: Sequence[str], masks: Sequence[str]) -> Iterable[tuple[tuple[str, str], ...]]:
    """Find what all images begin or end with, and all masks, apart from digits that they share."""
    if len(images) < 2 or len(masks) < 2:
        return
    turned = [[name[::-1] for name in names] for names in (images, masks)]
    begins = [_beginning(names) for names in (images, masks)]
    ends = [_beginning(names)[::-1] for names in turned]
    for which, (image, mask) in (("prefix", begins), ("suffix", ends)):
        if image and mask and image != mask:
            yield (f"image_{which}", image), (f"mask_{which}", mask)


def _beginning(names: Sequence[str]) -> str:
    """Find what all names begin with, without digits at its end."""
    first, last = min(names), max(names)
    same = next(
        (n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last))
    )
    return first[:same].rstrip("0123456789")
