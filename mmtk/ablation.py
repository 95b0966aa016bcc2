"""A recipe and axes → named cells: which systems an ablation compares. Resolves nothing and reads no data."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmtk import catalog, layers
from mmtk.errors import MmtkError, listing, nearest

DESIGNS = ("factorial", "leave-one-out", "add-one-in", "one-at-a-time")

OFF = "none"
# The parts of a method that the paper adds one by one; what a system is called depends on them alone.
STRATEGIES = ("bridge", "ssl", "consistency")
TASKS = {
    "both": ["classification", "segmentation"],
    "classification": ["classification"],
    "segmentation": ["segmentation"],
}
Changes = Mapping[str, Any]


@dataclass(frozen=True)
class Level:
    """One value of an axis: its label, and the dotted keys that it changes in the recipe."""

    label: str
    changes: Changes


@dataclass(frozen=True)
class Axis:
    """A component table, ``tasks`` or a recipe key, and its levels; ``own`` is the recipe's own level."""

    key: str
    levels: tuple[Level, ...]
    own: str

    @property
    def on(self) -> Level:
        """The level with the component in place: the recipe's own, else the last one named."""
        return next((level for level in self.levels if level.label == self.own), self.levels[-1])

    @property
    def off(self) -> Level:
        """The level without it: ``none``, else the first one that is not ``on``."""
        others = [level for level in self.levels if level is not self.on]
        return next((level for level in self.levels if level.label == OFF), others[0])


@dataclass(frozen=True)
class Cell:
    """One system of a study: a level of every axis, and all that changes in the recipe.

    ``beside`` marks a reference with more parts than the axes name: it is no cell of the design itself.
    """

    levels: Mapping[str, str]
    changes: Changes
    reference: bool = False
    beside: bool = False


# --- reading what the user typed ------------------------------------------------------------------------------


def parse_axes(text: str, values: layers.Values, kinds: Mapping[str, str]) -> list[Axis]:
    """``saliency,ssl=none+confidence,ssl.threshold=0.5+0.7`` → axes.

    ``values`` is the recipe, ``kinds`` maps the places of components in recipes to their kinds (``*`` stands for
    any name). Raises MmtkError for what is not in the recipe, an axis with one level, and an axis named twice.
    """
    axes = []
    for token in filter(None, map(str.strip, _split(text, ","))):
        word, equals, levels = token.partition("=")
        names = [name.strip() for name in _split(levels, "+")] if equals else None
        axes.append(_axis(word.strip(), names, values, kinds))
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


