"""Text of ``mmtk data inspect``: tables, then every verdict with its cure."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mmtk.data.store import SPLITS

MOST = 10

Report = dict[str, Any]


def show(report: Report, console: Console) -> None:
    """Print what ``inspect`` found as tables, then groups of identical images and every verdict."""
    _print_table(
        console,
        "Parts",
        ("set", "part", "*images", "*patients", "labels"),
        [
            (
                _titled(name, found) if split == SPLITS[0] else "",
                split,
                f"{part['images']:,}",
                f"{part['patients']:,}",
                labels,
            )
            for name, found in report["sources"].items()
            for split, part in found["splits"].items()
            for labels in [", ".join(f"{label} {count:,}" for label, count in part["labels"].items())]
        ],
    )
    _print_table(
        console,
        "Images",
        ("set", "*height", "*width", "*mean ± sd", "mask share (min – max)"),
        [
            (
                _titled(name, found),
                *(_range(found["shape"][axis]) for axis in ("height", "width")),
                f"{found['intensity']['mean']:.0f} ± {found['intensity']['sd']:.0f}",
                ", ".join(
                    f"{label} {share['mean']:.1%} ({share['min']:.1%} – {share['max']:.1%})"
                    for label, share in found.get("foreground", {}).items()
                ),
            )
            for name, found in report["sources"].items()
            if "intensity" in found
        ],
    )
    for name, found in report["sources"].items():
        for note in found["notes"]:
            console.print(Text(f"{_titled(name, found)}: {note}"), soft_wrap=True)
        groups = [" = ".join(group) for group in found.get("duplicates", [])]
        if groups:
            console.print(Text(f"{_titled(name, found)}, groups of identical images: {len(groups)}", style="bold"))
            shown = groups[:MOST] + ["…"] * (len(groups) > MOST)
            console.print("\n".join(shown), markup=False, highlight=False, soft_wrap=True)
            console.print()
    _print_verdicts(report["verdicts"], console)


def _titled(name: str, found: Report) -> str:
    return f"{name} ({found['component']})"


def _print_verdicts(verdicts: list[Report], console: Console) -> None:
    """✓ or ✗ with the cure; lines of names stand below their sentence."""
    for verdict in sorted(verdicts, key=lambda each: (not each["ok"], each["refused"])):
        mark, style = ("✓", "green") if verdict["ok"] else ("✗", "red" if verdict["refused"] else "yellow")
        head, *lines = verdict["text"].split("\n")
        console.print(Text(f"{mark} ", style=style) + Text(f"{verdict['name']}: {head}"), soft_wrap=True)
        for line in lines:
            console.print(Text(f"    {line}"), soft_wrap=True)
        cure = verdict["cure"]
        if verdict["refused"]:
            cure = f"Training refuses this. {cure}".strip()
        if cure:
            console.print(Text(f"  {cure}", style="dim"), soft_wrap=True)


def _print_table(console: Console, title: str, headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """A heading that starts with * is of numbers."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for heading in headings:
        table.add_column(heading.lstrip("*"), justify="right" if heading.startswith("*") else "left")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    if rows:
        console.print(table)


def _range(span: dict[str, float]) -> str:
    low, middle, high = (f"{span[key]:.0f}" for key in ("min", "median", "max"))
    return low if low == high else f"{low} / {middle} / {high}"
