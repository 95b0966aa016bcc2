"""Words of tables and folders: parts, and what stands for no label. No torch."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmtk.api import Split

# How spreadsheets and pandas write an empty cell.
EMPTY = frozenset({"nan", "na", "n/a", "<na>", "#n/a", "nat", "null", "none", "?", "-"})
SPLIT_FOLDERS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def unlabelled_numbers(labels: Collection[str]) -> set[str]:
    """The label -1, as text, where all others are whole numbers from 0: it marks unlabelled images."""
    marks = {label for label in labels if label in ("-1", "-1.0")}
    others = {label for label in labels if label} - marks
    return marks if len(others) > 1 and all(re.fullmatch(r"\d+(\.0)?", label) for label in others) else set()
