"""The status line, on a real pseudo-terminal."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from terminal import CONTROL, on_terminal


def screen(pieces: list[tuple[float, str]]) -> list[str]:
    """The lines that stand on the terminal at the end."""
    lines = [""]
    for each in re.findall(r"\r\n|\r\x1b\[K|[^\r]+|\r", "".join(text for _, text in pieces)):
        if each == "\r\n":
            lines.append("")
        elif each == "\r\x1b[K":
            lines[-1] = ""
        elif each != "\r":
            lines[-1] += CONTROL.sub("", each)
    return lines


SLEEPER = """
import sys, time
from mmtk.io import status_line
with status_line.running(sys.argv[1:]):
    status_line.stage('reading data')
    time.sleep(1.2)
    print('half', end=' ', flush=True)
    time.sleep(0.8)
    print('a line', file=sys.stderr)
    status_line.stage('drawing')
    time.sleep(1.2)
    print('result')
"""


FORKER = SLEEPER.replace("import sys", "import os, sys").replace(
    "time.sleep(0.8)", "(child := os.fork()) or (print('child'), os._exit(0)); os.wait()"
)
UNDRAWN: dict[str, tuple[list[str], dict[str, str]]] = {
    "program": (["--json"], {}),
    "dumb terminal": ([], {"TERM": "dumb"}),
    "other rank": ([], {"RANK": "1"}),
    "completion": ([], {"_MMTK_COMPLETE": "complete_bash"}),
}


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    """What each command showed on its terminal or wrote. They sleep for seconds, so all do at the same time."""
    commands = {"terminal": (SLEEPER, [], {}), "fork": (FORKER, [], {})}
    commands |= {name: (SLEEPER, *rest) for name, rest in UNDRAWN.items()}
    python = (sys.executable, "-c")
    with ThreadPoolExecutor(len(commands) + 1) as pool:
        futures: dict[str, Future[Any]] = {
            name: pool.submit(on_terminal, *python, code, *arguments, **environment)
            for name, (code, arguments, environment) in commands.items()
        }
        futures["pipe"] = pool.submit(
            subprocess.run, (*python, SLEEPER), capture_output=True, text=True, check=True
        )
    return {name: future.result() for name, future in futures.items()}


@pytest.mark.long
def test_the_line_moves_in_silence_and_leaves_nothing_behind(shown):
    pieces = shown["terminal"]
    text = "".join(text for _, text in pieces)
    assert len(set(re.findall(r"(.) reading data", text))) > 3  # the sign turns
    assert "drawing" in text
    assert screen(pieces) == ["half a line", "result", ""]


@pytest.mark.parametrize("name", UNDRAWN)
def test_no_line_for_programs_dumb_terminals_and_other_ranks(shown, name):
    assert "".join(text for _, text in shown[name]) == "half a line\r\nresult\r\n"


def test_no_line_without_a_terminal(shown):
    assert (shown["pipe"].stdout, shown["pipe"].stderr) == ("half result\n", "a line\n")


def test_a_fork_does_not_draw(shown):
    assert screen(shown["fork"]) == ["half child", "a line", "result", ""]


@pytest.mark.long
def test_a_command_that_imports_torch_moves_within_a_second_and_never_stands_still(tmp_path):
    pieces = on_terminal(sys.executable, "-m", "mmtk", "check", "multimix", MMTK_CACHE=str(tmp_path))
    text = "".join(text for _, text in pieces)
    assert "loading torch" in text or "starting" in text
    assert screen(pieces)[0].startswith("multimix: fine.")
    moments = [0.0, *(at for at, _ in pieces)]
    assert max(b - a for a, b in itertools.pairwise(moments)) < 3
