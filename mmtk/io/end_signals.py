"""Signals that end a process: SIGTERM, and SIGHUP of a terminal that was closed."""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def end_signals() -> list[int]:
    """Signals that end this process, without those that it ignores: nohup ignores SIGHUP."""
    return [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let these signals end the block as Ctrl-C does, with all that it undoes or sends; a second one, at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _end) for number in end_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave_terminal(number: int) -> None:
    """Print to nowhere from now on, if the signal says that the terminal is gone: output to it fails."""
    if number != signal.SIGHUP:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        if stat.S_ISCHR(os.fstat(descriptor).st_mode):
            os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _end(number: int, _: object) -> None:
    for other in end_signals():
        signal.signal(other, signal.SIG_DFL)
    leave_terminal(number)
    sys.exit(128 + number)
