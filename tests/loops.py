"""How long the long loops are: whole in ``make test-long``, a share of that where ``MMTK_LOOPS`` says so."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")
SHARE = float(os.environ.get("MMTK_LOOPS", "1"))


def times(count: int) -> int:
    """The share of a count that is to be tried, at least one."""
    return max(1, round(count * SHARE))


def some(items: Sequence[Item], least: int = 1) -> list[Item]:
    """The share of the items that is to be tried, but at least so many, taken evenly from all."""
    count = max(least, times(len(items)))
    return [items[int(i * len(items) / count)] for i in range(count)]
