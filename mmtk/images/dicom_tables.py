"""Tables and windows of DICOM headers: modality and VOI look-up tables, and the window that counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mmtk.images.gray_levels import between

_WORD = 1 << 16


def look_up(values: np.ndarray, table: Any) -> np.ndarray:
    """Map values [H,W] by the item of a LUT sequence; what lies outside gets its first or last entry."""
    first = int(table.LUTDescriptor[1])
    if first >= _WORD // 2 and values.min() < 0:
        first -= _WORD  # written unsigned in a signed file
    outputs = entries(table)
    return np.asarray(outputs[np.clip(np.rint(values).astype(np.int64) - first, 0, len(outputs) - 1)])


def through_table(values: np.ndarray, table: Any) -> np.ndarray:
    """Map values [H,W] through a VOI table to gray uint8: the table's smallest entry is 0, its largest 255."""
    outputs = entries(table)
    low, high = int(outputs.min()), int(outputs.max())
    return between(look_up(values, table), low, high) if low < high else np.zeros(values.shape, np.uint8)


def entries(table: Any) -> np.ndarray:
    """Entries of a LUT item as int64; ValueError where there are none."""
    count, data = int(table.LUTDescriptor[0]) % _WORD or _WORD, table.LUTData
    if isinstance(data, bytes):
        little = getattr(table, "original_encoding", (None, True))[1] is not False
        dtype = np.dtype("u1" if len(data) < 2 * count else "<u2" if little else ">u2")
        data = np.frombuffer(data, dtype, min(count, len(data) // dtype.itemsize))
    outputs = np.atleast_1d(np.asarray(data, np.int64))[:count] % _WORD
    if not outputs.size:
        raise ValueError("a look-up table has no entries")
    return outputs


@dataclass(frozen=True)
class Window:
    """Window of a header: centre and width in modality values, and the function, LINEAR where none is known."""

    centre: float
    width: float
    function: str

    def gray(self, values: np.ndarray) -> np.ndarray:
        """Map values [H,W] to gray uint8, by PS3.3 C.11.2.1.2 and C.11.2.1.3; NaN counts as the lower bound."""
        exact, centre, width = values.astype(np.float64), self.centre, self.width
        if self.function == "SIGMOID":
            with np.errstate(over="ignore"):
                return between(1 / (1 + np.exp(-4 * (exact - centre) / width)), 0, 1)
        if self.function == "LINEAR":
            centre, width = centre - 0.5, width - 1
        if width == 0:
            return np.where(exact > centre, np.uint8(255), np.uint8(0))
        return between((exact - centre) / width + 0.5, 0, 1)


def window(header: Any) -> Window | None:
    """Find the first window that its function allows; None without one.

    A window that is no number counts as absent, as an empty one does.
    """
    function = header.get("VOILUTFunction")
    function = function if function in ("LINEAR_EXACT", "SIGMOID") else "LINEAR"
    least = 1 if function == "LINEAR" else 0
    for centre, width in zip(_numbers(header, "WindowCenter"), _numbers(header, "WindowWidth"), strict=False):
        if np.isfinite(centre) and np.isfinite(width) and width >= least and width > 0:
            return Window(centre, width, function)
    return None


def _numbers(header: Any, name: str) -> list[float]:
    """Numbers of an element, with a decimal comma or point; NaN for what is none."""
    try:
        value = header.get(name)
    except Exception:  # elements are decoded when they are asked for
        return []
    numbers = []
    for one in [] if value is None else np.atleast_1d(np.asarray(value, object)):
        try:
            numbers.append(float(str(one).replace(",", ".")))
        except ValueError:
            numbers.append(np.nan)
    return numbers
