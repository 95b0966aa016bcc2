"""Listing of a folder: images, tables and other files, and the look of single images."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any
from unicodedata import normalize

from mmtk.counts import counted
from mmtk.data.plan.tables import TABLES, WORKBOOKS, Table, read_sheets, read_table, read_text_table
from mmtk.errors import MmtkError
from mmtk.images.files import image_name, is_image_file
from mmtk.images.loader import read_kind
from mmtk.io.files import is_hidden
from mmtk.io.outputs import holds_run, results_among
from mmtk.io.packed import inner_suffix, unpacked

JSON_LINES = (".jsonl", ".ndjson")
TEXTS = (".txt", ".npy", ".json", ".yaml", ".yml", *JSON_LINES)  # beside films, with their names
ALIASES = {".yml": ".yaml", **dict.fromkeys(JSON_LINES, ".json")}
FEW = 32  # different gray values of a mask at most


@dataclass(frozen=True)
class Look:
    """Look of an image: its values where they are few (else None), and whether nearly all is black or white.

    Values of a coloured one are 65536 red + 256 green + blue.
    """

    values: tuple[int, ...] | None
    bands: int
    extreme: bool
    lossy: bool = False
    coloured: bool = False

    @property
    def mask(self) -> bool:
        """Whether it looks like a mask."""
        return self.values is not None or self.extreme


@dataclass(frozen=True)
class Listing:
    """Files below a folder, as relative paths with ``/``; ``configs`` are YAML, ``markup`` XML.

    ``sheets`` are tables of workbooks, by file and sheet. ``unread`` counts others, ``results`` are mmtk's own;
    ``broken`` links of images lead nowhere.
    """

    root: Path
    images: tuple[str, ...] = ()
    tables: Mapping[str, Table] = field(default_factory=dict)
    sheets: Mapping[str, Table] = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    jsons: tuple[str, ...] = ()
    arrays: tuple[str, ...] = ()
    configs: tuple[str, ...] = ()
    markup: tuple[str, ...] = ()
    unread: Mapping[str, int] = field(default_factory=dict)
    results: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()

    def below(self, folder: str) -> Listing:
        """Listing of a sub-folder, as if it were the root."""
        head = f"{folder}/"

        def inside(paths: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(path.removeprefix(head) for path in paths if path.startswith(head))

        tables, sheets = (
            {path.removeprefix(head): table for path, table in kind.items() if path.startswith(head)}
            for kind in (self.tables, self.sheets)
        )
        kinds = (self.texts, self.jsons, self.arrays, self.configs, self.markup)
        texts, jsons, arrays, configs, markup = (inside(paths) for paths in kinds)
        images, broken = inside(self.images), inside(self.broken)
        lists = texts, jsons, arrays, configs, markup
        return Listing(self.root / folder, images, tables, sheets, *lists, broken=broken)

    def look(self, image: str) -> Look | None:
        """Look of one image; None where it cannot be read."""
        return _look(self.root / image)

    def json(self, path: str) -> Any:
        """Content of a JSON file, or of one with an entry a line, as a list; None where it is none."""
        try:
            text = (self.root / path).read_text(encoding="utf-8-sig")
            if PurePosixPath(path).suffix.lower() in JSON_LINES:
                return [json.loads(line) for line in text.splitlines() if line.strip()]
            return json.loads(text)
        except (OSError, ValueError):
            return None

    def content(self, path: str) -> Any:
        """Content of a JSON or YAML file; None where it is none."""
        if path not in self.configs:
            return self.json(path)
        import yaml

        try:
            return yaml.safe_load((self.root / path).read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, yaml.YAMLError):
            return None


def resolve_hints(folder: Path, hints: Mapping[str, str]) -> tuple[Path, dict[str, str]]:
    """Find the folder that holds ``folder`` and the paths of ``hints``; return it with the paths inside it.

    A path is looked up inside ``folder`` first, then from the current folder.
    """
    paths: dict[str, Path] = {}
    for key in ("images", "masks", "labels"):
        if (hint := hints.get(key)) and hint != "folders":
            paths[key] = folder / hint if (folder / hint).exists() else Path(hint)
            if not paths[key].exists():
                raise MmtkError("no such file or folder.", hint, f"Give a path inside {folder}, or from here.")
    if not paths:
        return folder, dict(hints)
    absolute = {key: Path(os.path.abspath(path)) for key, path in {"": folder, **paths}.items()}
    root = Path(os.path.commonpath(list(absolute.values())))
    root = folder if root == absolute[""] else root
    inside = {key: os.path.relpath(path, os.path.abspath(root)) for key, path in absolute.items()}
    images = {} if inside[""] == "." or "images" in paths else {"images": inside[""]}
    return root, {**hints, **images, **{key: Path(inside[key]).as_posix() for key in paths}}


def named_paths(hints: Mapping[str, str], root: Path) -> list[Path]:
    """Folders and files of masks and labels that the user named, from their paths inside ``root``."""
    return [root / hints[key] for key in ("masks", "labels") if hints.get(key) and hints[key] != "folders"]


def list_folder(root: Path, named: Sequence[Path] = (), only: Sequence[Path] = ()) -> Listing:
    """List the files below a folder, or below the paths ``only``; skip hidden files and runs, follow links.

    An image that links lead to counts at its links alone. What mmtk wrote is left out, but below a path in
    ``named``: a network's masks are nobody's reference, unless the user says so.
    """
    images: dict[str, None] = {}
    tables: dict[str, Table] = {}
    sheets: dict[str, Table] = {}
    others: dict[str, list[str]] = {".txt": [], ".json": [], ".npy": [], ".yaml": [], ".xml": []}
    unread: Counter[str] = Counter()
    files = dict.fromkeys(path for folder in only or (root,) for path in _files(folder))
    results = {path for path in results_among(files) if not any(path.is_relative_to(folder) for folder in named)}
    paths = [path for path in files if path not in results]
    stems = {path.stem for path in paths if not path.name.isascii()}
    for path in paths:
        name, suffix = os.path.relpath(path, root), path.suffix.lower()
        if inner_suffix(path) in TABLES:
            if (table := read_table(path, stems)) is not None:
                tables[name] = table
        elif suffix in WORKBOOKS and (book := read_sheets(path)):
            sheets |= {f"{name} [{sheet}]" if len(book) > 1 else name: table for sheet, table in book.items()}
        elif inner_suffix(path) == ".txt" and (table := read_text_table(path)) is not None:
            tables[name] = table
        elif (kind := ALIASES.get(suffix, suffix)) in others:
            others[kind].append(name)
        elif is_image_file(path):
            if kind := read_kind(path):
                unread[f"of DICOM's {kind}"] += 1
            else:
                images[name] = None
        else:
            unread[".nii.gz" if path.name.lower().endswith(".nii.gz") else suffix or "(no suffix)"] += 1
    texts, jsons, arrays, configs, markup = (tuple(paths) for paths in others.values())
    broken = tuple(name for name in images if (root / name).is_symlink() and not (root / name).exists())
    images = {name: None for name in images if name not in broken}
    linked = {os.path.realpath(root / name) for name in images if (root / name).is_symlink()}
    names = [name for name in images if (root / name).is_symlink() or not linked & {os.path.realpath(root / name)}]
    drawings = tuple(sorted(os.path.relpath(path, root) for path in results))
    return Listing(
        root, tuple(names), tables, sheets, texts, jsons, arrays, configs, markup, dict(unread), drawings, broken
    )


def check_exists(root: Path) -> None:
    """Refuse a folder of films that is not there."""
    if not os.path.exists(root):  # exists of Path raises for a name that is too long
        raise MmtkError("no such folder.", str(root), "Name the folder of the films.")


def _files(root: Path) -> Iterator[Path]:
    check_exists(root)
    if root.is_file():
        yield root
        return
    real_paths: set[str] = set()  # links may lead in circles
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = [
            name
            for name in sorted(folders)
            if real not in real_paths and not is_hidden(name) and not holds_run(Path(folder, name))
        ]
        if real not in real_paths:
            real_paths.add(real)
            yield from (Path(folder, name) for name in sorted(names) if not is_hidden(name))


def results_sentence(listing: Listing) -> str:
    """Sentence on files that mmtk wrote, with the way to take them; "" for none."""
    if not (names := listing.results):
        return ""
    files = f"{counted(len(names), 'file')} that mmtk wrote, such as {names[0]}"
    return f"left out: {files} (--masks takes a network's masks)"


def read_lines(path: Path) -> list[str]:
    """Lines of a text that are not empty; none where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return []
    return [line.strip() for line in text.splitlines() if line.strip()]


