"""Image files in folders: tests by suffix and mark, names, and listing."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path, PurePath
from typing import NoReturn

from mmtk.counts import counted
from mmtk.errors import MmtkError, listing
from mmtk.io.files import is_hidden
from mmtk.io.outputs import holds_run, results_among
from mmtk.io.spelling import visible

_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
_NETPBM = (".pbm", ".pgm", ".ppm", ".pnm")
SUFFIXES = frozenset(
    {*_JPEG, *_NETPBM, ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".dcm", ".dicom", ".img"}
)
# Formats of images that are not read; whoever lists a folder names the files, which nobody would miss otherwise.
_UNREAD = (
    *(".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".jxl", ".jxr", ".avif", ".heic", ".heif", ".djvu", ".djv"),
    *(".tga", ".pcx", ".psd", ".xcf", ".exr", ".ico", ".svg", ".pam", ".pfm"),
    *(".dng", ".cr2", ".nef", ".arw", ".raw", ".svs", ".ndpi", ".scn", ".mrxs", ".czi"),
    *(".npy", ".npz", ".mat", ".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr", ".mnc", ".dcm.gz"),
)
# How files of these formats begin, under whatever name.
_MARKS = {
    b"P7\n": "PAM",
    b"PF\n": "PFM",
    b"8BPS": "Photoshop",
    b"AT&TFORM": "DjVu",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"\x93NUMPY": "NumPy",
    b"NRRD": "NRRD",
    b"%PDF": "PDF",
    b"PK\3\4": "ZIP",
    b"\x1f\x8b": "gzip",
}
SAVE_PAGES = "Save each page as a film of its own."
SAVE = "Save them as PNG, TIFF or DICOM."
_DICOM_SUFFIXES = frozenset({".dcm", ".dicom"})
# A file of these suffixes is what they say; any other is DICOM where its mark says so. Scanners write .img, too.
_ORDINARY = SUFFIXES - _DICOM_SUFFIXES - {".img"}

# The first element of a file without preamble, explicit or implicit, in both byte orders.
_BARE = re.compile(rb"(?:[\2\10]\0.\0|\0[\2\10]\0.)(?:UL|UI|CS|DA|OB|SH|LO|TM|[\1-\100]\0\0\0)", re.DOTALL)


def is_image_file(path: Path) -> bool:
    """Whether the file is an image by its suffix, or DICOM by its mark. A folder is none, nor a disc's index."""
    if path.suffix.lower() in SUFFIXES:
        return not path.is_dir()
    return path.name.upper() != "DICOMDIR" and is_dicom(path)


def is_unread_image(path: Path) -> bool:
    """Whether the file is an image by its name, of a format that is not read."""
    return path.name.lower().endswith(_UNREAD)


def unread_format(path: Path) -> str:
    """Name of a format that is not read, by how the file begins; "" for every other file."""
    with path.open("rb") as file:
        head = file.read(16)
    if head[4:8] == b"ftyp" and head[8:11] in (b"hei", b"hev", b"mif", b"avi"):
        return "AVIF" if head[8:11] == b"avi" else "HEIC"
    return next((name for mark, name in _MARKS.items() if head.startswith(mark)), "")


def unread_sentence(paths: Collection[Path]) -> str:
    """Sentence on files of formats that are not read, with the cure; "" for none."""
    if not paths:
        return ""
    names = listing((visible(path.name) for path in paths), 5)
    return f"{counted(len(paths), 'file')} of formats that are not read: {names}. {SAVE}"


def pages_sentence(pages: Mapping[str, int]) -> str:
    """Sentence on films of several pages or frames, by name, of which one is read; "" for none."""
    several = [f"{name} ({count})" for name, count in pages.items() if count > 1]
    if not several:
        return ""
    films = counted(len(several), "film has", "films have")
    return f"{films} several pages, of which the first alone is read: {listing(several, 5)}. {SAVE_PAGES}"


def is_dicom(path: Path) -> bool:
    """Whether the suffix says DICOM or, in a file whose suffix is not an image's, the mark at byte 128 does.

    Without a suffix, a first element of the groups 2 or 8 says so as well.
    """
    suffix = path.suffix.lower()
    if suffix in _DICOM_SUFFIXES:
        return True
    if suffix in _ORDINARY or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            head = file.read(132)
        return head[128:] == b"DICM" or (not suffix and _BARE.match(head) is not None)
    except OSError:
        return not suffix  # it may be one: whoever reads it says that it cannot be read


def without_suffix(path: PurePath) -> PurePath:
    """Path without its suffix; the last part of a DICOM identifier such as ``1.2.840.113`` is none."""
    last = path.suffix.lower()
    return path.with_suffix("") if last in SUFFIXES or last == ".ima" else path


def image_name(path: PurePath) -> str:
    """Name of an image: that of its file without the suffix, as text fit for tables."""
    return visible(without_suffix(path).name)


def find_images(folder: Path, predicate: Callable[[Path], bool] = is_image_file) -> list[Path]:
    """List all image files below a folder in order; skip those of runs and of the system, follow links.

    ``predicate`` replaces the test for an image file. A folder that links lead to more than once is read once.
    Raises MmtkError for a folder that cannot be read.
    """
    return sorted(_walk(folder, predicate))


def without_results(paths: Collection[Path], notes: list[str]) -> list[Path]:
    """Leave out the pictures that mmtk itself wrote, which are no films; a sentence on them goes to ``notes``."""
    results = results_among(paths)
    if results:
        names = listing((visible(path.name) for path in sorted(results)), 3)
        notes.append(f"left out: {counted(len(results), 'picture')} that mmtk wrote: {names}.")
    return [path for path in paths if path not in results]


def _walk(folder: Path, predicate: Callable[[Path], bool]) -> Iterator[Path]:
    real_paths: set[str] = set()  # links may lead in circles
    for directory, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        if (real := os.path.realpath(directory)) in real_paths:
            folders.clear()
            continue
        real_paths.add(real)
        folders[:] = [
            name for name in sorted(folders) if not is_hidden(name) and not holds_run(Path(directory, name))
        ]
        for name in names:
            path = Path(directory, name)
            if not is_hidden(name) and predicate(path):
                yield path


def _refuse(error: OSError) -> NoReturn:
    raise MmtkError(f"the folder cannot be read: {error.strerror}.", str(error.filename)) from error
