"""The end of a process without the work that the system does anyway."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ended_at_once() -> Iterator[None]:
    """End this process after the block, with its exit code, and leave its memory to the system.

    Python would take a million objects of torch and MLflow apart first, a tenth of a short run. Threads end,
    functions of ``atexit`` run and output is written as ever. An error, or output that cannot be written, ends it
    as Python does.
    """
    code = 0
    try:
        yield
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        code = end.code or 0
    threading._shutdown()  # type: ignore[attr-defined] # as multiprocessing ends its forks
    atexit._run_exitfuncs()
    try:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
    except (OSError, ValueError):
        sys.exit(code)
    os._exit(code & 0xFF)
