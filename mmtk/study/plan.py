"""Plan of a study: systems × label budgets × seeds, each distinct run once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmtk.errors import MmtkError, Problems, listing, nearest
from mmtk.io.files import real_path
from mmtk.recipe import tables, toml
from mmtk.recipe.load import read, recipe_path, resolve
from mmtk.recipe.recipe import NOT_IN_DIGEST, Recipe
from mmtk.recipe.toml import Layer
from mmtk.registry import catalog
from mmtk.study import axes as study_axes
from mmtk.study import cell_names
from mmtk.study.budgets import Budgets, budget_changes, check_budgets
from mmtk.study.cells import PlannedCell
from mmtk.study.stopping import Stopping
from mmtk.study.tuning import Tuning


@dataclass
class Plan:
    """The cells of a study and its seeds.

    ``dropped`` says which cells cannot be, and why; ``remarks`` which cells stand for several combinations.
    ``stopping`` is the rule of a study that adds seeds in rounds: ``seeds`` are those that it may use.
    ``tuning`` is that of one that tunes its cells first. ``refused`` has levels (axis, level) that the key itself
    does not take: a mistake where no cell has them.
    """

    title: str
    cells: list[PlannedCell]
    seeds: list[int]
    axes: dict[str, list[str]] = field(default_factory=dict)
    design: str = ""
    dropped: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    stopping: Stopping | None = None
    tuning: Tuning | None = None
    refused: list[tuple[str, str, MmtkError]] = field(default_factory=list)

    def with_precision(self, choose: Callable[[str], str]) -> Plan:
        """The same plan with ``auto`` precision chosen: it is part of a recipe's digest."""
        cells: dict[str, PlannedCell] = {}
        for cell in self.cells:
            precision = {"train.precision": choose(cell.recipe.train.precision)}
            cell = replace(cell, recipe=cell.recipe.with_values(precision))
            twin = cells.setdefault(cell.recipe.digest, cell)
            if cell.reference and twin is not cell:  # auto is one of the levels that are compared
                cells[cell.recipe.digest] = replace(twin, name=cell.name, recipe=cell.recipe, reference=True)
        return _complete(replace(self, cells=list(cells.values())))

    @property
    def folds(self) -> int:
        """Folds of a repeat, which the seeds count through; 0 where all runs test the same images."""
        return self.cells[0].recipe.data.folds or 0 if self.cells else 0

    @property
    def runs(self) -> list[tuple[PlannedCell, int]]:
        """Every run so far asked for: trials, then all cells of a seed, then those of the next."""
        counts, digests = self.counts, {cell.recipe.digest for cell in self.cells}
        trials = [(cell, seed) for cell in self.trials for seed in self.tuning.seeds] if self.tuning else []
        changed = [cell for cell in self.tuned if cell.recipe.digest not in digests]
        replicates = [
            (cell, seed)
            for index, seed in enumerate(self.seeds)
            for cell in (*self.cells, *changed)
            if index < counts[cell.recipe.digest]
        ]
        return [*trials, *replicates]

    @property
    def trials(self) -> list[PlannedCell]:
        """The trials of tuning that are asked for so far; those of equal settings once."""
        return self.tuning.trial_cells(self.cells) if self.tuning else []

    @property
    def tuned(self) -> list[PlannedCell]:
        """The cells with the settings that tuning chose, in the order of the cells; none before."""
        return self.tuning.tuned_cells(self.cells) if self.tuning else []

    @property
    def later(self) -> list[PlannedCell]:
        """The cells of runs that are not asked for yet, once for each run: of trials, then with tuned settings."""
        if self.tuning is None:
            return []
        trials = (self.tuning.trials - self.tuning.count) * len(self.tuning.seeds)
        first_seeds = self.stopping.first if self.stopping else len(self.seeds)
        return self.cells * (trials + (0 if self.tuning.best else first_seeds))

    @property
    def counts(self) -> dict[str, int]:
        """Seeds that every cell is run with so far, by its digest; as many before tuning as after it."""
        before = [cell.recipe.digest for cell in self.cells]
        after = [cell.recipe.digest for cell in self.tuned] or before
        counts = [self.stopping.seeds_of(digest) if self.stopping else len(self.seeds) for digest in after]
        return dict(zip((*before, *after), counts * 2, strict=True))

    @property
    def most_runs(self) -> int:
        """Runs of all rounds at most."""
        more_seeds = sum(len(self.seeds) - count for count in self.counts.values())
        systems = 2 if self.tuning and not self.tuning.best else 1  # those with tuned settings have no digest yet
        return len(self.runs) + len(self.later) + systems * more_seeds

    @property
    def digest(self) -> str:
        """Eight hex digits over the cells and seeds: the same plan continues the same study."""
        facts: list[Any] = [[[cell.name, cell.recipe.digest] for cell in self.cells], self.seeds, self.axes]
        facts += [self.design, *(rule.rule for rule in (self.stopping, self.tuning) if rule)]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:8]


