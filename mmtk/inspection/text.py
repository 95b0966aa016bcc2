"""Text of ``mmtk data inspect``: tables, then every verdict with its cure."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mmtk.data.store import SPLITS
from mmtk.errors import to_copy

MOST = 10
METADATA_CAPTION = (
    "with label: share of images that would have to change their group for all classes to be alike in it (0: says "
    "nothing of the class; 1: tells it). drift: the same between the two domains."
)

Report = dict[str, Any]


def show(report: Report, console: Console) -> None:
    """Print a report of ``inspect`` as tables, then groups of identical images and every verdict."""
    headings = ("set", "part", "*images", "*patients", "labels")
    _print_table(console, "Parts", headings, _part_rows(report["sources"]))
    headings = ("set", "*height", "*width", "*mean ± sd", "mask share (min – max)")
    _print_table(console, "Images", headings, _image_rows(report["sources"]))
    headings = ("set", "attribute", "images by part", "*with label", "*drift")
    if rows := _metadata_rows(report["sources"]):
        _print_table(console, "Metadata", headings, rows)
        _print(console, METADATA_CAPTION, style="dim")
    for name, source in report["sources"].items():
        _print_groups(_title(name, source), source, console)
    for note, names in _notes(report).items():
        _print(console, f"{', '.join(names)}: {note}")
    _print_verdicts(report["verdicts"], console)


def _part_rows(sources: Report) -> list[tuple[str, ...]]:
    """Numbers of images, patients and labels, a row per set and part."""
    rows: list[tuple[str, ...]] = []
    for name, source in sources.items():
        for split, part in source["splits"].items():
            title = _title(name, source) if split == SPLITS[0] else ""
            labels = ", ".join(f"{label} {count:,}" for label, count in part["labels"].items())
            rows.append((title, split, f"{part['images']:,}", f"{part['patients']:,}", labels))
    return rows


def _image_rows(sources: Report) -> list[tuple[str, ...]]:
    """Sizes, intensities and shares of masks, a row per set that could be read."""
    rows: list[tuple[str, ...]] = []
    for name, source in sources.items():
        if "intensity" in source:
            sizes = (_range(source["shape"][axis]) for axis in ("height", "width"))
            levels = f"{source['intensity']['mean']:.0f} ± {source['intensity']['sd']:.0f}"
            shares = ", ".join(
                f"{label} {share['mean']:.1%} ({share['min']:.1%} – {share['max']:.1%})"
                for label, share in source.get("foreground", {}).items()
            )
            rows.append((_title(name, source), *sizes, levels, shares))
    return rows


def _metadata_rows(sources: Report) -> list[tuple[str, ...]]:
    """Counts of every attribute by group, a row per set and attribute."""
    rows: list[tuple[str, ...]] = []
    for name, source in sources.items():
        for place, (attribute, facts) in enumerate(source["metadata"]["attributes"].items()):
            used = [split for split in SPLITS if source["splits"][split]["images"]]
            groups = "; ".join(
                f"{group}: {' / '.join(f'{counts[split]:,}' for split in used)}"
                for group, counts in facts["groups"].items()
            )
            distances = ("–" if facts.get(key) is None else f"{facts[key]:.2f}" for key in ("label", "drift"))
            rows.append((_title(name, source) if not place else "", attribute, groups, *distances))
    return rows


def _notes(report: Report) -> dict[str, list[str]]:
    """Notes, each with the sets that it is of; without those that a verdict on the set repeats."""
    names_by_note: dict[str, list[str]] = {}
    for name, source in report["sources"].items():
        text = "\n".join(verdict["text"] for verdict in report["verdicts"] if verdict["name"] == name)
        for note in [*source["notes"], *(f"metadata: {note}." for note in source["metadata"]["notes"])]:
            if note.split(": ")[0] not in text:
                names_by_note.setdefault(note, []).append(_title(name, source))
    return names_by_note


def _print_groups(title: str, source: Report, console: Console) -> None:
    """Print the groups of identical images of a set."""
    groups = [" = ".join(group) for group in source.get("duplicates", [])]
    if groups:
        console.print(Text(f"{title}, groups of identical images: {len(groups)}", style="bold"))
        lines = groups[:MOST] + ["…"] * (len(groups) > MOST)
        console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
        console.print()


def _title(name: str, source: Report) -> str:
    return f"{name} ({source['component']})"


def _print_verdicts(verdicts: list[Report], console: Console) -> None:
    """Print ✓, ! for a doubt, or ✗, with the cure; names stand in lines below their sentence."""
    for verdict in sorted(verdicts, key=lambda item: (not item["ok"], item["refused"])):
        doubt = verdict["ok"] and verdict["cure"]
        mark, style = ("✓", "green") if verdict["ok"] else ("✗", "red" if verdict["refused"] else "yellow")
        mark, style = ("!", "yellow") if doubt else (mark, style)
        head, *lines = verdict["text"].split("\n")
        _print(console, Text(f"{mark} ", style=style) + Text(f"{verdict['name']}: {head}"))
        for line in lines:
            _print(console, f"    {line}")
        cure = verdict["cure"]
        if verdict["refused"]:
            cure = f"Training refuses this. {cure}".strip()
        if cure:
            _print(console, f"  {cure}", style="dim")


def _print(console: Console, text: str | Text, style: str = "") -> None:
    """Print a sentence, broken at words, but for commands to copy."""
    line = text if isinstance(text, Text) else Text(text, style=style)
    console.print(line, soft_wrap=to_copy(line.plain))


def _print_table(console: Console, title: str, headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a table with a title; a heading that starts with * is of numbers."""
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
