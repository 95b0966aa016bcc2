"""Output folders of commands, in which no file of another origin is ever replaced."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from mmtk.errors import MmtkError, listing
from mmtk.io.files import Busy, atomic, lock, real_path, sha256
from mmtk.io.spelling import visible

MANIFEST = ".mmtk-files.jsonl"
EARLIER = "earlier"
OUTSIDE = "Choose an --out outside of it."
FILMS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dcm", ".dicom")
_OF_RUNS = ("recipe.toml", "run.lock", "provenance.json")
CHART = ("Software", "mmtk")  # text in the PNG of every chart, so that a copy elsewhere is no film
FREE = "Move it away, or choose another --out."


def make_folder(path: Path) -> None:
    """Make an output folder and its parents; MmtkError with the cure if that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise MmtkError("is a file, not a folder.", str(path), "Choose another --out.") from error
    except OSError as error:
        raise MmtkError(
            f"this folder cannot be made ({error.strerror}).", str(path), "Choose another --out."
        ) from error


def check_folder(path: Path) -> None:
    """Refuse an output folder that cannot be made or written in; leave no trace of the check."""
    missing = list(itertools.takewhile(lambda folder: not folder.exists(), (path, *path.parents)))
    make_folder(path)
    try:
        # Permissions do not tell: a file system may be read-only for those who may write everywhere.
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        message = f"nothing can be written in this folder ({error.strerror})."
        raise MmtkError(message, str(path), "Choose another --out.") from error
    finally:
        # Not where another command has begun meanwhile: its lock would be that of a folder which is gone.
        with suppress(OSError, Busy), lock(path):
            for folder in missing:
                folder.rmdir()


@contextmanager
def alone_in(path: Path) -> Iterator[None]:
    """Lock an output folder for the block; MmtkError if another command works in it."""
    try:
        with lock(path):
            yield
    except Busy as error:
        cure = "Wait for it, or choose another --out."
        raise MmtkError("another mmtk command is writing into this folder.", str(path), cure) from error


def refuse_occupied(folder: Path, mark: Path, lock_name: str) -> None:
    """Refuse a file in place of a study's folder, and a folder with files but without its ``mark``."""
    cure = "Choose another --out."
    if folder.exists() and not folder.is_dir():
        raise MmtkError("is a file, not a folder.", str(folder), cure)
    if folder.is_dir() and not mark.is_file() and {*os.listdir(folder)} - {lock_name}:
        raise MmtkError("this folder is not empty and holds no study.", str(folder), cure)


def refuse_links(folder: Path, names: Iterable[str]) -> None:
    """Refuse links in an output folder: files would land elsewhere."""
    for name in names:
        parts = PurePosixPath(name).parts
        for depth in range(1, len(parts) + 1):
            if (path := folder.joinpath(*parts[:depth])).is_symlink():
                raise MmtkError("is a symbolic link in a folder for output.", str(path), FREE)


