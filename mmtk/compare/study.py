"""Records as a study: the form that statistics and reports read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmtk.compare.check import missing_runs, value_columns
from mmtk.compare.records import RUN, Records
from mmtk.errors import MmtkError, listing, nearest
from mmtk.runs.arrays import Cases
from mmtk.runs.attributes import is_attribute
from mmtk.runs.finished import Run
from mmtk.runs.folder import RunDir
from mmtk.scores import ScoreInfo
from mmtk.stats.formulas import Images, compute
from mmtk.stats.jackknife import formula_of
from mmtk.study.results import Cell, Study

if TYPE_CHECKING:
    pass

Part = tuple[str, str]
Scores = dict[tuple[str, str, str], dict[int, float]]


def study_of(records: Records, title: str, first: str, origin: Mapping[str, str], command: str = "") -> Study:
    """The study of checked records.

    records: of systems
    title: of the report
    first: the system that is compared with every other; "" for the first one
    origin: what the report says of the sources
    command: that makes the report again
    """
    runs = _runs(records)
    if first and first not in runs:
        raise MmtkError(
            f"--system: no system '{first}'.{nearest(first, runs)}", hint=f"There are {listing(runs)}."
        )
    names = [first, *(name for name in runs if name != first)] if first else list(runs)
    tables = {name: _cases(records, name, runs[name]) for name in names}
    complete = _complete(records, tables)
    cells = []
    for number, name in enumerate(names):
        scores = _scores(records, name, runs[name], tables[name], complete)
        digest = hashlib.sha256(name.encode()).hexdigest()[:12]
        cell = Cell(name, {}, {}, digest, reference=number == 0, folds=records.folds)
        cell.runs = {seed: _run(records, digest, seed, scores) for seed in runs[name]}
        vars(cell).update(scores=scores, cases=tables[name], curves={})
        cells.append(cell)
    seeds = sorted({seed for numbers in runs.values() for seed in numbers})
    notes = [_sentence(note, runs) for note in records.notes]
    gaps = [*notes, *missing_runs(records)]
    study = Study(title, cells, seeds, gaps=gaps, command=command, origin=origin)
    vars(study).update(declared=records.declared)
    return study


def _sentence(note: str, names: Collection[str]) -> str:
    """A note with a capital, unless it begins with a name, such as ``val_dice``, and with a stop."""
    first = re.split(r"[\s,:]", note, maxsplit=1)[0]
    capital = note[:1].upper() if first.isalpha() and first not in names else note[:1]
    return f"{capital}{note[1:]}{'' if note.endswith('?') else '.'}"


def _runs(records: Records) -> dict[str, list[int]]:
    """Seeds by system, in the order of the sources."""
    runs: dict[str, set[int]] = {}
    for table in (records.cases, records.numbers):
        for system, seed in table[list(RUN)].drop_duplicates().itertuples(index=False):
            runs.setdefault(str(system), set()).add(int(seed))
    return {system: sorted(seeds) for system, seeds in runs.items()}


def _cases(records: Records, system: str, seeds: list[int]) -> Cases:
    """Values per case of a system by test set: numbers [seeds, cases], NaN for a run that has none."""
    tables: Cases = {}
    of_system = records.cases[records.cases["system"] == system]
    columns = value_columns(records.cases)
    for (domain, task), part in of_system.groupby(["domain", "task"], sort=False):
        ids, places = np.unique(part["id"].to_numpy(str), return_inverse=True)
        rows = np.searchsorted(seeds, part["seed"].to_numpy(int))
        table: dict[str, np.ndarray] = {"id": ids.astype(object)}
        for name in ("patient", *(name for name in part.columns if is_attribute(str(name)))):
            table[name] = _by_case(part[name], places, len(ids), rows, len(seeds))
        for name in columns:
            values = np.full((len(seeds), len(ids)), np.nan)
            values[rows, places] = part[name].to_numpy(float)
            if np.isfinite(values).any():
                table[name] = values
        tables[str(domain), str(task)] = table
    return tables


def _by_case(column: Any, places: np.ndarray, count: int, rows: np.ndarray, seeds: int) -> np.ndarray:
    """A column that describes cases: texts [cases], None where unknown, or numbers [seeds, cases]."""
    if column.dtype.kind == "f":
        numbers = np.full((seeds, count), np.nan)
        numbers[rows, places] = column.to_numpy(float)
        return numbers
    texts = np.full(count, None, object)
    present = column.notna().to_numpy()
    texts[places[present]] = column.to_numpy(object)[present]
    return texts


def _complete(records: Records, tables: Mapping[str, Cases]) -> dict[tuple[Part, str], set[str]]:
    """Cases by test set and score of which every run of every system that has the score has the values."""
    complete: dict[tuple[Part, str], set[str]] = {}
    for cases in tables.values():
        for part, table in cases.items():
            for metric, _, needed in formulas(records.declared[part[1]], table):
                finite = np.logical_and.reduce([np.isfinite(table[name]) for name in needed])
                ids = {str(name) for name in table["id"][finite[finite.any(1)].all(0)]} if finite.any() else set()
                key = (part, metric)
                complete[key] = complete[key] & ids if key in complete else ids
    return complete


def formulas(
    declared: Mapping[str, ScoreInfo], table: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, str, list[str]]]:
    """Scores that follow from the values of a test set: name, formula and the columns that it needs."""
    of_classes = [name for name in table if name in ("target", "predicted") or name.startswith("p-")]
    for metric, info in declared.items():
        formula = formula_of(metric, info, table)
        if formula.startswith("mean:"):
            yield metric, formula, [formula[5:]]
        elif formula and "target" in table:
            yield metric, formula, of_classes


def _scores(
    records: Records, system: str, seeds: list[int], tables: Cases, complete: Mapping[tuple[Part, str], set[str]]
) -> Scores:
    """Scores of a system by test set, task, name and seed.

    records: with scores that have no values per case
    system: its name
    seeds: of its runs
    tables: its values per case
    complete: cases that count, by test set and score
    """
    scores: Scores = {}
    of_system = records.numbers[records.numbers["system"] == system]
    for seed, domain, task, metric, value in of_system[["seed", "domain", "task", "metric", "value"]].itertuples(
        index=False
    ):
        scores.setdefault((domain, task, metric), {})[int(seed)] = float(value)
    for part, table in tables.items():
        for metric, formula, needed in formulas(records.declared[part[1]], table):
            of_score = _score(table, formula, needed, None if records.folds else complete[part, metric])
            values = {seed: value for seed, value in zip(seeds, of_score, strict=True) if np.isfinite(value)}
            if values:
                scores[*part, metric] = values
        finite = [np.isfinite(values) for values in table.values() if values.ndim == 2]
        present = np.logical_or.reduce(finite).sum(1) if finite else [0] * len(seeds)
        scores[*part, "n"] = {seed: float(n) for seed, n in zip(seeds, present, strict=True) if n}
        if "target" in table and "accuracy" in records.declared[part[1]]:
            majority = [_majority(row) for row in table["target"]]
            scores[*part, "majority-accuracy"] = dict(zip(seeds, majority, strict=True))
    return scores


def _score(table: Mapping[str, np.ndarray], formula: str, needed: list[str], ids: set[str] | None) -> np.ndarray:
    """[seeds] A score on the cases that count; of folds (None) on those that each has tested. NaN without."""
    counts = np.ones(len(table["id"]), bool) if ids is None else np.isin(table["id"].astype(str), [*ids])
    finite = np.logical_and.reduce([np.isfinite(table[name]) for name in needed]) & counts
    result = np.full(len(finite), np.nan)
    for row, mask in enumerate(finite):
        if mask.any():
            columns = {name: table[name][row : row + 1, mask] for name in needed}
            count = int(mask.sum())
            try:
                result[row] = compute(formula, Images(columns, np.arange(count), count)).score[0]
            except MmtkError:  # a score of two classes, of data that have more
                return result
    return result


def _majority(target: np.ndarray) -> float:
    present = target[np.isfinite(target)].astype(int)
    return float(np.bincount(present).max() / len(present)) if len(present) else float("nan")


def _run(records: Records, digest: str, seed: int, scores: Scores) -> Run:
    """A run of another program: its scores, without a folder."""
    numbers: dict[str, Any] = {}
    for (domain, task, metric), values in scores.items():
        if seed in values:
            numbers.setdefault(domain, {}).setdefault(task, {})[metric] = values[seed]
    targets = {task: {"names": records.classes.get(task, [])} for task in records.declared}
    provenance = {"data": {}, "components": {}, "targets": targets}
    run = Run(RunDir(Path("run-of-another-program")), digest, seed, numbers, provenance)
    vars(run).update(declared=records.declared, data={})
    return run
