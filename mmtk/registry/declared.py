"""Declarations of the scores of several metrics of a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mmtk import api, builtin_scores
from mmtk.scores import ScoreInfo


def declared_scores(task: str, metrics: Mapping[str, api.Metric], labels: api.LabelSpec) -> dict[str, ScoreInfo]:
    """Declarations of a task's scores; those of further metric tables carry the table's name, and never select.

    task: the task of ``metrics``, which stand by their tables and have seen images
    labels: names that the built-in declarations need, which hold where a metric declares nothing itself
    """
    scores: dict[str, ScoreInfo] = {}
    for name, metric in metrics.items():
        if name == task:
            scores |= metric.scores or _computed(metric, labels)
        else:
            further = {key: replace(info, leads=False, selects=False) for key, info in metric.scores.items()}
            scores |= {f"{name}/{key}": info for key, info in further.items()}
    return scores


def _computed(metric: api.Metric, labels: api.LabelSpec) -> dict[str, ScoreInfo]:
    """The built-in declarations of the scores that a metric computes."""
    builtin = builtin_scores.of_task(labels.task, labels.names, labels.exclusive)
    numbers = metric.compute()
    return {name: info for name, info in builtin.items() if name in numbers}
