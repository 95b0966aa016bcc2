"""Words of tables and folders that stand for no label. No torch."""

from __future__ import annotations

import re
from collections.abc import Collection

# How spreadsheets and pandas write an empty cell.
EMPTY = frozenset({"nan", "na", "n/a", "<na>", "#n/a", "nat", "null", "none", "?", "-"})


MARKS = {"-1", "-9", "-99", "-999", "99", "999"}  # numbers that stand for a missing one


def unlabelled_numbers(labels: Collection[str]) -> set[str]:
    """Labels such as -1 and 99, as text, where all others are whole numbers of one digit, or -1 beside any.

    They mark unlabelled images.
    """
    numbers = {label: label.removesuffix(".0") for label in labels if label}
    if not all(re.fullmatch(r"-?\d+", number) for number in numbers.values()):
        return set()
    one_digit = all(re.fullmatch(r"\d", number) for number in {*numbers.values()} - MARKS)
    marks = {label for label, number in numbers.items() if number in (MARKS if one_digit else {"-1"})}
    others = {*numbers} - marks
    return marks if len(others) > 1 and not any(numbers[label].startswith("-") for label in others) else set()
