"""Headlines of reports: tasks, their leading metrics, and label budgets by which systems are compared."""

from __future__ import annotations

from collections.abc import Mapping

from mmtk.study.results import Cell, Study
from mmtk.tasks import TASKS

Labels = Mapping[str, int | str]

ALPHA = 0.05


def at(study: Study, labels: Labels) -> list[Cell]:
    """The cells at a budget; what a cell does not train does not count."""
    return [c for c in study.cells if all(labels.get(task) == label for task, label in c.labels.items())]


def budget(labels: Labels) -> str:
    """A budget as the paper writes it, classification first: 100-10; a dash for a task that is not trained."""
    return "-".join(str(labels.get(task, "–")) for task in TASKS)
