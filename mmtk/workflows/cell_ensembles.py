"""Ensembles of a study: the runs of every cell averaged, and scored on the study's own test sets."""

from __future__ import annotations

from pathlib import Path

from mmtk.counts import counted
from mmtk.errors import MmtkError
from mmtk.runs.display import Display
from mmtk.study.ensembles import ensemble_folder, ensembles_of
from mmtk.study.folder import StudyDir
from mmtk.study.results import Study
from mmtk.workflows.evaluate import evaluate
from mmtk.workflows.members import title


def evaluate_cells(
    study: str | Path, *, data: str | Path | None = None, device: str = "auto", quiet: bool = True
) -> Study:
    """Score the ensemble of every cell with two finished runs or more into ``STUDY/ensembles``; the study.

    study: its folder; ensembles of the same runs that lie there are left as they are
    data: the folder of the data sets (default: the one that the runs used)
    device: auto, cpu or cuda
    quiet: print nothing
    """
    display, folder = Display(quiet), StudyDir(Path(study))
    results = folder.collect()
    if results.folds:
        message = "its runs test folds: what one of them tested, another was trained on."
        raise MmtkError(message, str(study), "Ensembles are for studies with seeds.")
    present = ensembles_of(folder.path, results)
    several = [cell for cell in results.cells if len(cell.runs) > 1]
    if not several:
        raise MmtkError("no cell has two finished runs to average.", str(study), folder.command("ablate"))
    for number, cell in enumerate(several, 1):
        if cell.digest in present:
            continue
        display.note(f"Ensemble {number}/{len(several)}: {title(cell)}, {counted(len(cell.runs), 'run')}")
        paths = [run.path for _, run in sorted(cell.runs.items())]
        out = ensemble_folder(folder.path, cell)
        evaluate(paths, out=out, data=data, device=device, pictures=False)
    return results
