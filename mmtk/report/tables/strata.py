"""Tables and sentences of where a system holds, and of what it may be reading."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from mmtk.errors import listing
from mmtk.report.intervals import WHOLE_SCALE
from mmtk.report.places import places
from mmtk.report.readings import CHANCE, Guess, Reading, Readings
from mmtk.report.strata import Stratum, Within
from mmtk.report.tables.table import (
    Column,
    Entry,
    Table,
    count_entry,
    headings,
    interval,
    number,
    p_entry,
    value_entry,
)
from mmtk.stats import Interval

READS = "may be read"
BEATS = "beats the network"
Row = TypeVar("Row", Within, Reading)
IMAGE_NOTE = (
    "“(image)”: of the pixels at run size, as shares of white (mean intensity, contrast), of the area (border, "
    "burned-in signs, mask) or of the contrast (sharpness), or of the size of the file."
)


def warnings(result: Readings) -> list[str]:
    """Sentences where attributes beat the class: by test set the one that is told best, and the best guess."""
    lines = []
    for images in dict.fromkeys(id(one.images) for one in result.readings):
        alarms = sorted((one for one in result.readings if id(one.images) == images and one.alarms), key=_strength)
        if alarms:
            lines.append(_sentence(alarms[-1], [one.words for one in alarms[-2::-1]]))
    best: dict[str, Guess] = {}
    for one in sorted((one for one in result.guesses if one.alarms), key=lambda one: one.auroc.est):
        best[one.images.name] = one
    return lines + [
        f"{name.capitalize()}: {one.of} tells the class with an AUROC of {_worded(one.auroc)}, the network with "
        f"{interval_entry(one.network).text}."
        for name, one in best.items()
    ]


def _strength(one: Reading) -> float:
    return one.strength


def _sentence(one: Reading, others: Sequence[str]) -> str:
    more = f", and {len(others) - 3} more" if len(others) > 3 else ""
    also = f" It also tells {', '.join(others[:3])}{more}." if others else ""
    return (
        f"{one.images.name.capitalize()}: the score may read {one.attribute}. Among images of one class it tells "
        f"{one.words} with an AUROC of {_worded(one.upright)}; among images alike in it, the class "
        f"with {_worded(one.label)}.{also}"
    )


def _worded(one: Interval) -> str:
    """An AUROC with its interval."""
    entry = interval_entry(one)
    return f"{entry.text} ({entry.note})" if one.low is not None else entry.text


# --- tables --------------------------------------------------------------------------------------------------


def scores(rows: Sequence[Stratum]) -> Table:
    """The leading score in groups of images, a row per group."""
    caption = (
        f"The leading score of {_systems(rows)} on groups of the test images, with 95 % intervals that rest on "
        "the patients of the group. Numbers are cut at their thirds. Difference: to all other images whose group "
        "is known; p (Holm) is adjusted over all groups of the test set. Fewer than ten patients have no score."
    )
    return Table(
        "strata", "Scores in groups of images", caption, _columns("*Score"), [_stratum(row) for row in rows]
    )


def effects(rows: Sequence[Stratum]) -> Table:
    """Effects of components in groups of images, a row per group."""
    caption = (
        "What a component changes in the leading score, on groups of the test images. Difference: to its effect "
        "on all other images whose group is known. p (Holm) is adjusted over all groups of the test set, by "
        "component."
    )
    columns = [*headings("Component"), *_columns("*Effect")]
    return Table(
        "strata-effects",
        "Effects in groups of images",
        caption,
        columns,
        [[Entry(row.effect), *_stratum(row)] for row in rows],
    )


def within(rows: Sequence[Within]) -> Table:
    """AUROC on all images beside that within groups, a row per attribute."""
    caption = (
        f"AUROC of {_systems(rows)} on all images whose group is known, and on the pairs of images of one group "
        "alone (van Elteren 1960), the largest difference first. A score that reads an attribute which goes with "
        "the class is better on all images than within groups; where the attribute goes against the class, it is "
        f"worse. {IMAGE_NOTE}"
        + _without_interval(one for row in rows for one in (row.pooled, row.within, row.difference))
    )
    columns = headings("Test set", "Attribute", "*On all images", "*Within groups", "*Difference", "*p")
    body = [
        [
            Entry(row.images.name),
            Entry(row.attribute),
            interval_entry(row.pooled),
            interval_entry(row.within),
            interval_entry(row.difference, sign=True),
            p_entry(row.difference.p),
        ]
        for row in _by_set(rows, lambda row: abs(row.difference.est))
    ]
    return Table("within", "AUROC within groups", caption, columns, body)


def readings(rows: Sequence[Reading]) -> Table:
    """Attributes that the score tells, a row per attribute and side, the best told first."""
    caption = (
        f"How well the score of {_systems(rows)} for its last class tells an attribute among images of one class "
        "(0.5: not at all; “by lower scores”: its images have the lower ones), and how well it tells the class "
        "among images of one side. "
        f"Numbers are cut at their median. “{READS}”: the attribute is told (p after Holm's adjustment over the "
        "test set below 0.05), and better than the class. What the disease itself changes in an image is told "
        f"too. {IMAGE_NOTE}" + _without_interval(one for row in rows for one in (row.auroc, row.label))
    )
    names = (
        "Test set",
        "Told",
        "*AUROC of it, within class",
        "*p (Holm)",
        "*AUROC of the class, within it",
        "Reading",
    )
    body = [
        [
            Entry(row.images.name),
            Entry(row.words),
            interval_entry(row.upright),
            p_entry(row.adjusted),
            interval_entry(row.label),
            Entry(READS if row.alarms else "", best=row.alarms),
        ]
        for row in _by_set(rows, _strength)
    ]
    return Table("readings", "Attributes that the score tells", caption, headings(*names), body)


def guesses(rows: Sequence[Guess]) -> Table:
    """Guesses of the class from attributes alone."""
    caption = (
        "AUROC of a logistic regression that sees the attributes and no image, cross-validated by patient (five "
        f"folds), beside the chance level and the network. “{BEATS}”: the attributes tell the class for sure, and "
        "for sure better than the network does on these images."
        + _without_interval(one for row in rows for one in (row.auroc, row.network))
    )
    names = ("Test set", "Guessed from", "Attributes", "*AUROC", "*Chance", "*AUROC of the network", "Reading")
    body = [
        [
            Entry(row.images.name),
            Entry(row.of),
            Entry(", ".join(row.attributes)),
            interval_entry(row.auroc),
            value_entry(CHANCE),
            interval_entry(row.network),
            Entry(BEATS if row.alarms else "", best=row.alarms),
        ]
        for row in rows
    ]
    return Table("guesses", "The class, guessed without the image", caption, headings(*names), body)


def _without_interval(intervals: Iterable[Interval]) -> str:
    """A sentence of a caption on dashes, where an interval holds every value of its score."""
    return f" –: {WHOLE_SCALE}." if any(WHOLE_SCALE in one.note for one in intervals) else ""


def _by_set(rows: Sequence[Row], size: Callable[[Row], float]) -> list[Row]:
    """Rows of each test set, the largest first."""
    names = list(dict.fromkeys(row.images.name for row in rows))
    return sorted(rows, key=lambda row: (names.index(row.images.name), -size(row)))


def _systems(rows: Sequence[Stratum | Within | Reading]) -> str:
    """Names of the systems that rows speak of; one as a rule."""
    return listing(dict.fromkeys(row.images.cell.name for row in rows))


def _columns(score: str) -> list[Column]:
    names = (
        "Test set",
        "Metric",
        "Attribute",
        "Group",
        "*Images",
        "*Patients",
        score,
        "*Difference",
        "*p (Holm)",
        "Note",
    )
    return headings(*names)


def _stratum(row: Stratum) -> list[Entry]:
    return [
        Entry(row.images.name),
        Entry(row.info.heading),
        Entry(row.attribute),
        Entry(row.group),
        count_entry(row.count),
        count_entry(row.patients),
        interval_entry(row.interval, row.info.digits, sign=bool(row.effect)),
        interval_entry(row.difference, row.info.digits, sign=True),
        p_entry(row.adjusted),
        Entry("; ".join(filter(None, ("worst of the groups" if row.worst else "", row.note)))),
    ]


def interval_entry(one: Interval | None, digits: int = 3, sign: bool = False) -> Entry:
    """An estimate with its interval."""
    if one is None:
        return value_entry(None)
    digits = places([None if one.low is None or one.high is None else one.high - one.low], digits)
    ends = interval(one.low, one.high, digits)
    numbers = {"": one.est, "low": one.low, "high": one.high}
    return Entry(number(one.est, digits, sign), numbers, note=ends)
