from __future__ import annotations

import ast
import itertools
import os
import re
import subprocess
from pathlib import Path

import pytest

from mmtk.io import spelling
from mmtk.io.spelling import command, file_name, quoted, visible

NAMES = [
    b"a.png",
    b"r e",
    b"shared \xc3\xbc",
    b"R\xf6ntgen",
    b"it's",
    b"$(x)`y`",
    b"a\nb",
    b"-x",
    b"\xff0a\\t",
    b'"',
    b"*",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_printed_command_is_what_the_shell_takes(name: bytes) -> None:
    line = command("run", os.fsdecode(name))
    assert line.isprintable()
    script = f"mmtk() {{ printf '%s|' \"$@\"; }}; {line}".encode()
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    assert done.stdout == b"run|" + name + b"|"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_shown_is_text(name: bytes) -> None:
    assert visible(os.fsdecode(name)).encode()
    assert visible(os.fsdecode(b"R\xf6")) == r"R\xf6"
    assert visible("Rö") == "Rö"


@pytest.mark.parametrize("name", [*map(os.fsdecode, NAMES), "ü" * 300, "a/b", "", 'x<>:"|?*y'])
def test_a_file_name_fits_every_file_system(name: str) -> None:
    plain = file_name(name, 100)
    assert 0 < len(plain.encode()) <= 100
    assert not set(plain) & set('<>:"/\\|?*\n')


def test_words_that_need_no_quotes_have_none() -> None:
    assert quoted("runs/a-1.x") == "runs/a-1.x"


VERBS = "ablate|check|diff|evaluate|export|predict|report|run|show|status|track"


def unquoted(code: str) -> list[str]:
    """f-strings with a command and, right behind it, a value that went through no function of ``spelling``."""
    found = []
    for text in (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.JoinedStr)):
        for before, value in itertools.pairwise(text.values):
            if not isinstance(before, ast.Constant) or not isinstance(value, ast.FormattedValue):
                continue
            if re.search(rf"(\bmmtk ({VERBS})|\b(cd|cp|rm)|--(code|out|data)) $", str(before.value)):
                called = value.value.func if isinstance(value.value, ast.Call) else value.value
                name = called.id if isinstance(called, ast.Name) else ""
                if name != "quoted":
                    found.append(ast.unparse(text))
    return found


def test_the_rule_sees_an_unquoted_path() -> None:
    assert unquoted('f"Continue with: mmtk run {folder.path}"')
    assert not unquoted('f"Continue with: {command(folder)}, or cd {quoted(place)}"')


def test_every_command_that_is_printed_can_be_pasted() -> None:
    package = Path(spelling.__file__).parent
    # The values there are words and paths that were quoted before.
    quoted_before = {"scaffold.py", "cli_data.py"}
    paths = [path for path in package.rglob("*.py") if path.name not in quoted_before]
    assert {str(path): found for path in paths if (found := unquoted(path.read_text(encoding="utf-8")))} == {}


def test_a_path_that_begins_with_a_dash_is_no_option() -> None:
    assert command("run", Path("./-x"), "--code", Path("-y.py")) == "mmtk run ./-x --code ./-y.py"