def plan_components(
    recipe: str,
    components: str,
    design: str = "factorial",
    *,
    profile: str | None = None,
    overrides: Mapping[str, Any] | Iterable[str] = (),
    budgets: Budgets | None = None,
    seeds: Sequence[int] = (0,),
) -> Plan:
    """Plan the cells of a design from axes of components; MmtkError where there are fewer than two.

    recipe: name or file of the recipe that the axes vary
    components: axes, such as ``saliency,ssl=none+mixmatch``
    design: one of ``DESIGNS``
    profile: data and training budget in place of the recipe's own
    overrides: recipe keys that are changed in every cell
    budgets: label budgets by task; every cell is planned at each
    seeds: of the runs of every cell
    """
    path = recipe_path(recipe)
    base = read(path, profile, overrides)
    recipe_itself = resolve(base, recipe)  # the user's mistakes in the recipe itself, before anything is varied
    axes = study_axes.parse_axes(components, recipe_itself.values)
    axis_cells, remarks = study_axes.cells(axes, design, recipe_itself.values, _keys)
    systems = cell_names.known_systems()
    name, ships = recipe_itself.name, False
    if name in systems.values():
        ships = _is_shipped(recipe_itself, path, profile, overrides)
        name = name if ships else f"{name} ({_file_name(path)})"  # inherited from a recipe that it is not
    plan = Plan(_title(name, [axis.key for axis in axes]), [], list(seeds), design=design, remarks=remarks)
    plan.axes = {axis.key: _off_first(axis) for axis in axes}
    levels = {axis.key: axis.recipe_level for axis in axes}
    for cell in axis_cells:
        for budget in budget_changes(budgets or {}):
            layer = toml.merge(base, toml.parse_set({**cell.changes, **budget}))
            paper = cell_names.paper_name(cell, layer.values, systems) if ships else ""
            title = paper or cell_names.own_name(cell, name, levels)
            _add(plan, title, cell.levels, layer, cell.reference, cell.beside)
    return _complete(plan)


def _keys(kind: str, use: str) -> list[str]:
    """The recipe keys of a component; none where it cannot be loaded, which resolving its cell will say."""
    try:
        return tables.key_names(catalog.find(kind, use))
    except MmtkError:
        return []


def _is_shipped(
    recipe: Recipe, path: Path, profile: str | None, overrides: Mapping[str, Any] | Iterable[str]
) -> bool:
    """Whether a recipe's method is that of the shipped one of its name, whatever its data and training budget."""
    for shipped in sorted(toml.recipe_folder().glob("*.toml")):
        if toml.read(shipped).values.get("name") != recipe.name:
            continue
        if real_path(shipped) == real_path(path):
            return True
        with suppress(MmtkError):  # changes that the other parts of this recipe call for
            if _method(resolve(read(shipped, profile, overrides), str(shipped))) == _method(recipe):
                return True
    return False


def _method(recipe: Recipe) -> toml.Values:
    """Return what a recipe says besides its names, its data and its budget."""
    other = (*NOT_IN_DIGEST, "data", "train", "evaluate")
    return {key: value for key, value in recipe.values.items() if key not in other}


def _file_name(path: Path) -> str:
    """Name a recipe file: by its folder where that is a run's."""
    return path.parent.name if path.name == "recipe.toml" else path.stem


def _off_first(axis: study_axes.Axis) -> list[str]:
    """The labels of an axis, the one without the component in front."""
    labels = [level.label for level in axis.levels]
    return sorted(labels, key=lambda label: label != axis.off.label)


