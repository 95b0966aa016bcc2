"""Tuning of the systems of a study: the same number of trials for each, chosen by validation alone."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from mmtk.counts import counted
from mmtk.errors import MmtkError, Problems, listing
from mmtk.recipe import tables, toml, tune
from mmtk.recipe.load import resolve
from mmtk.recipe.recipe import Recipe
from mmtk.recipe.toml import Layer
from mmtk.registry import catalog, factory, signature
from mmtk.search import Choice, Search, Settings, Space, Trial, draws
from mmtk.study.cells import PlannedCell

FIRST_SEED = 1000  # of trials: not one of the study's, whose label subsets the choice would then have seen
RANDOM: Mapping[str, Any] = {"use": "random"}
Values = Mapping[str, Sequence[float | None]]  # by digest of the cell, of its trials in order


@dataclass(frozen=True)
class Tuning:
    """The rule, written down before the first run, and how far its trials are. Cells are named by their digest.

    trials: of every cell; the first has the recipe's own settings
    search: ``use`` and keys of the component that proposes settings
    seeds: of the runs of every trial, whose mean validation score is its value
    spaces: keys that mean something in each cell, with their values
    settings: of the trials after the first, as far as they are proposed
    best: the best trial of each cell; empty while trials run
    """

    trials: int
    search: Mapping[str, Any]
    seeds: Sequence[int]
    spaces: Mapping[str, Space]
    settings: Mapping[str, Sequence[Settings]] = field(default_factory=dict)
    best: Mapping[str, int] = field(default_factory=dict)

    @property
    def rule(self) -> dict[str, Any]:
        """Facts that may not change once a study has begun."""
        spaces = {digest: tune.to_json(space) for digest, space in self.spaces.items()}
        return {"trials": self.trials, "search": dict(self.search), "seeds": list(self.seeds), "spaces": spaces}

    def to_json(self) -> dict[str, Any]:
        """The rule and its state, as study.json holds them."""
        settings = {digest: [dict(one) for one in several] for digest, several in self.settings.items()}
        return {**self.rule, "settings": settings, "best": dict(self.best)}

    @property
    def count(self) -> int:
        """Trials of every cell that are proposed so far."""
        return 1 + min((len(several) for several in self.settings.values()), default=0)

    def settings_of(self, digest: str) -> list[Settings]:
        """Settings of the trials of a cell that are proposed so far; {}: the recipe's own."""
        return [{}, *self.settings.get(digest, ())]

    def numbered(self, cell: PlannedCell) -> list[PlannedCell]:
        """The trials of a cell by their number; one with the settings of an earlier trial is that trial."""
        by_digest: dict[str, PlannedCell] = {}
        trials = [cell.trial(i, settings) for i, settings in enumerate(self.settings_of(cell.recipe.digest))]
        return [by_digest.setdefault(trial.recipe.digest, trial) for trial in trials]

    def trial_cells(self, cells: Iterable[PlannedCell]) -> list[PlannedCell]:
        """Every trial that has runs, in the order of the trials."""
        by_number = itertools.zip_longest(*map(self.numbered, cells))
        trials = {trial.recipe.digest: trial for row in by_number for trial in row if trial is not None}
        return list(trials.values())

    def tuned_cells(self, cells: Iterable[PlannedCell]) -> list[PlannedCell]:
        """The cells with their best settings; none while trials run."""
        if not self.best:
            return []
        return [cell.tuned(self.settings_of(d := cell.recipe.digest)[self.best[d]]) for cell in cells]

    def advanced(self, cells: Sequence[PlannedCell], values: Values) -> Tuning:
        """The next trial of every cell, or the best one where all have run.

        cells: of the study
        values: of the trials that are proposed so far, all of which have run
        """
        if self.count < self.trials:
            return self.proposed(cells, values)
        best = {digest: best_trial(of_cell) for digest, of_cell in values.items()}
        return replace(self, best=best)

    def proposed(self, cells: Sequence[PlannedCell], values: Values) -> Tuning:
        """Propose the next trial of every cell, or all trials at once where the search is not sequential.

        cells: of the study
        values: of the trials so far
        """
        search, settings = make_search(self.search), {**self.settings}
        last = self.count + 1 if search.sequential else self.trials
        for cell, number in itertools.product(cells, range(self.count, last)):
            digest = cell.recipe.digest
            history = self._history(cell, values[digest]) if search.sequential else []
            settings[digest] = [*settings.get(digest, ()), self._proposal(search, digest, history, number)]
        return replace(self, settings=settings)

    def _history(self, cell: PlannedCell, values: Sequence[float | None]) -> list[Trial]:
        settings = self.settings_of(cell.recipe.digest)
        settings[0] = own_settings(cell.recipe, self.spaces[cell.recipe.digest])
        return [Trial(one, value) for one, value in zip(settings, values, strict=True)]

    def _proposal(self, search: Search, digest: str, history: Sequence[Trial], number: int) -> Settings:
        """Settings that a search proposes for a trial; MmtkError where they are not in the space.

        search: that proposes
        digest: of the cell
        history: of the cell's trials
        number: of the trial
        """
        if not (space := self.spaces[digest]):
            return {}
        settings = search.propose(space, history, draws(self.seeds[0], number))
        wrong = [key for key in {**space, **settings} if key not in space or settings.get(key) not in space[key]]
        if wrong:
            what = ", ".join(f"{key} = {settings.get(key)}" for key in wrong)
            cure = f"mmtk plugins check search/{self.search['use']} says more."
            raise MmtkError(f"search/{self.search['use']} proposes {what}, outside the space.", hint=cure)
        return {key: settings[key] for key in space}


