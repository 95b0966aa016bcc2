"""Contract of metrics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from mmtk.api.data import Task
from mmtk.scores import ScoreInfo


class Metric(ABC):
    """(names, exclusive, spacing, *, …): scores of one task over a data set.

    ``spacing`` maps an id to (row, column) in mm per pixel at run size; ids without one are absent. ``scores``
    declares what ``compute`` gives, in the order in which it is shown; it may depend on the names and the keys.
    A score that is not declared is a row in the table of all scores, and nothing else.

    ``results.json``, ``metrics.jsonl`` and ``frame()`` call a score of the task's own table ``[metric.TASK]`` by
    its name, and one of another table ``TABLE/SCORE``: ``kappa`` of ``[metric.kappa]`` is ``kappa/kappa``. The
    progress line shows the name alone, tables and figures the label.
    """

    task: ClassVar[Task]
    scores: Mapping[str, ScoreInfo] = {}

    @abstractmethod
    def update(self, logits: Tensor, target: Tensor, ids: Sequence[str]) -> None:
        """Add a batch: logits as the model gives them, fp32, on the CPU."""

    @abstractmethod
    def merge(self, other: Metric) -> None:
        """Add what another instance has seen, so that two halves equal the whole."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Every score by name over all that was added."""

    def calibrate(self, validation: Metric) -> None:  # noqa: B027 - optional hook
        """Take what may be chosen on validation (a threshold) from an instance that has seen it."""

    def per_image(self) -> dict[str, list[Any]]:
        """Values per image as columns, with ``id`` first; empty where a score has none."""
        return {}
