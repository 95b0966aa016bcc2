"""Recipes: read in layers, checked with all problems at once, resolved, written and named by a digest."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from mmtk import catalog, layers, params, settings
from mmtk.errors import MmtkError, Problems, nearest
from mmtk.layers import Layer, Values

# What a run is called and where it is logged does not change its result.
NOT_IN_DIGEST = ("name", "description", "profile", "seed", "others", "origin", "tracking")


@dataclass(frozen=True)
class Recipe:
    """A complete, checked recipe: nested plain values, and the origin of every dotted key."""

    values: Values
    origins: Mapping[str, str]

    def __getitem__(self, dotted: str) -> Any:
        missing = object()
        value = layers.get(self.values, dotted, missing)
        if value is missing:
            raise KeyError(dotted)
        return value

    def get(self, dotted: str, default: Any = None) -> Any:
        """The value under a dotted key, or ``default``."""
        return layers.get(self.values, dotted, default)

    @property
    def name(self) -> str:
        """The system's name, such as ``MultiMix``."""
        return cast(str, self["name"])

    @property
    def tasks(self) -> list[str]:
        """``classification`` and/or ``segmentation``."""
        return cast(list[str], self["tasks"])

    @property
    def seed(self) -> int:
        """The run's seed."""
        return cast(int, self["seed"])

    @property
    def profile(self) -> str:
        """The profile that gave data and training budget."""
        return cast(str, self.get("origin.profile", ""))

    @property
    def digest(self) -> str:
        """Ten hex digits over everything that changes a result, except the seed."""
        kept = {key: value for key, value in self.values.items() if key not in NOT_IN_DIGEST}
        text = json.dumps(kept, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    @property
    def run_name(self) -> str:
        """``name-digest-sSEED``, the default name of the run directory."""
        slug = "".join(c if c.isalnum() or c in "-_." else "-" for c in self.name.lower()).strip("-.")
        return f"{slug or 'run'}-{self.digest}-s{self.seed}"

    def with_values(self, changes: Mapping[str, Any], origin: str = "resolved") -> Recipe:
        """A copy with some dotted keys changed; nothing is checked again."""
        values, origins = copy.deepcopy(self.values), dict(self.origins)
        for key, value in changes.items():
            layers.put(values, key, value)
            origins[key] = origin
        return replace(self, values=values, origins=origins)

    def components(self) -> Iterator[tuple[str, str, Values]]:
        """Every component table: dotted name, kind, values."""
        return component_tables(self.values)

    def toml(self) -> str:
        """The resolved recipe as TOML that runs by itself."""
        import tomli_w

        head = f"# Resolved by mmtk {catalog.version()}; complete and runnable: mmtk run FILE\n"
        return head + tomli_w.dumps(self.values)


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
    """The recipe file meant by a path, a shipped name or a run directory."""
    inside = Path(path_or_name) / "recipe.toml"
    return inside if inside.is_file() else layers.locate(str(path_or_name))


def read(path: Path, profile: str | None, overrides: Mapping[str, Any] | Iterable[str]) -> Layer:
    """All layers merged: parents, recipe, profile, overrides; not checked yet."""
    layer = layers.with_parents(path)
    complete = "origin" in layer.values
    chosen = profile if profile is not None else "" if complete else layer.values.get("profile", "")
    if not isinstance(chosen, str):
        raise MmtkError(
            f"profile: should be a name, got {json.dumps(chosen, default=str)}.", layer.places.get("profile")
        )
    if chosen:
        beside = path.parent / "profiles" / f"{chosen}.toml"
        found = beside if beside.is_file() else layers.locate(chosen, "profiles")
        given = layers.with_parents(found)
        for own in ("name", "description"):  # these say what the profile is, not what the recipe is
            given.values.pop(own, None)
        layer = layers.merge(layer, given)
    changed = layers.merge(layer, layers.parse_set(overrides))
    if not complete or profile is not None:
        layers.put(changed.values, "origin", {"recipe": path.stem, "profile": chosen})
    return changed


def component_tables(values: Values) -> Iterator[tuple[str, str, Values]]:
    """Every component table present: dotted name, kind, values (whatever they are)."""
    for pattern, kind in settings.PLACES.items():
        group, _, last = pattern.rpartition(".")
        if last != "*":
            if layers.has(values, pattern):
                yield pattern, kind, layers.get(values, pattern)
        elif isinstance(layers.get(values, group), dict):
            for name, table in layers.get(values, group).items():
                yield f"{group}.{name}", kind, table


def resolve(layer: Layer, source: str = "recipe") -> Recipe:
    """Check every table, fill in defaults, drop what the tasks do not need, then check the fit of the parts."""
    problems = _unknown_tables(layer)
    values: Values = {}
    tables = {"": settings.Top, **settings.FIXED}
    for path, model in tables.items():
        checked, found = _fixed(layer, path, model)
        problems += found
        if path == "":
            values |= checked
        elif checked and (layers.has(layer.values, path) or path in ("data", "train", "evaluate", "tracking")):
            layers.put(values, path, checked)
    for path, kind, table in component_tables(layer.values):
        checked, found = _component(layer, path, kind, table)
        problems += found
        layers.put(values, path, checked)
    if not problems:
        problems += _required(values)
    if problems:
        raise Problems(problems, f"{source} has {len(problems)} problems:")
    for task, only in settings.OF_TASK.items():
        if task not in values["tasks"]:
            _refuse_strategies(values, task, layer)
            for path in only:
                layers.drop(values, path)
    values.pop("profile", None)
    origins = {key: layer.places.get(key, _parent_place(layer, key)) for key, _ in layers.leaves(values)}
    recipe = Recipe(values, origins)

    from mmtk.fit import check_fit

    check_fit(recipe, source)
    return recipe


def _parent_place(layer: Layer, key: str) -> str:
    # A key of an inline table has no line of its own: its table's line is where it is written.
    table = key.rpartition(".")[0]
    return layer.places.get(table, "default") if layers.has(layer.values, key) else "default"


def _fixed(layer: Layer, path: str, model: type[params.Table]) -> tuple[Values, list[MmtkError]]:
    table = layers.get(layer.values, path, {}) if path else layer.values
    if not isinstance(table, dict):
        place = layer.places.get(path)
        return {}, [
            MmtkError(f"{path}: should be a table, [{path}], got {json.dumps(table, default=str)}.", place)
        ]
    prefix = f"{path}." if path else ""
    nested = {p[len(prefix) :].split(".")[0] for p in [*settings.FIXED, *settings.PLACES] if p.startswith(prefix)}
    own = {key: value for key, value in table.items() if key not in nested}
    if path == "":
        own = {key: value for key, value in own.items() if key in model.model_fields}
    return params.validate(model, own, path, layer.places)


def _unknown_tables(layer: Layer) -> list[MmtkError]:
    """Keys above the tables, and names in a group of tables, that mean nothing."""
    problems = []
    groups = {path.rpartition(".")[0] for path in settings.PLACES} - set(settings.FIXED) - {""}
    tables = {path.split(".")[0] for path in [*settings.FIXED, *settings.PLACES]}
    known = {*settings.Top.model_fields, *tables}
    for key in layer.values:
        if key not in known:
            place = layer.places.get(key) or next(
                (p for k, p in layer.places.items() if k.startswith(f"{key}.")), None
            )
            keys = ", ".join(sorted(known - {"origin"}))
            problems.append(MmtkError(f"{key}: unknown key.{nearest(key, known)} Keys here: {keys}.", place))
    for group in groups & set(layer.values):
        table = layer.values[group]
        names = {path.split(".")[1] for path in settings.PLACES if path.startswith(f"{group}.")}
        if not isinstance(table, dict):
            problems.append(MmtkError(f"{group}: should hold tables, as [{group}.NAME].", layer.places.get(group)))
        elif "*" not in names:
            for name in set(table) - names:
                place = layer.places.get(f"{group}.{name}")
                problems.append(
                    MmtkError(
                        f"{group}.{name}: unknown table.{nearest(name, names)} Known: {', '.join(sorted(names))}.",
                        place,
                    )
                )
    return problems


def _component(layer: Layer, path: str, kind: str, table: Any) -> tuple[Values, list[MmtkError]]:
    place = layer.places.get(f"{path}.use") or layer.places.get(path)
    if not isinstance(table, dict) or not isinstance(table.get("use"), str):
        names = ", ".join(sorted({entry.name for entry in catalog.entries(kind)}))
        message = f'{path}: needs use = "NAME" of a component of kind {kind}. Known: {names}.'
        return {}, [MmtkError(message, place)]
    try:
        component = catalog.load(catalog.find(kind, table["use"]))
        model = params.schema(component, cast(Any, settings.HOST_KEYS.get(kind, ())))
    except MmtkError as error:
        return {}, [MmtkError(f"{path}.use: {error.message}", place, error.hint)]
    return params.validate(model, table, path, layer.places)


def _required(values: Values) -> list[MmtkError]:
    needed = ["encoder"]
    for task in values["tasks"]:
        needed += [path for path in settings.OF_TASK[task] if not path.startswith(("data.", "augment."))]
        needed.append(f"data.{task}.source")
    return [
        MmtkError(
            f"{path}: missing, and the tasks {', '.join(values['tasks'])} need it.",
            hint="Give a profile that has data, for example --profile phantom."
            if path.startswith("data.")
            else 'Begin the recipe with extends = "base.toml", or add the table.',
        )
        for path in needed
        if not layers.has(values, path)
    ]


def _refuse_strategies(values: Values, task: str, layer: Layer) -> None:
    """A strategy of a task that the recipe does not train is a mistake, not something to drop silently."""
    kinds = {"classification": ("ssl",), "segmentation": ("consistency", "bridge")}[task]
    for kind in kinds:
        use = layers.get(values, f"{kind}.use", "none")
        if use != "none":
            raise MmtkError(
                f'{kind}.use = "{use}" needs the task {task}, but tasks = {json.dumps(values["tasks"])}.',
                layer.places.get(f"{kind}.use"),
                f'Add "{task}" to tasks, or set {kind}.use = "none".',
            )
