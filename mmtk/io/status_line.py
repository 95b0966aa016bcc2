"""Status line: one line on the terminal that moves while a command shows nothing else."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

QUIET = 0.4  # seconds without output after which the line appears: a quick command never shows it
FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
PLAIN_FRAMES = "|/-\\"
ERASE = "\r\x1b[K"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # cursor movements and colours, which print nothing


class StatusLine:
    """Status line of what a command does, drawn on ``stream`` by a thread; output of the command erases it first.

    It is drawn only where the terminal was silent for a moment and its cursor is at the start of a line, so that
    live displays of others are left alone.
    """

    def __init__(self, stream: TextIO, outputs: tuple[TextIO, ...]) -> None:
        self._stream, self._outputs = stream, outputs
        self._write = stream.write
        self._lock = threading.RLock()
        self._text, self._since = "", time.monotonic()
        self._is_visible, self._at_start, self._last_output = False, True, time.monotonic()
        self._ended = threading.Event()
        self._frames = FRAMES if (stream.encoding or "").lower().startswith("utf") else PLAIN_FRAMES
        for output in outputs:
            self._watch(output)
        threading.Thread(target=self._run, name="mmtk-status-line", daemon=True).start()

    def stage(self, text: str) -> None:
        """Name the work from now on."""
        with self._lock:
            self._text, self._since = text, time.monotonic()

    def end(self) -> None:
        """Erase the line for good."""
        self._ended.set()
        with self._lock:
            self._erase()
            for output in self._outputs:
                vars(output).pop("write", None)

    def forked(self) -> None:
        """Leave the terminal to the parent process: a fork has no thread that draws."""
        self._lock, self._is_visible = threading.RLock(), False
        self._ended.set()

    def _watch(self, output: TextIO) -> None:
        """Let every write to ``output`` erase the line first."""
        write = output.write

        def erase_and_write(text: str) -> int:
            with self._lock:
                self._erase()
                self._last_output = time.monotonic()
                if printed := _CONTROL.sub("", text):
                    self._at_start = printed.endswith(("\n", "\r"))
                return write(text)

        output.write = erase_and_write  # type: ignore[method-assign]

    def _erase(self) -> None:
        if self._is_visible:
            self._is_visible = False
            self._write(ERASE)
            self._stream.flush()

    def _run(self) -> None:
        frame = 0
        while not self._ended.wait(0.1):
            frame += 1
            with self._lock:
                now = time.monotonic()
                if self._at_start and now - self._last_output >= QUIET and not self._ended.is_set():
                    self._draw(self._frames[frame % len(self._frames)], now - self._since)

    def _draw(self, sign: str, seconds: float) -> None:
        text = f"{sign} {self._text or _import_stage()}" + (f"  {seconds:.0f} s" if seconds >= 2 else "")
        try:
            width = os.get_terminal_size(self._stream.fileno()).columns or 80
            self._write(f"{ERASE}{text[: width - 1]}")
            self._stream.flush()
        except OSError:  # the terminal is gone
            self._ended.set()
        self._is_visible = True


def _import_stage() -> str:
    """Name the stage before the first: a command imports."""
    torch = sys.modules.get("torch")
    if torch is None:
        return "starting"
    return "loading torch" if getattr(torch.__spec__, "_initializing", False) else "working"


_line: StatusLine | None = None
_is_plain = False  # whether a command runs without a status line


def stage(text: str) -> None:
    """Name the work of the command from now on, if a status line is shown."""
    if _line is not None:
        _line.stage(text)


def announce(text: str) -> None:
    """Name work of several seconds: on the status line, of a command without one as a line on standard error."""
    if _line is not None:
        _line.stage(text)
    elif _is_plain and sys.stderr is not None:
        print(f"{text} …", file=sys.stderr, flush=True)


def end() -> None:
    """Take the status line down, before another process takes the terminal."""
    global _line
    if _line is not None:
        _line.end()
        _line = None


@contextmanager
def running(arguments: list[str]) -> Iterator[None]:
    """Show the status line while a command with these arguments runs, if it writes to a terminal for a reader."""
    global _line, _is_plain
    if _line is not None:
        yield
        return
    if _for_a_reader(arguments):
        _line = StatusLine(sys.stderr, tuple(stream for stream in (sys.stderr, sys.stdout) if stream.isatty()))
    else:
        _is_plain = "--json" not in arguments
    try:
        yield
    finally:
        _is_plain = False
        end()


def _for_a_reader(arguments: list[str]) -> bool:
    first_rank = os.environ.get("RANK", "0") in ("", "0")
    # At <TAB> the terminal is at a prompt, which a line would erase.
    plain = "--json" in arguments or os.environ.get("TERM") == "dumb" or "_MMTK_COMPLETE" in os.environ
    return first_rank and not plain and sys.stderr is not None and sys.stderr.isatty()


def _in_fork() -> None:
    if _line is not None:
        _line.forked()


os.register_at_fork(after_in_child=_in_fork)
