"""Scores of probabilities against two labels: torchmetrics' to the last digit, without its second of imports."""

from __future__ import annotations

import torch
from torch import Tensor

BINS = 15  # of the calibration error


def confusion(target: Tensor, predicted: Tensor, classes: int) -> Tensor:
    """Counts [true, predicted] of class indices [N]."""
    return torch.bincount(target * classes + predicted, minlength=classes**2).reshape(classes, classes)


def roc(probabilities: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """Rates of false and true positives, fp32, from (0, 0) to (1, 1); ``positive`` [N], bool, has both values."""
    false, true = (torch.cat([counts.new_zeros(1), counts]) for counts in _counts(probabilities, positive))
    return false / false[-1], true / true[-1]


def auroc(probabilities: Tensor, positive: Tensor) -> Tensor:
    """Area under ``roc`` by trapezoids, fp32."""
    false, true = roc(probabilities, positive)
    return torch.trapezoid(true, false)


def average_precision(probabilities: Tensor, positive: Tensor) -> Tensor:
    """Sum of precision × gain of recall over all thresholds, fp32; one at least is ``positive``."""
    false, true = _counts(probabilities, positive)
    precision, recall = (true / (true + false)).flip(0), (true / true[-1]).flip(0)
    recall = torch.cat([recall, recall.new_zeros(1)])
    return -torch.sum((recall[1:] - recall[:-1]) * precision)


def calibration_error(confidence: Tensor, right: Tensor) -> Tensor:
    """Mean distance of confidence [N] and accuracy over bins of equal width (Guo et al. 2017, eq. 3).

    confidence: of the predicted class, from 0 to below 1
    right: boolean, whether it is the true one
    """
    edges = torch.linspace(0, 1, BINS + 1, dtype=confidence.dtype)
    columns = torch.stack([torch.ones_like(confidence), confidence, right.to(confidence.dtype)])
    bins = (torch.bucketize(confidence, edges, right=True) - 1).expand_as(columns)
    count, confidences, hits = columns.new_zeros(3, len(edges)).scatter_add_(1, bins, columns)
    gaps = (hits / count).nan_to_num() - (confidences / count).nan_to_num()
    return torch.sum(gaps.abs() * (count / count.sum()))


def _counts(probabilities: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """False and true positives from each distinct probability on, the highest first."""
    order = probabilities.argsort(descending=True)
    probabilities, positive = probabilities[order], positive[order]
    last = torch.cat([probabilities.diff().nonzero()[:, 0], order.new_tensor([len(order) - 1])])
    true = positive.long().cumsum(0)[last]
    return 1 + last - true, true
