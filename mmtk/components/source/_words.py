"""Words of tables and folders that stand for no label. No torch."""

from __future__ import annotations

import re
from collections.abc import Collection

# How spreadsheets and pandas write an empty cell.
EMPTY = frozenset({"nan", "na", "n/a", "<na>", "#n/a", "nat", "null", "none", "?", "-"})


def unlabelled_numbers(labels: Collection[str]) -> set[str]:
    """The label -1, as text, where all others are whole numbers from 0: it marks unlabelled images."""
    marks = {label for label in labels if label in ("-1", "-1.0")}
    others = {label for label in labels if label} - marks
    return marks if len(others) > 1 and all(re.fullmatch(r"\d+(\.0)?", label) for label in others) else set()
