"""Results of a study: finished runs grouped into cells, all that reports see."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmtk.counts import counted
from mmtk.errors import MmtkError
from mmtk.io.parallel import on_all_cores
from mmtk.runs.arrays import Cases, Series, joined, read_cases, read_curves
from mmtk.runs.finished import Run, check_comparable, read_run
from mmtk.runs.result import Result, html_table
from mmtk.scores import ScoreInfo, merged
from mmtk.study.jackknives import Jackknives
from mmtk.study.stopping import Stopping
from mmtk.study.tuned_systems import TunedSystem
from mmtk.tasks import DOMAINS, IN_DOMAIN, TASKS

if TYPE_CHECKING:
    from pandas import DataFrame


LONG = ("system", "digest", "budget", "seed", "domain", "task", "metric", "value")
IMAGES = ("system", "digest", "budget", "seed", "domain", "task", "id")
OF_FOLDS = ("fold", "repeat")  # columns of both tables behind the seed, in a study of folds


@dataclass
class Cell:
    """One system at one label budget, and its runs by seed.

    ``levels`` holds the label of every axis of the study, ``labels`` the budget of every task that it has.
    ``beside`` marks a reference that is no cell of the design: it has more parts than the axes name. ``system``
    is the digest without label budgets, one for a system at all of them (default: the name). ``folds``: of a
    repeat, where the runs test folds of the patients; 0 where all test the same images.
    """

    name: str
    levels: dict[str, str]
    labels: dict[str, int | str]
    digest: str
    reference: bool = False
    beside: bool = False
    runs: dict[int, Run] = field(default_factory=dict)
    system: str = ""
    folds: int = 0

    def __post_init__(self) -> None:
        self.system = self.system or self.name

    @property
    def unit(self) -> str:
        """Unit of its runs: a seed on one test set, or a fold."""
        return "fold" if self.folds else "seed"

    @property
    def tasks(self) -> list[str]:
        """The tasks that it trains; of runs of other programs those that they have scores of."""
        return sorted(self.labels) or sorted({task for _, task, _ in self.scores})

    @property
    def budget(self) -> str:
        """Its labels of classes and of masks in one word, such as ``25-full``; – for a task that it has not."""
        return "-".join(str(self.labels.get(task, "–")) for task in ("classification", "segmentation"))

    def values(self, domain: str, task: str, metric: str) -> dict[int, float]:
        """A score by seed, of the runs that have it."""
        return self.scores.get((domain, task, metric), {})

    @property
    def folded_set(self) -> str | None:
        """The test set that its folds divide: in-domain, of another program the one that it has; None without."""
        names = {domain for domain, _, _ in self.scores}
        return None if not self.folds else names.pop() if len(names) == 1 else IN_DOMAIN

    def images(self, domain: str, task: str) -> int:
        """Number of test images; of folds those that the folds of a repeat test together."""
        counts = [int(run.score(domain, task, "n") or 0) for _, run in sorted(self.runs.items())]
        if domain != self.folded_set:
            return counts[0]
        return round(sum(counts) / len(counts) * self.folds)

    def level(self, declared: ScoreInfo, domain: str, task: str) -> float | None:
        """Score without a look at the image, the mean over folds; None where the score declares none."""
        runs = [run for _, run in sorted(self.runs.items())]
        runs = runs if self.folds else runs[:1]
        levels = [declared.level(run.scores.get(domain, {}).get(task, {})) for run in runs]
        known_levels = [level for level in levels if level is not None]
        return sum(known_levels) / len(known_levels) if known_levels else None

    @cached_property
    def scores(self) -> dict[tuple[str, str, str], dict[int, float]]:
        """Every number of ``results.json`` by (domain, task, metric) and by seed, of the runs that have it."""
        values: dict[tuple[str, str, str], dict[int, float]] = {}
        for (seed, run), domain in itertools.product(sorted(self.runs.items()), DOMAINS):
            for task, numbers in run.scores.get(domain, {}).items():
                for metric, value in numbers.items():
                    if value is not None:
                        values.setdefault((domain, task, metric), {})[seed] = float(value)
        return values

    @cached_property
    def cases(self) -> Cases:
        """Values per test image as of ``read_cases``, seeds ascending; NaN for a run that has no such file.

        Of folds all images that any run has tested, NaN for the runs that have not.
        """
        files = [run.folder.cases_file for _, run in sorted(self.runs.items())]
        has_cases = np.array([file.is_file() for file in files], bool)
        if not has_cases.any():
            return {}
        some = [file for file, has_file in zip(files, has_cases, strict=True) if has_file]
        tables = joined([read_cases([file]) for file in some]) if self.folds else read_cases(some)
        numbers = [(part, name) for part, table in tables.items() for name in table if table[name].ndim == 2]
        for part, name in numbers:
            rows = np.full((len(files), tables[part][name].shape[1]), np.nan)
            rows[has_cases] = tables[part][name]
            tables[part][name] = rows
        return tables

    @cached_property
    def curves(self) -> dict[str, Series]:
        """Curves of the runs, as of ``read_curves``, seeds ascending."""
        return read_curves([run.folder.metrics_file for _, run in sorted(self.runs.items())])

    def tables(self) -> dict[str, Any]:
        """Tables that reports need, from the files of the runs: scores, cases and curves."""
        return {"scores": self.scores, "cases": self.cases, "curves": self.curves}


@dataclass(repr=False)
class Study:
    """The cells of a study with what is there of them.

    ``axes`` maps the key of every axis to its levels, the one without the component first; it is empty for a
    list of systems. ``gaps`` says what is missing or left out, and why: never averaged over in silence.
    ``stopping`` is the rule of a study that adds seeds until its verdicts are settled. ``before`` is the same
    study without tuning, of one that tuned its systems, and ``tuning`` has the trials of each. ``ensembles`` maps
    the digest of a cell to the folder of its runs' ensemble, where there is one. ``origin`` says where the numbers
    of other programs come from, for which there are no run directories; it is empty for runs of mmtk.
    """

    title: str
    cells: list[Cell]
    seeds: list[int]
    axes: dict[str, list[str]] = field(default_factory=dict)
    design: str = ""
    gaps: list[str] = field(default_factory=list)
    command: str = ""
    stopping: Stopping | None = None
    before: Study | None = None
    tuning: Sequence[TunedSystem] = ()
    ensembles: Mapping[str, Path] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def declared(self) -> dict[str, dict[str, ScoreInfo]]:
        """The scores that the metrics of the runs declare, by task; the first run of a score counts."""
        return merged(run.declared for cell in self.cells for _, run in sorted(cell.runs.items()))

    @cached_property
    def domains(self) -> list[str]:
        """The test sets: both domains, of runs of other programs those that they name."""
        names = [domain for cell in self.cells for domain, _, _ in cell.scores] if self.origin else DOMAINS
        return list(dict.fromkeys(names))

    @cached_property
    def tasks(self) -> list[str]:
        """The tasks that scores are declared for, those that mmtk trains first."""
        return [*(task for task in TASKS if task in self.declared), *(t for t in self.declared if t not in TASKS)]

    @cached_property
    def jackknives(self) -> Jackknives:
        """Scores of the cells without each patient: what intervals for new patients rest on."""
        return Jackknives(self)

    @property
    def folds(self) -> int:
        """Folds of a repeat, where the runs test folds of the patients; 0 where all test the same images."""
        return self.cells[0].folds if self.cells else 0

    @property
    def folded_set(self) -> str | None:
        """The test set that the folds divide; None without folds."""
        return next((cell.folded_set for cell in self.cells if cell.runs), None)

    @property
    def unit(self) -> str:
        """Unit of the runs of a cell: a seed on one test set, or a fold."""
        return "fold" if self.folds else "seed"

    @property
    def systems(self) -> dict[str, str]:
        """The name of every system by its digest without label budgets, in order."""
        return {cell.system: cell.name for cell in self.cells}

    def cell(self, system: str, labels: Mapping[str, int | str]) -> Cell | None:
        """The cell of a system at a budget; a task that the system has not does not count."""
        system_cells = (cell for cell in self.cells if cell.system == system)
        return next(
            (c for c in system_cells if all(labels.get(t, label) == label for t, label in c.labels.items())), None
        )

    @property
    def budgets(self) -> list[dict[str, int | str]]:
        """The budgets of the systems with both tasks (of all, where there is none), in order."""
        both = [cell.labels for cell in self.cells if len(cell.labels) == 2] or [c.labels for c in self.cells]
        return [dict(pairs) for pairs in sorted({tuple(sorted(b.items())) for b in both}, key=_by_size)]

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Every score of every run under ``LONG``: one row per system, seed, test set and metric."""
        for cell in self.cells:
            for (domain, task, metric), values in cell.scores.items():
                for seed, value in values.items():
                    yield cell.name, cell.digest, cell.budget, seed, domain, task, metric, value

    def frame(self) -> DataFrame:
        """Every score of every run as a tidy table, under the columns ``LONG``, of folds ``OF_FOLDS`` as well."""
        from pandas import DataFrame

        return self._with_folds(DataFrame(self.rows(), columns=list(LONG)))

    def cases(self) -> DataFrame:
        """Values per test image of every run as a tidy table: ``IMAGES``, attributes, then every score.

        A row for each system, budget, seed, domain, task and image; a score that a task has not is empty. Of
        folds the columns ``OF_FOLDS`` stand behind the seed.
        """
        from pandas import DataFrame, concat

        tables = [
            Result(run.path, run.scores)
            .cases()
            .assign(system=cell.name, digest=cell.digest, budget=cell.budget, seed=seed)
            for cell in self.cells
            for seed, run in sorted(cell.runs.items())
            if run.folder.cases_file.is_file()
        ]
        table = concat(tables, ignore_index=True) if tables else DataFrame(columns=list(IMAGES))
        return self._with_folds(table[[*IMAGES, *(name for name in table.columns if name not in IMAGES)]])

    def worth(self) -> DataFrame:
        """Worth of components in labels as a tidy table, of a study of several budgets: see ``mmtk.worth``."""
        import mmtk

        return mmtk.worth(self)

    def _with_folds(self, table: DataFrame) -> DataFrame:
        """The table with fold and repeat of every row, in a study of folds."""
        if not self.folds:
            return table
        columns = list(table.columns)
        fold_column = columns.index("seed") + 1
        table = table.assign(fold=table["seed"] % self.folds, repeat=table["seed"] // self.folds)
        return table[[*columns[:fold_column], *OF_FOLDS, *columns[fold_column:]]]

    def __repr__(self) -> str:
        runs = sum(len(cell.runs) for cell in self.cells)
        numbers = {"cell": len(self.cells), "run": runs, "gap": len(self.gaps)}
        return f"Study({self.title!r}: {', '.join(counted(number, what) for what, number in numbers.items())})"

    def _repr_html_(self) -> str:
        rows = [
            (
                f"{cell.name}{' (reference)' if cell.reference else ''}",
                *cell.levels.values(),
                *(cell.labels.get(task, "–") for task in ("classification", "segmentation")),
                f"{len(cell.runs)} of {len(self.seeds)}",
                cell.digest,
            )
            for cell in self.cells
        ]
        axes = [key.removesuffix(".use") for key in (self.cells[0].levels if self.cells else ())]
        table = html_table(self.title, ("system", *axes, "class labels", "masks", "runs", "digest"), rows)
        return table + "".join(f"<div>Missing: {escape(gap)}</div>" for gap in self.gaps)

    def read(self) -> None:
        """Read what reports need of every run, on all cores; what was read already is not read again."""
        cells = [cell for cell in self.cells if not vars(cell).keys() >= {"scores", "cases", "curves"}]
        for cell, tables in zip(cells, on_all_cores([cell.tables for cell in cells]), strict=True):
            vars(cell).update(tables)

    def comparable(self) -> None:
        """Refuse runs that were tested on other data: their numbers must not stand in one table."""
        check_comparable([run for cell in self.cells for run in cell.runs.values()], self.folds)


def _by_size(budget: tuple[tuple[str, int | str], ...]) -> list[tuple[str, float]]:
    return [(task, float("inf") if label == "full" else float(label)) for task, label in budget]


def from_runs(paths: Sequence[Path]) -> Study:
    """A study of single runs: those that differ only in the seed are one cell, and the first is the reference."""
    if not paths:
        raise MmtkError("no run is given.", hint="Name a study or finished runs.")
    runs = [read_run(path) for path in paths]
    folds = runs[0].folder.recipe.data.folds or 0
    check_comparable(runs, folds)
    cells: dict[str, Cell] = {}
    for run in runs:
        recipe = run.folder.recipe
        labels: dict[str, int | str] = {task: recipe.task_data(task).labels for task in recipe.tasks}
        fresh = Cell(recipe.name, {}, labels, run.digest, reference=not cells, system=recipe.system_digest)
        fresh.folds = folds
        cell = cells.setdefault(run.digest, fresh)
        if run.seed in cell.runs:
            both = f"{cell.runs[run.seed].path} and {run.path}"
            raise MmtkError(f"{both} are the same run: digest {run.digest}, seed {run.seed}.", hint="Name one.")
        cell.runs[run.seed] = run
    tell_apart(cells.values())
    seeds = sorted({run.seed for run in runs})
    gaps = [f"{c.name}: no run with seed {seed}" for c in cells.values() for seed in seeds if seed not in c.runs]
    return Study(", ".join(path.name for path in paths), list(cells.values()), seeds, gaps=gaps)


def tell_apart(cells: Iterable[Cell]) -> None:
    """Add the first digits of their digests to the names that two systems share: all of their cells get them."""
    listed = list(cells)
    systems: dict[str, set[str]] = {}
    for cell in listed:
        systems.setdefault(cell.name, set()).add(cell.system)
    for cell in listed:
        if len(other_systems := systems[cell.name] - {cell.system}) > 0:
            digits = next(n for n in range(4, 65) if all(cell.system[:n] != other[:n] for other in other_systems))
            cell.name = f"{cell.name} {cell.system[:digits]}"
