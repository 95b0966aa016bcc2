"""The tests' own fork server: what it starts is a process like any other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fork_server
import pytest


def both(*arguments: str, **how: Any) -> list[tuple[int, str, str]]:
    """Code, output and errors of a call by the fork server and by Python itself."""
    done = [
        subprocess.run([python, *arguments], capture_output=True, text=True, **how)
        for python in (fork_server.python(), sys.executable)
    ]
    return [(each.returncode, each.stdout, each.stderr) for each in done]


@pytest.mark.parametrize(
    "code",
    [
        "import sys; print(sys.argv, sys.path[:2]); sys.exit(3)",
        "import os; print(os.getcwd(), os.environ['OURS'], os.umask(0), os.sched_getaffinity(0))",
        "import os, sys; sys.stderr.write('said'); os.kill(os.getpid(), 9)",
        "import sys; sys.exit('a reason')",
        "import signal; print(signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))",
        "import atexit; atexit.register(print, 'the end'); raise SystemExit",
        "import sys; print(sys.stdin.read())",
        "import resource; print(resource.getrlimit(resource.RLIMIT_FSIZE))",
        "import torch; print(torch.get_num_threads(), __name__)",
    ],
)
def test_a_fork_is_like_a_process_that_was_started(code, tmp_path):
    environment = os.environ | {"OURS": "ü", "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "2"}
    fork, real = both("-c", code, "one", "two words", cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL)
    assert fork == real


def test_an_error_has_its_traceback_and_code():
    fork, real = both("-c", "1 / 0")
    assert fork[0] == real[0] == 1
    assert fork[2].splitlines()[-1] == real[2].splitlines()[-1] == "ZeroDivisionError: division by zero"


def test_a_home_of_its_own_needs_a_python_of_its_own(tmp_path):
    code = "import sys; print('torch' in sys.modules)"
    fork, real = both("-c", code, env=os.environ | {"HOME": str(tmp_path)})
    assert fork == real == (0, "False\n", "")
    assert both("-c", code)[0][1] == "True\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals_arrive_and_nothing_outlives_its_caller(number: int, tmp_path: Path) -> None:
    code = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(100)"
    process = subprocess.Popen(
        [fork_server.python(), "-c", code],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    pid = tmp_path / "pid"
    while not (pid.exists() and pid.read_text()):
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(30) == -number
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid.read_text()}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{pid.read_text()}").exists()
