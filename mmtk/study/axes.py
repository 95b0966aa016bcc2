"""A recipe and axes → cells: which systems an ablation compares. Resolves nothing and reads no data."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmtk.counts import counted
from mmtk.errors import MmtkError, listing, nearest
from mmtk.recipe import tables, toml
from mmtk.registry import catalog
from mmtk.registry.kinds import KINDS

DESIGNS = ("factorial", "leave-one-out", "add-one-in", "one-at-a-time")

OFF = "none"
NO_LEVEL = "–"  # of an axis that means nothing in a cell, as the weight of a strategy where there is none
# The parts of a method that the paper adds one by one; what a system is called depends on them alone.
STRATEGIES = tuple(kind.name for kind in KINDS.values() if kind.optional)
TASKS = {
    "both": ["classification", "segmentation"],
    "classification": ["classification"],
    "segmentation": ["segmentation"],
}
Changes = Mapping[str, Any]
Places = Mapping[str, tuple[str, str]]  # component table → kind and the component that the recipe uses
Keys = Callable[[str, str], Collection[str]]  # kind and component → the keys of its table


@dataclass(frozen=True)
class Level:
    """One value of an axis: its label, and the dotted keys that it changes in the recipe."""

    label: str
    changes: Changes


@dataclass(frozen=True)
class Axis:
    """A component table, ``tasks`` or a recipe key, and its levels; ``recipe_level`` is the recipe's own."""

    key: str
    levels: tuple[Level, ...]
    recipe_level: str

    @property
    def on(self) -> Level:
        """The level with the component in place: the recipe's own, else the last one named."""
        return next((level for level in self.levels if level.label == self.recipe_level), self.levels[-1])

    @property
    def off(self) -> Level:
        """The level without it: ``none``, else the first one that is not ``on``."""
        off_levels = [level for level in self.levels if level is not self.on]
        return next((level for level in self.levels if level.label == OFF), off_levels[0])


@dataclass(frozen=True)
class Cell:
    """One system of a study: a level of every axis, and all that changes in the recipe.

    ``beside`` marks a reference with more parts than the axes name: it is no cell of the design itself.
    ``without`` names the strategies that are off although no axis says so.
    """

    levels: Mapping[str, str]
    changes: Changes
    reference: bool = False
    beside: bool = False
    without: tuple[str, ...] = ()


# --- reading what the user typed ------------------------------------------------------------------------------


def parse_axes(text: str, values: toml.Values) -> list[Axis]:
    """``saliency,ssl=none+confidence,ssl.threshold=0.5+0.7`` → axes of the recipe ``values``.

    Raises MmtkError for what is not in the recipe, an axis with one level, and an axis named twice.
    """
    axes = []
    for token in filter(None, map(str.strip, _split(text, ","))):
        word, equals, levels = token.partition("=")
        names = [name.strip() for name in _split(levels, "+")] if equals else None
        axes.append(_axis(word.strip().removesuffix(".use"), names, values))
    if not axes:
        raise MmtkError("--components: names nothing.", hint="Write it like --components saliency,ssl.")
    for first, second in itertools.combinations(axes, 2):
        if first.key == second.key:
            raise MmtkError(f"--components: '{first.key}' is named twice.", hint="Name each axis once.")
    return axes


def _split(text: str, mark: str) -> list[str]:
    """Split at a mark outside brackets and quotes."""
    parts = re.findall(rf"""(?:\[[^\]]*\]|"[^"]*"|'[^']*'|[^{re.escape(mark)}])+""", text)
    return parts or [text]


def places(values: toml.Values) -> dict[str, tuple[str, str]]:
    """Every component table of the recipe: place → kind and the component it uses."""
    kinds_by_path = {}
    for pattern, kind in tables.PLACES.items():
        group, _, last = pattern.rpartition(".")
        names = list(toml.get(values, group, {})) if last == "*" else [last]
        for path in (f"{group}.{name}".lstrip(".") for name in names):
            if isinstance(table := toml.get(values, path), dict) and "use" in table:
                kinds_by_path[path] = kind, _short(kind, str(table["use"]))
    return kinds_by_path


def _short(kind: str, use: str) -> str:
    """A component's name without its distribution, where that is enough to find it."""
    short = use.rpartition("/")[2]
    same_name = [entry for entry in catalog.entries(kind) if entry.name == short]
    return short if len(same_name) == 1 and same_name[0] == catalog.find(kind, use) else use


