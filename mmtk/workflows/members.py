"""Runs that are asked together: several run directories, or the runs of one cell of a study."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mmtk.errors import MmtkError, listing, nearest
from mmtk.runs.folder import RunDir
from mmtk.study.folder import StudyDir
from mmtk.study.results import Cell
from mmtk.tasks import budget

Runs = str | Path | Sequence[str | Path]


def run_folders(runs: Runs, cell: str | None = None) -> list[Path]:
    """Run directories as given; in the place of a study those of its ``cell``.

    runs: run directories, exported folders, or a study
    cell: name of a system of the study, with its label budget behind it where it has several

    MmtkError for a cell that is not there, or has no finished run, and for a folder that is no run. This module
    needs no torch: a command asks here first, so that a wrong name is refused at once.
    """
    paths = [Path(runs)] if isinstance(runs, str | Path) else [Path(run) for run in runs]
    studies = [path for path in paths if is_study(path)]
    if not studies:
        if cell is not None:
            raise MmtkError(f"--cell {cell}: a cell is one of a study.", hint="Give the study's folder.")
        check_runs(paths)
        return paths
    if len(paths) > 1:
        raise MmtkError("is a study, which is asked alone.", str(studies[0]), "Give it with --cell, or give runs.")
    return [run.path for _, run in sorted(cell_of(studies[0], cell).runs.items())]


def check_runs(paths: Sequence[Path]) -> None:
    """Refuse the first path that is no run directory, exported folder or study."""
    for path in paths:
        if not (is_run(path) or RunDir(path).recipe_file.is_file()):
            raise RunDir(path).no_run()


def is_study(path: Path) -> bool:
    """Whether a folder is that of a study."""
    return StudyDir(path).file.is_file()


def cell_of(study: Path, name: str | None) -> Cell:
    """The cell of a study by its name, or by name and label budget."""
    cells = StudyDir(study).collect().cells
    names = {title(cell): cell for cell in cells}
    named = [cell for key, cell in names.items() if name in (cell.name, key)]
    if len(named) != 1:
        what = "names no cell." if not named else "has several label budgets."
        message = (
            "which cell?"
            if name is None
            else f"--cell {name}: {what}{nearest(name, {cell.name for cell in cells})}"
        )
        raise MmtkError(message, str(study), f"Cells: {listing(names)}.")
    if not named[0].runs:
        raise MmtkError(f"{name} has no finished run.", str(study), StudyDir(study).command("ablate"))
    return named[0]


def title(cell: Cell) -> str:
    """Name of a cell with its label budget."""
    return f"{cell.name} {budget(cell.labels)}"


def leading_runs(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Arguments of a command: the run directories and studies in front, at least the first, and the rest.

    MmtkError where something else stands in front of a run.
    """
    first, run = paths[0], next((path for path in paths if is_run(path)), None)
    if run is not None and not is_run(first) and os.path.exists(first):
        what = "a folder without a run" if os.path.isdir(first) else "a file"
        raise MmtkError(f"is {what}, and {run} behind it is a run.", str(first), "Name the run first.")
    count = 1
    while count < len(paths) and is_run(paths[count]):
        count += 1
    return [*paths[:count]], [*paths[count:]]


def is_run(path: Path) -> bool:
    """Whether a path is a run directory, an exported folder or a study."""
    if not os.path.isdir(path):  # is_dir of Path raises for a name that is too long
        return False
    folder = RunDir(path)
    return folder.is_run or folder.model.is_file() or is_study(path)
