"""Ensembles of a study's cells, as ``mmtk evaluate STUDY`` wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmtk.io.files import read_facts
from mmtk.runs.arrays import read_cases
from mmtk.study.results import Cell, Study

SEED = 0  # of the one "run" that an ensemble is in statistics


def ensemble_folder(study: Path, cell: Cell) -> Path:
    """Folder of the ensemble of a cell."""
    return study / "ensembles" / cell.digest


def ensembles_of(study: Path, results: Study) -> dict[str, Path]:
    """Folders of the ensembles by the digest of their cells; none of other runs than the cell has now."""
    folders = {}
    for cell in results.cells:
        folder = ensemble_folder(study, cell)
        if not (folder / "evaluation.json").is_file():
            continue
        facts = read_facts(folder / "evaluation.json", runs=list)
        if {Path(run).name for run in facts["runs"]} == {run.path.name for run in cell.runs.values()}:
            folders[cell.digest] = folder
    return folders


def as_study(results: Study, folders: Mapping[str, Path]) -> Study:
    """The study with one run for each cell, its ensemble, in the place of its runs."""
    cells = []
    for cell in results.cells:
        if folder := folders.get(cell.digest):
            first = next(iter(cell.runs.values()))
            one = Cell(
                cell.name,
                cell.levels,
                cell.labels,
                cell.digest,
                cell.reference,
                cell.beside,
                {SEED: first},
                cell.system,
            )
            scores = {
                (domain, task, name): {SEED: float(value)}
                for domain, tasks in read_facts(folder / "results.json").items()
                for task, numbers in tasks.items()
                for name, value in numbers.items()
            }
            vars(one).update(scores=scores, cases=read_cases([folder / "cases.parquet"]))
            cells.append(one)
    study = Study(results.title, cells, [SEED], results.axes, results.design)
    vars(study).update(declared=results.declared)
    return study
