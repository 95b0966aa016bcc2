"""Reports on data sets before training: counts, sizes, intensities, masks, leaks, unreadable files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mmtk.api import Item, Source, Split
from mmtk.data import leaks, sources
from mmtk.data.mask_checks import MaskCheck, check_masks
from mmtk.data.split_checks import Role
from mmtk.data.store import IGNORED, SPLITS, ImageStore, UnreadableError, duplicates, open_store
from mmtk.errors import MmtkError, Problems
from mmtk.inspection import metadata, verdicts
from mmtk.inspection.pictures import LEVELS, draw_intensities, draw_samples
from mmtk.inspection.verdicts import Verdict
from mmtk.io import status_line
from mmtk.io.files import write_json
from mmtk.io.outputs import OutputFolder
from mmtk.recipe.recipe import Recipe
from mmtk.tasks import TASKS

PICTURES = ("intensity.png", "samples.png")
ORIGIN = "sets.json"  # which sets the pictures show
_CHUNK = 64

Report = dict[str, Any]
Progress = Callable[[str, int, int], None]


@dataclass
class _Findings:
    """Findings by set, and the parts that are compared."""

    reports: dict[str, Report] = field(default_factory=dict)
    stores: dict[Role, ImageStore] = field(default_factory=dict)
    sources: dict[Role, Source] = field(default_factory=dict)
    masks: dict[str, MaskCheck] = field(default_factory=dict)
    parts: list[leaks.Images] = field(default_factory=list)
    overlaps: list[leaks.Overlap] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)


def sources_of(recipe: Recipe, root: Path | None) -> dict[Role, Source | MmtkError]:
    """Open every source of a recipe, or keep its error; raise where all fail."""
    results: dict[Role, Source | MmtkError] = {}
    for task in recipe.tasks:
        for domain in ("source", "cross"):
            if recipe.source(task, domain):
                role = Role.of(recipe, task, domain)
                try:
                    results[role] = sources.source(recipe, task, domain, root)
                except MmtkError as error:
                    results[role] = error
    errors = [result for result in results.values() if isinstance(result, MmtkError)]
    if len(errors) == len(results):
        raise Problems({str(error): error for error in errors}.values())
    return results


def inspect(
    sources: Mapping[Role, Source | MmtkError],
    size: int,
    out: Path,
    progress: Progress | None = None,
    origin: Sequence[str] = (),
) -> Report:
    """Report on every source, with ``intensity.png`` and ``samples.png`` (Fig. 2) in ``out``.

    ``sources``: by role; a source that could not be made as its error. ``size``: of the images, in pixels.
    ``progress`` gets (name of the set, images read, images in all). ``origin``: what the sets are called, written
    beside their pictures. Unreadable files are listed, and the other images described without them. The entry
    ``verdicts`` has a sentence and a cure for every fault of a set.
    """
    status_line.stage("reading images")
    folder = OutputFolder(out, "data inspect")
    folder.check([*PICTURES, ORIGIN])
    result = _Findings()
    with TemporaryDirectory(prefix="mmtk-inspect-") as scratch:
        for role, source in sources.items():
            if isinstance(source, MmtkError):
                result.verdicts.append(Verdict.of(role, source))
            else:
                _inspect_set(
                    result, role, source, size, Path(scratch), partial(progress, role.name) if progress else None
                )
        _compare(result)
        pictures = _draw(result, folder, origin)
    return {
        "size": size,
        "sources": result.reports,
        "leaks": [entry.report() for entry in result.overlaps],
        "verdicts": [asdict(entry) for entry in result.verdicts],
        "pictures": [str(path) for path in pictures],
    }


def _inspect_set(
    findings: _Findings,
    role: Role,
    source: Source,
    size: int,
    scratch: Path,
    tell: Callable[[int, int], None] | None,
) -> None:
    """Describe and judge one source."""
    target = source.labels
    report: Report = {"component": role.use, "task": target.task, "names": list(target.names)}
    findings.reports[role.name] = report | {
        "splits": _splits(source),
        "notes": list(getattr(source, "notes", ())),
        "unreadable": [],
        "crossing": [],
        "metadata": metadata.describe(source),
    }
    report = findings.reports[role.name]
    if bad := verdicts.on_items(role, source):
        findings.verdicts += bad
        return
    readable, store, report["unreadable"] = _open_readable(source, size, scratch, tell)
    set_verdicts = verdicts.on_unreadable(role, report["unreadable"])
    if store is not None:
        findings.stores[role], findings.sources[role] = store, readable
        report |= _pixels(store)
        set_verdicts += verdicts.on_images(role, store, readable.items("all"))
        set_verdicts += verdicts.on_parts(role, readable, store)
        if TASKS[target.task].has_masks:
            findings.masks[role.name] = check = check_masks(store, readable.items("all"))
            report["masks"] = asdict(check)
            masks = sum(item.target is not None for item in readable.items("all"))
            set_verdicts += verdicts.on_masks(role, check, masks, target.names)
            if note := verdicts.empty_note(check, masks, target.names):
                report["notes"].append(note)
        splits: tuple[Split, ...] = SPLITS if role.domain == "source" else (role.split,)
        findings.parts += [leaks.Images.of(role, readable, store, split) for split in splits]
    findings.verdicts += set_verdicts or [verdicts.all_well(role, source)]


def _compare(findings: _Findings) -> None:
    """Judge what sources have in common: labels, patients, images; compare their metadata."""
    for role, store in findings.stores.items():
        for cross, other in findings.stores.items():
            if (role.task, role.domain, cross.domain) == (cross.task, "source", "cross"):
                findings.verdicts += verdicts.on_labels(role, store, cross, other)
                _add_drift(findings, role, cross)
    findings.overlaps = leaks.overlaps(findings.parts)
    shared = {overlap_role.name for overlap in findings.overlaps for overlap_role in overlap.roles}
    findings.verdicts = [entry for entry in findings.verdicts if not (entry.ok and entry.name in shared)]
    for role, store in findings.stores.items():
        groups = findings.reports[role.name]["duplicates"]
        findings.verdicts += verdicts.on_duplicates(role, store, groups, findings.overlaps)
    findings.verdicts += verdicts.on_overlaps(findings.overlaps)
    for overlap in findings.overlaps:
        if overlap.roles[0] == overlap.roles[1]:
            report = findings.reports[overlap.roles[0].name]
            report["crossing"] = sorted({*report["crossing"], *(patient for patient, *_ in overlap.patients)})


def _add_drift(findings: _Findings, role: Role, cross: Role) -> None:
    """Add to the metadata of ``cross`` how far they are from those of ``role``."""
    items, cross_items = (findings.sources[one].items("all") for one in (role, cross))
    attributes = findings.reports[cross.name]["metadata"]["attributes"]
    for name, distance in metadata.drift(items, cross_items).items():
        attributes.setdefault(name, {"groups": {}, "label": None})["drift"] = distance


def _draw(findings: _Findings, folder: OutputFolder, origin: Sequence[str]) -> list[Path]:
    stores = {role.name: store for role, store in findings.stores.items()}
    if not stores:
        folder.remove_others(())  # no image could be read: earlier pictures show others
        return []
    with folder.staged() as stage:
        write_json(stage / ORIGIN, {"sets": [*origin]})
        pictures = [
            draw_intensities(findings.reports, stage / PICTURES[0]),
            draw_samples(stores, findings.masks, stage / PICTURES[1]),
        ]
    return [folder.path / path.name for path in pictures]


def _open_readable(
    source: Source, size: int, scratch: Path, progress: Callable[[int, int], None] | None
) -> tuple[Source, ImageStore | None, list[str]]:
    """Open a source without its unreadable items; return it, its store if any, and a sentence on each bad file."""
    try:
        return source, open_store(source, size, progress=progress), []
    except Problems as problems:
        bad = [problem for problem in problems.problems if isinstance(problem, UnreadableError)]
        readable, texts = (
            _ReadableSource(source, {problem.id for problem in bad}),
            [str(problem) for problem in bad],
        )
        if not readable.items("all"):
            return readable, None, texts
        # Not cached: the next inspection comes when the files are mended.
        return readable, open_store(readable, size, cache=scratch, progress=progress), texts


class _ReadableSource(Source):
    """Source without its unreadable items."""

    def __init__(self, source: Source, bad: set[str]) -> None:
        self.source, self.bad, self.labels = source, bad, source.labels
        self.one_image_per_patient = source.one_image_per_patient

    def items(self, split: Split) -> list[Item]:
        return [item for item in self.source.items(split) if item.id not in self.bad]

    def image(self, item: Item) -> np.ndarray:
        return self.source.image(item)

    def mask(self, item: Item) -> np.ndarray:
        return self.source.mask(item)

    def digest(self) -> str:
        return f"{self.source.digest()} without {sorted(self.bad)}"


def _splits(source: Source) -> dict[str, Report]:
    reports: dict[str, Report] = {}
    for split in SPLITS:
        items = source.items(split)
        targets = [item.target for item in items if item.target is not None]
        counts: dict[str, int] = {"with mask": len(targets)}
        if not TASKS[source.labels.task].has_masks:
            of_class = Counter(targets)
            counts = {name: of_class[number] for number, name in enumerate(source.labels.names)}
        if len(targets) < len(items):
            counts["unlabelled"] = len(items) - len(targets)
        reports[split] = {
            "images": len(items),
            "patients": len({item.patient for item in items}),
            "labels": counts,
        }
    return reports


def _pixels(store: ImageStore) -> Report:
    counts = np.zeros(LEVELS, np.int64)
    for block in _blocks(store.images):
        counts += np.bincount(block.ravel(), minlength=LEVELS)
    density = counts / counts.sum()
    levels = np.arange(LEVELS)
    mean = float(density @ levels)
    report: Report = {
        "images": len(store.ids),
        "shape": {axis: _span(lengths) for axis, lengths in zip(("height", "width"), store.shapes.T, strict=True)},
        "intensity": {
            "density": density.tolist(),
            "mean": mean,
            "sd": float(np.sqrt(density @ (levels - mean) ** 2)),
        },
        "duplicates": [list(group) for group in duplicates(store)],
    }
    if TASKS[store.labels.task].has_masks:
        shares = np.concatenate([_shares(block) for block in _blocks(store.targets)])
        report["foreground"] = {
            name: {"mean": float(values.mean()), **_span(values)}
            for name, share in zip(store.labels.names, shares.T, strict=True)
            if (values := share[~np.isnan(share)]).size
        }
    return report


def _blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(array), _CHUNK):
        yield np.asarray(array[start : start + _CHUNK])


def _shares(masks: np.ndarray) -> np.ndarray:
    """Share of the foreground among known pixels of masks [B,K,H,W]: [B,K], NaN where none is known."""
    inside, known_pixels = (masks == 1).sum((2, 3)), (masks != IGNORED).sum((2, 3))
    return np.where(known_pixels, inside / np.maximum(known_pixels, 1), np.nan)


def _span(values: np.ndarray) -> dict[str, float]:
    return {"min": float(values.min()), "median": float(np.median(values)), "max": float(values.max())}