def _axis(word: str, names: list[str] | None, values: toml.Values) -> Axis:
    tables = places(values)
    matches = [path for path, (kind, use) in tables.items() if word in (path, kind)]
    matches = matches or [path for path, (_, use) in tables.items() if word == use and word != OFF]
    if len(matches) > 1:
        cure = f"Say which place: {listing(matches)}."
        raise MmtkError(f"--components {word}: the recipe has it in {counted(len(matches), 'place')}.", hint=cure)
    if matches:
        return _component_axis(matches[0], *tables[matches[0]], names)
    if word == "tasks":
        return _tasks_axis(names, values)
    if names is not None and "." in word:
        return _value_axis(word, names, values)
    raise _unknown(word, names, tables)


def _unknown(word: str, names: list[str] | None, places: Places) -> MmtkError:
    installed = [entry for entry in catalog.entries() if entry.name == word and word != OFF]
    if installed:
        kind = installed[0].kind
        recipe_use = next((use for k, use in places.values() if k == kind), None)
        what = f"its {kind} is '{recipe_use}'" if recipe_use else f"it has no {kind}"
        cure = f"Name the levels: {kind}={OFF if recipe_use in (None, word) else recipe_use}+{word}."
        return MmtkError(f"--components {word}: this recipe does not use it; {what}.", hint=cure)
    if names is None and "." in word:
        return MmtkError(f"--components {word}: an axis needs its levels.", hint=f"Write {word}=A+B.")
    # What a study of methods varies; data and metrics may be axes too, but are rarely meant.
    usual = {
        path: kind_and_use for path, kind_and_use in places.items() if not path.startswith(("data.", "metric."))
    }
    words = {*usual, "tasks", *(use for _, use in usual.values())} - {OFF}
    message = f"--components {word}: neither a part of this recipe nor a recipe key.{nearest(word, words)}"
    cure = f"Known here: {listing(words)}; or a key with levels, as ssl.threshold=0.5+0.7."
    return MmtkError(message, hint=cure)


def _component_axis(path: str, kind: str, use: str, names: list[str] | None) -> Axis:
    if names is None:
        if use == OFF:
            component_names = sorted({entry.name for entry in catalog.entries(kind)} - {OFF})
            message = f"--components {path}: the recipe has none, so there is nothing to take away."
            raise MmtkError(message, hint=f"Name the levels: {path}={OFF}+{'+'.join(component_names[:1])}.")
        if not any(entry.name == OFF for entry in catalog.entries(kind)):
            message = f"--components {path}: a recipe cannot do without {kind}."
            raise MmtkError(message, hint=f"Name the levels: {path}={use}+OTHER; see mmtk plugins.")
        names = [OFF, use]
    try:
        entries = {name: catalog.find(kind, name) for name in names}
    except MmtkError as error:
        raise MmtkError(f"--components {path}: {error.message}", hint=error.hint) from error
    # The recipe's own component keeps its keys; another one starts from its defaults.
    recipe_entry = catalog.find(kind, use)
    levels = [Level(name, {} if entries[name] == recipe_entry else {f"{path}.use": name}) for name in names]
    return _checked(
        Axis(path, tuple(levels), next((name for name in names if entries[name] == recipe_entry), use))
    )


def _tasks_axis(names: list[str] | None, values: toml.Values) -> Axis:
    names = names if names is not None else list(TASKS)
    for name in names:
        if name not in TASKS:
            raise MmtkError(f"--components tasks: no level '{name}'.{nearest(name, TASKS)}", hint=_known(TASKS))
    recipe_level = next((name for name, tasks in TASKS.items() if tasks == sorted(values["tasks"])), "")
    return _checked(
        Axis(
            "tasks", tuple(Level(n, {} if n == recipe_level else {"tasks": TASKS[n]}) for n in names), recipe_level
        )
    )


def _value_axis(key: str, names: list[str], values: toml.Values) -> Axis:
    recipe_value = toml.get(values, key, tables.default(key))
    levels = [Level(name, {key: toml.assignment(f"{key}={name}")[1]}) for name in names]
    return _checked(
        Axis(key, tuple(levels), next((m.label for m in levels if m.changes[key] == recipe_value), ""))
    )


def _checked(axis: Axis) -> Axis:
    labels = [level.label for level in axis.levels]
    if len(set(labels)) < 2:
        cure = f"Name two or more: {axis.key}={labels[0]}+OTHER."
        raise MmtkError(f"--components {axis.key}: one level only, so there is nothing to compare.", hint=cure)
    if len(set(labels)) < len(labels):
        raise MmtkError(f"--components {axis.key}: a level is named twice.", hint="Name each level once.")
    return axis


def _known(names: Iterable[str]) -> str:
    return f"Known: {listing(names)}."


# --- from axes to cells ---------------------------------------------------------------------------------------


