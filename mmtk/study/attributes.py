"""Attributes of test images as groups: what a score may differ by, and what a network may read."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmtk.counts import counted, share
from mmtk.io.dates import is_date
from mmtk.runs.arrays import Cases
from mmtk.runs.attributes import IMAGE, METADATA, attribute_columns, is_attribute
from mmtk.study.patients import source_of

if TYPE_CHECKING:
    from mmtk.study.results import Cell

MOST_GROUPS = 6  # of a text; those with the fewest images are one, called other
MOST_CATEGORIES = 50  # of more it is free text
FEW_NUMBERS = 3  # different numbers up to which each is a group of its own
OTHER = "other"


@dataclass(frozen=True)
class Attribute:
    """An attribute of the images of a test set.

    name: such as ``view``
    from_source: whether the source knows it, or pixels and file show it
    groups: names, such as ``AP`` or ``34 to 52``
    codes: [images], number of the group; −1 where it is not known
    numbers: [images] of an attribute of numbers, NaN where it is not known; None of texts
    """

    name: str
    from_source: bool
    groups: tuple[str, ...]
    codes: np.ndarray
    numbers: np.ndarray | None = None

    @property
    def is_known(self) -> np.ndarray:
        """[images] Whether an image has the attribute."""
        return self.codes >= 0

    def features(self) -> np.ndarray:
        """[images, columns] Numbers, or a column for every group but the first; NaN where nothing is known."""
        if self.numbers is not None:
            return self.numbers[:, None]
        columns = self.codes[:, None] == np.arange(1, len(self.groups))
        return np.where(self.is_known[:, None], columns.astype(float), np.nan)

    def sides(self) -> list[tuple[str, np.ndarray]]:
        """Ways to divide the images in two, by name: above the median, or one group beside the others."""
        if self.numbers is not None and len(self.groups) > 1:
            middle = float(np.median(self.numbers[self.is_known]))
            above = self.numbers > middle
            if above.any():
                return [(f"{self.name} above {middle:.4g}", above)]
            return [(f"{self.name} from {middle:.4g}", self.numbers >= middle)]
        numbers = range(1, 2) if len(self.groups) == 2 else range(len(self.groups))
        return [(f"{self.name} {self.groups[k]}", self.codes == k) for k in numbers]


def cases_with_metadata(cell: Cell, domain: str, task: str) -> Cases:
    """Values per image of a test set; runs that hold no metadata (mmtk 0.2.0) have those of their source.

    cell: of the study
    domain: of the test set
    task: of the test set
    """
    table = dict(cell.cases.get((domain, task), {}))
    if not any(column.startswith((METADATA, IMAGE)) for column in table) and "id" in table:
        source = source_of(cell, domain, task)
        facts = {item.id: item.metadata for item in source.items("all")} if source else {}
        rows = [[{f"{METADATA}{name}": value for name, value in facts.get(i, {}).items()} for i in table["id"]]]
        for name, values in attribute_columns(rows)[0].items():
            is_text = any(isinstance(value, str) for value in values)
            table[name] = np.array(values, object) if is_text else np.array([values], float)
    return {(domain, task): table}


def attributes_of(cases: Cases, domain: str, task: str) -> tuple[list[Attribute], list[str]]:
    """The attributes of a test set that have groups, and a sentence on every other one.

    cases: values per image of a system
    domain: of the test set
    task: of the test set
    """
    attributes, notes = [], []
    for column, values in cases.get((domain, task), {}).items():
        if not is_attribute(column):
            continue
        name = column.removeprefix(METADATA)
        if column.startswith(IMAGE):
            name = f"{column.removeprefix(IMAGE)} (image)"
        try:
            attribute = _of_column(name, column.startswith(METADATA), values)
        except ValueError as error:
            if column.startswith(METADATA):
                notes.append(f"{name} {error}")
            continue
        attributes.append(attribute)
        if missing := int((~attribute.is_known).sum()):
            notes.append(f"{name} is not known of {share(missing, len(attribute.codes), 'image')}")
    return attributes, notes


def _of_column(name: str, from_source: bool, values: np.ndarray) -> Attribute:
    """An attribute; ValueError with the reason, as a predicate, where it has no groups."""
    if values.ndim == 1:
        return _of_texts(name, from_source, values)
    finite = np.isfinite(values)
    numbers = np.where(finite.any(0), np.where(finite, values, 0).sum(0) / np.maximum(finite.sum(0), 1), np.nan)
    known = numbers[np.isfinite(numbers)]
    distinct = np.unique(known)
    if len(distinct) < 2:
        raise ValueError("has one value")
    edges = distinct[:-1]
    if len(distinct) > FEW_NUMBERS:
        edges = np.unique(np.quantile(known, (1 / 3, 2 / 3), method="lower"))
        edges = edges[edges < known.max()] if (edges < known.max()).any() else distinct[-2:-1]
    codes = np.where(np.isfinite(numbers), np.searchsorted(edges, numbers, "left"), -1)
    return Attribute(name, from_source, _ranges(edges, distinct), codes, numbers)


def _ranges(edges: np.ndarray, distinct: np.ndarray) -> tuple[str, ...]:
    """Names of the groups between edges; a group of one value has its name."""
    if len(distinct) <= FEW_NUMBERS:
        return tuple(f"{value:.4g}" for value in distinct)
    inner = [f"{low:.4g} to {high:.4g}" for low, high in itertools.pairwise(edges)]
    names = (f"up to {edges[0]:.4g}", *inner, f"above {edges[-1]:.4g}")
    groups = np.split(distinct, np.searchsorted(distinct, edges, "right"))
    return tuple(f"{group[0]:.4g}" if len(group) == 1 else name for group, name in zip(groups, names, strict=True))


def _of_texts(name: str, from_source: bool, values: np.ndarray) -> Attribute:
    texts = [value for value in values if value]
    counts = Counter(texts)
    if len(counts) < 2:
        raise ValueError("has one value")
    if all(map(is_date, counts)):
        raise ValueError("holds dates, which are not looked at")
    if len(counts) > MOST_CATEGORIES:
        raise ValueError(f"has {counted(len(counts), 'different value')}, too many to be groups")
    order = sorted(counts, key=lambda text: (-counts[text], text))
    groups = order if len(order) <= MOST_GROUPS else [*order[: MOST_GROUPS - 1], OTHER]
    numbers = {text: min(place, len(groups) - 1) for place, text in enumerate(order)}
    codes = np.array([numbers[value] if value else -1 for value in values], int)
    names = sorted(range(len(groups)), key=lambda k: (groups[k] == OTHER, groups[k]))
    rank = np.array([names.index(k) for k in range(len(groups))] + [-1])
    return Attribute(name, from_source, tuple(groups[k] for k in names), rank[codes])
