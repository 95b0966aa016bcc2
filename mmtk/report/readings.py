"""Readings of a network: attributes that its score tells, beside the class that it is to tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mmtk.errors import listing
from mmtk.report.headlines import ALPHA
from mmtk.report.intervals import AUROC, auroc_interval, bounded
from mmtk.report.strata import TestImages, class_values
from mmtk.stats import Interval, Jackknife, two_way
from mmtk.stats.comparisons import adjusted_p
from mmtk.stats.guess import guess, patient_folds
from mmtk.stats.strata import auroc_within
from mmtk.study.attributes import Attribute
from mmtk.study.results import Study

CHANCE = 0.5
LEAST = 0.6  # AUROC below which an attribute is hardly told: no warning
GUESSERS = {True: "what the source knows", False: "what pixels and file show"}


@dataclass(frozen=True)
class Reading:
    """Attribute that the score of a network tells, or not, among images of the same class.

    images: of a test set
    attribute: the attribute
    side: what is told from the others, such as ``view AP``
    auroc: of the attribute within class
    adjusted: Holm's p that it is not 0.5
    label: AUROC of the class within both sides of the attribute
    """

    images: TestImages
    attribute: str
    side: str
    auroc: Interval
    adjusted: float | None
    label: Interval

    @property
    def strength(self) -> float:
        """AUROC of the better of both directions."""
        return self.upright.est

    @property
    def upright(self) -> Interval:
        """The AUROC in the direction in which it is above 0.5."""
        if self.auroc.est >= CHANCE:
            return self.auroc
        low, high = (None if end is None else 1 - end for end in (self.auroc.high, self.auroc.low))
        return replace(self.auroc, est=1 - self.auroc.est, low=low, high=high)

    @property
    def words(self) -> str:
        """The side, and by which scores it is told where they are the lower ones."""
        return self.side if self.auroc.est >= CHANCE else f"{self.side} (by lower scores)"

    @property
    def alarms(self) -> bool:
        """Whether the score tells the attribute for sure, not hardly, and better than it tells the class."""
        perfect = "no variation" in self.auroc.flags and self.strength == 1
        is_sure = perfect or (self.adjusted is not None and self.adjusted < ALPHA)
        return is_sure and self.strength >= LEAST and self.strength > self.label.est


@dataclass(frozen=True)
class Guess:
    """Guess of the class from attributes alone: AUROC of a logistic regression, beside that of the network.

    lead: AUROC of the guess less that of the network, on the same images
    """

    images: TestImages
    of: str
    attributes: Sequence[str]
    auroc: Interval
    network: Interval
    lead: Interval

    @property
    def alarms(self) -> bool:
        """Whether the attributes tell the class for sure, and for sure better than the network does."""
        lows = (self.auroc.low, self.lead.low)
        return lows[0] is not None and lows[1] is not None and lows[0] > CHANCE and lows[1] > 0


@dataclass(frozen=True)
class Readings:
    """All of the section "What it may be reading"; ``notes`` says what was not looked at."""

    readings: list[Reading] = field(default_factory=list)
    guesses: list[Guess] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def readings(study: Study, sets: Sequence[TestImages]) -> Readings:
    """Readings of every test set with two classes."""
    result = Readings()
    for images in sets:
        if (found := class_values(study, images)) is not None:
            values, ill = found
            result.readings.extend(_adjusted([*_of_set(images, values, ill)]))
            usable, notes = _usable(images, ill)
            result.notes.extend(f"{images.name.capitalize()}: {note}." for note in notes)
            result.guesses.extend(_guesses(images, values, ill, usable))
    return result


def _of_set(images: TestImages, values: np.ndarray, ill: np.ndarray) -> Iterator[Reading]:
    for attribute in images.attributes:
        classes = np.where(attribute.is_known, ill, -1)
        for side, part in attribute.sides():
            attribute_auroc = auroc_within(values, part, classes, images.patients)
            if attribute_auroc.note:
                continue
            groups = np.where(attribute.is_known, part, -1)
            label = auroc_within(values, ill, groups, images.patients)
            yield Reading(
                images, attribute.name, side, _beside_chance(attribute_auroc), None, auroc_interval(label)
            )


def _beside_chance(attribute_auroc: Jackknife) -> Interval:
    """The interval of an AUROC with the p of its difference to 0.5."""
    one = two_way(
        replace(attribute_auroc, score=attribute_auroc.score - CHANCE, without=attribute_auroc.without - CHANCE)
    )
    low, high = (None if end is None else end + CHANCE for end in (one.low, one.high))
    return bounded(replace(one, est=one.est + CHANCE, low=low, high=high), AUROC, difference=False)


def _adjusted(rows: list[Reading]) -> list[Reading]:
    places = [k for k, row in enumerate(rows) if row.auroc.p is not None]
    holm = dict(zip(places, adjusted_p([rows[k].auroc.p or 0.0 for k in places]), strict=True))
    return [replace(row, adjusted=holm.get(k)) for k, row in enumerate(rows)]


def _usable(images: TestImages, ill: np.ndarray) -> tuple[list[Attribute], list[str]]:
    """Attributes from which the class may be guessed, and a sentence on those that follow from it."""
    usable, left_out = [], []
    for attribute in images.attributes:
        values = attribute.codes if attribute.numbers is None else attribute.numbers
        kinds = [len(np.unique(values[attribute.is_known & (ill == side)])) for side in (False, True)]
        if min(kinds) < 2:
            left_out.append(attribute.name)
        else:
            usable.append(attribute)
    have, them = ("has", "it") if len(left_out) == 1 else ("have", "them")
    why = f"{have} at most one value in one class, so the class is not guessed from {them}"
    return usable, [f"{listing(left_out)} {why}"] if left_out else []


def _guesses(
    images: TestImages, values: np.ndarray, ill: np.ndarray, usable: Sequence[Attribute]
) -> Iterator[Guess]:
    folds = patient_folds(ill, images.patients)
    if folds is None:
        return
    everything = np.zeros(len(ill), int)
    network = auroc_within(values, ill, everything, images.patients)
    for from_source, of in GUESSERS.items():
        chosen = [one for one in usable if one.from_source == from_source]
        if chosen:
            scores = guess(np.hstack([one.features() for one in chosen]), ill, folds)
            auroc = auroc_within(scores[None], ill, everything, images.patients)
            lead = two_way(
                replace(network, score=auroc.score - network.score, without=auroc.without - network.without)
            )
            names = [one.name for one in chosen]
            yield Guess(images, of, names, auroc_interval(auroc), auroc_interval(network), lead)
