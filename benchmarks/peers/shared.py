"""Parts that the peers of mmtk share: reading of images, scores and the clock, with NumPy and Pillow alone.

A peer is a script ``PEER.py WISH.json`` in an environment of its own. ``WISH.json`` lists images with their labels
by task and part, the goals, and the time at which the command was typed. A peer prints one JSON object.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image


def request() -> dict[str, Any]:
    """The parts and the wishes that the command line names."""
    with open(sys.argv[1], encoding="utf-8") as file:
        wish: dict[str, Any] = json.load(file)
    return wish


def picture(path: str, size: int) -> np.ndarray:
    """A gray image [size, size] in −1 … 1, as mmtk gives it to its networks."""
    with Image.open(path) as image:
        gray = (
            image.convert("L") if image.mode not in ("I", "I;16") else image.point(lambda v: v / 256).convert("L")
        )
        small = gray.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(small, np.float32)[None] / 127.5 - 1


def mask(path: str, size: int) -> np.ndarray:
    """A mask [1, size, size] of 0 and 1."""
    with Image.open(path) as image:
        small = image.convert("L").resize((size, size), Image.Resampling.BILINEAR)
    return (np.asarray(small, np.float32)[None] > 127).astype(np.float32)


def dice(predictions: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> float:
    """Mean Dice over images of masks [1, H, W] of 0 and 1."""
    return float(
        np.mean([2 * (p * m).sum() / max(1.0, p.sum() + m.sum()) for p, m in zip(predictions, masks, strict=True)])
    )


def auroc(scores: Sequence[float], labels: Sequence[int]) -> float:
    """Area under the ROC: the share of pairs in which the ill one has the higher score; ties count half."""
    values, ill = np.asarray(scores), np.asarray(labels) == 1
    pairs = np.sign(values[ill][:, None] - values[~ill][None])
    return float((pairs.mean() + 1) / 2)


class Clock:
    """Seconds from the command to a score, by the wall and by the processor; ``wish``: what ``request`` gave."""

    def __init__(self, wish: dict[str, Any]) -> None:
        self.start, self.limit = wish["start"], wish["limit"]

    @property
    def over(self) -> bool:
        """Whether the processor seconds are up."""
        return self.now()["cpu"] > self.limit

    def now(self) -> dict[str, float]:
        """Seconds since the command, and processor seconds of this process and its children."""
        used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return {"wall": time.time() - self.start, "cpu": sum(one.ru_utime + one.ru_stime for one in used)}


def until(goal: float, clock: Clock, train: Callable[[], None], score: Callable[[str], float]) -> dict[str, Any]:
    """Train until validation reaches ``goal`` or the time is up; the test is scored once, after the clock.

    train: some steps
    score: of ``val`` or ``test``
    """
    best = 0.0
    while not clock.over:
        train()
        best = max(best, value := score("val"))
        if value >= goal:
            return {**clock.now(), "validation": value, "test": score("test")}
    return {**clock.now(), "validation": best, "test": None}
