"""Folders of derived data, written whole or not at all, under a lock per folder."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
import uuid
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache as once
from pathlib import Path

from mmtk.counts import counted
from mmtk.errors import MmtkError, RunFailed
from mmtk.io.files import Busy, lock

_INDEX = "index.json"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class _DamagedError(Exception):
    pass


def default_root() -> Path:
    """``$MMTK_CACHE``, else ``~/.cache/mmtk``, else a folder for temporary files; it may not be there yet."""
    root = Path(os.environ.get("MMTK_CACHE") or "~/.cache/mmtk")
    try:
        return root.expanduser()
    except RuntimeError:  # no HOME, and no entry for this user in the system's list
        return _spare(root, "there is no home directory")


def cached_folder(name: str, build: Callable[[Path], None], byte_count: int, root: Path | None = None) -> Path:
    """Path of a verified folder of the cache, built if it is absent or damaged.

    name: of the folder
    build: fills an empty folder
    byte_count: size of the folder
    root: of the cache; by default ``$MMTK_CACHE``, else ``~/.cache/mmtk``, else a folder for temporary files

    RunFailed if the disk is full.
    """
    root = root or default_root()
    with suppress(FileNotFoundError, _DamagedError):
        return _verified(root / name)
    root = _writable(root)
    folder = root / name
    _sweep(root)
    # On a file system without locks, the rename alone keeps folders whole.
    with lock(root / f"{name}.lock", wait=True, create=True):
        try:
            return _verified(folder)  # another process was faster
        except FileNotFoundError:
            pass
        except _DamagedError as damage:
            warnings.warn(f"The stored files in {folder} are damaged ({damage}); they are built again.")
            _discard(folder)
        _build(folder, build, byte_count)
        return _verified(folder)


def _build(folder: Path, build: Callable[[Path], None], byte_count: int) -> None:
    building = _beside(folder)
    try:
        if shutil.disk_usage(folder.parent).free < byte_count:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        building.mkdir()
        build(building)
        _seal(building)
        try:
            building.rename(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise  # else a process without our lock was faster, and its folder is as good
        _sync(folder.parent)
    except OSError as error:
        reason = "is full" if error.errno in _FULL else "could not be written"
        raise RunFailed(
            f"the cache folder {reason} ({error.strerror}); it takes {counted(byte_count, 'byte')}.",
            where=str(folder.parent),
            hint="Free some space, or set MMTK_CACHE to a folder on a larger disk.",
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _seal(folder: Path) -> None:
    """Write sizes and checksums, and flush everything to disk."""
    index = {path.name: [path.stat().st_size, _checksum(path)] for path in sorted(folder.iterdir())}
    (folder / _INDEX).write_text(json.dumps(index))
    for path in [*folder.iterdir(), folder]:
        _sync(path)


def _verified(folder: Path) -> Path:
    """Return ``folder`` after a check of every byte; FileNotFoundError if it is absent."""
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    try:
        index: dict[str, list[int]] = json.loads((folder / _INDEX).read_bytes())
        for name, (size, checksum) in index.items():
            if (folder / name).stat().st_size != size:
                raise _DamagedError(f"{name} has the wrong size")
            if _checksum(folder / name) != checksum:
                raise _DamagedError(f"{name} has the wrong checksum")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise _DamagedError(f"{type(error).__name__}: {error}") from error
    return folder


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            checksum = zlib.crc32(block, checksum)
    return checksum


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _writable(root: Path) -> Path:
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            return root
    except OSError as error:
        return _spare(root, error.strerror)


@once  # and so it warns once
def _spare(root: Path, why: str) -> Path:
    spare = Path(tempfile.gettempdir()) / f"mmtk-{os.getuid()}"
    warnings.warn(f"{root} cannot be written ({why}); images are kept in {spare}. MMTK_CACHE names a folder.")
    try:
        spare.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise MmtkError(
            f"neither {root} nor {spare} can be written ({error.strerror}).",
            hint="Set MMTK_CACHE to a folder that can.",
        ) from error
    return spare


def _sweep(root: Path) -> None:
    """Remove the remains of dead builders, whose locks are free."""
    for folder in root.glob("*.building-*"):
        name, _, builder = folder.name.partition(".building-")
        if not re.fullmatch("[0-9a-f]{32}", builder):
            continue  # somebody else's
        with suppress(Busy), lock(root / f"{name}.lock", create=True) as is_locked:
            if is_locked:
                shutil.rmtree(folder, ignore_errors=True)


def _beside(folder: Path) -> Path:
    # Not mkdtemp: its mode 0700 would shut the rest of a group out of a shared cache.
    return folder.with_name(f"{folder.name}.building-{uuid.uuid4().hex}")


def _discard(folder: Path) -> None:
    aside = _beside(folder)
    with suppress(FileNotFoundError):
        folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)
