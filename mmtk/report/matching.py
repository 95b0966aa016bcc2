"""Scores on matched test images: those of a weighted set in which attributes tell nothing of the class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmtk import builtin_scores
from mmtk.counts import counted
from mmtk.errors import MmtkError, listing, nearest
from mmtk.io.files import write_json
from mmtk.report.intervals import bounded
from mmtk.runs.arrays import read_cases
from mmtk.runs.attributes import is_score
from mmtk.stats import Interval, combine, jackknife, two_way
from mmtk.stats.matching import SCORES, Weighting, joint_strata, matched, weighting
from mmtk.study.attributes import Attribute, attributes_of, cases_with_metadata
from mmtk.study.results import Cell, Study
from mmtk.tasks import CLASSIFICATION, DOMAINS

Table = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class MatchedScore:
    """A score of one system on one test set: of all images, and of the matched ones.

    system, labels: of the system
    test_set: in words
    by: attributes that the images are matched by
    score: label of the score
    pooled: of all images
    matched: of the weighted ones
    difference: matched − pooled
    weighting: weights, strata and effective number of images
    unknown: images left out since an attribute is not known
    """

    system: str
    labels: str
    test_set: str
    by: tuple[str, ...]
    score: str
    pooled: Interval
    matched: Interval
    difference: Interval
    weighting: Weighting
    unknown: int

    @property
    def sentence(self) -> str:
        """Both numbers, and what they rest on."""
        lone, lone_images = self.weighting.lone
        strata = counted(self.weighting.strata, "stratum", "strata")
        out = [f"{counted(lone_images, 'image')} in strata of one class ({lone})"] if lone else []
        out += [f"{counted(self.unknown, 'image')} with unknown values"] if self.unknown else []
        ends = "" if self.matched.low is None else f" ({self.matched.low:.3f} to {self.matched.high:.3f})"
        left = f"; left out: {' and '.join(out)}" if out else ""
        return (
            f"{self.test_set.capitalize()}, matched by {' and '.join(self.by)}: {self.score} "
            f"{self.matched.est:.3f}{ends}, of all images {self.pooled.est:.3f}; as certain as "
            f"{self.weighting.effective:.0f} equal images in {strata}{left}."
        )


@dataclass(frozen=True)
class Matches:
    """Matched scores of a study; ``notes`` on test sets that cannot be matched."""

    rows: list[MatchedScore] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def matches(study: Study, names: Sequence[str] = ()) -> Matches:
    """Matched scores of all systems by ``names``, else by ``data.match`` of the first system's recipe.

    MmtkError for a name that no test set knows.
    """
    cells = [cell for cell in study.cells if cell.runs]
    names = tuple(names) or _of_recipe(cells)
    result, known = Matches(), dict[str, None]()
    for cell in cells if names else ():
        for domain in DOMAINS:
            part = domain, CLASSIFICATION.name
            if part not in cell.cases or domain == study.folded_set:
                continue
            table = cases_with_metadata(cell, *part)[part]
            patients = study.jackknives.patients(cell, *part)
            _add(result, known, (cell.name, cell.budget, f"{domain} {part[1]}"), (table, patients, names))
    _refuse_unknown(names, known)
    return result


def _of_recipe(cells: Sequence[Cell]) -> tuple[str, ...]:
    """Return ``data.match`` of the first run that has its recipe."""
    folders = (run.folder for cell in cells for run in cell.runs.values())
    folder = next((folder for folder in folders if folder.recipe_file.is_file()), None)
    return () if folder is None else tuple(folder.recipe.data.match)


def write_matched(cases: Path, names: Sequence[str], note: Callable[[str], None]) -> None:
    """Write ``matched.json`` beside the values per image of one network, and say every line.

    cases: file of the values per image
    names: attributes to match by; nothing happens without any
    note: takes a sentence
    """
    result, known = Matches(), dict[str, None]()
    for (domain, task), table in read_cases([cases]).items() if names else ():
        if task == CLASSIFICATION.name:
            patients = table.get("patient", table["id"])
            codes = np.array([str(name or i) for name, i in zip(patients, table["id"], strict=True)])
            _add(result, known, ("", "", f"{domain} {task}"), (table, codes, tuple(names)))
    _refuse_unknown(names, known)
    for line in [*(row.sentence for row in result.rows), *result.notes]:
        note(line)
    if names:
        rows = [
            {
                "set": row.test_set,
                "by": list(row.by),
                "score": row.score,
                **{what: _ends(getattr(row, what)) for what in ("pooled", "matched", "difference")},
                "effective": row.weighting.effective,
                "strata": row.weighting.strata,
                "one_class": list(row.weighting.lone),
                "unknown": row.unknown,
            }
            for row in result.rows
        ]
        write_json(cases.with_name("matched.json"), {"rows": rows, "notes": result.notes})


def _ends(one: Interval) -> dict[str, float | None]:
    return {"value": one.est, "low": one.low, "high": one.high}


def _refuse_unknown(names: Sequence[str], known: Mapping[str, None]) -> None:
    """Refuse attributes that no test set has."""
    if absent := [name for name in names if name not in known]:
        hint = f"Known: {listing(known)}." if known else "mmtk data inspect lists what the sources know."
        message = f"data.match: no test set has the attribute '{absent[0]}'.{nearest(absent[0], {*known})}"
        raise MmtkError(message, hint=hint)


def _add(
    result: Matches,
    known: dict[str, None],
    place: tuple[str, str, str],
    images: tuple[Table, np.ndarray, tuple[str, ...]],
) -> None:
    """Add the matched scores of one test set, or a note on why there are none.

    result: to add to
    known: names of attributes, to add to
    place: system, labels and test set
    images: values per image, patients, and names of the attributes to match by
    """
    table, patients, names = images
    attributes, notes = attributes_of({("", ""): dict(table)}, "", "")
    by_name = {one.name: one for one in attributes}
    reasons = {name: note for name in names for note in notes if note.startswith(f"{name} ")}
    known |= dict.fromkeys([*by_name, *reasons])
    where = place[2].capitalize()
    if absent := [name for name in names if name not in by_name]:
        reason = reasons.get(absent[0], f"no attribute '{absent[0]}'")
        line = f"{where}: not matched: {reason}."
        result.notes.extend([] if line in result.notes else [line])
        return
    columns = {name: values for name, values in table.items() if is_score(name) and values.ndim == 2}
    if len([name for name in columns if name.startswith("p-")]) != 2 or "target" not in columns:
        result.notes.append(f"{where}: not matched: it has no two classes.")
        return
    rows = _rows(place, columns, patients, [by_name[name] for name in names])
    result.rows.extend(rows)
    if not rows:
        result.notes.append(
            f"{where}: not matched: no group of images alike in {listing(names)} has both classes."
        )


def _rows(
    place: tuple[str, str, str], columns: Table, patients: np.ndarray, attributes: Sequence[Attribute]
) -> list[MatchedScore]:
    strata = joint_strata([one.codes for one in attributes])
    needed = [name for name in columns if name in ("target", "predicted") or name.startswith("p-")]
    seeds = np.logical_and.reduce([np.isfinite(columns[name]).all(1) for name in needed])
    whole = {name: columns[name][seeds] for name in needed}
    declared, rows = builtin_scores.classification([]), []
    weights = weighting(strata, whole["target"][0].astype(int))
    for score in SCORES:
        one, other = jackknife(score, whole, patients), matched(score, whole, strata, patients)
        if one.note or other.note:
            continue
        info = declared[score]
        pooled, by_strata = (bounded(two_way(part), info, difference=False) for part in (one, other))
        difference = bounded(two_way(combine((1, -1), (other, one))), info)
        by, unknown = tuple(attribute.name for attribute in attributes), int((strata < 0).sum())
        rows.append(MatchedScore(*place, by, info.label, pooled, by_strata, difference, weights, unknown))
    return rows
