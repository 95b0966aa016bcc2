"""Several networks as one: the mean of their probabilities, and how far they disagree."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmtk.api import LabelSpec, Prediction
from mmtk.model.network import MultiTaskNet, at_least_float32


def events(logits: Tensor, labels: LabelSpec) -> Tensor:
    """Logarithms of probabilities [B,C,…]; of independent channels [B,2K,…], those of their absence behind."""
    logits = at_least_float32(logits)
    if labels.exclusive or labels.task == "classification":
        return logits.log_softmax(1)
    return torch.cat([F.logsigmoid(logits), F.logsigmoid(-logits)], 1)


def logits_of(log_probabilities: Tensor, labels: LabelSpec) -> Tensor:
    """Logits that have the probabilities of ``events``."""
    if labels.exclusive or labels.task == "classification":
        return log_probabilities
    present, absent = log_probabilities.chunk(2, 1)
    return present - absent


def mean_logits(logits: Sequence[Tensor], labels: LabelSpec) -> Tensor:
    """Logits of the mean probabilities; in logarithms, so that certainty stays finite."""
    several = torch.stack([events(one, labels) for one in logits])
    return logits_of(several.logsumexp(0) - math.log(len(logits)), labels)


def mean_prediction(predictions: Sequence[Prediction], targets: Mapping[str, LabelSpec]) -> Prediction:
    """Mean of the probabilities of several predictions, and of their saliency where all have one.

    predictions: of equal shapes; a single one stays as it is
    targets: labels by task
    """
    if len(predictions) == 1:
        return predictions[0]
    mean = Prediction()
    for task, labels in targets.items():
        setattr(mean, task, mean_logits([getattr(one, task) for one in predictions], labels))
    maps = [one.saliency for one in predictions if one.saliency is not None]
    if len(maps) == len(predictions):
        mean.saliency = torch.stack(maps).mean(0)
    return mean


def disagreement(logits: Sequence[Tensor], labels: LabelSpec) -> Tensor:
    """Mean distance of pairs of networks, from 0 (agreed) to 1: of classes [B], of masks [B,K].

    Of classes it is half the sum of the differences of their probabilities; of masks one less the Dice of both,
    0 where both are empty.

    logits: of two networks or more, each [B,C] or [B,K,H,W]
    labels: of the task
    """
    pairs = itertools.combinations(logits, 2)
    if labels.task == "classification":
        distances = [(labels.probabilities(a) - labels.probabilities(b)).abs().sum(1) / 2 for a, b in pairs]
    else:
        distances = [_distance(labels.decode(a), labels.decode(b)) for a, b in pairs]
    return torch.stack(distances).mean(0)


def _distance(one: Tensor, other: Tensor) -> Tensor:
    """One less the Dice of masks [B,K,H,W] of boolean, 0 where both are empty."""
    both, total = (one & other).sum((2, 3)), one.sum((2, 3)) + other.sum((2, 3))
    return torch.where(total == 0, 0.0, 1 - 2 * both / total.clamp(min=1))


class Ensemble(nn.Module):
    """Networks of the same labels, called like one."""

    def __init__(self, members: Sequence[MultiTaskNet], targets: Mapping[str, LabelSpec]) -> None:
        super().__init__()
        self.nets, self.targets = nn.ModuleList(members), targets

    @property
    def members(self) -> list[MultiTaskNet]:
        """The networks."""
        return [net for net in self.nets if isinstance(net, MultiTaskNet)]

    def forward(self, x: Tensor) -> Prediction:
        """[B,C,H,W], normalised → logits of the mean probabilities of every task, and the mean saliency."""
        return mean_prediction([net(x) for net in self.members], self.targets)

    def classify(self, x: Tensor) -> Tensor:
        """[B,C,H,W] → class logits [B,classes]."""
        return mean_logits([net.classify(x) for net in self.members], self.targets["classification"])

    def segment(self, x: Tensor) -> Tensor:
        """[B,C,H,W] → mask logits [B,K,H,W]."""
        return mean_logits([net.segment(x) for net in self.members], self.targets["segmentation"])


Net: TypeAlias = MultiTaskNet | Ensemble
