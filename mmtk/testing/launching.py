"""Checks of launchers, with real processes."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from mmtk.api import Job
from mmtk.testing.check import Subject, expect

CODES = (0, 2, 0)


def _run(subject: Subject, folder: Path) -> list[tuple[str, int, str]]:
    """(folder, exit code, log) of three jobs, one of which fails: mmtk commands, as all jobs are."""
    jobs = []
    for number, code in enumerate(CODES):
        (folder / str(number)).mkdir()
        arguments = ("run", str(folder / "no-such-recipe.toml")) if code else ("--version",)
        jobs.append(Job(folder / str(number), (sys.executable, "-m", "mmtk", *arguments)))
    results = list(subject.make().run(jobs))
    return sorted(
        (result.dir.name, result.code, result.log.read_text() if result.log.is_file() else "")
        for result in results
    )


def every_job_is_reported(subject: Subject) -> None:
    """Three jobs, one failing: each is reported once with its exit code, and its output is in its log."""
    with tempfile.TemporaryDirectory() as folder:
        results = _run(subject, Path(folder))
    expect(
        [name for name, _, _ in results] == ["0", "1", "2"],
        "each of three jobs once",
        f"{[name for name, _, _ in results]}",
        "yield Done for every job, also for one that fails.",
    )
    codes = tuple(code for _, code, _ in results)
    expect(
        tuple(map(bool, codes)) == tuple(map(bool, CODES)),
        f"exit codes {CODES}",
        f"{codes}",
        "report the process's own exit code.",
    )


LAUNCHER = (every_job_is_reported,)
