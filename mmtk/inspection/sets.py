"""What data sets hold before anything is trained on them: counts, sizes, intensities, masks, leaks, bad files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mmtk.api import Item, Source, Split
from mmtk.data import leaks, sources, store
from mmtk.data.mask_checks import MaskCheck, check_masks
from mmtk.data.split_checks import Role
from mmtk.data.store import SPLITS, Stored
from mmtk.errors import MmtkError, Problems
from mmtk.inspection import verdicts
from mmtk.inspection.pictures import LEVELS, draw_intensities, draw_samples
from mmtk.inspection.verdicts import Verdict
from mmtk.io import status_line
from mmtk.io.outputs import OutputFolder
from mmtk.recipe.recipe import Recipe
from mmtk.tasks import TASKS

PICTURES = ("intensity.png", "samples.png")
_CHUNK = 64

Report = dict[str, Any]
Progress = Callable[[str, int, int], None]


@dataclass
class _Looks:
    """Findings gathered on the way: by name of the set, and the parts that are compared."""

    reports: dict[str, Report] = field(default_factory=dict)
    stores: dict[Role, Stored] = field(default_factory=dict)
    masks: dict[str, MaskCheck] = field(default_factory=dict)
    parts: list[leaks.Images] = field(default_factory=list)
    overlaps: list[leaks.Overlap] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)


def sources_of(recipe: Recipe, root: Path | None) -> dict[Role, Source | MmtkError]:
    """Every source of a recipe by task and role, or the error that it ends with; raises where all do."""
    found: dict[Role, Source | MmtkError] = {}
    for task in recipe.tasks:
        for domain in ("source", "cross"):
            if recipe.source(task, domain):
                role = Role.of(recipe, task, domain)
                try:
                    found[role] = sources.source(recipe, task, domain, root)
                except MmtkError as error:
                    found[role] = error
    errors = [each for each in found.values() if isinstance(each, MmtkError)]
    if len(errors) == len(found):
        raise Problems({str(error): error for error in errors}.values())
    return found


def inspect(
    sources: Mapping[Role, Source | MmtkError], size: int, out: Path, progress: Progress | None = None
) -> Report:
    """A report on every source by task and role, with ``intensity.png`` and ``samples.png`` (Fig. 2) in ``out``.

    A source that could not be made is given as its error. Unreadable files are listed, and the rest is described
    without them. ``verdicts`` says of every set what is to be mended. ``progress`` gets (name, done, all).
    """
    status_line.stage("reading images")
    folder = OutputFolder(out, "data inspect")
    folder.check(PICTURES)
    looks = _Looks()
    with TemporaryDirectory(prefix="mmtk-inspect-") as spare:
        for role, source in sources.items():
            if isinstance(source, MmtkError):
                looks.verdicts.append(Verdict.of(role, source))
            else:
                _look(looks, role, source, size, Path(spare), partial(progress, role.name) if progress else None)
        _compare(looks)
        pictures = _draw(looks, folder) if looks.stores else []
    return {
        "size": size,
        "sources": looks.reports,
        "leaks": [each.report() for each in looks.overlaps],
        "verdicts": [asdict(each) for each in looks.verdicts],
        "pictures": [str(path) for path in pictures],
    }


def _look(
    looks: _Looks, role: Role, source: Source, size: int, spare: Path, tell: Callable[[int, int], None] | None
) -> None:
    """Describe and judge one source."""
    target = source.labels
    report: Report = {"component": role.use, "task": target.task, "names": list(target.names)}
    looks.reports[role.name] = report | {
        "splits": _splits(source),
        "notes": list(getattr(source, "notes", ())),
        "unreadable": [],
        "crossing": [],
    }
    report = looks.reports[role.name]
    if bad := verdicts.on_items(role, source):
        looks.verdicts += bad
        return
    readable, stored, report["unreadable"] = _opened(source, size, spare, tell)
    found = verdicts.on_unreadable(role, report["unreadable"])
    if stored is not None:
        looks.stores[role] = stored
        report |= _pixels(stored)
        found += verdicts.on_parts(role, readable, stored)
        if TASKS[target.task].has_masks:
            looks.masks[role.name] = check = check_masks(stored, readable.items("all"))
            report["masks"] = asdict(check)
            found += verdicts.on_masks(role, check, len(stored.ids))
        kept: tuple[Split, ...] = SPLITS if role.domain == "source" else (role.split,)
        looks.parts += [leaks.Images.of(role, readable, stored, split) for split in kept]
    looks.verdicts += found or [verdicts.all_well(role, source)]


def _compare(looks: _Looks) -> None:
    """Judge what sources have in common: labels, patients, images."""
    for role, stored in looks.stores.items():
        for cross, other in looks.stores.items():
            if (role.task, role.domain, cross.domain) == (cross.task, "source", "cross"):
                looks.verdicts += verdicts.on_labels(role, stored, cross, other)
    looks.overlaps = leaks.overlaps(looks.parts)
    for each in looks.overlaps:
        looks.verdicts.append(verdicts.on_overlap(each))
        if each.roles[0] == each.roles[1]:
            report = looks.reports[each.roles[0].name]
            report["crossing"] = sorted({*report["crossing"], *(patient for patient, *_ in each.patients)})


def _draw(looks: _Looks, folder: OutputFolder) -> list[Path]:
    stores = {role.name: stored for role, stored in looks.stores.items()}
    with folder.staged() as stage:
        drawn = [
            draw_intensities(looks.reports, stage / PICTURES[0]),
            draw_samples(stores, looks.masks, stage / PICTURES[1]),
        ]
    return [folder.path / path.name for path in drawn]


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
        self.source, self.bad, self.labels = source, bad, source.labels

    def items(self, split: Split) -> list[Item]:
        return [item for item in self.source.items(split) if item.id not in self.bad]

    def image(self, item: Item) -> np.ndarray:
        return self.source.image(item)

    def mask(self, item: Item) -> np.ndarray:
        return self.source.mask(item)

    def digest(self) -> str:
        return f"{self.source.digest()} without {sorted(self.bad)}"


def _splits(source: Source) -> dict[str, Report]:
    found: dict[str, Report] = {}
    for split in SPLITS:
        items = source.items(split)
        known = [item.target for item in items if item.target is not None]
        counts: dict[str, int] = {"with mask": len(known)}
        if not TASKS[source.labels.task].has_masks:
            of_class = Counter(known)
            counts = {name: of_class[number] for number, name in enumerate(source.labels.names)}
        if len(known) < len(items):
            counts["unlabelled"] = len(items) - len(known)
        found[split] = {"images": len(items), "patients": len({item.patient for item in items}), "labels": counts}
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
    if TASKS[stored.labels.task].has_masks:
        shares = np.concatenate([_shares(block) for block in _blocks(stored.targets)])
        report["foreground"] = {
            name: {"mean": float(known.mean()), **_span(known)}
            for name, share in zip(stored.labels.names, shares.T, strict=True)
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
