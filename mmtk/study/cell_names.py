"""Names of the cells of a study: unique in it, and true."""

from __future__ import annotations

from collections.abc import Mapping

from mmtk.recipe import toml
from mmtk.registry import catalog
from mmtk.registry.catalog import OURS
from mmtk.study.axes import NO_LEVEL, OFF, STRATEGIES, Cell

Signature = tuple[tuple[str, ...], frozenset[tuple[str, str]]]


def signature(values: toml.Values) -> Signature:
    """Signature that tells the paper's systems apart: the tasks, and the strategies that are on."""
    uses = {kind: str(toml.get(values, f"{kind}.use", OFF)).removeprefix(f"{OURS}/") for kind in STRATEGIES}
    return tuple(sorted(values["tasks"])), frozenset((k, use) for k, use in uses.items() if use != OFF)


def known_systems() -> dict[Signature, str]:
    """The systems that ship as recipes, by what tells them apart; not one that differs in more than that."""

    def rest(values: toml.Values) -> toml.Values:
        ignored_keys = (*STRATEGIES, "tasks", "name", "description", "others")
        return {key: value for key, value in values.items() if key not in ignored_keys}

    shipped = {path: toml.with_parents(path).values for path in sorted(toml.recipe_folder().glob("*.toml"))}
    base = shipped.pop(toml.recipe_folder() / "base.toml")
    return {
        signature(recipe_values): str(recipe_values["name"])
        for recipe_values in shipped.values()
        if rest(recipe_values) == rest(base)
    }


def system_name(values: toml.Values, systems: Mapping[Signature, str]) -> str:
    """The paper's name of a system; else that of its nearest part with what is added, as ``UMTL-S + kl``."""
    tasks, on = signature(values)
    if (tasks, on) in systems:
        return systems[tasks, on]
    inside = [
        (len(has), name, has)
        for (system_tasks, has), name in systems.items()
        if system_tasks == tasks and has < on
    ]
    if not inside:
        return " + ".join([*tasks, *sorted(_part(*part) for part in on)])
    _, name, has = max(inside, key=lambda candidate: (candidate[0], candidate[1]))
    return " + ".join([name, *sorted(_part(*part) for part in on - has)])


def _part(kind: str, use: str) -> str:
    """A strategy's name, with its kind where strategies of another kind have the same name."""
    shared = any(entry.name == use for other in STRATEGIES if other != kind for entry in catalog.entries(other))
    return f"{kind} {use}" if shared else use


def paper_name(cell: Cell, values: toml.Values, systems: Mapping[Signature, str]) -> str:
    """The name of a cell of one of the paper's systems: the system's, and the levels that it does not tell."""
    name = system_name(values, systems)
    if cell.reference:
        return name
    return _with_levels(name, cell, dict.fromkeys(cell.levels, ""), (*STRATEGIES, "tasks"))


def own_name(cell: Cell, name: str, recipe_levels: Mapping[str, str]) -> str:
    """The name of a cell of a recipe of one's own: the recipe's ``name``, what is off, the levels that differ.

    ``recipe_levels`` holds the recipe's own level of every axis.
    """
    if cell.reference:
        return name
    off = [*cell.without[:-2], " and ".join(cell.without[-2:])]
    return _with_levels(f"{name}, without {', '.join(off)}" if cell.without else name, cell, recipe_levels, ())


def _with_levels(name: str, cell: Cell, recipe_levels: Mapping[str, str], axis_keys: tuple[str, ...]) -> str:
    """The name with the levels that are not ``recipe_levels``, but for those of axes that it tells already."""
    level_labels = [
        f"{key}={label}"
        for key, label in cell.levels.items()
        if key not in axis_keys and label not in (recipe_levels[key], NO_LEVEL)
    ]
    return f"{name} ({', '.join(level_labels)})" if level_labels else name