@lru_cache(maxsize=4096)
def _look(path: Path) -> Look | None:
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as image:
            bands = len(image.getbands())
            image.draft("L", (256, 256))
            lossy = image.format in ("JPEG", "MPO")
            steps = slice(None, None, max(1, image.height // 256)), slice(None, None, max(1, image.width // 256))
            colours = np.asarray(image.convert("RGB"))[steps] if image.mode in ("RGB", "RGBA") else None
            coloured = colours is not None and not lossy and bool((colours != colours[..., :1]).any())
            small = image.convert("L") if image.mode not in ("L", "P", "I;16", "I", "1") else image
            pixels = colours if coloured and colours is not None else np.asarray(small)[steps]
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    if pixels.ndim == 3:
        pixels = pixels.astype(np.int64) @ np.array([65536, 256, 1])
    values = np.unique(pixels)
    few = tuple(int(value) for value in values) if len(values) <= FEW and pixels.size > 4 * len(values) else None
    if coloured:
        return Look(few, bands, False, lossy, coloured=True)
    low, high = pixels.min(), pixels.max()
    margin = (float(high) - float(low)) / 16
    extreme = bool(((pixels <= low + margin) | (pixels >= high - margin)).mean() > 0.95) if high > low else True
    return Look(few, bands, extreme, lossy)


def parent(path: str) -> str:
    """Folder of a relative path, "" at the top."""
    return "" if (folder := PurePosixPath(path).parent.as_posix()) == "." else folder


def stem(path: str) -> str:
    """Name without folder and suffix, composed (NFC)."""
    pure = unpacked(PurePosixPath(path))
    return normalize("NFC", pure.stem if pure.suffix.lower() in (*TABLES, *TEXTS) else image_name(pure))
