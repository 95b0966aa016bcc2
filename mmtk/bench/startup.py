"""Start-up times of commands, in new processes with compiled files."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mmtk.bench.measure import Options, Row, spread
from mmtk.errors import RunFailed

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import mmtk": ["-c", "import mmtk"],
    "mmtk --help": ["-m", "mmtk", "--help"],
    "mmtk list": ["-m", "mmtk", "list"],
    "mmtk check multimix": ["-m", "mmtk", "check", "multimix"],
}


def rows(options: Options) -> list[Row]:
    """Rows for whole commands, and for ``mmtk run`` up to its first log line; a first start is not counted."""
    table: list[Row] = []
    for name, arguments in COMMANDS.items():
        starts = [whole_command(arguments) for _ in range(1 + 3 * options.rounds)][1:]
        table.append({"name": name, "seconds": spread(starts)})
    starts = [first_step() for _ in range(1 + options.rounds)][1:]
    return [*table, {"name": "mmtk run multimix, first step logged", "seconds": spread(starts)}]


def whole_command(arguments: list[str]) -> float:
    """Seconds of ``python`` with some arguments, from start to end; RunFailed where it fails."""
    start = time.perf_counter()
    process = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise RunFailed(f"{' '.join(arguments)} failed:\n{process.stderr.strip()[-2000:]}")
    return seconds


def first_step(*arguments: str, cache: Path | None = None) -> float:
    """Seconds from the start of ``mmtk run multimix`` to the first line of ``metrics.jsonl``.

    ``cache``: folder of the cache, by default that of the environment
    """
    environment = os.environ | ({"MMTK_CACHE": str(cache)} if cache else {})
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        call = [sys.executable, "-m", "mmtk", "run", "multimix", "--out", str(out), *arguments]
        start = time.perf_counter()
        process = subprocess.Popen(
            call, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        try:
            log = out / "metrics.jsonl"
            while not (log.is_file() and log.stat().st_size):
                if process.poll() is not None:
                    raise RunFailed(f"mmtk run ended before its first step:\n{process.communicate()[1][-2000:]}")
                time.sleep(0.01)
            return time.perf_counter() - start
        finally:
            process.kill()
            process.communicate()
