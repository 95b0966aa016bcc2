"""Tasks that the scores of other programs are of, by their names and values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mmtk import tasks
from mmtk.compare.score_names import score_name, words_of
from mmtk.errors import listing

CLASSIFICATION, SEGMENTATION = tasks.CLASSIFICATION.name, tasks.SEGMENTATION.name
OTHER = "scores"  # where no name speaks of a task
_OF_CLASSES = frozenset(
    ["accuracy", "balanced-accuracy", "macro-f1", "F1", "auroc", "average-precision", "calibration-error"]
)
_OF_MASKS = frozenset(["dice", "jaccard", "hd95", "hausdorff", "average-hausdorff", "assd", "nsd"])
_CLASS_WORDS = frozenset(["cls", "classification", "classifier"])
_MASK_WORDS = frozenset(["seg", "segmentation", "mask", "masks", "pixel", "pixels", "voxel", "voxels"])
_OF_ONE_CLASS = frozenset([0.0, 1.0, 100.0])  # wrong, right, and right in percent


def tasks_of(scores: Iterable[str], cases: Mapping[str, Iterable[float]] | None = None) -> dict[str, str]:
    """Task by name of a score.

    scores: names of a source; one that may be of either task, such as sensitivity, goes with the others, and with
        those of masks where there are both
    cases: values of single cases, by name: accuracy between 0 and 1 is that of the pixels of a mask
    """
    by_name = {name: _spoken(name) for name in scores}
    rest = next((task for task in (SEGMENTATION, CLASSIFICATION) if task in by_name.values()), OTHER)
    pixels = {name for name, values in (cases or {}).items() if not _OF_ONE_CLASS.issuperset(values)}
    return {name: rest if name in pixels else task or rest for name, task in by_name.items()}


def _spoken(name: str) -> str:
    """Task that the name of a score speaks of; "" where it may be either."""
    parts = {name, *words_of(name)}
    score_names, spellings = {score_name(part) for part in parts}, {part.casefold() for part in parts}
    if score_names & _OF_MASKS or spellings & _MASK_WORDS:
        return SEGMENTATION
    return CLASSIFICATION if score_names & _OF_CLASSES or spellings & _CLASS_WORDS else ""


def task_lines(by_name: Mapping[str, str]) -> list[str]:
    """The line of a mapping on tasks by name of a score; none where there is one task."""
    texts = {task: [name for name in by_name if by_name[name] == task] for task in dict.fromkeys(by_name.values())}
    line = "; ".join(f"{listing(names, 8)} ({task})" for task, names in texts.items())
    return [f"tasks: {line}"] if len(texts) > 1 else []