def _places(values: layers.Values, kinds: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Every component table of the recipe: place → kind and the component it uses."""
    found = {}
    for pattern, kind in kinds.items():
        group, _, last = pattern.rpartition(".")
        names = list(layers.get(values, group, {})) if last == "*" else [last]
        for place in (f"{group}.{name}".lstrip(".") for name in names):
            if isinstance(table := layers.get(values, place), dict) and "use" in table:
                found[place] = kind, str(table["use"]).rpartition("/")[2]
    return found


def _axis(word: str, names: list[str] | None, values: layers.Values, kinds: Mapping[str, str]) -> Axis:
    places = _places(values, kinds)
    meant = [place for place, (kind, use) in places.items() if word in (place, kind)]
    meant = meant or [place for place, (_, use) in places.items() if word == use and word != OFF]
    if len(meant) > 1:
        cure = f"Say which place: {listing(meant)}."
        raise MmtkError(f"--components {word}: the recipe has it in {len(meant)} places.", hint=cure)
    if meant:
        return _component_axis(meant[0], *places[meant[0]], names)
    if word == "tasks":
        return _tasks_axis(names, values)
    if names is not None and "." in word:
        return _value_axis(word, names, values)
    raise _unknown(word, names, places)


def _unknown(word: str, names: list[str] | None, places: Mapping[str, tuple[str, str]]) -> MmtkError:
    installed = [entry for entry in catalog.entries() if entry.name == word and word != OFF]
    if installed:
        kind = installed[0].kind
        own = next((use for k, use in places.values() if k == kind), None)
        what = f"its {kind} is '{own}'" if own else f"it has no {kind}"
        cure = f"Name the levels: {kind}={OFF if own in (None, word) else own}+{word}."
        return MmtkError(f"--components {word}: this recipe does not use it; {what}.", hint=cure)
    if names is None and "." in word:
        return MmtkError(f"--components {word}: an axis needs its levels.", hint=f"Write {word}=A+B.")
    # What a study of methods varies; data and metrics may be axes too, but are rarely meant.
    usual = {place: named for place, named in places.items() if not place.startswith(("data.", "metric."))}
    known = {*usual, "tasks", *(use for _, use in usual.values())} - {OFF}
    message = f"--components {word}: neither a part of this recipe nor a recipe key.{nearest(word, known)}"
    cure = f"Known here: {listing(known)}; or a key with levels, as ssl.threshold=0.5+0.7."
    return MmtkError(message, hint=cure)


def _component_axis(place: str, kind: str, own: str, names: list[str] | None) -> Axis:
    if names is None:
        if own == OFF:
            known = sorted({entry.name for entry in catalog.entries(kind)} - {OFF})
            message = f"--components {place}: the recipe has none, so there is nothing to take away."
            raise MmtkError(message, hint=f"Name the levels: {place}={OFF}+{'+'.join(known[:1])}.")
        if not any(entry.name == OFF for entry in catalog.entries(kind)):
            message = f"--components {place}: a recipe cannot do without {kind}."
            raise MmtkError(message, hint=f"Name the levels: {place}={own}+OTHER; see mmtk plugins.")
        names = [OFF, own]
    for name in names:
        try:
            catalog.find(kind, name)
        except MmtkError as error:
            raise MmtkError(f"--components {place}: {error.message}", hint=error.hint) from error
    # The recipe's own component keeps its keys; another one starts from its defaults.
    made = [Level(name, {} if name.rpartition("/")[2] == own else {f"{place}.use": name}) for name in names]
    return _checked(Axis(place, tuple(made), own))


def _tasks_axis(names: list[str] | None, values: layers.Values) -> Axis:
    names = names if names is not None else list(TASKS)
    for name in names:
        if name not in TASKS:
            raise MmtkError(f"--components tasks: no level '{name}'.{nearest(name, TASKS)}", hint=_known(TASKS))
    own = next((name for name, tasks in TASKS.items() if tasks == sorted(values["tasks"])), "")
    return _checked(Axis("tasks", tuple(Level(n, {} if n == own else {"tasks": TASKS[n]}) for n in names), own))


def _value_axis(key: str, names: list[str], values: layers.Values) -> Axis:
    own = layers.get(values, key)
    made = [Level(name, {key: layers.assignment(f"{key}={name}")[1]}) for name in names]
    return _checked(Axis(key, tuple(made), next((m.label for m in made if m.changes[key] == own), "")))


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


def cells(axes: Sequence[Axis], design: str, values: layers.Values) -> list[Cell]:
    """The cells of a design, and the recipe itself as the reference, last.

    A factorial and an add-one-in build up: where the recipe says ``others = "off"``, strategies that no axis
    names, nor one of their keys, are off in every cell but the reference. The other designs take away from the
    whole recipe.
    """
    if design not in DESIGNS:
        raise MmtkError(f"--design {design}: unknown.{nearest(design, DESIGNS)}", hint=_known(DESIGNS))
    on = [axis.on for axis in axes]
    combinations: list[tuple[Level, ...]]
    if design == "factorial":
        combinations = list(itertools.product(*(axis.levels for axis in axes)))
    elif design == "leave-one-out":
        combinations = [tuple(on), *_vary(axes, on, lambda axis: [axis.off])]
    elif design == "add-one-in":
        off = [axis.off for axis in axes]
        combinations = [tuple(off), *_vary(axes, off, lambda axis: [axis.on])]
    else:
        combinations = [tuple(on), *_vary(axes, on, lambda axis: [o for o in axis.levels if o is not axis.on])]
    builds_up = design in ("factorial", "add-one-in") and values.get("others") == "off"
    named = {axis.key.partition(".")[0] for axis in axes}
    base = {
        f"{kind}.use": OFF
        for kind in STRATEGIES
        if builds_up and kind not in named and layers.get(values, f"{kind}.use", OFF) != OFF
    }
    own = tuple(axis.own for axis in axes)
    found = []
    for chosen in combinations:
        levels = {axis.key: level.label for axis, level in zip(axes, chosen, strict=True)}
        changes = {key: value for level in chosen for key, value in level.changes.items()}
        found.append(Cell(levels, base | changes, not base and tuple(levels.values()) == own))
    if not any(cell.reference for cell in found):
        found.append(Cell({axis.key: axis.own for axis in axes}, {}, True, True))
    return sorted(found, key=lambda cell: cell.reference)


def _vary(
    axes: Sequence[Axis], start: Sequence[Level], other: Callable[[Axis], list[Level]]
) -> list[tuple[Level, ...]]:
    """``start`` with one axis changed, for every axis and every level that ``other`` gives for it."""
    return [(*start[:i], level, *start[i + 1 :]) for i, axis in enumerate(axes) for level in other(axis)]


# --- names ----------------------------------------------------------------------------------------------------

Signature = tuple[tuple[str, ...], frozenset[tuple[str, str]]]


def signature(values: layers.Values) -> Signature:
    """What tells the paper's systems apart: the tasks, and the strategies that are on."""
    uses = {kind: str(layers.get(values, f"{kind}.use", OFF)).rpartition("/")[2] for kind in STRATEGIES}
    return tuple(sorted(values["tasks"])), frozenset((k, use) for k, use in uses.items() if use != OFF)


def known_systems() -> dict[Signature, str]:
    """The systems that ship as recipes, by what tells them apart; not one that differs in more than that."""

    def rest(values: layers.Values) -> layers.Values:
        told = (*STRATEGIES, "tasks", "name", "description", "others")
        return {key: value for key, value in values.items() if key not in told}

    shipped = {path: layers.with_parents(path).values for path in sorted(layers.recipe_folder().glob("*.toml"))}
    base = shipped.pop(layers.recipe_folder() / "base.toml")
    return {signature(each): str(each["name"]) for each in shipped.values() if rest(each) == rest(base)}


def system_name(values: layers.Values, known: Mapping[Signature, str]) -> str:
    """The paper's name of a system; else that of its nearest part with what is added, as ``UMTL-S + kl``."""
    tasks, on = signature(values)
    if (tasks, on) in known:
        return known[tasks, on]
    inside = [(len(has), name, has) for (own, has), name in known.items() if own == tasks and has < on]
    if not inside:
        return " + ".join([*tasks, *sorted(use for _, use in on)])
    _, name, has = max(inside, key=lambda found: (found[0], found[1]))
    return " + ".join([name, *sorted(use for _, use in on - has)])


def cell_name(
    cell: Cell, values: layers.Values, own_name: str, own: Mapping[str, str], known: Mapping[Signature, str]
) -> str:
    """A cell's name: the system's, with the levels of the axes that the name does not tell.

    Cells of a recipe that does not ship are called after it, with the levels that differ from its ``own``.
    """
    if cell.reference:
        return own_name
    shipped = own_name in known.values()
    name = system_name(values, known) if shipped else own_name
    told = (*STRATEGIES, "tasks") if shipped else ()
    untold = [
        f"{key}={label or 'none'}"
        for key, label in cell.levels.items()
        if key not in told and (label if shipped else label != own.get(key))
    ]
    return f"{name} ({', '.join(untold)})" if untold else name
