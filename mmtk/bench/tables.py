"""Tables of measurements: on the terminal, in Markdown, and against an older measurement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mmtk.bench.measure import Row

GROWTH = 1.15  # new over old median from which a row counts as grown

TITLES = {
    "step": "Training step",
    "data": "Data",
    "eval": "Evaluation",
    "startup": "Start-up",
    "study": "Many runs at once",
    "compare": "Numbers of other programs",
}


def cells(rows: list[Row]) -> tuple[list[str], list[list[str]]]:
    """Headings and texts: the union of the rows' columns in their order, the spread of seconds as three."""
    names = list(dict.fromkeys(key for row in rows for key in row))
    headings = [part for name in names for part in (["median", "spread"] if name == "seconds" else [name])]
    lines = []
    for row in rows:
        line: list[str] = []
        for name in names:
            value = row.get(name)
            if name == "seconds":
                line += [duration(value["median"]), _range(value)] if value else ["", ""]
            else:
                line.append(number(value))
        lines.append(line)
    return ["" if name == "name" else name for name in headings], lines


def _range(seconds: dict[str, Any]) -> str:
    return f"{duration(seconds['low'])} – {duration(seconds['high'])} (n = {seconds['n']})"


def duration(seconds: float) -> str:
    """Seconds with three digits, as ms below one."""
    return f"{number(seconds * 1e3)} ms" if seconds < 1 else f"{number(seconds)} s"


def number(value: Any) -> str:
    """Format a number with at least three digits; texts stay, None is empty."""
    if value is None:
        return ""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return str(value)
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1e}" if abs(value) < 1e-3 else f"{value:.3g}"


def show(measured: dict[str, Any]) -> None:
    """Print every part as a table."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for part, rows in measured["parts"].items():
        headings, lines = cells(rows)
        table = Table(*headings, title=TITLES[part])
        for line in lines:
            table.add_row(*line)
        console.print(table)


def markdown(headings: list[str], lines: Iterable[list[str]]) -> str:
    """Format a table as Markdown, numbers aligned right."""
    ruler = ["---", *["---:"] * (len(headings) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [headings, ruler, *lines])


def grown(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names of the rows whose median grew by more than 15 %, by how much."""
    return [f"{name}: {(ratio - 1):.0%} more" for name, _, _, ratio, _ in _ratios(before, after) if ratio > GROWTH]


def changes(before: dict[str, Any], after: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Medians of the rows that both measurements have, and new over old: below 1 is faster now."""
    lines = [
        [
            name,
            duration(then["median"]),
            duration(now["median"]),
            f"{ratio:.2f}",
            "" if not apart else "slower" if ratio > 1 else "faster",
        ]
        for name, then, now, ratio, apart in _ratios(before, after)
    ]
    return ["", "before", "now", "now / before", "spreads apart"], lines


def _ratios(
    before: dict[str, Any], after: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any], float, bool]]:
    """Rows of both: name, seconds before and now, their ratio, and whether their spreads do not overlap."""
    for part, rows in after["parts"].items():
        old = {row["name"]: row for row in before["parts"].get(part, [])}
        for row in rows:
            if (old_row := old.get(row["name"])) is not None:
                then, now = old_row["seconds"], row["seconds"]
                apart = now["low"] > then["high"] or now["high"] < then["low"]
                yield f"{part}: {row['name']}", then, now, now["median"] / then["median"], apart
