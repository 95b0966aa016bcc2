"""Masks as run lengths: starts and lengths of runs down the columns or along the rows, in cells of a table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from mmtk.errors import MmtkError
from mmtk.images.loader import image_size

RUNS = re.compile(r"\d+ \d+( \d+ \d+)*")
EMPTY = ("", "-1")  # cells of an image without the organ
BROKEN = 0.05  # of the runs: so many pass the end of a line only where lines are taken for those of another way
SAMPLES = 20  # images that are looked at
SURER = 4  # times as many runs have to be broken as in the other way


def are_run_lengths(cells: Sequence[str]) -> bool:
    """Whether cells hold pairs of numbers, with others that are empty or −1."""
    pairs = [cell for cell in cells if RUNS.fullmatch(cell)]
    others = {*cells} - {*pairs} - {*EMPTY}
    return not others and any(cell.count(" ") > 2 for cell in pairs)


def are_relative(cells: Sequence[str]) -> bool:
    """Whether starts count from the end of the last run: counted from 1, some would lie before it."""
    numbers = (np.array(cell.split(), np.int64).reshape(-1, 2) for cell in cells if cell not in EMPTY)
    return any((runs[1:, 0] < runs[:-1].sum(1)).any() for runs in numbers)


def are_along_rows(drawn: Iterable[tuple[str, Path]], relative: bool, organs: int) -> bool:
    """Whether runs follow the rows of their images, by those that would pass the end of a column or of a row.

    drawn: cells with their images, of which some are looked at
    relative: as for ``draw``
    organs: columns of run lengths of the table, which say it where the images are square: tables with several,
        as CheXmask's, run along the rows, those with one, as Kaggle's, down the columns
    """
    count, broken = 0, np.zeros(2)
    for cell, image in islice((pair for pair in drawn if pair[0] not in EMPTY), SAMPLES):
        try:
            shape = image_size(image)
        except MmtkError:  # whoever reads the image names the fault
            continue
        starts, ends = _ends(cell, relative)
        count += len(starts)
        if shape[0] != shape[1]:
            broken += [(starts // side != (ends - 1) // side).sum() for side in shape]
    down, along = broken
    if max(broken) < BROKEN * count or max(broken) < SURER * min(broken):
        return organs > 1
    return bool(down > along)


def draw(cells: Sequence[str], shape: tuple[int, int], relative: bool, along_rows: bool = False) -> np.ndarray:
    """Draw runs, as uint8 [H,W]; those of several cells are put together.

    cells: starts and lengths, or empty
    shape: height and width
    relative: a start is the distance from the end of the last run (SIIM); else a number of a pixel, from 1 on
    along_rows: pixels are counted row by row; else column by column
    """
    size = shape[0] * shape[1]
    edges = np.zeros(size + 1, np.int64)
    for cell in cells:
        if cell in EMPTY:
            continue
        starts, ends = _ends(cell, relative)
        if starts.min() < 0 or ends.max() > size:
            raise ValueError(f"a run ends at pixel {ends.max():,} of {size:,}")
        np.add.at(edges, starts, 1)
        np.add.at(edges, ends, -1)
    inside = (edges.cumsum()[:-1] > 0).astype(np.uint8)
    return inside.reshape(shape) if along_rows else inside.reshape(shape[::-1]).T


def _ends(cell: str, relative: bool) -> tuple[np.ndarray, np.ndarray]:
    """First pixel of every run, from 0 on, and the pixel behind its last one; ``relative``: as for ``draw``."""
    starts, lengths = np.array(cell.split(), np.int64).reshape(-1, 2).T
    starts = np.cumsum(starts + lengths) - lengths if relative else starts - 1
    return starts, starts + lengths
