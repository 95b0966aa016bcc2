"""From the command to its answer: plans, a study of short runs, and what a run costs beside its steps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mmtk.bench.measure import Options, Row, cores, spread
from mmtk.bench.startup import first_step
from mmtk.errors import RunFailed

STUDY = ("ablate", "--components", "saliency,ssl", "--seeds", "2", "--set", "train.steps=2")
RUN = ("run", "multimix", "--set", "train.steps=2", "--out", "run")
STEPS = "of 2 steps"


@dataclass(frozen=True)
class Cost:
    """Seconds of a command: ``wall`` and processor time, and the training seconds of its ``runs``."""

    wall: float
    cpu: float
    training: float
    runs: int

    @property
    def beside(self) -> float:
        """Processor time of a run that is not its training."""
        return (self.cpu - self.training) / self.runs


def rows(options: Options) -> list[Row]:
    """Plans, studies and runs on the phantom, each round with a cache of its own."""
    samples: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            for name, seconds in _round(Path(folder), options.device).items():
                samples.setdefault(name, []).append(seconds)
    return [{"name": name, "seconds": spread(seconds)} for name, seconds in samples.items()]


def _round(folder: Path, device: str) -> dict[str, float]:
    """Seconds of every row, measured once."""
    environment = os.environ | {"MMTK_CACHE": str(folder / "cache"), "COLUMNS": "100"}
    cold, warm = (first_step("--device", device, cache=folder / "first") for _ in range(2))
    first = _cost(folder, environment, *STUDY, "--dry-run", "--device", device)
    again = _cost(folder, environment, *STUDY, "--dry-run", "--device", device)
    study = _cost(folder, environment, *STUDY, "--device", device)
    one_thread = environment | {"OMP_NUM_THREADS": "1"}
    alone = _cost(folder, one_thread, *RUN, "--device", device)
    workers = min(cores(), study.runs)
    return {
        "from the command to the first step, empty cache": cold,
        "from the command to the first step, again": warm,
        "plan of a study (--dry-run), first time": first.wall,
        "plan of a study (--dry-run), timed before": again.wall,
        f"study of {study.runs} runs {STEPS}, films and report included": study.wall,
        f"study of {study.runs} runs {STEPS}, without training": study.wall - study.training / workers,
        "processor time of a run beside its steps, in a study": study.beside,
        "processor time of a run beside its steps, alone": alone.beside,
    }


def _cost(folder: Path, environment: Mapping[str, str], *arguments: str) -> Cost:
    """Cost of an mmtk command in a folder."""
    before = set(folder.rglob("done.json"))
    cpu, start = _children(), time.perf_counter()
    process = subprocess.run(
        [sys.executable, "-m", "mmtk", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    wall = time.perf_counter() - start
    if process.returncode:
        raise RunFailed(f"mmtk {' '.join(arguments)} failed:\n{process.stderr.strip()[-2000:]}")
    seals = [json.loads(path.read_text()) for path in folder.rglob("done.json") if path not in before]
    training = sum(seal["training_seconds"] for seal in seals)
    return Cost(wall, _children() - cpu, training, max(1, len(seals)))


def _children() -> float:
    """Processor seconds of child processes that have ended."""
    times = os.times()
    return times.children_user + times.children_system
