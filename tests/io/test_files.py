"""Locks: held by one process, which the others name; free when it is dead; done without where there are none."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import pytest

from mmtk.errors import MmtkError
from mmtk.io.files import Busy, holder, lock, locked

HOLD = """
import sys, time
from pathlib import Path
from mmtk.io.files import lock, locked
path, name = Path(sys.argv[1]), sys.argv[2]
with locked(path, name, "") if name else lock(path):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def another_process(path: Path, name: str = "") -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock until it is killed."""
    call = [sys.executable, "-c", HOLD, str(path), name]
    with subprocess.Popen(call, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_lock_is_for_one_process_and_free_when_it_is_dead(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "recipe.toml" if kind == "file" else tmp_path
    (tmp_path / "recipe.toml").write_text("name = 'a'")
    with another_process(path) as process:
        with pytest.raises(Busy), lock(path):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        with lock(path) as is_held:
            assert is_held
    assert (tmp_path / "recipe.toml").read_text() == "name = 'a'"


def test_the_process_that_holds_a_folder_is_named_until_it_is_dead(tmp_path: Path) -> None:
    assert holder(tmp_path, "run.lock") == ""
    with another_process(tmp_path, "run.lock") as process:
        who = f"mmtk process {process.pid}"
        assert holder(tmp_path, "run.lock") == who
        refused = pytest.raises(MmtkError, match=f"{who} is running in this folder.*\n.*Wait for it")
        with refused, locked(tmp_path, "run.lock", "Wait for it."):
            pass
        assert holder(tmp_path, "run.lock") == who  # a refused process leaves the name as it was
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (tmp_path / "run.lock").read_text() == who
        assert holder(tmp_path, "run.lock") == ""
        with locked(tmp_path, "run.lock", ""):
            assert holder(tmp_path, "run.lock") == f"mmtk process {os.getpid()}"
    assert (tmp_path / "run.lock").read_text() == ""


def test_who_only_looks_does_not_keep_a_process_from_starting(tmp_path: Path) -> None:
    (tmp_path / "run.lock").write_text("mmtk process 1")
    code = (
        "import sys; from pathlib import Path; from mmtk.io.files import holder\n"
        "print(flush=True)\nwhile True: holder(Path(sys.argv[1]), 'run.lock')"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        for _ in range(5):
            with locked(tmp_path, "run.lock", ""):
                pass
            (tmp_path / "run.lock").write_text("mmtk process 1")
        process.kill()


def test_a_file_system_without_locks_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(filelock, "lock_descriptor", none)
    with lock(tmp_path) as is_held:
        assert not is_held
    with lock(tmp_path / "absent") as is_held:
        assert not is_held
