"""Names of columns on several lines, as pivot tables of pandas have them: a line for each level and the index."""

from __future__ import annotations

import re
from collections.abc import Sequence

MOST_LEVELS = 4
REPLICATE = re.compile(r"seed|fold|run|rep|replicate|repetition|trial|split|cv", re.IGNORECASE)
DECIMAL = re.compile(r"[-+]?\d*[.,]\d+")


def joined_levels(lines: Sequence[Sequence[str]]) -> tuple[list[str], int]:
    """Names of the columns, of all levels together, and the number of their lines; nothing for another table.

    lines: stripped cells of a table, whose first line names several columns alike

    The last line of names is that of the index, with blanks elsewhere; it is missing where the index has no name.
    A number below a name such as ``seed`` is written with it, ``dice_unet_seed0``, as ``column_parts`` reads it.
    """
    if not lines or len({*lines[0]}) == len(lines[0]):
        return [], 0
    for depth, cells in enumerate(lines[: MOST_LEVELS + 1]):
        index = next((place for place, cell in enumerate(cells) if not cell), 0)
        is_index = index > 0 and not any(cells[index:])
        if depth > 1 and (is_index or any(map(DECIMAL.fullmatch, cells))):
            index_names, count = (list(cells[:index]), depth + 1) if is_index else (["index"], depth)
            names = _joined(lines[:depth], len(index_names))
            return ([*index_names, *names], count) if names else ([], 0)
    return [], 0


def _joined(levels: Sequence[Sequence[str]], index: int) -> list[str]:
    """Values of all levels for every column behind the ``index``; none where these lines are no levels."""
    for name, *cells in levels:
        values = cells[index - 1 :]
        are_numbers = all(value.isdigit() for value in values)
        if not all(values) or any(cells[: index - 1]) or any(map(DECIMAL.fullmatch, values)):
            return []
        if are_numbers and not REPLICATE.fullmatch(name):
            return []
    names = ["_".join(map(_part, [level[0] for level in levels], column)) for column in zip(*levels, strict=True)]
    return names[index:] if len({*names}) == len(names) else []


def _part(level: str, value: str) -> str:
    """Value of a level, behind the name of the level where the value is a number of a replicate."""
    return f"{level}{value}" if REPLICATE.fullmatch(level) and value.isdigit() else value
