"""Run directory: the files of a run, each written whole or not at all."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from mmtk.errors import MmtkError
from mmtk.io.files import (
    AS_JSON,
    atomic,
    locked,
    read_facts,
    read_json,
    read_lines,
    sha256,
    write_json,
    write_text,
)
from mmtk.io.outputs import OutputFolder, holds_run, make_folder, refuse_links
from mmtk.io.spelling import command
from mmtk.recipe.recipe import Recipe
from mmtk.recipe.resolved import read_resolved
from mmtk.registry import local_file
from mmtk.runs.files import RunFiles

LOCK = "run.lock"
FOLDERS = ("checkpoints", "figures")


def keep_code(recipes: Iterable[Recipe], copy: Path) -> None:
    """Copy the local file of the recipes' components into the folder, if there is one."""
    if (code := local_file.used_by(recipes)) is not None:
        with atomic(copy) as temporary:
            temporary.write_bytes(code.text)


class Log:
    """A .jsonl file to append rows to, which can be cut back to a checkpoint."""

    def __init__(self, path: Path, keep: int) -> None:
        self._file: IO[bytes] = open(path, "ab")  # noqa: SIM115 - lives as long as the run
        self._file.truncate(keep)
        self._file.seek(0, os.SEEK_END)

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._file.tell()

    def rows(self) -> list[dict[str, Any]]:
        """Rows written so far."""
        return read_lines(Path(self._file.name))

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one row."""
        self._file.write(json.dumps(row, ensure_ascii=False).encode(errors=AS_JSON) + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file; on a full disk the error that is under way has said so, and every row was flushed."""
        with suppress(OSError):
            self._file.close()


