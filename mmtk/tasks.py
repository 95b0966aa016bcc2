"""Tasks that are learned, and domains that they are scored in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

IN_DOMAIN, CROSS_DOMAIN = "in-domain", "cross-domain"
DOMAINS = (IN_DOMAIN, CROSS_DOMAIN)


@dataclass(frozen=True)
class Task:
    """Properties of a task.

    name: as in recipes, results, and as the field of the network's Prediction
    labels: ``classes``, one number for each image, or ``masks``, channels of pixels
    strategy: the kind of component that makes its loss terms
    augment: the table ``augment.NAME`` that its labelled images go through
    forward: the method of the network that gives its logits
    tables: the recipe tables that no other task needs, beside those of kinds that serve it alone
    system: the recipe of this task alone, without a strategy
    annotations: what a label budget counts, in words
    verbs: what one system and what several systems do, in words
    """

    name: Literal["classification", "segmentation"]
    labels: Literal["classes", "masks"]
    strategy: str
    augment: str
    forward: str
    tables: tuple[str, ...]
    system: str
    annotations: str
    verbs: tuple[str, str]

    @property
    def has_masks(self) -> bool:
        """Whether its labels are masks, which move with their images when those are augmented."""
        return self.labels == "masks"


CLASSIFICATION = Task(
    "classification",
    "classes",
    "ssl",
    "weak",
    "classify",
    ("loss.classification", "metric.classification", "data.classification", "train.groups.head"),
    "enc",
    "class labels",
    ("classifies", "classify"),
)
SEGMENTATION = Task(
    "segmentation",
    "masks",
    "consistency",
    "segmentation",
    "segment",
    (
        "loss.segmentation",
        "metric.segmentation",
        "data.segmentation",
        "augment.segmentation",
        "train.groups.decoder",
        "train.groups.bridge",
    ),
    "unet",
    "masks",
    ("segments", "segment"),
)
TASKS: dict[str, Task] = {task.name: task for task in (CLASSIFICATION, SEGMENTATION)}
TASK_OF_STRATEGY: dict[str, Task] = {task.strategy: task for task in TASKS.values()}


def budget(labels: Mapping[str, int | str]) -> str:
    """A label budget as the paper writes it, classes first: ``100-10``; of one task, ``10 masks``."""
    if len(labels) == 1:
        ((task, count),) = labels.items()
        return f"{'all' if count == 'full' else count} {TASKS[task].annotations}"
    return "-".join(str(labels.get(task, "–")) for task in TASKS)


def labels_text(labels: Mapping[str, int | str]) -> str:
    """A label budget within a sentence: ``100-10 labels``, ``10 masks``."""
    return budget(labels) if len(labels) == 1 else f"{budget(labels)} labels"


def file_name(domain: str) -> str:
    """Name of a test set, fit for a file name."""
    return re.sub(r"[^\w.]+", "-", domain).strip("-.") or "set"
