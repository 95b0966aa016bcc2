"""Scores of predicted classes."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from mmtk import builtin_scores
from mmtk.api import Metric
from mmtk.components.metric import _binary
from mmtk.components.metric._inputs import check_batch
from mmtk.errors import MmtkError


class Classification(Metric):
    """Accuracy, F1, AUROC, average precision, calibration error, confusion counts and the majority baseline.

    Of any classes: accuracy, balanced accuracy (the mean recall of those that occur), macro-F1, the F1 of each,
    AUROC, average precision, calibration error, the accuracy of always saying the most frequent class, and
    ``count-TRUE-as-PREDICTED``. Of two classes also sensitivity, specificity, ``threshold``, and accuracy,
    balanced accuracy, sensitivity and specificity at it.

    Of two classes the last is the positive one: AUROC, average precision and sensitivity are its own, and
    ``calibrate`` chooses a threshold on its probability (``…-at-threshold``; 0.5 until then). Of more
    classes, AUROC and average precision are means over those that occur, each against the rest.
    The calibration error is that of the likeliest class in 15 bins of equal width (Guo et al. 2017).
    A score that the set leaves undefined is left out: AUROC if only one class occurs, sensitivity without
    positives, the F1 of a class that neither occurs nor is predicted (which macro-F1 then passes over).
    """

    task = "classification"

    def __init__(self, names: Sequence[str]) -> None:
        self.names, self.threshold = tuple(names), 0.5
        self.scores = builtin_scores.classification(self.names)
        self.rows: list[tuple[str, int, int, list[float]]] = []

    def update(self, logits: Tensor, target: Tensor, ids: Sequence[str]) -> None:
        """Add logits [B,C] and class indices [B].

        Raises MmtkError naming the ids for logits that are not finite and for unknown classes.
        """
        check_batch(logits, target, ids, self.names, range(len(self.names)))
        probabilities = logits.double().softmax(1)
        columns = target.tolist(), logits.argmax(1).tolist(), probabilities.tolist()
        self.rows += zip(ids, *columns, strict=True)

    def merge(self, other: Metric) -> None:
        """Add the images of another instance; scores do not depend on the order."""
        if not isinstance(other, Classification):
            raise MmtkError(f"a classification metric cannot be merged with {type(other).__name__}.")
        self.rows += other.rows

    def calibrate(self, validation: Metric) -> None:
        """Choose the threshold of best balanced accuracy on ``validation``, if both classes occur there."""
        if not isinstance(validation, Classification):
            raise MmtkError(f"a classification metric cannot be calibrated on {type(validation).__name__}.")
        target, _, probabilities = validation._columns()
        positive = target == 1
        if len(self.names) == 2 and positive.any() and not positive.all():
            self.threshold = best_threshold(probabilities[:, 1], positive)

    def curve(self) -> tuple[Tensor, Tensor]:
        """The ROC curve of the last class against the rest: false and true positive rates, each in [0, 1].

        Raises MmtkError unless both occur.
        """
        target, _, probabilities = self._columns()
        positive = target == len(self.names) - 1
        if positive.all() or not positive.any():
            raise MmtkError(f"a ROC curve needs images of {self.names[-1]} and of another class.")
        return _binary.roc(probabilities[:, -1], positive)

    def compute(self) -> dict[str, float]:
        """Every score that is defined, all of them finite."""
        target, predicted, probabilities = self._columns()
        n, classes = len(target), len(self.names)
        if not n:
            return {"n": 0}
        confusion = _binary.confusion(target, predicted, classes)
        f1 = 2 * confusion.diag().double() / (confusion.sum(0) + confusion.sum(1))
        # Below 1, so that certainty falls into the last bin and not into one of its own.
        right, confidence = predicted == target, probabilities.max(1).values.clamp(max=1 - 2**-53)
        scores = {
            **_agreement(confusion),
            "macro-f1": f1.nanmean().item(),
            **{f"f1-{name}": value for name, value in zip(self.names, f1.tolist(), strict=True)},
            **_ranking(probabilities, target),
            "calibration-error": _binary.calibration_error(confidence, right).item(),
            "majority-accuracy": confusion.sum(1).max().item() / n,
            "n": n,
        }
        if classes == 2:
            at = _agreement(_binary.confusion(target, (probabilities[:, 1] >= self.threshold).long(), 2))
            scores |= {"threshold": self.threshold, **{f"{key}-at-threshold": v for key, v in at.items()}}
        for true, row in zip(self.names, confusion.tolist(), strict=True):
            scores |= {f"count-{true}-as-{name}": count for name, count in zip(self.names, row, strict=True)}
        return {key: value for key, value in scores.items() if isfinite(value)}

    def per_image(self) -> dict[str, list[Any]]:
        """Target and predicted class index and ``p-NAME`` of every class, per image, ordered by id."""
        rows = sorted(self.rows)
        columns = {key: [row[k] for row in rows] for k, key in enumerate(("id", "target", "predicted"))}
        return columns | {f"p-{name}": [row[3][k] for row in rows] for k, name in enumerate(self.names)}

    def _columns(self) -> tuple[Tensor, Tensor, Tensor]:
        """Target [N], predicted class [N] and probabilities [N,C] (float64), ordered by id."""
        rows = sorted(self.rows)
        target, predicted = (torch.tensor([row[k] for row in rows], dtype=torch.long) for k in (1, 2))
        probabilities = torch.tensor([row[3] for row in rows], dtype=torch.float64)
        return target, predicted, probabilities.reshape(len(rows), len(self.names))


def best_threshold(scores: Tensor, positive: Tensor) -> float:
    """The threshold on ``scores`` [N] (positive from it on) with the best balanced accuracy.

    Tried are 0, 0.5 and the middles between neighbouring scores; among equals the nearest to 0.5 wins.
    """
    distinct = torch.unique(scores)
    lower, upper = distinct[:-1], distinct[1:]
    middle = (lower + upper) / 2
    middle = torch.where(middle > lower, middle, upper)  # the middle of adjacent floats rounds to one of them
    tried = torch.cat([torch.tensor([0.0, 0.5], dtype=scores.dtype), middle])
    yes, no = scores[positive].sort().values, scores[~positive].sort().values
    # In whole numbers, so that equals are equal: specificity − (1 − sensitivity), times both counts.
    gain = torch.searchsorted(no, tried) * len(yes) - torch.searchsorted(yes, tried) * len(no)
    best = tried[gain == gain.max()]
    return best[(best - 0.5).abs().argmin()].item()


def _agreement(confusion: Tensor) -> dict[str, float]:
    """Accuracy, balanced accuracy over the classes that occur, and for two classes the recall of each."""
    recall = confusion.diag().double() / confusion.sum(1)
    scores = {
        "accuracy": confusion.trace().item() / confusion.sum().item(),
        "balanced-accuracy": recall.nanmean().item(),
    }
    if len(confusion) == 2:
        scores |= {"sensitivity": recall[1].item(), "specificity": recall[0].item()}
    return scores


def _ranking(probabilities: Tensor, target: Tensor) -> dict[str, float]:
    """AUROC and average precision of the last of two classes, or the means over all classes that occur."""
    classes = probabilities.shape[1]
    auroc, precision = [], []
    for k in [1] if classes == 2 else range(classes):
        is_class = target == k
        if is_class.any():
            precision.append(_binary.average_precision(probabilities[:, k], is_class))
            if not is_class.all():
                auroc.append(_binary.auroc(probabilities[:, k], is_class))
    scores = {"auroc": auroc, "average-precision": precision}
    return {key: torch.stack(values).mean().item() for key, values in scores.items() if values}
