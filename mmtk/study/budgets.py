"""Label budgets of a study: read, checked, combined."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmtk.errors import MmtkError, listing, nearest
from mmtk.recipe import toml
from mmtk.tasks import TASKS

Budgets = Mapping[str, Sequence[int | str]]


def parse_budgets(texts: Iterable[str]) -> Budgets:
    """``["classification=100,1000,full", "segmentation=10"]`` → budgets by task."""
    budgets: dict[str, list[Any]] = {}
    for text in texts:
        task, equals, numbers = text.partition("=")
        if not equals:
            raise MmtkError(f"--labels {text}: no '='. Write it like --labels classification=100,1000,full.")
        budgets[task.strip()] = [toml.assignment(f"n={number}")[1] for number in numbers.split(",")]
    return check_budgets(budgets, "--labels")


def check_budgets(budgets: Any, where: str) -> Budgets:
    """Budgets by task, each a whole number from 1 on or ``full``; raises MmtkError for anything else."""
    if not isinstance(budgets, dict):
        raise MmtkError("should be a table of tasks.", where)
    for task, labels in budgets.items():
        if task not in TASKS:
            raise MmtkError(f"{task}: no such task.{nearest(task, TASKS)} Tasks: {listing(TASKS)}.", where)
        for label in labels if isinstance(labels, list) and labels else [labels]:
            if label != "full" and (not isinstance(label, int) or isinstance(label, bool) or label < 1):
                got = json.dumps(label, default=str)
                raise MmtkError(f"{task}: should hold numbers of labels or full, got {got}.", where)
    return {task: list(dict.fromkeys(labels)) for task, labels in budgets.items()}


def budget_changes(budgets: Budgets) -> list[dict[str, int | str]]:
    """Every combination of the budgets of the tasks, as changes of a recipe."""
    combinations: list[dict[str, int | str]] = [{}]
    for task, labels in budgets.items():
        combinations = [{**before, f"data.{task}.labels": label} for before in combinations for label in labels]
    return combinations
