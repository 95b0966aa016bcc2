"""Names of scores: their full names and units, which way is better, and names of earlier releases."""

from __future__ import annotations

import re
from typing import Any

# Names of release 0.1, which called the average Hausdorff distance by the name of the largest one.
RENAMED = {"hausdorff": "average-hausdorff", "hausdorff-mm": "average-hausdorff-mm"}

NAMES = {
    "balanced-accuracy": "balanced accuracy",
    "macro-f1": "macro-F1",
    "auroc": "AUROC",
    "dice": "Dice",
    "jaccard": "Jaccard",
    "ssim": "SSIM",
    "hd95": "HD95",
    "average-hausdorff": "average Hausdorff distance",
    "majority-accuracy": "always the majority",
    "n": "images",
}
_SHARES = (
    "accuracy",
    "balanced-accuracy",
    "macro-f1",
    "auroc",
    "average-precision",
    "calibration-error",
    "sensitivity",
    "specificity",
    "dice",
    "jaccard",
    "precision",
    "recall",
)
_DISTANCES = ("average-hausdorff", "hd95")


def current(scores: Any) -> Any:
    """Scores by name, in tables of any depth, under the names of this release: those of older runs are mapped.

    A key may have parts before the name, as in ``val/segmentation/hausdorff``.
    """
    if not isinstance(scores, dict):
        return scores
    return {current_name(key): current(value) for key, value in scores.items()}


def current_name(key: str) -> str:
    """A key under which a score stands, its last part as this release calls the score."""
    before, slash, name = key.rpartition("/")
    return f"{before}{slash}{RENAMED.get(name, name)}"


def words(metric: str) -> str:
    """A score as text calls it, without its unit: ``average Hausdorff distance``."""
    plain = metric.removesuffix("-mm") if unit(metric) else metric
    return NAMES.get(plain) or re.sub(r"^f1-", "F1 of ", plain).replace("-", " ")


def unit(metric: str) -> str:
    """The unit of a distance, ``px`` (at run size) or ``mm``; empty for a score without one."""
    if metric.removesuffix("-mm") not in _DISTANCES:
        return ""
    return "mm" if metric.endswith("-mm") else "px"


def is_share(metric: str) -> bool:
    """Whether a score lies between 0 and 1, as far as mmtk knows it."""
    return metric in _SHARES or metric.startswith(("f1-", "dice-"))


def heading(metric: str) -> str:
    """A score as a column is headed, with its unit: ``average Hausdorff distance (px)``."""
    return f"{words(metric)} ({unit(metric)})" if unit(metric) else words(metric)


def lower_is_better(metric: str) -> bool:
    """Whether a smaller value is the better one: distances and calibration error."""
    return bool(unit(metric)) or metric == "calibration-error"
