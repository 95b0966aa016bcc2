"""Jobs of the process launcher as forks of a warm process: like processes that were started, to the byte."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from moments import same
from tiny import tiny

from mmtk.api import Job, JobResult
from mmtk.components.launcher.process import Process
from mmtk.io import fork_server
from mmtk.study.launch import modules

pytestmark = pytest.mark.skipif(not fork_server.available(), reason="there is no fork server on this system")

PROBE = """
import json, os, resource, signal, sys, threading
facts = {
    "argv": sys.argv[1:], "name": __name__, "path": sys.path, "folder": os.getcwd(), "input": sys.stdin.read(),
    "environment": {key: value for key, value in os.environ.items() if key != "PYTEST_CURRENT_TEST"},
    "umask": os.umask(0), "leads its session": os.getsid(0) == os.getpid(), "threads": threading.active_count(),
    "files": sorted(os.listdir("/proc/self/fd"))[:3], "flags": repr(sys.flags), "python": sys.executable,
    "signals": {n: repr(signal.getsignal(n)) for n in (1, 2, 13, 15)},
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    "limit": resource.getrlimit(resource.RLIMIT_NOFILE),
}
print(json.dumps(facts))
print("warm" if {"torch", "wave"} & sys.modules.keys() else "cold", file=sys.stderr)
"""
PRELOADED = "wave"  # a module that nothing else imports; a whole run is compared below
ENDS = {
    "a code": ("sys.exit(3)", 3),
    "an error": ("1 / 0", 1),
    "a reason": ("sys.exit('a reason')", 1),
    "Ctrl-C": ("raise KeyboardInterrupt", -signal.SIGINT),
    "a kill": ("sys.stdout.flush(); os.kill(os.getpid(), 9)", -signal.SIGKILL),
}


def run(folder: Path, argv: tuple[str, ...], *preloaded: str) -> JobResult:
    """A job's result, by a warm process where ``preloaded`` names modules."""
    launcher = Process(jobs=1)
    if preloaded:
        launcher.prepare(preloaded)
    (result,) = launcher.run([Job(folder, argv)])
    return result


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("last", "code"), ENDS.values(), ids=ENDS)
def test_a_fork_is_like_a_process_that_was_started(last: str, code: int, here: Path) -> None:
    (here / "probe.py").write_text(f"{PROBE}{last}\n")
    argv = (sys.executable, "-m", "probe", "one", "two wörds")
    cold, warm = run(here / "cold", argv), run(here / "warm", argv, PRELOADED)
    assert (cold.code, warm.code) == (code, code)
    facts, errors = zip(*(result.log.read_text().split("\n", 1) for result in (cold, warm)), strict=True)
    assert facts[0] == facts[1]
    assert [text.split("\n")[0] for text in errors] == ["cold", "warm"]
    assert errors[0].strip().split("\n")[-1].replace("cold", "warm") == errors[1].strip().split("\n")[-1]


@pytest.mark.long
def test_a_run_of_a_warm_worker_has_the_bytes_of_a_cold_one(here: Path) -> None:
    recipe = tiny()
    (here / "tiny.toml").write_text(recipe.toml())
    (here / "probe.py").write_text(PROBE)
    for name in ("cold", "warm"):
        launcher = Process(jobs=1)
        if name == "warm":
            launcher.prepare(modules([recipe]))
        python = (sys.executable, "-m")
        training = Job(here / "job" / name, (*python, "mmtk", "run", "tiny.toml", "--no-pictures", "--out", name))
        first, second = launcher.run([Job(here / "probe" / name, (*python, "probe")), training])
        assert first.log.read_text().splitlines()[-1] == name
        assert second.code == 0, second.log.read_text()
    same(here / "cold", here / "warm")


def threaded(folder: Path) -> str:
    """A module that begins a thread when it is imported."""
    (folder / "restless.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(100,), daemon=True).start()\n"
    )
    return "restless"


def absent(folder: Path) -> str:
    """A module that cannot be imported."""
    return "no_such_module"


@pytest.mark.parametrize("module", [threaded, absent])
def test_jobs_start_cold_where_a_module_begins_a_thread_or_cannot_be_imported(
    module: Callable[[Path], str], here: Path
) -> None:
    (here / "probe.py").write_text(PROBE)
    result = run(here / "job", (sys.executable, "-m", "probe"), PRELOADED, module(here))
    assert (result.code, result.log.read_text().splitlines()[-1]) == (0, "cold")


def test_every_fork_has_its_gpu_and_nothing_set_since(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "probe.py").write_text(PROBE)
    launcher = Process(jobs=2)
    launcher.gpus = ["3", "GPU-5f"]
    monkeypatch.setenv("SET_BY_A_LIBRARY", "7")
    launcher.prepare([PRELOADED])
    results = launcher.run([Job(here / name, (sys.executable, "-m", "probe")) for name in "ab"])
    texts = {result.dir.name: result.log.read_text() for result in results}
    assert [texts[name].splitlines()[-1] for name in "ab"] == ["warm", "warm"]
    assert '"CUDA_VISIBLE_DEVICES": "3"' in texts["a"]
    assert '"CUDA_VISIBLE_DEVICES": "GPU-5f"' in texts["b"]
    assert "SET_BY_A_LIBRARY" not in "".join(texts.values())


def test_a_job_whose_server_dies_is_told_to_stop_and_starts_again(here: Path) -> None:
    (here / "probe.py").write_text(
        "import pathlib, signal, sys, time\n"
        "mark = pathlib.Path('begun')\n"
        "if mark.exists(): sys.exit(7)\n"
        "signal.signal(signal.SIGTERM, lambda *_: (mark.with_name('stopped').touch(), sys.exit(1)))\n"
        "mark.touch(); time.sleep(100)\n"
    )
    launcher = Process(jobs=1)
    launcher.prepare([PRELOADED])
    results = launcher.run([Job(here / "job", (sys.executable, "-m", "probe"))])

    def kill() -> None:
        deadline = time.monotonic() + 60
        while not (here / "begun").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert launcher._server is not None
        launcher._server._process.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    (result,) = results
    killer.join()
    assert result.code == 7
    assert (here / "stopped").exists()


def test_nothing_is_left_when_the_caller_stops_asking(here: Path) -> None:
    (here / "probe.py").write_text(
        "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(100)\n"
    )
    argv = (sys.executable, "-m", "probe")
    (here / "end.py").write_text("")
    launcher = Process(jobs=2)
    launcher.prepare([PRELOADED])
    results = launcher.run([Job(here / "slow", argv), Job(here / "quick", (sys.executable, "-m", "end"))])
    assert next(results).dir.name == "quick"
    server = launcher._server
    assert server is not None
    pid = here / "pid"
    while not (pid.exists() and pid.read_text()):
        time.sleep(0.02)
    results.close()
    assert server._process.poll() is not None
    assert (
        not Path(f"/proc/{pid.read_text()}").exists() or "Z" in Path(f"/proc/{pid.read_text()}/stat").read_text()
    )