def refuse_inside(out: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output that is an input or lies among inputs: it would be read as data next time."""
    resolved = real_path(out)
    for path in inputs:
        if not os.path.exists(path):
            continue
        if resolved.exists() and resolved.samefile(path):
            raise MmtkError("is an input, so nothing is written there.", str(out), OUTSIDE)
        if path.is_dir() and any(folder.exists() and folder.samefile(path) for folder in resolved.parents):
            raise MmtkError(f"lies in the folder of inputs {path}.", str(out), OUTSIDE)


def refuse_among_films(folder: Path) -> None:
    """Refuse a folder of images in which mmtk never wrote: its figures would be read as films next time."""
    if folder.is_dir() and not (folder / MANIFEST).is_file():
        films = sorted(entry.name for entry in os.scandir(folder) if entry.name.lower().endswith(FILMS))
        if films:
            raise MmtkError(f"holds images of yours: {listing(map(visible, films), 3)}.", str(folder), OUTSIDE)


def refuse_other(folder: Path, what: str, earlier: Collection[str], now: Collection[str]) -> None:
    """Refuse to replace results of something else; of the same with something more, or less, they are replaced.

    folder: of the results
    what: they are, in words
    earlier: names of what those in the folder were made of; none where that is not known
    now: names of what the new ones are made of
    """
    if is_other(earlier, now):
        of = listing(map(visible, {*earlier} - {*now}), 3)
        message = f"holds {what} of {of}, which this one would replace."
        raise MmtkError(message, str(folder), "Name another folder: --out FOLDER.")


def is_other(earlier: Collection[str], now: Collection[str]) -> bool:
    """Whether results are of something else: neither of the two has all that the other is made of."""
    return bool(earlier) and not ({*earlier} <= {*now} or {*now} <= {*earlier})


def free_folder(folder: Path, is_taken: Callable[[Path], bool]) -> Path:
    """The folder, with a number behind it where results of something else lie there."""
    number, free = 2, folder
    while is_taken(free):
        free, number = folder.with_name(f"{folder.name}-{number}"), number + 1
    return free


class OutputFolder:
    """Folder for the results of one command, with a list of its files and their hashes.

    What is not in that list, or was changed since, is the user's: it is refused by name before any work is done
    or, with ``set_aside``, for folders whose place mmtk chose itself, moved to the folder ``earlier`` in it.
    Nothing is written through a link.
    """

    def __init__(self, path: Path, command: str, *, set_aside: bool = False) -> None:
        self.path, self.command, self.set_aside = path, command, set_aside
        self._hashes = _read(path).get(command, {})

    def wrote(self, name: str) -> bool:
        """Whether the file ``name`` is unchanged since this command wrote it."""
        return name in self._hashes and sha256(self.path / name) in self._hashes[name]

    def check(self, names: Iterable[str]) -> None:
        """Refuse all ``names`` that exist and are not of this command; a name that ends with / is a folder."""
        names = list(names)
        check_folder(self.path)
        refuse_links(self.path, [*names, MANIFEST])
        if self.set_aside:
            return
        if foreign := [name for name in names if self._is_foreign(name)]:
            message = f"not written by mmtk {self.command}, or changed since: {listing(map(visible, foreign), 5)}."
            raise MmtkError(message, str(self.path), "Move them away, or choose another --out.")

    @contextmanager
    def alone(self, names: Iterable[str] = ()) -> Iterator[None]:
        """Make and lock the folder, and check ``names``, for the block."""
        check_folder(self.path)
        make_folder(self.path)
        with alone_in(self.path):
            self._hashes = _read(self.path).get(self.command, {})
            self.check(names)
            yield

    @contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """Yield a temporary path whose content becomes the file ``name`` at the end of the block."""
        path = self.path / name
        make_folder(self.path)
        with atomic(path) as temporary:
            yield temporary
            self._make_room(name)
            self._note(name, sha256(temporary))

    @contextmanager
    def staged(self, names: Iterable[str] = ()) -> Iterator[Path]:
        """Yield a new folder whose files replace those of the last command at the end of the block.

        ``names``: those that are known before; they are checked before any work is done.
        """
        if not self.set_aside:
            refuse_among_films(self.path)
        with self.alone(names):
            stage = Path(tempfile.mkdtemp(prefix=".mmtk-new-", dir=self.path))
            try:
                yield stage
                self._take(stage)
            finally:
                shutil.rmtree(stage, ignore_errors=True)

    def _take(self, stage: Path) -> None:
        """Move the files of ``stage`` over those that the command wrote before."""
        names = sorted(path.relative_to(stage).as_posix() for path in stage.rglob("*") if path.is_file())
        self.check(names)
        for name in names:
            self._make_room(name)
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            self._note(name, sha256(stage / name))
            os.replace(stage / name, self.path / name)
        self.remove_others(names)

    def remove_others(self, names: Iterable[str]) -> int:
        """Remove what the command wrote before, unchanged since, and is none of ``names``; count these files."""
        names = set(names)
        stale = [name for name in self._hashes if name not in names and self.wrote(name)]
        for name in stale:
            (self.path / name).unlink()
            del self._hashes[name]
        return len(stale)

    def put_aside(self, names: Iterable[str]) -> None:
        """Move files out of the way, into the folder ``earlier``."""
        for name in names:
            if os.path.lexists(path := self.path / name):
                refuse_links(self.path, [EARLIER, name])
                aside = _free(self.path / EARLIER / name)
                aside.parent.mkdir(parents=True, exist_ok=True)
                path.rename(aside)

    def _is_foreign(self, name: str) -> bool:
        """Whether something that this command did not write has the name; a folder of that name is shared."""
        path = self.path / name
        if name.endswith("/"):
            return os.path.lexists(path) and not path.is_dir()
        return os.path.lexists(path) and not self.wrote(name)

    def _make_room(self, name: str) -> None:
        """Move a file of the user out of the way of ``name``, if one came there since the check."""
        refuse_links(self.path, [name])
        above = [f"{folder}/" for folder in PurePosixPath(name).parents if folder.name]
        for foreign in filter(self._is_foreign, [*reversed(above), name]):
            if not self.set_aside:
                message = f"was not written by mmtk {self.command}, so it is not replaced."
                raise MmtkError(message, str(self.path / foreign), FREE)
            self.put_aside([foreign.rstrip("/")])

    def _note(self, name: str, digest: str | None) -> None:
        """Add a file and its hash to the list, before it is moved: after a kill both hashes are known."""
        self._hashes.setdefault(name, set()).add(digest or "")
        row = json.dumps({"command": self.command, "name": name, "sha256": digest})
        with open(self.path / MANIFEST, "a", encoding="ascii") as file:
            file.write(f"{row}\n")


def results_among(paths: Collection[Path], command: str = "") -> set[Path]:
    """Return the files that mmtk, or one ``command`` of it, wrote and nobody changed since.

    Without a ``command`` also the charts of mmtk that were copied to other folders.
    """
    paths_by_folder: dict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        paths_by_folder[path.parent].append(path)
    hashes: dict[Path, dict[str, set[str]]] = {}
    results: set[Path] = set()
    for folder, inside in paths_by_folder.items():
        for above in (folder, *folder.parents):
            if above not in hashes:
                hashes[above] = _hashes(above, command)
            names = {path.relative_to(above).as_posix(): path for path in inside} if hashes[above] else {}
            listed_names = names.keys() & hashes[above].keys()
            results |= {names[name] for name in listed_names if sha256(names[name]) in hashes[above][name]}
    return results if command else results.union(path for path in paths if _is_chart(path))


def _is_chart(path: Path) -> bool:
    """Whether a PNG says at its beginning that mmtk drew it."""
    if path.suffix.lower() != ".png" or not os.path.isfile(path):  # a pipe would never end
        return False
    try:
        with open(path, "rb") as file:
            return "\0".join(CHART).encode() in file.read(1024)
    except OSError:  # whoever reads it names the fault
        return False


def _hashes(folder: Path, command: str) -> dict[str, set[str]]:
    """File name → hashes of what one command, or with "" any, wrote into a folder."""
    hashes: dict[str, set[str]] = defaultdict(set)
    for writer, names in _read(folder).items():
        for name, digests in names.items() if command in ("", writer) else ():
            hashes[name] |= digests
    return hashes


def holds_run(folder: Path) -> bool:
    """Whether a folder is the run directory of ``mmtk run``, or a copy of one: its pictures are no films.

    Packages have a recipe too, so that is not enough.
    """
    # Not Path.is_file, which raises where a folder may not be read.
    recipe, *marks = (os.path.isfile(folder / name) for name in _OF_RUNS)
    return recipe and any(marks)


def _free(path: Path) -> Path:
    """``path``, with a number behind it if it exists."""
    number, free = 2, path
    while os.path.lexists(free):
        free, number = path.with_name(f"{path.stem}-{number}{path.suffix}"), number + 1
    return free


def _read(folder: Path) -> dict[str, dict[str, set[str]]]:
    """Command → file name → hashes; a line that is damaged or points elsewhere lists nothing."""
    hashes: dict[str, dict[str, set[str]]] = defaultdict(dict)
    try:
        lines = (folder / MANIFEST).read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return hashes
    for line in lines:
        with suppress(ValueError, KeyError, TypeError):
            row = json.loads(line)
            command, name, digest = (str(row[key]) for key in ("command", "name", "sha256"))
            if not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts:
                hashes[command].setdefault(name, set()).add(digest)
    return hashes
