"""Saliency maps of a study: their scores with intervals, and whether they highlight what matters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mmtk import builtin_scores
from mmtk.counts import counted, share
from mmtk.errors import MmtkError
from mmtk.io.files import read_json
from mmtk.report.headlines import ALPHA
from mmtk.report.intervals import bounded
from mmtk.runs.arrays import read_cases
from mmtk.runs.finished import Run, read_arrays
from mmtk.runs.saliency_files import ABOUT, CASES, FOLDER, MAPS, measured_folders
from mmtk.scores import ScoreInfo
from mmtk.stats import Interval, two_way
from mmtk.stats.comparisons import adjusted_p
from mmtk.stats.jackknife import jackknife
from mmtk.stats.map_agreement import agreement
from mmtk.study.results import Cell, Study

NOISE, CENTRE = "noise", "centre"  # maps that look at no image
AGREEMENT = "agreement"
HOLDS, FAILS, OPEN = "holds", "does not hold", "open"
Values = np.ndarray  # [seeds, images]

LUNGS, BOXES = "the lungs", "the boxes"
# (claim, score, what it is compared with: "" for 0, else a column of the map, or column of a control map)
CLAIMS: tuple[tuple[str, str, str], ...] = (
    (f"more mass in {LUNGS} than their share of the area", "excess-in-lungs", ""),
    (f"more mass in {LUNGS} than a bell in the centre has", "mass-in-lungs", f"{CENTRE}:mass-in-lungs"),
    (f"more mass in {BOXES} than their share of the area", "excess-in-boxes", ""),
    (f"more mass in {BOXES} than a bell in the centre has", "mass-in-boxes", f"{CENTRE}:mass-in-boxes"),
    (f"points into {BOXES} more often than their share of the area", "hits", "area-of-boxes"),
    ("deletes the class faster than noise does", f"{NOISE}:deletion", "deletion"),
    ("inserts the class faster than noise does", "insertion", f"{NOISE}:insertion"),
    ("more alike to another seed's map than to that of shuffled weights", AGREEMENT, "shuffled-all-layers"),
)


@dataclass(frozen=True)
class Maps:
    """One kind of map of one system on one test set.

    cell: the system
    name: of the map
    domain, task: of the test set
    seeds: of the runs that have it, a row each
    patients: [images], numbers or ids
    columns: [seeds, images] by score
    lungs: where the lungs come from
    """

    cell: Cell
    name: str
    domain: str
    task: str
    seeds: tuple[int, ...]
    patients: np.ndarray
    columns: dict[str, Values]
    lungs: str

    @property
    def is_control(self) -> bool:
        """Whether the map looks at no image."""
        return self.name in (NOISE, CENTRE)

    @property
    def label(self) -> str:
        """Name in a figure: the word and the values of its keys."""
        word, *keys = self.name.split(",")
        return " ".join([word, *(key.partition("=")[2] for key in keys)])

    @property
    def test_set(self) -> str:
        """Test set in words."""
        return f"{self.domain} {self.task}"


@dataclass(frozen=True)
class MapScore:
    """One score of a kind of map; ``area`` is the share of the area, where it is that of a region."""

    maps: Maps
    name: str
    info: ScoreInfo
    interval: Interval
    area: float | None
    images: int


@dataclass(frozen=True)
class MapClaim:
    """A sentence on a kind of map, the difference that it rests on, and whether it holds."""

    maps: Maps
    sentence: str
    difference: Interval
    adjusted: float | None = None

    @property
    def verdict(self) -> str:
        """Holds or not where Holm's p is below 0.05, else open."""
        if self.adjusted is None or self.adjusted >= ALPHA:
            return OPEN
        return HOLDS if self.difference.est > 0 else FAILS


@dataclass(frozen=True)
class MapResults:
    """All of the section "Saliency maps"."""

    scores: list[MapScore] = field(default_factory=list)
    claims: list[MapClaim] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def map_results(study: Study) -> MapResults:
    """Scores and claims of all maps that were measured; nothing where none were."""
    result, declared = MapResults(), builtin_scores.saliency()
    for cell in study.cells:
        measured = [*_of_cell(cell, result.notes)]
        for maps in measured:
            result.scores.extend(_scores(maps, declared))
        for maps in (one for one in measured if not one.is_control):
            result.claims.extend(_claims(maps, measured))
    known = [k for k, one in enumerate(result.claims) if one.difference.p is not None]
    holm = adjusted_p([result.claims[k].difference.p or 0.0 for k in known])
    for k, p in zip(known, holm, strict=True):
        result.claims[k] = replace(result.claims[k], adjusted=p)
    return result


def verdicts(claims: Sequence[MapClaim]) -> dict[tuple[str, str], str]:
    """Verdict on the paper's sentence by system and map: it fails where a claim does, and holds where all do."""
    words: dict[tuple[str, str], set[str]] = {}
    for one in claims:
        words.setdefault((one.maps.cell.name, one.maps.name), set()).add(one.verdict)
    return {key: FAILS if FAILS in each else OPEN if OPEN in each else HOLDS for key, each in words.items()}


def sentences(result: MapResults) -> list[str]:
    """Whether the paper's sentence holds, in words for the first screen; nothing without measured maps."""
    if not result.claims:
        return []
    of_maps, of_claims = [*verdicts(result.claims).values()], [one.verdict for one in result.claims]
    sentence = f'"they consistently highlight the crucial regions" {_of_maps(of_maps)}'
    return [f"Saliency maps: {sentence}. {_of_claims(of_claims)}."]


