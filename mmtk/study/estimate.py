"""Wall time of runs and studies: from timed steps, finished runs, and what the rest takes by default.

The defaults are seconds of one core, measured on phantom studies of 32 and 64 px.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

START = 3.0  # importing torch, checking that the parts fit
FORK = 0.4  # the same for a run that begins with everything imported
DATA = 0.6  # opening the stores, comparing images, building the network, writing provenance
EXAMPLES = 0.4  # of one task: example images and tables of cases; a run of a study draws nothing
PIXEL = 1.2e-6  # scoring one pixel of an image: distances between outlines and the like
FORWARD = 25  # forward passes of one image in a step's time of one image, which has views and gradients
MLFLOW_START, MLFLOW_RUN = 1.0, 0.1  # of the thread that sends: imports, opening the store; one run
REPORT, REPORT_RUN = 5.0, 0.1


@dataclass(frozen=True)
class Work:
    """Work of a run: steps of ``batch`` images, and scored images of ``size`` pixels a side."""

    steps: int
    batch: int
    size: int
    tasks: int
    validation: int  # images of all tasks
    validations: int
    test: int  # images of all tasks and domains

    @property
    def scored(self) -> int:
        """Images that are scored; validation once more at the end, for thresholds."""
        return self.validation * (self.validations + 1) + self.test


@dataclass(frozen=True)
class Machine:
    """Slowdown against free cores: now, and with the other runs beside."""

    stretch: float = 1.0
    beside: float = 1.0


@dataclass(frozen=True)
class RunTime:
    """Seconds of a run: the start of its process, its training steps, and the rest."""

    start: float
    training: float
    rest: float

    @property
    def total(self) -> float:
        """From the start of the process to its end."""
        return self.start + self.training + self.rest


def rest_seconds(work: Work, step: float) -> float:
    """Seconds of one core that a run needs beside its steps, of ``step`` seconds each, and beside its start."""
    image = PIXEL * work.size**2 + step / (FORWARD * work.batch)
    return DATA + EXAMPLES * work.tasks + image * work.scored


def run_time(
    work: Work, step: float, machine: Machine, ratio: float | None = None, start: float = START
) -> RunTime:
    """The time of a run.

    work: what the run has to do, a step of which takes ``step`` seconds now
    machine: how much longer things take than on free cores, now and beside the other runs
    ratio: how many times longer than by default the rest took in finished runs of this kind, where there are any
    start: seconds of one core until it trains: ``START``, or ``FORK`` beside warm workers
    """
    stretch = machine.stretch * machine.beside
    rest = rest_seconds(work, step / machine.stretch) * (ratio or stretch)
    return RunTime(start * stretch, step * work.steps * machine.beside, rest)


def rest_ratio(finished: Iterable[tuple[Work, float, float]]) -> float | None:
    """The median of how many times longer than by default the rest took; None without finished runs.

    finished: work, seconds of training and seconds of all
    """
    ratios = []
    for work, training, seconds in finished:
        # The step's share is small, and the load in its time is not known.
        ratios.append((seconds - training) / rest_seconds(work, training / max(1, work.steps)))
    return median(ratios) if ratios else None


def makespan(seconds: Sequence[float], workers: int) -> float:
    """Seconds until the last run ends, with ``workers`` side by side; each begins when a place is free."""
    free = [0.0] * max(1, workers)
    for duration in seconds:
        heapq.heapreplace(free, free[0] + duration)
    return max(free)


def study_seconds(runs: Sequence[RunTime], workers: int, machine: Machine, tracked: bool) -> float:
    """Seconds from the first run's start to the report, MLflow included.

    runs: the time of every run, ``workers`` of them side by side
    machine: how much longer than on free cores the report takes
    tracked: whether MLflow hears of the runs
    """
    after = REPORT + REPORT_RUN * len(runs)
    if tracked:
        after += MLFLOW_START + MLFLOW_RUN * len(runs)
    return makespan([run.total for run in runs], workers) + after * machine.stretch


def machine_now(wall: float, cpu: float, threads: int, load: float, cores: int, workers: int) -> Machine:
    """Measure the slowdown by the wall and processor time of a few steps, the load and the cores.

    wall, cpu: seconds that ``wall`` clock and processor (``cpu``) took for the steps
    threads: of one run, with ``workers`` runs at a time
    load: of the machine before, on all its ``cores``
    """
    busy = load + threads * (workers - 1)
    beside = max(1.0, busy / cores) / max(1.0, load / cores)
    return Machine(max(1.0, wall / cpu) if threads == 1 and cpu > 0 else max(1.0, load / cores), beside)


def remaining(
    expected: Mapping[str, float], finished: Mapping[str, float], ages: Mapping[str, float]
) -> list[float]:
    """Seconds that each open run still takes: as expected, corrected by what finished runs took, less its age.

    All by name. Runs without an expectation take as long as finished runs on average.
    """
    both = [name for name in finished if name in expected]
    actual, thought = (sum(table[name] for name in both) for table in (finished, expected))
    ratio = actual / thought if thought else 1.0
    usual = sum(finished.values()) / len(finished) if finished else 0.0
    estimates = {name: expected[name] * ratio if name in expected else usual for name in ages}
    return [max(0.0, estimates[name] - age) for name, age in sorted(ages.items(), key=lambda item: -item[1])]