def cells(axes: Sequence[Axis], design: str, values: toml.Values, keys: Keys) -> tuple[list[Cell], list[str]]:
    """The cells of a design, the recipe itself as the reference, last; and which of them stand for several.

    axes: what varies, combined as ``design`` says
    values: the recipe's own
    keys: the keys of a component, by kind and name

    A factorial and an add-one-in build up: where the recipe says ``others = "off"``, strategies that no axis
    names, nor one of their keys, are off in every cell but the reference. The other designs take away from the
    whole recipe. Combinations that differ only in an axis that means nothing there are one cell.
    """
    axis_tables = {axis.key.partition(".")[0] for axis in axes}
    builds_up = design in ("factorial", "add-one-in") and values.get("others") == "off"
    without = tuple(kind for kind in STRATEGIES if builds_up and kind not in axis_tables and _is_on(values, kind))
    recipe_levels = {
        k: v.label
        for k, v in _meant({a.key: Level(a.recipe_level, {}) for a in axes}, axes, values, keys)[0].items()
    }
    cells_by_levels: dict[tuple[str, ...], Cell] = {}
    remarks: dict[str, None] = {}
    for combination in _combinations(axes, design):
        levels, why = _meant(
            {axis.key: level for axis, level in zip(axes, combination, strict=True)}, axes, values, keys
        )
        labels = {key: level.label for key, level in levels.items()}
        if tuple(labels.values()) in cells_by_levels:
            remarks |= dict.fromkeys(f"{reason}: one cell" for reason in why)
            continue
        changes = {f"{kind}.use": OFF for kind in without}
        changes |= {key: value for level in levels.values() for key, value in level.changes.items()}
        changes |= _without_task(values | {"tasks": changes.get("tasks", values["tasks"])})
        cells_by_levels[tuple(labels.values())] = Cell(
            labels, changes, not without and labels == recipe_levels, without=without
        )
    cell_list = list(cells_by_levels.values())
    if not any(cell.reference for cell in cell_list):
        cell_list.append(Cell(recipe_levels, {}, True, True))
    return sorted(cell_list, key=lambda cell: cell.reference), list(remarks)


def _is_on(values: toml.Values, kind: str) -> bool:
    return bool(toml.get(values, f"{kind}.use", OFF) != OFF)


def _without_task(values: toml.Values) -> dict[str, str]:
    """Strategies of tasks that are not trained, off."""
    idle = [kind for kind in STRATEGIES if tables.tasks_of(kind) - set(values["tasks"])]
    return {f"{kind}.use": OFF for kind in idle if _is_on(values, kind)}


def _meant(
    combination: Mapping[str, Level], axes: Sequence[Axis], values: toml.Values, keys: Keys
) -> tuple[dict[str, Level], list[str]]:
    """The levels of a combination, NO_LEVEL for axes that mean nothing in it; and why each means nothing."""
    tasks = (
        combination["tasks"].changes.get("tasks", values["tasks"]) if "tasks" in combination else values["tasks"]
    )
    kinds_by_path = places(values)
    levels, reasons = dict(combination), []
    for axis in axes:
        path, _, key = axis.key.rpartition(".")
        reason = ""
        if axis.key != "tasks" and tables.tasks_of(axis.key) - set(tasks):
            reason = f"{' and '.join(tasks)} alone has no {axis.key}"
        elif path in kinds_by_path:
            kind, use = kinds_by_path[path]
            used = combination[path].label if path in combination else use
            other_labels = next(
                ([level.label for level in other.levels] for other in axes if other.key == path), []
            )
            if key not in keys(kind, used) and any(key in keys(kind, other) for other in (use, *other_labels)):
                reason = f"{path} {used} has no {key}"
        if reason:
            levels[axis.key] = Level(NO_LEVEL, {})
            reasons.append(reason)
    return levels, reasons


def _combinations(axes: Sequence[Axis], design: str) -> list[tuple[Level, ...]]:
    """The levels that a design combines, one of every axis."""
    if design not in DESIGNS:
        raise MmtkError(f"--design {design}: unknown.{nearest(design, DESIGNS)}", hint=_known(DESIGNS))
    if design == "factorial":
        return list(itertools.product(*(axis.levels for axis in axes)))
    on, off = [axis.on for axis in axes], [axis.off for axis in axes]
    if design == "leave-one-out":
        return [tuple(on), *_vary(axes, on, lambda axis: [axis.off])]
    if design == "add-one-in":
        return [tuple(off), *_vary(axes, off, lambda axis: [axis.on])]
    return [tuple(on), *_vary(axes, on, lambda axis: [o for o in axis.levels if o is not axis.on])]


def _vary(
    axes: Sequence[Axis], start: Sequence[Level], other: Callable[[Axis], list[Level]]
) -> list[tuple[Level, ...]]:
    """``start`` with one axis changed, for every axis and every level that ``other`` gives for it."""
    return [(*start[:i], level, *start[i + 1 :]) for i, axis in enumerate(axes) for level in other(axis)]
