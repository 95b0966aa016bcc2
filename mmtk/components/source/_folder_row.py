"""Facts of one image of the folder source, from the cells of its table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Literal

from mmtk.components.source._folder_metadata import Value
from mmtk.components.source._part_words import part_of
from mmtk.components.source._splitting import PARTS
from mmtk.errors import MmtkError, nearest

Column = Literal["image", "label", "patient", "split", "spacing", "spacing_row", "spacing_col"]


@dataclass(frozen=True)
class Row:
    """Facts of one image; ``label``: None without a column, "" for an unlabelled image."""

    label: str | None = None
    patient: str = ""
    split: str = ""
    spacing: tuple[float, float] | None = None
    metadata: Mapping[str, Value] = field(default_factory=dict)


def read_row(cells: Mapping[Column, str]) -> Row:
    """Read one line of a table; MmtkError for a part or a spacing that is none."""
    word = cells.get("split", "")
    part = part_of(word)
    if word and not part:
        raise MmtkError(f"split is '{word}'.{nearest(word.lower(), PARTS)} Known: {', '.join(PARTS)}.")
    return Row(cells.get("label"), cells.get("patient", ""), part or "", _spacing(cells))


def _spacing(cells: Mapping[Column, str]) -> tuple[float, float] | None:
    both = cells.get("spacing", "")
    row, column = cells.get("spacing_row", "") or both, cells.get("spacing_col", "") or both
    if not row and not column:
        return None
    try:
        spacing = _number(row), _number(column)
    except ValueError:
        spacing = 0.0, 0.0
    if not all(isfinite(length) and length > 0 for length in spacing):
        raise MmtkError(f"the spacing of {cells['image']} should be mm per pixel, not '{row}' and '{column}'.")
    return spacing


def _number(cell: str) -> float:
    """Read a number with a decimal point or a decimal comma."""
    return float(cell.replace(",", ".") if cell.count(",") == 1 and "." not in cell else cell)
