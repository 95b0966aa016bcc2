"""Loading of recipes: merge layers, check every table, fill in defaults."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from mmtk.errors import MmtkError, Problems, heading, nearest
from mmtk.io.spelling import quoted, visible
from mmtk.recipe import tables as recipe_tables
from mmtk.recipe import toml as toml_layers
from mmtk.recipe.recipe import Recipe, component_tables
from mmtk.recipe.resolved import fixed_tables
from mmtk.recipe.toml import Layer, Values
from mmtk.recipe.wrong_files import checked
from mmtk.registry import catalog, memo, signature
from mmtk.registry.kinds import KINDS
from mmtk.tasks import TASKS

SUGGESTED = re.compile(r"Did you mean '([^']+)'\?")
TABLES = frozenset(path.split(".")[0] for path in (*recipe_tables.FIXED, *recipe_tables.PLACES))


def load_recipe(
    path_or_name: str | Path, profile: str | None = None, overrides: Mapping[str, Any] | Iterable[str] = ()
) -> Recipe:
    """Read a recipe file, a shipped recipe by name, or a run directory; check it and fill in every default.

    ``profile`` replaces the recipe's own; ``overrides`` maps dotted keys to values (or lists ``key=value``).
    Raises MmtkError (several at once as Problems) with file, line and cure.
    """
    path = recipe_path(path_or_name)
    return resolve(read(path, profile, overrides), str(path))


def recipe_path(path_or_name: str | Path) -> Path:
    """Path of the recipe file for a path, a shipped name or a run directory."""
    inside = Path(path_or_name) / "recipe.toml"
    return inside if os.path.isfile(inside) else toml_layers.locate(str(path_or_name))


def is_complete(path_or_name: str | Path) -> bool:
    """Whether a recipe has data and a budget already, as that of a run directory."""
    return isinstance(toml_layers.with_parents(recipe_path(path_or_name)).values.get("origin"), dict)


def read(path: Path, profile: str | None, overrides: Mapping[str, Any] | Iterable[str]) -> Layer:
    """Merge all layers: parents, recipe, profile, overrides; without checks."""
    layer, changes = toml_layers.with_parents(path), toml_layers.parse_set(overrides)
    wanted_profile = profile if profile is not None else changes.values.get("profile")
    origin = layer.values.get("origin")
    if wanted_profile and isinstance(origin, dict):
        raise _mixed(origin, wanted_profile, str(path))
    if origin is not None and not wanted_profile:
        return toml_layers.merge(layer, changes)
    profile_name = wanted_profile if wanted_profile is not None else layer.values.get("profile", "")
    line = (layer if wanted_profile is None else changes).location("profile")
    if not isinstance(profile_name, str):
        raise MmtkError(f"profile: should be a name, got {json.dumps(profile_name, default=str)}.", line)
    if profile_name:
        # An option is a path from here, a recipe's own profile one from the recipe.
        profile_layer = _profile(
            profile_name, path.parent, path.parent if wanted_profile is None else Path(), line
        )
        layer.problems.extend(toml_layers.overruled(layer, profile_layer, profile_name, changes.values))
        layer = toml_layers.merge(layer, profile_layer)
    merged = toml_layers.merge(layer, changes)
    merged.values["origin"] = {"recipe": visible(path.stem), "profile": visible(profile_name)}
    return merged


def _profile(name: str, recipes: Path, start: Path, line: str | None) -> Layer:
    """The profile of a name beside the recipes, of a path from ``start``, or the one that ships."""
    beside = (recipes / "profiles" / f"{name}.toml", start / name)
    try:
        near = next(filter(os.path.isfile, beside), None)
        path = checked(str(near), "profile") if near else toml_layers.locate(name, "profiles")
    except MmtkError as error:
        error.where = line
        raise
    layer = toml_layers.with_parents(path, folder="profiles")
    for key in ("name", "description", "profile"):  # these say what the profile is, not what the recipe is
        layer.values.pop(key, None)
        layer.places.pop(key, None)
    return layer


def system_for(recipe: str, profile: str | None) -> str:
    """The recipe, or the plain system of the one task that a profile has data for, to inspect its data."""
    if profile is None or recipe != "multimix":
        return recipe
    tasks = _profile(profile, toml_layers.recipe_folder(), Path(), None).values.get("tasks")
    one = tasks[0] if isinstance(tasks, list) and len(tasks) == 1 else None
    return TASKS[one].system if one in TASKS else recipe


def _mixed(origin: Values, profile: Any, where: str) -> MmtkError:
    """Error for a complete recipe under another profile, if keys such as ``train.steps`` would stay in force."""
    origin_profile = origin.get("profile") or "no profile"
    recipe = str(origin.get("recipe") or "RECIPE")  # a file that somebody changed may hold anything
    return MmtkError(
        f"is complete, with the data and the training budget of {origin_profile}: "
        "a second profile would mix the two.",
        where,
        f"Start from the recipe that it was made of (mmtk … {quoted(recipe)} --profile {quoted(str(profile))}), "
        "or change single values by --set.",
    )


def on_other_data(path: Path, profile: str | None, overrides: Mapping[str, Any]) -> tuple[Recipe, list[str]]:
    """A complete recipe for scoring on other data, and the tasks that the data are of.

    The sources of a profile stand in place of the recipe's; where it has none for a task, that task stays as it
    was, because the network needs all that it was trained with.
    """
    layer, given_for = toml_layers.with_parents(path), list(recipe_tables.OF_TASK)
    if profile is not None:
        profile_layer = _profile(profile, path.parent, Path(), None)
        profile_tasks = profile_layer.values.pop("tasks", given_for)
        given_for = [
            task for task in profile_tasks if toml_layers.has(profile_layer.values, f"data.{task}.source")
        ]
        for task in recipe_tables.OF_TASK:
            toml_layers.drop((layer if task in given_for else profile_layer).values, f"data.{task}")
        toml_layers.drop(profile_layer.values, "train")  # the network stays as it was trained
        layer = toml_layers.merge(layer, profile_layer)
        toml_layers.put(layer.values, "origin.profile", visible(profile))
    return resolve(toml_layers.merge(layer, toml_layers.parse_set(overrides)), str(path)), given_for


def resolve(layer: Layer, source: str = "recipe") -> Recipe:
    """Check every table, fill in defaults, drop what the tasks do not need, then check the fit of the parts."""
    try:
        return _resolve(layer, source)
    finally:
        memo.keep()


def _hidden(layer: Layer, problems: list[MmtkError], source: str) -> list[MmtkError]:
    """Problems that show only once others are solved, and do not follow from them.

    A component whose name is nearly another one is taken for that; other parts with a problem are left out.
    """
    trial, unknown = Layer(copy.deepcopy(layer.values), layer.places), set[str]()
    kinds = {path: kind for path, kind, _ in component_tables(layer.values)}
    parts = sorted(kinds, key=len, reverse=True)
    for problem in problems:
        key = problem.message.partition(":")[0]
        part = next((path for path in parts if f"{key}.".startswith(f"{path}.")), None)
        if part is None and (key in (*TABLES, "tasks") or " " in key):
            return []
        if part and key == f"{part}.use" and (meant := _meant(layer, part, kinds[part], problem)):
            toml_layers.put(trial.values, part, meant)
            continue
        unknown.add(part or key)
        toml_layers.drop(trial.values, part or key)
    messages = {problem.message for problem in problems}
    try:
        _resolve(trial, source, unknown)
    except Problems as more:
        return [problem for problem in more.problems if problem.message not in messages]
    return []


def _meant(layer: Layer, path: str, kind: str, problem: MmtkError) -> Values | None:
    """The table of a component under the name that its problem suggests, without its keys where they are wrong."""
    if not (name := SUGGESTED.search(problem.message)):
        return None
    tables = ({**toml_layers.get(layer.values, path), "use": name[1]}, {"use": name[1]})
    return next((table for table in tables if not _component(layer, path, kind, table)[1]), None)


def _resolve(layer: Layer, source: str, unknown: Collection[str] | None = None) -> Recipe:
    """Check and fill in a recipe; ``unknown`` names what is left out of it, for a look at the rest."""
    for task in recipe_tables.OF_TASK:
        if toml_layers.drops(cross := f"data.{task}.cross", toml_layers.get(layer.values, cross)):
            toml_layers.drop(layer.values, cross)
    values, problems = _tables(layer)
    if problems:
        _add_source(problems, source)
        problems += _hidden(layer, problems, source) if unknown is None else []
        raise Problems(problems, heading(source, problems))
    problems = [*_required(values, unknown or ()), *_idle_strategies(layer, values)]
    for task, only in recipe_tables.OF_TASK.items():
        if task not in values["tasks"]:
            for path in only:
                toml_layers.drop(values, path)
    values.pop("profile", None)
    recipe = Recipe(values, {key: layer.places.get(key, "default") for key, _ in toml_layers.leaves(values)})

    from mmtk.recipe.compatibility import misfits

    problems += misfits(recipe, unknown or ())
    if problems:
        _add_source(problems, source)
        raise Problems(problems, heading(source, problems))
    return recipe


def _unknown_tables(layer: Layer) -> list[MmtkError]:
    """Errors for unknown keys above the tables, and unknown names in groups of tables."""
    problems = []
    groups = {path.rpartition(".")[0] for path in recipe_tables.PLACES} - set(recipe_tables.FIXED) - {""}
    tables = {path.split(".")[0] for path in [*recipe_tables.FIXED, *recipe_tables.PLACES]}
    known_keys = {*recipe_tables.Top.model_fields, *tables, "tune"}
    for key in layer.values:
        if key not in known_keys:
            keys = ", ".join(sorted(known_keys - {"origin"}))
            message = f"{key}: unknown key.{nearest(key, known_keys)} Keys here: {keys}."
            problems.append(MmtkError(message, layer.location(key)))
    for group in sorted(groups & set(layer.values)):
        table = layer.values[group]
        names = {path.split(".")[1] for path in recipe_tables.PLACES if path.startswith(f"{group}.")}
        if not isinstance(table, dict):
            message = f"{group}: should hold tables, as [{group}.NAME]."
            problems.append(MmtkError(message, layer.location(group)))
            continue
        for name in table:
            if "*" not in names and name not in names:
                known_names = ", ".join(sorted(names))
                message = f"{group}.{name}: unknown table.{nearest(name, names)} Known: {known_names}."
                problems.append(MmtkError(message, layer.location(f"{group}.{name}")))
    return problems


def _component(layer: Layer, path: str, kind: str, table: Any) -> tuple[Values, list[MmtkError]]:
    if not isinstance(table, dict) or not isinstance(table.get("use"), str):
        names = ", ".join(sorted({entry.name for entry in catalog.entries(kind)}))
        message = f'{path}: needs use = "NAME" of a component of kind {kind}. Known: {names}.'
        where = layer.places.get(f"{path}.use") or layer.location(path)
        return {}, [MmtkError(message, where, toml_layers.use_cure(path, table, where))]
    try:
        entry = catalog.find(kind, table["use"])

        def ask() -> tuple[Values, list[tuple[str, str | None]]]:
            checked, problems = signature.validate(recipe_tables.model_of(entry), table, path, lambda key: key)
            return checked, [(problem.message, problem.where) for problem in problems]

        checked, wrong = memo.recall("keys", entry, {"path": path, "table": table}, ask)
    except MmtkError as error:
        return {}, [MmtkError(f"{path}.use: {error.message}", layer.location(f"{path}.use"), error.hint)]
    return checked, [MmtkError(message, layer.location(key) or layer.location(path)) for message, key in wrong]


def _required(values: Values, unknown: Collection[str]) -> list[MmtkError]:
    required = {"encoder": "every system"}
    for task in values["tasks"]:
        for path in recipe_tables.OF_TASK[task]:
            if not path.startswith(("data.", "augment.", "train.")):
                required[path] = task
        required[f"data.{task}.source"] = task
    return [
        MmtkError(
            f"{path}: missing, and {who} needs it.",
            hint="Give a profile that has data, for example --profile phantom."
            if path.startswith("data.")
            else 'Begin the recipe with extends = "base.toml", or add the table.',
        )
        for path, who in required.items()
        if not toml_layers.has(values, path) and path not in unknown
    ]


def _idle_strategies(layer: Layer, values: Values) -> list[MmtkError]:
    """Errors for strategies of a task that the recipe does not train."""
    problems = []
    for kind, row in KINDS.items():
        use, task = toml_layers.get(values, f"{kind}.use", "none"), row.task
        if row.optional and task and use.rpartition("/")[2] != "none" and task not in values["tasks"]:
            problems.append(
                MmtkError(
                    f'{kind}.use = "{use}" needs the task {task}, but tasks = {json.dumps(values["tasks"])}.',
                    layer.location(f"{kind}.use"),
                    f'Add "{task}" to tasks, or set {kind}.use = "none".',
                )
            )
    return problems


def _add_source(problems: list[MmtkError], source: str) -> None:
    for problem in problems:
        problem.where = problem.where or source


def _tables(layer: Layer) -> tuple[Values, list[MmtkError]]:
    """Values of every table with its defaults, and the problems of single tables."""
    problems = [*layer.problems, *_unknown_tables(layer)]
    values, wrong = fixed_tables(layer)
    problems += wrong
    for path, kind, table in component_tables(layer.values):
        checked, component_problems = _component(layer, path, kind, table)
        problems += component_problems
        toml_layers.put(values, path, checked)
    if "tune" in layer.values:
        from mmtk.recipe.tune import problems_of

        problems += problems_of(layer)
        values["tune"] = layer.values["tune"]
    return values, problems
