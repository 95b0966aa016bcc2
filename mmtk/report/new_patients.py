"""Intervals of the scores of one network for new patients, as ``mmtk evaluate`` gives them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmtk.report.intervals import bounded
from mmtk.report.patients import of_unnamed
from mmtk.runs.arrays import read_cases
from mmtk.runs.finished import Run
from mmtk.scores import Scores
from mmtk.stats import Interval
from mmtk.study.results import Cell, Study

Results = Mapping[str, Mapping[str, Mapping[str, float]]]


def patient_intervals(run: Run, cases: Path, results: Results, declared: Mapping[str, Scores]) -> dict[str, Any]:
    """Intervals of scores by test set, task and score, as JSON holds them; ``notes`` on patients nobody named.

    run: that was scored
    cases: file of the values per image
    results: scores by test set, task and name
    declared: declarations of the scores by task

    An interval has ``low``, ``high``, both None where there is none, ``patients``, and ``note``, which says why.
    Scores that values per image do not give are absent.
    """
    study = _of_one_cell(run, cases, results, declared)
    (cell,) = study.cells
    intervals: dict[str, Any] = {}
    notes: dict[str, Any] = {}
    for domain, task in cell.cases:
        rows = {}
        for name, score in declared[task].items():
            if one := study.jackknives.contrast([(1.0, cell)], domain, task, name):
                rows[name] = _as_json(bounded(one, score, difference=False))
        intervals.setdefault(domain, {})[task] = rows
        if unnamed := of_unnamed(study.jackknives.images(domain, task)):
            notes.setdefault(domain, {})[task] = unnamed
    return {"intervals": intervals, "notes": notes}


def _of_one_cell(run: Run, cases: Path, results: Results, declared: Mapping[str, Scores]) -> Study:
    """The run as a study, with the tables of its evaluation in place of its own."""
    cell = Cell(run.digest, {}, dict.fromkeys(declared, "full"), run.digest, reference=True, runs={run.seed: run})
    values = {
        (domain, task, name): {run.seed: float(value)}
        for domain, by_task in results.items()
        for task, scores in by_task.items()
        for name, value in scores.items()
    }
    vars(cell).update(scores=values, cases=read_cases([cases]))
    study = Study(str(run.path), [cell], [run.seed])
    vars(study).update(declared=declared)
    return study


def _as_json(one: Interval) -> dict[str, Any]:
    """An interval of one network; that there is one seed goes without saying."""
    flags = one.flags - {"one seed"}
    note = "; ".join(part for part in one.note.split("; ") if not part.startswith("one seed")) if flags else ""
    return {"low": one.low, "high": one.high, "patients": one.patients, "note": note}