def from_json(table: Mapping[str, Any] | None) -> Tuning | None:
    """A rule read back; None for a study without tuning."""
    if not table:
        return None
    spaces = {digest: tune.from_json(space) for digest, space in table["spaces"].items()}
    return Tuning(table["trials"], table["search"], table["seeds"], spaces, table["settings"], table["best"])


def best_trial(values: Sequence[float | None]) -> int:
    """Number of the trial with the highest value, the first of equal ones; 0 where all diverged."""
    numbers = [number for number, value in enumerate(values) if value is not None]
    return max(numbers, key=lambda number: (cast(float, values[number]), -number), default=0)


def own_settings(recipe: Recipe, space: Collection[str]) -> Settings:
    """The values of a recipe for the keys of a space, of those that it has."""
    values = {key: recipe.get(key) for key in space}
    return {key: value for key, value in values.items() if value is not None}


def search_table(texts: Iterable[str]) -> dict[str, Any]:
    """The table of ``--search NAME`` and ``--search KEY=VALUE``; empty where nothing is given."""
    table: dict[str, Any] = {}
    for text in texts:
        key, value = toml.assignment(text, "--search", "startup=5") if "=" in text else ("use", text)
        if key in table:
            raise MmtkError(f"--search {text}: '{key}' is given twice.", hint="Leave one out.")
        table[key] = value
    return table


def make_search(table: Mapping[str, Any]) -> Search:
    """The live search of a table; MmtkError with everything that is wrong with it."""
    entry = catalog.find("search", table["use"])
    typed, problems = signature.validate(tables.model_of(entry), table, "search", lambda key: None)
    if problems:
        problems[-1].hint = f"Keys are given as --search KEY=VALUE; mmtk plugins show {entry.word} tells them."
        raise Problems(problems)
    return cast(Search, factory.component("search", typed, {}))


