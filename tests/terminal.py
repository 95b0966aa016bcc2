"""Commands on a real pseudo-terminal."""

from __future__ import annotations

import codecs
import os
import pty
import re
import select
import subprocess
import time

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(*command: str, **environment: str) -> list[tuple[float, str]]:
    """Output of a command on a terminal of 80 columns, in pieces with the seconds since its start."""
    here, there = pty.openpty()
    env = os.environ | {"COLUMNS": "80", "LINES": "24", "TERM": "xterm"} | environment
    begun, pieces = time.monotonic(), []
    decoder = codecs.getincrementaldecoder("utf-8")()
    process = subprocess.Popen(command, stdin=there, stdout=there, stderr=there, env=env)
    os.close(there)
    while True:
        ready, _, _ = select.select([here], [], [], 0.05)
        if not ready:
            if process.poll() is not None:
                break
            continue
        try:
            data = os.read(here, 4096)
        except OSError:
            break
        if not data:
            break
        pieces.append((time.monotonic() - begun, decoder.decode(data)))
    os.close(here)
    assert process.wait() == 0
    return pieces
