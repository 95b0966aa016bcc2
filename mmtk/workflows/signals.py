"""Signals that end a run after the step that is under way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mmtk.io.end_signals import end_signals, leave_terminal
from mmtk.training.trainer import Trainer


@contextmanager
def stopped_by_signals(trainer: Trainer) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal end the run after the step under way; a second one ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        leave_terminal(number)
        if trainer.stop is not None and trainer.world == 1:
            raise KeyboardInterrupt
        trainer.request_stop(number)
        if trainer.rank == 0:
            trainer.display.note("Stopping after this step …")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, *end_signals())}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
