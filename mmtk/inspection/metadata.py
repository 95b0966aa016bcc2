"""Metadata of a set: counts by part, what goes with the label, and what differs between two sets."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmtk.api import Item, Source
from mmtk.data.store import SPLITS
from mmtk.runs.attributes import METADATA, attribute_columns
from mmtk.study.attributes import Attribute, attributes_of

Report = dict[str, Any]
_PART = ("", "")


def describe(source: Source) -> Report:
    """Attributes of a source, by name, and sentences on those that have no groups.

    ``groups`` has the images of every part by group; ``label`` the total variation between the classes, from 0
    (the attribute says nothing of the class) to 1, None of masks.
    """
    by_split = {split: source.items(split) for split in SPLITS}
    items = [item for one in by_split.values() for item in one]
    splits = np.repeat(np.arange(len(SPLITS)), [len(one) for one in by_split.values()])
    attributes, notes = _attributes(items)
    return {
        "attributes": {
            one.name: {"groups": _counts(one, splits), "label": _with_label(one, items)} for one in attributes
        },
        "notes": notes,
    }


def drift(source: Sequence[Item], cross: Sequence[Item]) -> dict[str, float]:
    """Total variation between two sets by attribute that both have: 0 (none) to 1."""
    attributes, _ = _attributes([*source, *cross])
    is_cross = np.arange(len(source) + len(cross)) >= len(source)
    return {
        one.name: total_variation(one.codes, is_cross, ~is_cross)
        for one in attributes
        if all((one.is_known & side).any() for side in (is_cross, ~is_cross))
    }


def total_variation(codes: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    """½ Σ |share of a group in one − share in the other|, over groups from 0 on.

    codes: [images], number of the group; below 0 where it is not known
    one, other: [images], whether an image belongs to each of the two
    """
    count = int(codes.max()) + 1
    shares = [np.bincount(codes[side & (codes >= 0)], minlength=count) for side in (one, other)]
    first, second = (share / max(share.sum(), 1) for share in shares)
    return float(np.abs(first - second).sum() / 2)


def _attributes(items: Sequence[Item]) -> tuple[list[Attribute], list[str]]:
    rows = [{f"{METADATA}{name}": value for name, value in item.metadata.items()} for item in items]
    (columns,) = attribute_columns([rows])
    arrays = {
        name: np.array(values, object)
        if any(isinstance(value, str) for value in values)
        else np.array([values], float)
        for name, values in columns.items()
    }
    return attributes_of({_PART: arrays}, *_PART)


def _counts(attribute: Attribute, splits: np.ndarray) -> dict[str, dict[str, int]]:
    return {
        group: {split: int(((attribute.codes == code) & (splits == k)).sum()) for k, split in enumerate(SPLITS)}
        for code, group in enumerate(attribute.groups)
    }


def _with_label(attribute: Attribute, items: Sequence[Item]) -> float | None:
    """The largest total variation between two classes; None without classes."""
    targets = np.array([item.target if isinstance(item.target, int | np.integer) else -1 for item in items])
    classes = [k for k in np.unique(targets[attribute.is_known]) if k >= 0]
    pairs = itertools.combinations(classes, 2)
    return max((total_variation(attribute.codes, targets == a, targets == b) for a, b in pairs), default=None)
