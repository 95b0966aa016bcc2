"""Many runs at once: steps per second of one process and of several, and the time from a command to its answer."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmtk.bench import answers
from mmtk.bench.measure import Options, Row, command, cores, spread, wait
from mmtk.counts import counted
from mmtk.errors import RunFailed

BATCH = 10
SECONDS = 5.0
HERE = "mmtk.bench.study"


def rows(options: Options) -> list[Row]:
    """One process with all cores, 1, 2, 4, … processes with one thread each (or all on one GPU), and answers."""
    size, precision = max(32, options.size // 4), options.precisions[-1]
    counts = [1]
    while counts[-1] * 2 <= max(cores(), 4 if options.device == "cuda" else 1):
        counts.append(2 * counts[-1])
    plans = [(1, cores(), "one process, all cores")]
    plans += [(n, 1, f"{counted(n, 'process', 'processes')}, one thread each") for n in counts]
    table: list[Row] = []
    for number, threads, title in plans:
        samples = [_together(number, threads, size, precision, options.device) for _ in range(options.rounds)]
        # Seconds per step of the study as a whole: what N processes did together.
        row: Row = {"name": f"{title}, {size} px, {precision}", "seconds": spread(samples)}
        row["steps/s"] = 1 / row["seconds"]["median"]
        row["× one process"] = row["steps/s"] * (table or [row])[0]["seconds"]["median"]
        table.append(row)
    with _busy_cores():
        samples = [_together(1, cores(), size, precision, options.device) for _ in range(options.rounds)]
    row = {"name": f"the same, beside a busy process per core, {size} px, {precision}", "seconds": spread(samples)}
    row["steps/s"] = 1 / row["seconds"]["median"]
    row["× one process"] = row["steps/s"] * table[0]["seconds"]["median"]
    return [*table, row, *answers.rows(options)]


@contextmanager
def _busy_cores() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Keep every core busy with a process that computes, as another user would; the processes."""
    spinners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores())]
    try:
        yield spinners
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


def _together(number: int, threads: int, size: int, precision: str, device: str) -> float:
    """Seconds per step of ``number`` processes that train at the same time."""
    keys = {"size": size, "precision": precision, "device": device}
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    workers = [
        subprocess.Popen(
            command(f"{HERE}:train", **keys),
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(number)
    ]
    try:
        for worker in workers:  # all are warm before any begins
            assert worker.stdout is not None
            if "ready" not in worker.stdout.readline():
                raise RunFailed(f"a training process could not be measured:\n{worker.communicate()[1][-2000:]}")
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        return 1 / sum(float(worker.communicate()[0].splitlines()[-1]) for worker in workers)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def train(size: int, precision: str, device: str) -> Any:
    """Steps per second over ``SECONDS`` of training, after a warm-up and a sign from the parent."""
    from mmtk.bench.step import training

    trainer = training(size, BATCH, precision, device)
    for index in range(2):
        trainer.train_step(index)
    print("ready", flush=True)
    sys.stdin.readline()
    start, step_count = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS:
        trainer.train_step(2 + step_count)
        wait(device)
        step_count += 1
    return step_count / (time.perf_counter() - start)
