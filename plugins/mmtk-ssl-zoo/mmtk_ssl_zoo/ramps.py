"""How the weight of an unlabelled loss rises at the beginning of training."""

from __future__ import annotations

import math

from mmtk.api import Now


def linear(now: Now, length: float) -> float:
    """From 0 to 1 over the first ``length`` (0…1) of training; 1 throughout where that is 0."""
    return min(1.0, now.progress / length) if length else 1.0


def sigmoid(now: Now, length: float) -> float:
    """exp(−5 (1 − x)²), x the linear ramp: 0.0067 at the start (Laine and Aila 2017)."""
    return math.exp(-5 * (1 - linear(now, length)) ** 2)
