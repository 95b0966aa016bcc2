"""Line with the names of the columns of a table, below titles, comments and names over several columns."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Sequence

MOST_TITLES = 10  # lines in which the names of the columns are looked for
SEPARATORS = ",;\t|"
IsName = Callable[[str], bool]


def heading_index(lines: Sequence[Sequence[str]], is_name: IsName) -> int:
    """Index of the line with the names of the columns.

    lines: stripped cells of a table, without empty lines
    is_name: whether a cell is a name that columns often have
    """
    comments = _comment_count(lines, is_name)
    return comments + title_count(lines[comments:], is_name)


def lines_above(rows: Sequence[str], is_name: IsName) -> int:
    """Number of lines of a text above the line with the names of the columns.

    rows: the text, line by line
    is_name: whether a cell is a name that columns often have
    """
    first_rows = rows[: 2 * MOST_TITLES]
    lines, starts, start = [], [], 0
    try:
        reader = csv.reader(first_rows, delimiter=regular_separator(first_rows))
        for cells in reader:
            if any(stripped := [cell.strip() for cell in cells]):
                lines.append(stripped)
                starts.append(start)
            start = reader.line_num
    except csv.Error:  # named by whoever reads the rows
        return 0
    index = heading_index(lines, is_name)
    return starts[index] if index else 0


def title_count(lines: Sequence[Sequence[str]], is_name: IsName) -> int:
    """Number of lines above the names of the columns, of one cell or of names over several columns each.

    0 for a table of one column.

    lines: stripped cells of a table, without empty lines
    is_name: whether a cell is a name that columns often have
    """
    first = next((number for number, line in enumerate(lines[:MOST_TITLES]) if sum(map(bool, line)) > 1), 0)
    return first + _spans_columns(lines[first:], is_name)


def regular_separator(rows: Sequence[str]) -> str:
    """The sign that parts the most rows into equally many cells."""
    return max(SEPARATORS, key=lambda sign: _regularity(rows, sign))


def _regularity(rows: Sequence[str], separator: str) -> tuple[int, int]:
    """Number of rows with the most frequent number of cells, and that number; 0 where it is 1."""
    widths = Counter(len(line) for line in csv.reader(rows, delimiter=separator) if len(line) > 1)
    return max(((count, width) for width, count in widths.items()), default=(0, 0))


def _comment_count(lines: Sequence[Sequence[str]], is_name: IsName) -> int:
    """Number of lines above the names of the columns that begin with #; the names may be the last of these."""
    count = next((n for n, line in enumerate(lines) if not re.match(r"#.", line[0])), 0)
    return count - 1 if count and any(map(is_name, lines[count - 1])) else count


def _spans_columns(lines: Sequence[Sequence[str]], is_name: IsName) -> bool:
    """Whether a first line has names over several columns each, whose own names are below it.

    Those are in every column, are no numbers or files, and do not come again below. One blank at the start is the
    index of a table, which has no name.
    """
    if len(lines) < 3 or all(lines[0][1:]) or not all(lines[1]):
        return False
    below = {cell for line in lines[2:] for cell in line}
    return not any(
        cell in below or (re.search(r"\d[.,]?\d*$|[.]\w{3,4}$", cell) and not is_name(cell)) for cell in lines[1]
    )
