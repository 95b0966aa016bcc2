from __future__ import annotations

import os
import subprocess

import pytest

from mmtk.spelling import command, file_name, quoted, visible

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
