"""Names of scores of earlier releases, and the declarations of scores in a run directory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from mmtk import builtin_scores
from mmtk.errors import MmtkError
from mmtk.io.files import read_facts, write_json
from mmtk.runs.folder import RunDir
from mmtk.scores import ScoreInfo, first, from_json, to_json
from mmtk.tasks import TASKS

# Names of release 0.1, which called the average Hausdorff distance by the name of the largest one.
RENAMED = {"hausdorff": "average-hausdorff", "hausdorff-mm": "average-hausdorff-mm"}
# The first score of each task's built-in metric.
BUILTIN_FIRST = {task: first(builtin_scores.of_task(task, (), True)) for task in TASKS}


def current(scores: Any) -> Any:
    """Scores by name, in tables of any depth, with names of older releases mapped to this one.

    A key may have parts before the name, as in ``val/segmentation/hausdorff``.
    """
    if not isinstance(scores, dict):
        return scores
    return {
        current_name(key): current(value) if isinstance(value, dict) else value for key, value in scores.items()
    }


@lru_cache(maxsize=4096)  # a report reads few names, each some thousand times
def current_name(key: str) -> str:
    """Key of a score, its last part under the name of this release."""
    before, slash, name = key.rpartition("/")
    return f"{before}{slash}{RENAMED.get(name, name)}"


def first_scores(folder: RunDir) -> dict[str, str]:
    """Score of each task that stands for a finished run where only one fits."""
    return {task: first(scores) for task, scores in read_declarations(folder, {}).items()}


def write_declarations(folder: RunDir, declared: Mapping[str, Mapping[str, ScoreInfo]]) -> None:
    """Write ``scores.json``: the declared scores of a run's metrics, by task."""
    write_json(folder.scores_file, {task: to_json(scores) for task, scores in declared.items()})


def read_declarations(folder: RunDir, provenance: Mapping[str, Any]) -> dict[str, dict[str, ScoreInfo]]:
    """Declared scores of a run by task; those of the built-in metrics for a run of 0.1, which has no such file.

    folder: the run directory
    provenance: its ``provenance.json``, which names classes and mask channels
    """
    if not folder.scores_file.is_file():
        labels = provenance.get("targets") or {task: {"names": ()} for task in TASKS}
        return {
            task: builtin_scores.of_task(task, facts["names"], facts.get("exclusive", True))
            for task, facts in labels.items()
        }
    tables = read_facts(folder.scores_file)
    try:
        return _declarations(json.dumps(tables))
    except (AttributeError, TypeError, ValueError, MmtkError) as error:
        raise MmtkError(f"is damaged: {error}", str(folder.scores_file)) from error


@lru_cache(maxsize=64)  # the runs of a study declare the same
def _declarations(text: str) -> dict[str, dict[str, ScoreInfo]]:
    return {task: from_json(scores) for task, scores in json.loads(text).items()}