class RunDir(RunFiles):
    """A run directory: its state, lock and recipe."""

    @property
    def finished(self) -> bool:
        """Whether the run ended and its results are whole."""
        return self.done_file.is_file()

    @property
    def sealed(self) -> tuple[Path, ...]:
        """The files that a finished run's results rest on; ``done.json`` keeps their hashes."""
        return (
            self.recipe_file,
            self.provenance_file,
            self.splits_file,
            self.metrics_file,
            self.cases_file,
            self.results_file,
            self.data_file,
            self.samples_file,
            self.ranked_file,
            self.layers_file,
            self.scores_file,
            self.code_file,
        )

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Mark the run as done, with the hash of every file that its results rest on."""
        files = {path.name: digest for path in self.sealed if (digest := sha256(path))}
        self.previous.unlink(missing_ok=True)
        write_json(self.done_file, {**facts, "files": files})

    def altered(self, seal: Mapping[str, Any] | None = None) -> list[str]:
        """Files of a finished run that are missing or changed since; ``seal``: its done.json."""
        files = (seal or read_facts(self.done_file, files=dict))["files"]
        return [path.name for path in self.sealed if path.name in files and sha256(path) != files[path.name]]

    @property
    def recipe(self) -> Recipe:
        """The resolved recipe; MmtkError if it, or the local file of components, is not that of the run."""
        if not self.recipe_file.is_file():
            raise self.no_run()
        provenance = self.provenance if self.provenance_file.is_file() else {}
        recipe = read_resolved(self.recipe_file, provenance.get("digest"))
        sha256 = provenance.get("code", {}).get("sha256")
        local_file.check(local_file.used_by([recipe]), self.code_file, sha256)
        return recipe

    def no_run(self) -> MmtkError:
        """Error for a folder that is no run directory: its kind, and the cure."""
        if not self.path.exists():
            return MmtkError("no such folder.", str(self.path), "Name a run directory; mmtk run makes one.")
        if (file := self.path / "study.json").is_file():
            runs = os.path.normpath(self.path / read_facts(file, runs=str)["runs"])
            cure = f"Its runs lie in {runs}. In Python: mmtk.read_study({str(self.path)!r})"
            return MmtkError("is a study, not a run directory.", str(self.path), cure)
        cure = "Name a run directory; mmtk run makes one."
        return MmtkError("is not a run directory: it has no recipe.toml.", str(self.path), cure)

    def command(self, verb: str) -> str:
        """A command for this run, ready to paste, with ``--code`` if its components need it."""
        code = ["--code", str(self.code_file)] if self.code_file.is_file() else []
        return command(verb, self.path, *code)

    @property
    def provenance(self) -> dict[str, Any]:
        """Versions, hardware, data digests, command."""
        return cast(dict[str, Any], read_json(self.provenance_file))

    @property
    def is_run(self) -> bool:
        """Whether a run started here or a study planned one."""
        return holds_run(self.path)

    @property
    def has_begun(self) -> bool:
        """Whether there is a checkpoint to continue from, or the run is finished."""
        return any(path.is_file() for path in (self.last, self.previous, self.best, self.done_file))

    @property
    def age(self) -> float:
        """Seconds since the process that runs in the folder began; 0 where none has."""
        with suppress(OSError):
            return max(0.0, time.time() - (self.path / LOCK).stat().st_mtime)
        return 0.0

    def make(self) -> None:
        """Make the folder; refuse one that holds something else than a run."""
        make_folder(self.path)
        if self.model.is_file():
            cure = f"To train its recipe again: {command('run', self.recipe_file)} --out RUNDIR"
            raise MmtkError("is an exported model, not a run directory.", str(self.path), cure)
        if not self.is_run and any(not self._is_left_over(item) for item in self.path.iterdir()):
            message = "this folder is not empty and holds no run."
            raise MmtkError(message, str(self.path), "Choose another --out.")

    def _is_left_over(self, item: Path) -> bool:
        """Whether an entry may be left of a start that ended before its recipe was written."""
        if item.name in FOLDERS:
            return item.is_dir() and not any(item.iterdir())
        return item.name in (LOCK, self.failure_file.name)

    def claim(self, recipe: Recipe) -> None:
        """Write the recipe into a new folder; in an old one, check that it is the same, seed included.

        A folder where nothing was trained yet is taken over: its recipe and code move to the folder ``earlier``.
        """
        (self.path / "checkpoints").mkdir(exist_ok=True)
        self.figures.mkdir(exist_ok=True)
        if self.recipe_file.is_file() and not self.has_begun:
            self._take_over(recipe)
        if self.recipe_file.is_file():
            other = self.recipe
            if (other.digest, other.seed) != (recipe.digest, recipe.seed):
                raise MmtkError(
                    f"this folder belongs to another recipe: {other.run_name}, not {recipe.run_name}.",
                    str(self.path),
                    "Without --set it goes on as it began; for another recipe give a new --out. "
                    f"`{command('diff', self.path)} RECIPE` shows the difference.",
                )
        else:
            write_text(self.recipe_file, recipe.toml())
        keep_code([recipe], self.code_file)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder; a second process is refused by number, the lock of a dead one is free."""
        self.make()
        refuse_links(self.path, self._file_names())
        with locked(self.path, LOCK, "Wait for it, or choose another --out."):
            self._remove_halves()
            yield

    def _take_over(self, recipe: Recipe) -> None:
        folder, code = OutputFolder(self.path, "run"), local_file.used_by([recipe])
        try:
            other = read_resolved(self.recipe_file)
            same = (other.digest, other.seed) == (recipe.digest, recipe.seed)
        except MmtkError:  # edited to what is no recipe
            same = False
        if not same:
            folder.put_aside([self.recipe_file.name])
        if self.code_file.is_file() and (code is None or self.code_file.read_bytes() != code.text):
            folder.put_aside([self.code_file.name])

    def _file_names(self) -> Iterator[str]:
        """Names of files that a run writes, or that lie in its folders already, relative to the run directory."""
        yield LOCK
        yield from (os.path.relpath(path, self.path) for path in self.files())
        for folder in FOLDERS:
            if os.path.isdir(self.path / folder):
                yield from (f"{folder}/{name}" for name in os.listdir(self.path / folder))

    def _remove_halves(self) -> None:
        """Remove temporary files ``.NAME.PID.tmp`` of a killed process, and nothing that only resembles one."""
        names = {*self._file_names()}
        for half in (half for folder in ("", *FOLDERS) for half in (self.path / folder).glob(".*.tmp")):
            whole = re.fullmatch(r"\.(.+)\.\d+\.tmp", half.name)
            if whole and half.with_name(whole[1]).relative_to(self.path).as_posix() in names:
                half.unlink(missing_ok=True)
