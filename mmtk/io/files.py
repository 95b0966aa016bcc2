"""Files: atomic writing, reading, hashes and locks."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from mmtk.errors import MmtkError
from mmtk.io.spelling import visible

# Folders in which systems keep thumbnails, copies and what was deleted: macOS, Synology, QNAP, Windows, Linux.
_OF_SYSTEMS = ("__MACOSX", "@eaDir", "@Recycle", "#recycle", "#snapshot", "$RECYCLE.BIN", "lost+found")
_OF_WINDOWS = ("system volume information", "thumbs.db", "desktop.ini", "autorun.inf")
_OPEN_DOCUMENT = "~$"  # as Office locks one


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or the system's own."""
    return name.startswith((".", _OPEN_DOCUMENT, *_OF_SYSTEMS)) or name.casefold() in _OF_WINDOWS


def real_path(path: Path) -> Path:
    """Absolute path without links; where links lead in a circle, ``Path.resolve`` raises and this does not."""
    return Path(os.path.realpath(path))


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place, flushed to disk, when the block ends well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def sha256(path: str | Path) -> str | None:
    """The hash of a file's content; None where there is no such file."""
    try:
        with open(path, "rb", buffering=0) as file:
            return hashlib.sha256(file.readall()).hexdigest()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None


AS_JSON = "backslashreplace"  # bytes of names that are no UTF-8 become \\udcf6, which JSON reads back


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically; bytes of names that are no UTF-8 as ``\\xf6``."""
    with atomic(path) as temporary:
        temporary.write_bytes(visible(text).encode())


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN and infinity are refused."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic(path) as temporary:
        temporary.write_bytes(text.encode(errors=AS_JSON))


def read_json(path: Path) -> Any:
    """Read JSON; a damaged file is an error that names it."""
    try:
        with open(path, "rb", buffering=0) as file:
            return json.loads(file.readall().decode("utf-8-sig"))
    except FileNotFoundError as error:
        raise MmtkError("no such file.", str(path), "Is this a run directory? mmtk run makes one.") from error
    except (ValueError, RecursionError) as error:
        raise MmtkError(f"is damaged: {error}", str(path)) from error


def read_facts(path: Path, **kinds: Any) -> dict[str, Any]:
    """Read a JSON object that has these keys with values of these types."""
    value = read_json(path)
    if not isinstance(value, dict) or not all(isinstance(value.get(key), kind) for key, kind in kinds.items()):
        keys = f" with {', '.join(kinds)}" if kinds else ""
        raise MmtkError(f"is not what a run writes: it should hold an object{keys}.", str(path))
    return value


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a .jsonl file; none if it does not exist."""
    if not path.is_file():
        return []
    return cast(list[dict[str, Any]], json.loads(f"[{','.join(path.read_text(encoding='utf-8').splitlines())}]"))


def lines_end(path: Path, count: int) -> int:
    """End of the first ``count`` lines of a file, in bytes; 0 where there is no file."""
    if not path.is_file():
        return 0
    with open(path, "rb") as file:
        return sum(len(line) for line in itertools.islice(file, count))


# --- locks ----------------------------------------------------------------------------------------------------
#
# Locks of open files, which the system frees when their process ends, however that happens.


class Busy(Exception):
    """Another process holds the lock."""


def _lock(descriptor: int, wait: bool = False) -> None:
    """Lock an open file or folder; Busy where another process holds it, OSError where there are no locks."""
    from filelock import lock_descriptor

    if not lock_descriptor(descriptor, blocking=wait):
        raise Busy


@contextmanager
def lock(path: Path, *, wait: bool = False, create: bool = False) -> Iterator[bool]:
    """Hold the lock of a file or folder; yield False if its file system has no locks, as some network drives.

    Busy where another process holds it, unless ``wait``; ``create`` makes a file that is not there.
    """
    with ExitStack() as stack:
        locked = False
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT if create else os.O_RDONLY, 0o666)
            stack.callback(os.close, descriptor)
            _lock(descriptor, wait)
            locked = True
        yield locked


@contextmanager
def locked(folder: Path, name: str, cure: str) -> Iterator[None]:
    """Hold the lock file ``name`` of a folder, this process noted in it; MmtkError names the one that holds it.

    cure: what the user can do then
    """
    with open(folder / name, "a+", encoding="utf-8") as file:
        try:
            _lock_in_turn(file.fileno(), 0.2)
        except Busy as error:
            raise MmtkError(f"{_note(file)} is running in this folder.", str(folder), cure) from error
        file.truncate(0)
        file.write(f"mmtk process {os.getpid()}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def holder(folder: Path, name: str) -> str:
    """The process that holds the lock file ``name`` of a folder; empty where none does."""
    with suppress(OSError), open(folder / name, encoding="utf-8") as file:
        if not file.read():  # nobody, without a lock that would be in the way of a process that starts now
            return ""
        try:
            _lock_in_turn(file.fileno(), 0.01)
        except Busy:
            return _note(file)
    return ""


def _lock_in_turn(descriptor: int, pause: float) -> None:
    """Lock without waiting; a second try, ``pause`` seconds later, passes over one that only looked."""
    try:
        _lock(descriptor)
    except Busy:
        time.sleep(pause)
        _lock(descriptor)


def _note(file: IO[str]) -> str:
    file.seek(0)
    return file.read().strip() or "another process"
