"""Sentences on a terminal: broken at words, but for commands and addresses to copy; whole lines elsewhere."""

from __future__ import annotations

import io

import pytest

from mmtk.errors import MmtkError, report


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


ERROR = MmtkError("a sentence of some words that is longer than a line", "a-long-path/" * 6, "mmtk run x " * 8)


def test_a_terminal_gets_lines_broken_at_words_and_commands_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    assert report(ERROR, stream) == 2
    lines = stream.getvalue().splitlines()
    assert lines[0] == "mmtk:"
    assert lines[1] == "a-long-path/" * 6 + ":"  # a path is not broken
    assert lines[2:4] == ["a sentence of some words that is longer", "than a line"]
    assert lines[4] == "  " + "mmtk run x " * 8  # nor a command
    assert len(lines) == 5


def test_a_file_gets_whole_lines() -> None:
    stream = io.StringIO()
    report(ERROR, stream)
    assert stream.getvalue() == f"mmtk: {ERROR}\n"
