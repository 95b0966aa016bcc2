"""Tables in packed files, as data sets publish them: ``.csv.gz``, ``.tsv.bz2``, ``.csv.xz``, ``.csv.zip``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePath
from typing import TypeVar

from mmtk.counts import counted
from mmtk.errors import MmtkError, listing

PACKED = (".gz", ".bz2", ".xz", ".zip")
AnyPath = TypeVar("AnyPath", bound=PurePath)


def unpacked(path: AnyPath) -> AnyPath:
    """Path of a packed file without the suffix of the packing; others as they are."""
    return path.with_suffix("") if path.suffix.lower() in PACKED else path


def inner_suffix(path: PurePath) -> str:
    """Suffix of what a file holds, in small letters: ``.csv`` of ``a.csv.gz``."""
    return unpacked(path).suffix.lower()


def read_bytes(path: Path) -> bytes:
    """Content of a file, unpacked where it is packed, whatever its name says.

    Raise MmtkError for a packed file that is damaged, or holds several files; OSError where it cannot be read.
    """
    content = path.read_bytes()
    unpack = next((function for mark, function in _UNPACK.items() if content.startswith(mark)), None)
    if content.startswith(b"PK\x03\x04") and path.suffix.lower() == ".zip":
        unpack = _single  # workbooks begin alike
    if unpack is None:
        return content
    try:
        return unpack(content)
    except MmtkError as error:
        raise MmtkError(error.message, str(path), error.hint) from error
    except Exception as error:  # every packing has kinds of its own
        cure = "Get the file again, or unpack it and give what was in it."
        raise MmtkError(f"cannot be unpacked: {error or 'it is cut off'}.", str(path), cure) from error


def _single(content: bytes) -> bytes:
    """The one file in an archive."""
    import io
    from zipfile import ZipFile

    with ZipFile(io.BytesIO(content)) as archive:
        names = [name for name in archive.namelist() if name[-1] != "/" and not name.startswith("__MACOSX/")]
        if len(names) != 1:
            message = f"holds {counted(len(names), 'file')}: {listing(names, 3)}." if names else "holds no file."
            raise MmtkError(message, hint="Unpack it, and give the table.")
        return archive.read(names[0])


def _gzip(content: bytes) -> bytes:
    import gzip

    return gzip.decompress(content)


def _bzip(content: bytes) -> bytes:
    import bz2

    return bz2.decompress(content)


def _xz(content: bytes) -> bytes:
    import lzma

    return lzma.decompress(content)


_UNPACK: dict[bytes, Callable[[bytes], bytes]] = {b"\x1f\x8b": _gzip, b"BZh": _bzip, b"\xfd7zXZ\0": _xz}