def _of_maps(words: Sequence[str]) -> str:
    """Number of maps for which a sentence has which of the three ``words``, without those that no map has."""
    verbs = {HOLDS: "holds for", FAILS: "does not hold for", OPEN: "is open for"}
    counts = {word: words.count(word) for word in verbs if word in words}
    if len(counts) > 1:
        (first, count), *rest = counts.items()
        more = [f"{verbs[word]} {number}" for word, number in rest]
        return " and ".join(
            [", ".join([f"{verbs[first]} {share(count, len(words), 'map')}", *more[:-1]]), more[-1]]
        )
    if len(words) > 1 and FAILS in counts:
        return f"holds for none of the {counted(len(words), 'map')}"
    return f"{verbs[words[0]]} {share(len(words), len(words), 'map')}"


def _of_claims(words: Sequence[str]) -> str:
    """Number of claims that have which of the three ``words``, without those that no claim has."""
    verbs = {HOLDS: ("holds", "hold"), FAILS: ("does not", "do not"), OPEN: ("is open", "are open")}
    counts = {word: words.count(word) for word in verbs if word in words}
    if len(counts) > 1:
        parts = [f"{count} {verbs[word][count > 1]}" for word, count in counts.items()]
        return f"Of {counted(len(words), 'claim')} behind it {', '.join(parts[:-1])} and {parts[-1]}"
    if len(words) == 1:
        return f"The one claim behind it {'does not hold' if FAILS in counts else verbs[words[0]][0]}"
    number = counted(len(words), "claim")
    return (
        f"None of the {number} behind it holds"
        if FAILS in counts
        else f"All {number} behind it {verbs[words[0]][1]}"
    )


def _of_cell(cell: Cell, notes: list[str]) -> Iterator[Maps]:
    """All kinds of maps that every run of a cell has, by test set."""
    folders = {folder.name for run in cell.runs.values() for folder in measured_folders(run.path)}
    for folder in sorted(folders, key=lambda name: (name in (NOISE, CENTRE), name)):
        present = {
            seed: run for seed, run in sorted(cell.runs.items()) if (run.path / FOLDER / folder / ABOUT).is_file()
        }
        try:
            yield from _of_folder(cell, present, folder)
        except MmtkError as error:
            notes.append(f"Saliency maps of {cell.name} are left out: {error}")


def _of_folder(cell: Cell, runs: Mapping[int, Run], folder: str) -> Iterator[Maps]:
    """One kind of map of the runs that have it, by seed."""
    places = [run.path / FOLDER / folder for run in runs.values()]
    about = read_json(places[0] / ABOUT)
    arrays = [read_arrays(place / MAPS) for place in places]
    for (domain, task), table in read_cases([place / CASES for place in places]).items():
        columns = {name: values for name, values in table.items() if values.ndim == 2}
        if len(places) > 1 and about["map"] not in (NOISE, CENTRE):
            columns[AGREEMENT] = agreement([_in_order(one, f"{domain}/{task}") for one in arrays])
        patients = np.array([name or f"image {i}" for name, i in zip(table["patient"], table["id"], strict=True)])
        lungs = about["lungs"].get(f"{domain} {task}", "")
        yield Maps(cell, about["map"], domain, task, tuple(runs), patients, columns, lungs)


def _in_order(arrays: dict[str, np.ndarray], key: str) -> np.ndarray:
    """Maps [images,h,w] of one run in the order of the ids, as in tables."""
    return arrays[key][np.argsort(arrays[f"{key}/ids"].astype(object), kind="stable")].astype(float)


def _scores(maps: Maps, declared: dict[str, ScoreInfo]) -> Iterator[MapScore]:
    for name, info in declared.items():
        if name not in maps.columns or not info.shown:
            continue
        interval, images = _interval(maps.columns[name], maps.patients)
        if images:
            area = maps.columns.get(str(info.chance))
            level = None if area is None else float(np.nanmean(area))
            yield MapScore(maps, name, info, bounded(interval, info, difference=False), level, images)


def _claims(maps: Maps, measured: Sequence[Maps]) -> Iterator[MapClaim]:
    for sentence, one, other in CLAIMS:
        values = [_column(name, maps, measured) for name in (one, other) if name]
        present = [column for column in values if column is not None]
        if len(present) == len(values) and all(np.isfinite(column).any() for column in present):
            difference = present[0] - (present[1] if other else 0.0)
            interval, images = _interval(difference, maps.patients)
            if images:
                yield MapClaim(maps, sentence, interval)


def _column(name: str, maps: Maps, measured: Sequence[Maps]) -> Values | None:
    """Values of a score of a map, or of a control map on its images and seeds; None where they are absent."""
    control, colon, score = name.rpartition(":")
    if not colon:
        return maps.columns.get(name)
    key = (control, maps.domain, maps.task)
    others = (one for one in measured if (one.name, one.domain, one.task) == key)
    other = next((one for one in others if np.array_equal(one.patients, maps.patients)), None)
    if other is None or score not in other.columns or not {*maps.seeds} <= {*other.seeds}:
        return None
    return other.columns[score][[other.seeds.index(seed) for seed in maps.seeds]]


def _interval(values: Values, patients: np.ndarray) -> tuple[Interval, int]:
    """The two-way interval of a mean over the images that have a value with every seed, and their number."""
    whole = np.isfinite(values).all(0)
    rows = values[:, whole]
    if len(rows) == 2 and np.array_equal(rows[0], rows[1]):
        rows = rows[:1]  # a mean over pairs of two seeds is one number, without a spread over seeds
    return two_way(jackknife("mean:value", {"value": rows}, patients[whole])), int(whole.sum())


def by_test_set(result: MapResults) -> dict[str, list[MapScore]]:
    """Scores of each test set, by its name."""
    groups: dict[str, list[MapScore]] = {}
    for one in result.scores:
        groups.setdefault(one.maps.test_set, []).append(one)
    return groups