def begin(
    cells: Sequence[PlannedCell], trials: int, search: Mapping[str, Any], seeds: Sequence[int], axes: Iterable[str]
) -> Tuning:
    """Plan the tuning of cells, with as many trials as can be proposed before any has run.

    cells: of the study
    trials: of every cell, the recipe's own settings among them
    search: ``use`` and keys of a search
    seeds: of the runs of every trial
    axes: keys that the study compares
    """
    if trials < 1:
        raise MmtkError(f"--tune {trials}: one trial or more.", hint="The first has the recipe's own settings.")
    declared = dict.fromkeys(key for cell in cells for key, _ in tune.specifications(cell.tune))
    if not declared:
        raise MmtkError(
            "--tune: no recipe of this study says what to tune.",
            hint="Add a table [tune] to the recipe, the suite or the profile. " + tune.EXAMPLE,
        )
    if both := sorted({*axes} & {*declared}):
        message = f"tune.{both[0]}: the study compares its levels, so it cannot be tuned as well."
        raise MmtkError(message, hint="Take it out of [tune], or compare something else.")
    spaces = {cell.recipe.digest: tune.space_of(cell.recipe, cell.tune) for cell in cells}
    if not any(spaces.values()):
        message = f"--tune: no system of this study has {listing(declared)}."
        raise MmtkError(message, hint="Tune a key of train or of the encoder as well, which every system has.")
    for cell in cells:
        _check_fit(cell, spaces[cell.recipe.digest])
    _check_different(cells, spaces)
    tuning = Tuning(trials, dict(search), list(seeds), spaces)
    settings = make_search(search)
    return tuning if settings.sequential or trials == 1 else tuning.proposed(cells, {})


def idle_keys(cells: Iterable[PlannedCell], tuning: Tuning) -> list[str]:
    """A remark for every key of ``[tune]`` that no system of a study has: it may serve other studies."""
    declared = dict.fromkeys(key for cell in cells for key, _ in tune.specifications(cell.tune))
    keys = {key for space in tuning.spaces.values() for key in space}
    return [f"No system of this study has {key}, so it is not tuned" for key in declared if key not in keys]


def _check_fit(cell: PlannedCell, space: Space) -> None:
    """Refuse a value, or an end of a range, with which the parts of a system do not fit together."""
    for key, values in space.items():
        for value in values.values if isinstance(values, Choice) else (values.low, values.high):
            number = int(value) if not isinstance(values, Choice) and values.integer else value
            try:
                resolve(toml.merge(Layer(cell.recipe.values), toml.parse_set({key: number})), cell.name)
            except MmtkError as error:
                problem = error.problems[0] if isinstance(error, Problems) else error
                message = f"tune.{key}: {number} does not fit. {problem.message}"
                raise MmtkError(message, cell.name, problem.hint) from error


def _check_different(cells: Sequence[PlannedCell], spaces: Mapping[str, Space]) -> None:
    """Refuse systems that tuning may make the same: their digests would no longer tell them apart."""
    same: dict[str, str] = {}
    for cell in cells:
        space = spaces[cell.recipe.digest]
        rest = cell.recipe.with_values(dict.fromkeys(space, "tuned")).digest
        if (other := same.setdefault(rest, cell.title)) != cell.title:
            message = f"{other} and {cell.title} differ only in what is tuned: {listing(space)}."
            raise MmtkError(message, hint="Leave one of them out, or take these keys out of [tune].")


def summary(tuning: Tuning, cells: Sequence[PlannedCell]) -> str:
    """Trials of a study in a sentence: their number, runs and steps."""
    runs_of_cell = tuning.trials * len(tuning.seeds)
    several = f" × {counted(len(tuning.seeds), 'seed')}" if len(tuning.seeds) > 1 else ""
    how = f"{counted(len(cells), 'cell')} × {counted(tuning.trials, 'trial')}{several}"
    runs = counted(runs_of_cell * len(cells), "run")
    return f"{how} by {tuning.search['use']} search = {runs}{_steps(cells, runs_of_cell)}, on validation alone"


def _steps(cells: Sequence[PlannedCell], runs: int) -> str:
    """Steps of ``runs`` of every cell; epochs where the data say how many steps those are."""
    if all(cell.recipe.train.steps for cell in cells):
        return f", {counted(runs * sum(cell.recipe.train.steps or 0 for cell in cells), 'step')}"
    return f" of {', '.join(sorted({counted(cell.recipe.train.epochs, 'epoch') for cell in cells}))} each"
