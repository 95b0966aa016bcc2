"""Finished runs read back from their files, checked, and grouped into cells: all that reports see."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mmtk.errors import MmtkError
from mmtk.runs import RunDir, read_facts, read_lines

IN_DOMAIN, CROSS_DOMAIN = "in-domain", "cross-domain"
DOMAINS = (IN_DOMAIN, CROSS_DOMAIN)


@dataclass(frozen=True)
class Run:
    """One finished run: what its files say."""

    folder: RunDir
    digest: str
    seed: int
    scores: Mapping[str, Any]
    provenance: Mapping[str, Any]

    @property
    def path(self) -> Path:
        """The run directory."""
        return self.folder.path

    def score(self, domain: str, task: str, metric: str) -> float | None:
        """One number of ``results.json``; None where the run has none."""
        value = self.scores.get(domain, {}).get(task, {}).get(metric)
        return None if value is None else float(value)

    @cached_property
    def cases(self) -> dict[tuple[str, str], dict[str, np.ndarray]]:
        """Values per test image by (domain, task): every column that it has, [images] ordered by id."""
        import pyarrow.parquet as pq

        # One small file: starting threads, or looking for partitions of a data set, takes longer than reading.
        with pq.ParquetFile(self.folder.cases_file) as file:
            table = file.read(use_threads=False)
        columns = {name: table[name].to_numpy() for name in table.column_names}
        domains, tasks = columns.pop("domain"), columns.pop("task")
        order = np.argsort(columns["id"], kind="stable")
        measured = [name for name, column in columns.items() if column.dtype.kind == "f"]
        values = np.array([columns.pop(name) for name in measured]).reshape(len(measured), -1)
        found = {}
        for domain, task in dict.fromkeys(zip(domains, tasks, strict=True)):
            own = order[(domains[order] == domain) & (tasks[order] == task)]
            part = values[:, own]
            there = ~np.isnan(part).all(1)  # a column without a value in these rows belongs to another task
            found[domain, task] = {name: column[own] for name, column in columns.items()} | {
                name: row for name, row, known in zip(measured, part, there, strict=True) if known
            }
        return found

    @cached_property
    def logged(self) -> dict[str, np.ndarray]:
        """The columns of ``metrics.jsonl``, [rows]; NaN where a row does not have the key."""
        rows = read_lines(self.folder.metrics_file)
        keys = list(dict.fromkeys(key for row in rows for key in row))
        table = np.array([[row.get(key, np.nan) for key in keys] for row in rows], float)
        return dict(zip(keys, table.T, strict=True)) if rows else {}

    def curve(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps [T], ascending, and the finite values [T] of a key of ``metrics.jsonl`` at them."""
        values = self.logged.get(key, np.array([]))
        finite = np.isfinite(values)
        if not finite.any():
            return np.array([]), np.array([])
        steps, values = self.logged["step"][finite], values[finite]
        if (np.diff(steps) <= 0).any():  # a resumed run may repeat a step: its last row counts
            steps, last = np.unique(steps[::-1], return_index=True)
            values = values[::-1][last]
        return steps, values

    @cached_property
    def data(self) -> dict[str, Any]:
        """Counts of parts and classes, and intensities, by ``task/domain`` (mmtk.samples.describe)."""
        return read_facts(self.folder.data_file)

    @cached_property
    def samples(self) -> dict[str, np.ndarray]:
        """Arrays of a few test images under ``DOMAIN/TASK/WHAT`` (mmtk.samples.write_samples)."""
        try:
            with np.load(self.folder.samples_file, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise MmtkError(f"cannot be read: {error}", str(self.folder.samples_file)) from error

    @property
    def seconds(self) -> float:
        """How long training took."""
        return float(read_facts(self.folder.done_file, training_seconds=(int, float))["training_seconds"])

    @cached_property
    def tested(self) -> dict[str, str]:
        """A hash of the ids of every test set, by ``task/domain``: what must agree between runs compared."""
        splits = read_facts(self.folder.splits_file)
        splits = read_facts(self.folder.splits_file, **dict.fromkeys(splits, dict))
        names = {IN_DOMAIN: "test", CROSS_DOMAIN: CROSS_DOMAIN}
        return {
            f"{task}/{domain}": hashlib.sha256(json.dumps(parts[part]).encode()).hexdigest()
            for task, parts in splits.items()
            for domain, part in names.items()
            if part in parts
        }


def read_run(path: Path) -> Run:
    """A finished run; MmtkError for one that is unfinished, or whose files are not as it left them."""
    folder = RunDir(path)
    if not folder.recipe_file.is_file():
        raise MmtkError("is no run directory: it has no recipe.toml.", str(path), "Name a study or finished runs.")
    if not folder.finished:
        cure = f"Finish it with: mmtk run {path}"
        raise MmtkError("this run is not finished.", str(path), cure)
    if changed := folder.altered():
        verb = "was" if len(changed) == 1 else "were"
        raise MmtkError(
            f"{', '.join(changed)} {verb} changed or cut after the run ended, so its numbers do not count.",
            str(path),
            f"Restore what it was, or remove {folder.done_file.name} and finish it again: mmtk run {path}",
        )
    provenance = read_facts(folder.provenance_file, digest=str, seed=int, data=dict)
    scores = read_facts(folder.results_file)
    return Run(folder, provenance["digest"], provenance["seed"], scores, provenance)


@dataclass
class Cell:
    """One system at one label budget, and its runs by seed.

    ``levels`` holds the label of every axis of the study, ``labels`` the budget of every task that it has.
    ``beside`` marks a reference that is no cell of the design: it has more parts than the axes name.
    """

    name: str
    levels: dict[str, str]
    labels: dict[str, int | str]
    digest: str
    reference: bool = False
    beside: bool = False
    runs: dict[int, Run] = field(default_factory=dict)

    @property
    def tasks(self) -> list[str]:
        """The tasks that it trains."""
        return sorted(self.labels)

    def values(self, domain: str, task: str, metric: str) -> dict[int, float]:
        """A score by seed, of the runs that have it."""
        found = {seed: run.score(domain, task, metric) for seed, run in sorted(self.runs.items())}
        return {seed: value for seed, value in found.items() if value is not None}


@dataclass
class Study:
    """The cells of a study with what is there of them.

    ``axes`` maps the key of every axis to its levels, the one without the component first; it is empty for a
    list of systems. ``gaps`` says what is missing or left out, and why: never averaged over in silence.
    """

    title: str
    cells: list[Cell]
    seeds: list[int]
    axes: dict[str, list[str]] = field(default_factory=dict)
    design: str = ""
    gaps: list[str] = field(default_factory=list)
    command: str = ""

    def cell(self, name: str, labels: Mapping[str, int | str]) -> Cell | None:
        """The cell of a system at a budget; a task that the system has not does not count."""
        for cell in self.cells:
            if cell.name == name and all(labels.get(task, label) == label for task, label in cell.labels.items()):
                return cell
        return None

    @property
    def budgets(self) -> list[dict[str, int | str]]:
        """The budgets of the systems with both tasks (of all, where there is none), in order."""
        both = [cell.labels for cell in self.cells if len(cell.labels) == 2] or [c.labels for c in self.cells]
        return [dict(pairs) for pairs in sorted({tuple(sorted(b.items())) for b in both}, key=_by_size)]

    def comparable(self) -> None:
        """Refuse runs that were tested on other data: their numbers must not stand in one table."""
        check_comparable([run for cell in self.cells for run in cell.runs.values()])


def _by_size(budget: tuple[tuple[str, int | str], ...]) -> list[tuple[str, float]]:
    return [(task, float("inf") if label == "full" else float(label)) for task, label in budget]


def check_comparable(runs: Iterable[Run]) -> None:
    """Raise MmtkError naming the runs whose data or test images differ from the others'."""
    known: dict[tuple[str, str], tuple[str, Run]] = {}
    wrong = []
    for run in runs:
        facts = {("data", name): digest for name, digest in run.provenance["data"].items()}
        facts |= {("test images", name): digest for name, digest in run.tested.items()}
        for (what, name), digest in facts.items():
            first, other = known.setdefault((what, name), (digest, run))
            if digest != first:
                wrong.append(f"{run.path} and {other.path} have other {what} in {name}")
    if wrong:
        raise MmtkError(
            f"these runs cannot be compared: {'; '.join(wrong[:3])}{' …' if len(wrong) > 3 else ''}.",
            hint="Report them apart, or run one of them again on the data of the other.",
        )


def from_runs(paths: Sequence[Path]) -> Study:
    """A study of single runs: those that differ only in the seed are one cell, and the first is the reference."""
    runs = [read_run(path) for path in paths]
    check_comparable(runs)
    cells: dict[str, Cell] = {}
    for run in runs:
        recipe = run.folder.recipe
        labels = {task: recipe[f"data.{task}.labels"] for task in recipe.tasks}
        cell = cells.setdefault(run.digest, Cell(recipe.name, {}, labels, run.digest, reference=not cells))
        if run.seed in cell.runs:
            both = f"{cell.runs[run.seed].path} and {run.path}"
            raise MmtkError(f"{both} are the same run: digest {run.digest}, seed {run.seed}.", hint="Name one.")
        cell.runs[run.seed] = run
    for cell, twins in _twins(cells.values()):
        cell.name = f"{cell.name} {cell.digest[:4]}" if twins else cell.name
    seeds = sorted({run.seed for run in runs})
    gaps = [f"{c.name}: no run with seed {seed}" for c in cells.values() for seed in seeds if seed not in c.runs]
    return Study(", ".join(path.name for path in paths), list(cells.values()), seeds, gaps=gaps)


def _twins(cells: Iterable[Cell]) -> Iterator[tuple[Cell, bool]]:
    """Every cell, and whether another one has its name and budget."""
    listed = list(cells)
    names = [(cell.name, tuple(sorted(cell.labels.items()))) for cell in listed]
    yield from [(cell, names.count(name) > 1) for cell, name in zip(listed, names, strict=True)]
