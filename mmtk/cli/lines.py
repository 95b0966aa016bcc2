"""Tables of a command as lines of the terminal's width, of 80 signs where there is none; nothing is cut."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Sequence

LEAST = 36  # signs that a text beside a table's columns takes at least; a narrower one stands below its row
INDENT = " " * 4


def table_lines(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a table; the text in its last column goes on below itself, or below its row.

    rows: texts, all of one length
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    indent = sum(widths) + 2 * len(widths)
    room = shutil.get_terminal_size().columns - indent
    for row in rows:
        start = "".join(f"{cell:{width}}  " for cell, width in zip(row, widths, strict=False))
        if room >= LEAST or len(row[-1]) <= room:
            yield from wrapped(row[-1], start, " " * indent)
        else:
            yield start.rstrip()
            yield from wrapped(row[-1], INDENT, INDENT)


def wrapped(text: str, start: str, indent: str) -> list[str]:
    """A text in lines at most as wide as the terminal; no word is broken.

    start: of the first line
    indent: of the others
    """
    lines = textwrap.wrap(
        text,
        max(len(indent) + 1, shutil.get_terminal_size().columns),
        initial_indent=start,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.rstrip() for line in lines] or [start.rstrip()]
