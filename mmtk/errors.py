"""The one error type that users see, and its one printer."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from itertools import zip_longest
from typing import TextIO

from mmtk.counts import counted


class MmtkError(Exception):
    """A mistake the user can cure: what happened, where, and the cure; exit code 2."""

    exit_code = 2

    def __init__(self, message: str, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.where, self.hint = message, where, hint

    def __str__(self) -> str:
        location = f"{self.where}: " if self.where else ""
        cure = f"\n  {self.hint}" if self.hint else ""
        return f"{location}{self.message}{cure}"


class Problems(MmtkError):
    """Several mistakes of one recipe or folder, reported together."""

    def __init__(self, problems: Iterable[MmtkError], title: str = "") -> None:
        self.problems = list(problems)
        super().__init__(title)

    def __str__(self) -> str:
        lines = [self.message] if self.message and len(self.problems) > 1 else []
        for problem, following in zip_longest(self.problems, self.problems[1:]):
            same = following is not None and following.hint == problem.hint  # one cure for several is said once
            lines.append(str(problem).removesuffix(f"\n  {problem.hint}") if same else str(problem))
        return "\n".join(lines)


def heading(source: str, problems: Sequence[MmtkError]) -> str:
    """First line of a list of problems of a recipe; those of ``--set`` or of a profile are not the recipe's."""
    count = "a problem" if len(problems) == 1 else counted(len(problems), "problem")
    lines = [re.fullmatch(r"(.+):\d+", problem.where or "") for problem in problems]
    files = {line[1] if line else source for line in lines}
    source = files.pop() if len(files) == 1 else source
    by_option = all((problem.where or "").startswith("--set") for problem in problems)
    return f"What --set says of {source} has {count}:" if by_option else f"{source} has {count}:"


class RunFailed(MmtkError):
    """The run itself failed (a NaN, a full disk), not what the user asked for; exit code 1."""

    exit_code = 1


class NotFinite(RunFailed):
    """The training diverged: a loss or a prediction is NaN or infinite."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether Python, torch on a CPU (a plain RuntimeError) or torch on a GPU found no more memory."""
    is_memory_error = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return is_memory_error or "can't allocate memory" in str(error)


class Reported(RunFailed):
    """The run failed in another process, which has said why; ``exit_code`` is that process's."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"the run ended with exit code {exit_code}; the process that failed has said why.")
        self.exit_code = exit_code


def nearest(word: str, names: Iterable[str]) -> str:
    """A "Did you mean …?" sentence with a leading space, or an empty string."""
    close = get_close_matches(word, list(names), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""


def listing(names: Iterable[str], most: int = 30) -> str:
    """Names in order, joined by commas, cut after ``most``."""
    ordered = sorted(names)
    tail = f", … ({len(ordered)} in all)" if len(ordered) > most else ""
    return ", ".join(ordered[:most]) + tail


def report(error: MmtkError, stream: TextIO | None = None) -> int:
    """Print the error to ``stream`` (standard error) and return its exit code."""
    if not isinstance(error, Reported):
        stream = stream or sys.stderr
        print(folded(f"mmtk: {error}", stream), file=stream)
    return error.exit_code


def folded(text: str, stream: TextIO) -> str:
    """The text for ``stream``, its lines broken at words, but for commands and addresses to copy.

    Without a terminal, output has 80 signs a line, and messages stay whole: a log is searched by line.
    """
    if not stream.isatty() and stream is not sys.stdout:
        return text
    import shutil

    width = shutil.get_terminal_size().columns
    return "\n".join(
        line if len(line) <= width or to_copy(line) else _fold(line, width) for line in text.split("\n")
    )


def to_copy(line: str) -> bool:
    """Whether a line has a command or an address, which a break would spoil."""
    return "mmtk " in line or "pip install" in line or "://" in line


def _fold(line: str, width: int) -> str:
    import textwrap

    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
