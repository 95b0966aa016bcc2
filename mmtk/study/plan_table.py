"""A study's plan on the terminal: its systems, everything that differs between them, and what is left to do."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from mmtk.recipe import toml
from mmtk.recipe.recipe import NOT_IN_DIGEST
from mmtk.study.axes import NO_LEVEL, OFF, STRATEGIES, places

if TYPE_CHECKING:
    from rich.table import Table

    from mmtk.study.cells import PlannedCell
    from mmtk.study.plan import Plan

MOST_AXES = 3  # more do not fit beside the names, which tell them
LONGEST_WORD = 30  # signs of a name that are not broken for the sake of columns
MOST_COLUMNS = 4  # of axes and components, for which names are wrapped


def differences(plan: Plan) -> dict[str, list[str]]:
    """Find what differs between systems besides their label budgets: component table or key → its value in each.

    A key of a component is compared among the systems that have it; that a component brings keys that another one
    has not is no difference of its own.
    """
    tables = [{k: v for k, v in c.recipe.values.items() if k not in NOT_IN_DIGEST} for c in plan.cells]
    used = [places(table) for table in tables]
    values_by_key = {}
    for path in dict.fromkeys(path for row in used for path in row):
        uses = [row[path][1] if path in row else OFF if path in STRATEGIES else NO_LEVEL for row in used]
        if len(set(uses) - {NO_LEVEL}) > 1:
            values_by_key[path] = uses
    keys = dict.fromkeys(key for table in tables for key, _ in toml.leaves(table))
    for key in keys:
        if not key.endswith((".use", ".labels")) and _differs(key, tables):
            values_by_key[key] = [_shown(toml.get(table, key)) for table in tables]
    return values_by_key


def _differs(key: str, tables: Collection[toml.Values]) -> bool:
    """Whether systems that have a key say other values, or some with the same component (or table) have it not."""
    table_path = key.rpartition(".")[0]
    by_part: dict[str, set[str]] = {}
    for table in tables:
        if isinstance(keys := toml.get(table, table_path) if table_path else table, dict):
            by_part.setdefault(str(keys.get("use")), set()).add(_shown(toml.get(table, key)))
    values = set.union(*by_part.values()) - {NO_LEVEL}
    return len(values) > 1 or any(len(part) > 1 for part in by_part.values())


def _shown(value: Any) -> str:
    if value is None:
        return NO_LEVEL
    return " and ".join(map(str, value)) if isinstance(value, list) else str(value)


def plan_table(plan: Plan, finished_runs: Collection[tuple[str, int]], width: int = 80) -> tuple[Table, list[str]]:
    """The table of the systems, and a line for everything that differs and has no column in it.

    ``finished_runs`` holds the finished runs as digest and seed. Of ``width`` signs, what the names need goes
    before columns; names are wrapped at spaces and separators, never inside words that fit. A key besides axes and
    components has a column where no name is wrapped for it.
    """
    from rich.table import Table

    differing = differences(plan)
    axes = list(plan.axes) if len(plan.axes) <= MOST_AXES else []
    component_paths = {row for cell in plan.cells for row in places(cell.recipe.values)}
    parts = [key for key in differing if key in component_paths and key not in plan.axes]
    finished = [sum((cell.recipe.digest, seed) in finished_runs for seed in plan.seeds) for cell in plan.cells]
    counts = [plan.counts[cell.recipe.digest] for cell in plan.cells]
    filled = {
        key: [cell.levels.get(key) or _value(cell, key, differing, row) for row, cell in enumerate(plan.cells)]
        for key in axes + parts[: MOST_COLUMNS - len(axes)]
    }
    last = {
        "labels": [cell.budget for cell in plan.cells],
        "done": [f"{count}/{of}" for count, of in zip(finished, counts, strict=True)],
    }
    names = [f"{cell.name} *" if cell.reference else cell.name for cell in plan.cells]
    need = min(max(len(word) for name in names for word in name.split()), LONGEST_WORD)
    while (room := width - _width(filled | last)) < need and filled:
        filled.popitem()
    longest = max(map(len, names))
    for key in [key for key in differing if key not in (*filled, *plan.axes, "tasks")]:
        wider = filled | {key: differing[key]}
        if (wider_room := width - _width(wider | last)) >= longest:
            filled, room = wider, wider_room
    columns = list(filled)
    table = Table(title=plan.title, title_justify="left", title_style="bold")
    for heading in ("system", *columns, *last):
        side: Literal["left", "right"] = "right" if heading in last else "left"
        table.add_column(heading, overflow="fold", no_wrap=heading != "system", justify=side)
    for name, *values in zip(names, *filled.values(), *last.values(), strict=True):
        table.add_row(wrapped(name, room), *values)
    # The labels tell the tasks.
    rest = [key for key in differing if key not in (*columns, *plan.axes, "tasks")]
    distinct_values = {
        key: [value for value in dict.fromkeys(differing[key]) if value != NO_LEVEL] for key in rest
    }
    return table, [f"{key} {' / '.join(values)}" for key, values in distinct_values.items()]


def _width(columns: Mapping[str, Sequence[str]]) -> int:
    """Signs of a line that columns take, and the frame around them and one more column."""
    return 4 + sum(3 + max(map(len, (heading, *cells))) for heading, cells in columns.items())


def wrapped(name: str, width: int) -> str:
    """A name on lines of ``width`` signs: broken at spaces, else behind separators, else as it is."""
    lines = [""]
    for part in re.findall(r"\S+\s*|\s+", name):
        fits = len(part.rstrip()) <= width
        for piece in [part] if fits else re.findall(r"[^/=_,.+-]*[/=_,.+-]+|[^/=_,.+-]+", part):
            if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > width:
                lines.append("")
            lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def _value(cell: PlannedCell, key: str, differing: dict[str, list[str]], row: int) -> str:
    """A key's value in a cell that is no level of its axis."""
    return differing[key][row] if key in differing else _shown(cell.recipe.get(key))