def plan_suite(
    name: str,
    *,
    profile: str | None = None,
    overrides: Mapping[str, Any] | Iterable[str] = (),
    budgets: Budgets | None = None,
    seeds: Sequence[int] | None = None,
) -> Plan:
    """Plan the cells of a suite: a TOML list of ``systems``, which may name ``labels``, ``seeds``, ``tune`` too.

    name: name or file of the suite
    profile: data and training budget in place of the recipes' own
    overrides: recipe keys that are changed in every system
    budgets: label budgets by task (default: the suite's)
    seeds: of the runs of every system (default: the suite's)
    """
    path = toml.locate(name, "suites")
    suite = toml.read(path)
    values = suite.values
    keys = {"title", "description", "systems", "reference", "labels", "seeds", "tune"}
    for key in values:
        if key not in keys:
            message = f"{key}: unknown key.{nearest(key, keys)} Keys here: {listing(keys)}."
            raise MmtkError(message, str(path))
    systems = values.get("systems")
    if not isinstance(systems, list) or not systems or not all(isinstance(system, str) for system in systems):
        example = 'Write it like systems = ["umtl", "multimix"].'
        raise MmtkError("systems: should be a list of recipes, by name or path.", str(path), example)
    if seeds is None:
        seeds = range(_integer(values.get("seeds", 1), "seeds", str(path)))
    title = str(values.get("title", path.stem))
    plan = Plan(title, [], list(seeds))
    reference = values.get("reference", systems[-1])
    if reference not in systems:
        message = f"reference: '{reference}' is not among the systems.{nearest(str(reference), systems)}"
        raise MmtkError(message, str(path), f"Systems: {listing(systems)}.")
    tune_origins = {key: origin for key, origin in suite.places.items() if key.partition(".")[0] == "tune"}
    suite_layer = Layer({key: values[key] for key in ("tune",) if key in values}, tune_origins)
    label_budgets = budgets or check_budgets(values.get("labels", {}), f"{path}: labels")
    files = {
        system: recipe_path(near if (near := path.parent / system).is_file() else system) for system in systems
    }
    layers = {system: read(file, profile, overrides) for system, file in files.items()}
    names = _names({system: str(layer.values.get("name", system)) for system, layer in layers.items()}, files)
    for system, layer in layers.items():
        for budget in budget_changes(label_budgets):
            changed = toml.merge(toml.merge(layer, suite_layer), toml.parse_set(budget))
            _add(plan, names[system], {}, changed, system == reference)
    return _complete(plan)


def _names(system_names: Mapping[str, str], files: Mapping[str, Path]) -> dict[str, str]:
    """The names of the systems of a suite; those that share one are told apart by their files."""
    names = dict(system_names)
    for word in (lambda system: _file_name(files[system]), str):
        shared = [system for system, name in names.items() if list(names.values()).count(name) > 1]
        names |= {system: f"{system_names[system]} ({word(system)})" for system in shared}
    return names


def _integer(value: Any, key: str, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise MmtkError(f"{key}: should be a whole number from 1 on, got {json.dumps(value, default=str)}.", where)
    return value


def _add(
    plan: Plan, name: str, levels: Mapping[str, str], layer: Layer, reference: bool, beside: bool = False
) -> None:
    """Resolve a cell into the plan: once, if another one is the same, and not if its parts cannot fit."""
    try:
        recipe = resolve(layer, name)
    except MmtkError as error:
        if reference:
            raise
        reasons = error.problems if isinstance(error, Problems) else [error]
        plan.refused += [
            (axis, level, problem)
            for axis, level in levels.items()
            for problem in reasons
            if problem.message.startswith(f"{axis}:")
        ]
        plan.dropped.append((name, " ".join(problem.message for problem in reasons)))
        return
    table = recipe.values.get("tune", {})
    values = {key: value for key, value in recipe.values.items() if key != "tune"}
    recipe = replace(recipe, values=values).with_values({"name": name, "seed": 0})
    twin = next((cell for cell in plan.cells if cell.recipe.digest == recipe.digest), None)
    if twin is None:
        plan.cells.append(PlannedCell(name, dict(levels), recipe, reference, beside, table))
    elif reference and not twin.reference:
        plan.cells[plan.cells.index(twin)] = PlannedCell(name, dict(levels), recipe, True, tune=table)


def _complete(plan: Plan) -> Plan:
    plan.dropped = list(dict.fromkeys(plan.dropped))
    for axis, level, problem in plan.refused:
        if not any(cell.levels.get(axis) == level for cell in plan.cells):
            raise MmtkError(problem.message, f"--components {axis}={level}", problem.hint)
    titles = [cell.title for cell in plan.cells]
    if twice := sorted({title for title in titles if titles.count(title) > 1}):
        cure = "This is a mistake of mmtk's own, not of yours: please report it with this command and the recipe."
        raise MmtkError(f"two systems of this plan would both be called {listing(twice)}.", hint=cure)
    if len({cell.recipe.data.folds for cell in plan.cells}) > 1:
        raise MmtkError(
            "data.folds: the systems of a study are tested on the same folds, and here they differ.",
            hint="Ask for the same in all: --folds K.",
        )
    if len(plan.cells) < 2:
        reasons = "".join(f"\n  {name}: {reason}" for name, reason in plan.dropped)
        raise MmtkError(f"a study needs two systems or more, and only {len(plan.cells)} can be made.{reasons}")
    return plan


def _title(name: str, axes: Sequence[str]) -> str:
    return f"{name}: {' × '.join(axes)}"
