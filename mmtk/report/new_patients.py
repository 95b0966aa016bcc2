"""Intervals of the scores of an evaluation, as ``mmtk evaluate`` gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def intervals_of(
    runs: Sequence[Run], cases: Sequence[Path], results: Sequence[Results], declared: Mapping[str, Scores]
) -> dict[str, Any]:
    """Intervals of scores by test set, task and score, as JSON holds them; ``notes`` on patients nobody named.

    runs: of one system, by seed
    cases: file of the values per image of each
    results: scores of each by test set, task and name
    declared: declarations of the scores by task

    Of several runs they are two-way intervals of the mean score, for new trainings and new patients; of one run,
    or of an ensemble in the place of one, for new patients. An interval has ``low``, ``high``, both None where
    there is none, ``patients``, and ``note``, which says why. Scores that values per image do not give are absent.
    """
    study = _of_one_cell(runs, cases, results, declared)
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


def mean_results(results: Sequence[Results]) -> Results:
    """Mean of every score that all runs have, by test set, task and name."""
    return {
        domain: {
            task: {
                name: sum(one[domain][task][name] for one in results) / len(results)
                for name in scores
                if all(name in one[domain][task] for one in results)
            }
            for task, scores in by_task.items()
        }
        for domain, by_task in results[0].items()
    }


def _of_one_cell(
    runs: Sequence[Run], cases: Sequence[Path], results: Sequence[Results], declared: Mapping[str, Scores]
) -> Study:
    """The runs as a study, with the tables of their evaluation in place of their own."""
    first, seeds = runs[0], [run.seed for run in runs]
    of_seeds = dict(zip(seeds, runs, strict=True))
    cell = Cell(first.digest, {}, dict.fromkeys(declared, "full"), first.digest, reference=True, runs=of_seeds)
    values: dict[tuple[str, str, str], dict[int, float]] = {}
    for seed, result in zip(seeds, results, strict=True):
        for domain, by_task in result.items():
            for task, scores in by_task.items():
                for name, value in scores.items():
                    values.setdefault((domain, task, name), {})[seed] = float(value)
    vars(cell).update(scores=values, cases=read_cases(cases))
    study = Study(str(first.path), [cell], seeds)
    vars(study).update(declared=declared)
    return study


def _as_json(one: Interval) -> dict[str, Any]:
    """An interval; that there is one seed goes without saying."""
    flags = one.flags - {"one seed"}
    note = "; ".join(part for part in one.note.split("; ") if not part.startswith("one seed")) if flags else ""
    return {"low": one.low, "high": one.high, "patients": one.patients, "note": note}
