"""Work shared among forks of a process: all of it, in order, whatever becomes of a fork."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from mmtk.errors import MmtkError
from mmtk.io.parallel import on_all_cores

HERE = os.getpid()


def spread_out(monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))


@pytest.mark.parametrize("cores", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_every_job_is_done_once_and_in_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, count: int
) -> None:
    spread_out(monkeypatch, cores)

    def job(number: int) -> tuple[int, int]:
        (tmp_path / str(number)).touch(exist_ok=False)
        # Whoever is first waits until every core has taken one.
        until(lambda: len(list(tmp_path.iterdir())) >= min(cores, count))
        return number, os.getpid()

    found = on_all_cores([partial(job, number) for number in range(count)])
    assert [number for number, _ in found] == list(range(count))
    assert len({pid for _, pid in found}) == min(cores, count)
    assert len(list(tmp_path.iterdir())) == count


def until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_a_job_raises_comes_through_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    spread_out(monkeypatch, 2)

    def job(number: int) -> int:
        if number == 1:
            raise MmtkError("is damaged.", "samples.npz", "Make it again.")
        return number

    with pytest.raises(MmtkError) as error:
        on_all_cores([partial(job, number) for number in range(2)])
    assert str(error.value) == "samples.npz: is damaged.\n  Make it again."
    assert not multiprocessing.active_children()


def test_what_a_fork_had_taken_that_dies_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    spread_out(monkeypatch, 2)

    def job(number: int) -> tuple[int, int]:
        if os.getpid() != HERE:
            os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory is short
        return number, os.getpid()

    assert on_all_cores([partial(job, number) for number in range(5)]) == [(number, HERE) for number in range(5)]


def test_a_daemon_works_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    spread_out(monkeypatch, 2)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        (found,) = pool.map(_done_by, [3])
    assert len(found) == 3
    assert len(set(found)) == 1


def _done_by(count: int) -> list[int]:
    return on_all_cores([os.getpid] * count)


INTERRUPTED = """
import os, signal, sys, time
from functools import partial
from pathlib import Path
from mmtk.io import parallel
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with it ignored
os.sched_getaffinity = lambda pid: {{0, 1}}
{early}
def job(number):
    Path(sys.argv[1], str(os.getpid())).touch()
    time.sleep(60)
parallel.on_all_cores([partial(job, number) for number in range(2)])
"""
EARLY = """
fork = os.fork
def interrupted_fork():
    pid = fork()
    if pid:
        os.kill(os.getpid(), signal.SIGINT)  # before anybody has taken a note of the fork
    return pid
os.fork = interrupted_fork
"""


def test_no_fork_outlives_an_interrupt(tmp_path: Path) -> None:
    code = INTERRUPTED.format(early="")
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.PIPE, text=True)
    until(lambda: len(list(tmp_path.iterdir())) >= 2)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert said.count("Traceback") == 1  # this script's own
    for path in tmp_path.iterdir():
        assert not Path("/proc", path.name).exists()


def test_no_fork_outlives_an_interrupt_at_its_start(tmp_path: Path) -> None:
    code = INTERRUPTED.format(early=EARLY)
    process = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.PIPE, text=True, timeout=30, check=False
    )  # which a fork that lives on would hold open
    assert process.stderr.count("KeyboardInterrupt") == 1
    for path in tmp_path.iterdir():
        assert not Path("/proc", path.name).exists()


def test_a_child_with_a_session_of_its_own_yields_the_cores_as_its_parent_does() -> None:
    group = Path("/proc/self/autogroup")
    code = f"""
import os, pathlib, subprocess, sys
from mmtk.io.parallel import join_parent
os.setsid(); os.nice(7)
print = "print(open('{group}').read())"
subprocess.run([sys.executable, "-c", print], start_new_session=True, preexec_fn=join_parent, check=True)
"""
    if not group.is_file():  # a system without such groups: the child starts as any other
        code = code.replace(str(group), os.devnull)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (f"nice {min(19, os.nice(0) + 7)}" in run.stdout) == group.is_file()
