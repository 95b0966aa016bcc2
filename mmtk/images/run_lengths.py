"""Masks as run lengths: starts and lengths of runs down the columns, as competitions of Kaggle give them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

RUNS = re.compile(r"\d+ \d+( \d+ \d+)*")
EMPTY = ("", "-1")  # cells of an image without the organ


def are_run_lengths(cells: Sequence[str]) -> bool:
    """Whether cells hold pairs of numbers, with others that are empty or −1."""
    pairs = [cell for cell in cells if RUNS.fullmatch(cell)]
    others = {*cells} - {*pairs} - {*EMPTY}
    return not others and any(cell.count(" ") > 2 for cell in pairs)


def are_relative(cells: Sequence[str]) -> bool:
    """Whether starts count from the end of the last run: counted from 1, some would lie before it."""
    numbers = (np.array(cell.split(), np.int64).reshape(-1, 2) for cell in cells if cell not in EMPTY)
    return any((runs[1:, 0] < runs[:-1].sum(1)).any() for runs in numbers)


def draw(cells: Sequence[str], shape: tuple[int, int], relative: bool) -> np.ndarray:
    """Draw runs down the columns, as uint8 [H,W]; those of several cells are put together.

    relative: a start is the distance from the end of the last run (SIIM); else a number of a pixel, from 1 on
    """
    size = shape[0] * shape[1]
    edges = np.zeros(size + 1, np.int64)
    for cell in cells:
        if cell in EMPTY:
            continue
        starts, lengths = np.array(cell.split(), np.int64).reshape(-1, 2).T
        starts = np.cumsum(starts + lengths) - lengths if relative else starts - 1
        if starts.min() < 0 or (starts + lengths).max() > size:
            raise ValueError(f"a run ends at pixel {(starts + lengths).max():,} of {size:,}")
        np.add.at(edges, starts, 1)
        np.add.at(edges, starts + lengths, -1)
    return (edges.cumsum()[:-1] > 0).astype(np.uint8).reshape(shape[::-1]).T
