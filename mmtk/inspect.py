"""What a data set holds before anything is trained on it: counts, sizes, intensities, leaks, bad files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from mmtk import activity, leaks, store
from mmtk.api import Item, Source, Split
from mmtk.errors import Problems
from mmtk.outputs import OutputFolder
from mmtk.report import style
from mmtk.splits import Role
from mmtk.store import SPLITS, Stored

if TYPE_CHECKING:
    from rich.console import Console

LEVELS = 256
SAMPLES = 6
PICTURES = ("intensity.png", "samples.png")
_CHUNK = 64

Report = dict[str, Any]


def inspect(
    sources: Mapping[Role, Source],
    size: int,
    out: Path,
    progress: Callable[[str, int, int], None] | None = None,
) -> Report:
    """A report on every source by task and role, with ``intensity.png`` and ``samples.png`` (Fig. 2) in ``out``.

    Unreadable files are listed, and the rest is described without them. ``progress`` gets (name, done, all).
    """
    activity.stage("reading images")
    folder = OutputFolder(out, "data inspect")
    folder.check(PICTURES)
    reports: dict[str, Report] = {}
    stores: dict[str, Stored] = {}
    parts: list[leaks.Images] = []
    with TemporaryDirectory(prefix="mmtk-inspect-") as spare:
        for role, source in sources.items():
            tell = partial(progress, role.name) if progress else None
            report: Report = {
                "component": role.use,
                "task": source.target.task,
                "names": list(source.target.names),
            }
            reports[role.name] = report | {"splits": _splits(source), "notes": list(getattr(source, "notes", ()))}
            readable, stored, reports[role.name]["unreadable"] = _opened(source, size, Path(spare), tell)
            if stored is None:
                continue
            stores[role.name] = stored
            reports[role.name] |= _pixels(stored)
            kept = SPLITS if role.domain == "source" else (role.split,)
            parts += [leaks.Images.of(role, readable, stored, split) for split in kept]
        found = leaks.overlaps(parts)
        for role in sources:
            crossing = [each for each in found if each.roles == (role, role)]
            reports[role.name]["crossing"] = sorted(
                {patient for each in crossing for patient, *_ in each.patients}
            )
        pictures = []
        if stores:
            with folder.staged() as stage:
                drawn = [_intensity(reports, stage / PICTURES[0]), _samples(stores, stage / PICTURES[1])]
            pictures = [out / path.name for path in drawn]
    return {
        "size": size,
        "sources": reports,
        "leaks": [each.report() for each in found],
        "pictures": [str(path) for path in pictures],
    }


def _opened(
    source: Source, size: int, spare: Path, progress: Callable[[int, int], None] | None
) -> tuple[Source, Stored | None, list[str]]:
    """The source without its unreadable items, its store if anything is left, a sentence on each bad file."""
    try:
        return source, store.open_store(source, size, progress=progress), []
    except Problems as problems:
        bad = [problem for problem in problems.problems if isinstance(problem, store.UnreadableError)]
        readable, texts = _Readable(source, {problem.id for problem in bad}), [str(problem) for problem in bad]
        if not readable.items("all"):
            return readable, None, texts
        # Not worth keeping: the next look is after the files have been mended.
        return readable, store.open_store(readable, size, cache=spare, progress=progress), texts


class _Readable(Source):
    """Another source without its unreadable items."""

    def __init__(self, source: Source, bad: set[str]) -> None:
        self.source, self.bad, self.target = source, bad, source.target

    def items(self, split: Split) -> list[Item]:
        return [item for item in self.source.items(split) if item.id not in self.bad]

    def image(self, item: Item) -> np.ndarray:
        return self.source.image(item)

    def mask(self, item: Item) -> np.ndarray:
        return self.source.mask(item)

    def digest(self) -> str:
        return f"{self.source.digest()} without {sorted(self.bad)}"


# ---------------------------------------------------------------- numbers


def _splits(source: Source) -> dict[str, Report]:
    found: dict[str, Report] = {}
    for split in SPLITS:
        items = source.items(split)
        known = [item.target for item in items if item.target is not None]
        counts: dict[str, int] = {"with mask": len(known)}
        if source.target.task == "classification":
            of_class = Counter(known)
            counts = {name: of_class[number] for number, name in enumerate(source.target.names)}
        if len(known) < len(items):
            counts["unlabelled"] = len(items) - len(known)
        found[split] = {
            "images": len(items), "patients": len({item.patient for item in items}), "labels": counts
        }  # fmt: skip
    return found


def _pixels(stored: Stored) -> Report:
    counts = np.zeros(LEVELS, np.int64)
    for block in _blocks(stored.images):
        counts += np.bincount(block.ravel(), minlength=LEVELS)
    density = counts / counts.sum()
    levels = np.arange(LEVELS)
    mean = float(density @ levels)
    report: Report = {
        "images": len(stored.ids),
        "shape": {
            axis: _span(lengths) for axis, lengths in zip(("height", "width"), stored.shapes.T, strict=True)
        },
        "intensity": {
            "density": density.tolist(),
            "mean": mean,
            "sd": float(np.sqrt(density @ (levels - mean) ** 2)),
        },
        "duplicates": [list(group) for group in store.duplicates(stored)],
    }
    if stored.target.task == "segmentation":
        shares = np.concatenate([_shares(block) for block in _blocks(stored.targets)])
        report["foreground"] = {
            name: {"mean": float(known.mean()), **_span(known)}
            for name, share in zip(stored.target.names, shares.T, strict=True)
            if (known := share[~np.isnan(share)]).size
        }
    return report


def _blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(array), _CHUNK):
        yield np.asarray(array[start : start + _CHUNK])


def _shares(masks: np.ndarray) -> np.ndarray:
    """[B,K,H,W] → [B,K]: foreground over known pixels, NaN where none is known."""
    inside, known = (masks == 1).sum((2, 3)), (masks != store.IGNORED).sum((2, 3))
    return np.where(known, inside / np.maximum(known, 1), np.nan)


def _span(values: np.ndarray) -> dict[str, float]:
    return {"min": float(values.min()), "median": float(np.median(values)), "max": float(values.max())}


# ---------------------------------------------------------------- pictures


def _intensity(reports: dict[str, Report], path: Path) -> Path:
    """Fig. 2b: a line per data set; black borders would dwarf the rest, so the legend tells of them."""
    shown = {name: report["intensity"] for name, report in reports.items() if "intensity" in report}
    with style.chart(path, "Intensity distributions of the data sets", 6.4, 3.8) as figure:
        axes = figure.add_subplot()
        for number, (name, found) in enumerate(shown.items()):
            colour = style.CYCLE[number % len(style.CYCLE)]
            label = f"{name}: {found['mean']:.0f} ± {found['sd']:.0f}, {found['density'][0]:.1%}"
            dashes = style.DASHES[number % len(style.DASHES)]
            axes.plot(range(1, LEVELS), found["density"][1:], color=colour, linestyle=dashes, label=label)
        top = 1.6 * np.percentile([found["density"][1:] for found in shown.values()], 98)
        axes.set(xlim=(0, LEVELS - 1), ylim=(0, top or None), xticks=[*range(0, LEVELS - 1, 32), LEVELS - 1])
        axes.set(xlabel="Intensity (0 black … 255 white)", ylabel="Density (share of pixels per level)")
        axes.legend(title="mean ± sd, share of level 0 (not drawn)", ncols=2, loc="upper center")
    return path


def _samples(stores: dict[str, Stored], path: Path) -> Path:
    """Fig. 2a: a row of images for every class of every set, masks as outlines."""
    rows = [(name, label, found) for name, stored in stores.items() for label, found in _groups(stored)]
    sheet = style.Sheet("Sample images", len(rows), SAMPLES, 1.0, 1.2, left=1.5)
    with sheet.open(path, "evenly spaced in the order of the ids; masks outlined") as figure:
        for row, (name, label, found) in enumerate(rows):
            stored = stores[name]
            for column, index in enumerate(found[_spread(len(found))]):
                axes = sheet.image(figure, row, column, stored.images[index, 0] / (LEVELS - 1))
                if stored.target.task == "segmentation":
                    for channel, (_, colour) in _outlined(stored).items():
                        style.outline(axes, stored.targets[index, [channel]], {"colors": colour})
            left, bottom, _, tall = sheet.box(row, 0)
            lines = [(name, "black"), *label, (f"{len(found):,} images", style.GREY)]
            for line, (words, colour) in enumerate(lines):
                figure.text(
                    left - 0.1 / sheet.width,
                    bottom + tall - (0.12 + 0.17 * line) / sheet.height,
                    style.short(words, 20),
                    color=colour,
                    ha="right",
                    va="top",
                    fontweight="normal" if line else "bold",
                )
    return path


def _groups(stored: Stored) -> Iterator[tuple[list[tuple[str, str]], np.ndarray]]:
    """The rows of the picture: lines of the label with their colours, and which images."""
    if stored.target.task == "segmentation":
        masked = np.array([(mask != store.IGNORED).any() for mask in stored.targets])
        yield list(_outlined(stored).values()), np.flatnonzero(masked if masked.any() else ~masked)
        return
    for number, label in [*enumerate(stored.target.names), (store.UNKNOWN, "unlabelled")]:
        if (found := np.flatnonzero(stored.targets == number)).size:
            yield [(label, "black")], found


def _outlined(stored: Stored) -> dict[int, tuple[str, str]]:
    """Mask channel → its name and colour; the background of exclusive masks has no outline."""
    first = 1 if stored.target.exclusive and len(stored.target.names) > 1 else 0
    return {
        channel: (name, style.CYCLE[(channel - first + 2) % len(style.CYCLE)])
        for channel, name in enumerate(stored.target.names)
        if channel >= first
    }


def _spread(count: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, SAMPLES)).round().astype(int))


# ---------------------------------------------------------------- print


def show(report: Report, console: Console) -> None:
    """Print what ``inspect`` found as tables, then every unreadable file, leak and duplicate."""
    from rich.markup import escape

    _print_table(
        console,
        "Parts",
        ("set", "part", "*images", "*patients", "labels"),
        [
            (
                name if split == SPLITS[0] else "",
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
                name,
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
        groups = [" = ".join(group) for group in found.get("duplicates", [])]
        for title, lines, most in (
            ("notes", found.get("notes", []), None),
            ("unreadable", found["unreadable"], None),
            ("groups of identical images", groups, 10),
        ):
            if lines:
                console.print(f"\n[bold]{escape(name)}, {title}: {len(lines)}[/]", highlight=False)
                shown = [*lines[:most], *(["…"] if len(lines[:most]) < len(lines) else [])]
                console.print("\n".join(shown), markup=False, highlight=False, soft_wrap=True)
    for leak in report["leaks"]:
        console.print(f"\n[bold]{escape(leak['train'])} and {escape(leak['scored'])}[/]", highlight=False)
        console.print("\n".join(leak["lines"]), markup=False, highlight=False, soft_wrap=True)
        cure = 'training refuses this unless data.leaks = "allow"'
        if leak["across"]:
            cure = "a task that shares the encoder trains on them: training says so and goes on"
        console.print(f"[red]{cure}[/]", highlight=False)


def _print_table(console: Console, title: str, headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """A heading that starts with * is of numbers."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

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
