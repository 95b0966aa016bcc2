"""Every strategy in NumPy and float64, from the papers' equations alone; and a classifier to feed both with."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from mmtk.api import Labelled, StepContext, Unlabelled
from mmtk.components.loss.cross_entropy import CrossEntropy
from mmtk.registry import signature
from mmtk.training.strategies import SupervisedLoss
from torch import nn

from mmtk_ssl_zoo.entropy import Entropy
from mmtk_ssl_zoo.fixmatch import FixMatch
from mmtk_ssl_zoo.flexmatch import FlexMatch
from mmtk_ssl_zoo.freematch import FreeMatch
from mmtk_ssl_zoo.mean_teacher import MeanTeacher
from mmtk_ssl_zoo.pi_model import PiModel
from mmtk_ssl_zoo.pseudo_label import PseudoLabel
from mmtk_ssl_zoo.softmatch import SoftMatch
from mmtk_ssl_zoo.uda import UDA

SIZE, TEACHER, STEPS = 20, 0.6, 11  # unlabelled images, the teacher's scale, steps of the training

STRATEGIES = {
    "pseudo-label": PseudoLabel,
    "entropy": Entropy,
    "pi-model": PiModel,
    "mean-teacher": MeanTeacher,
    "uda": UDA,
    "fixmatch": FixMatch,
    "flexmatch": FlexMatch,
    "freematch": FreeMatch,
    "softmatch": SoftMatch,
}


# --- the numbers of a step -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """The logits that a classifier of scale 1 gives, and which images they are of."""

    known: np.ndarray
    target: np.ndarray
    weak: tuple[np.ndarray, np.ndarray]
    strong: np.ndarray
    index: np.ndarray
    truth: np.ndarray

    def rows(self, order) -> Step:
        """The unlabelled images in another order, or some of them."""
        weak = (self.weak[0][order], self.weak[1][order])
        return replace(
            self, weak=weak, strong=self.strong[order], index=self.index[order], truth=self.truth[order]
        )


def step(seed: int, classes: int, count: int = 8, labelled: int = 4) -> Step:
    draw = np.random.default_rng(seed)
    weak = draw.normal(0, 3, (count, classes))
    return Step(
        known=draw.normal(0, 2, (labelled, classes)),
        target=draw.integers(0, classes, labelled),
        weak=(weak, weak + draw.normal(0, 1, weak.shape)),
        strong=weak * 0.5 + draw.normal(0, 1, weak.shape),
        index=draw.choice(SIZE, count, replace=False),
        truth=draw.integers(0, classes, count),
    )


class FirstPixels(nn.Module):
    """A linear classifier, scale · the first pixels of an image."""

    def __init__(self, classes: int, scale: float = 1.0) -> None:
        super().__init__()
        self.classes = classes
        self.scale = nn.Parameter(torch.tensor(scale, dtype=torch.float64))

    def forward(self, images: torch.Tensor, *, statistics: bool = True) -> torch.Tensor:
        return self.scale * images[:, 0, 0, : self.classes]


def images(logits: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(logits)[:, None, None, :].clone().requires_grad_()


def tensors(numbers: Step, views) -> tuple[Labelled, Unlabelled]:
    """The same numbers as a strategy gets them: only the views it declares."""
    made = {}
    if "weak" in views:
        made["weak"] = tuple(images(view) for view in numbers.weak[: views["weak"]])
    if "strong" in views:
        made["strong"] = (images(numbers.strong),)
    known = Labelled(images(numbers.known), torch.from_numpy(numbers.target), torch.arange(len(numbers.target)))
    plain, index = images(numbers.weak[0]), torch.from_numpy(numbers.index)
    return known, Unlabelled(plain, index, made, torch.from_numpy(numbers.truth))


def supervised(classes: int) -> SupervisedLoss:
    return SupervisedLoss("cross-entropy", CrossEntropy(classes, True, None), 1.0)


def make(word_or_class, classes: int, **keys):
    """The strategy in float64, wired by name as the host does it; a teacher has a scale of its own."""
    component = STRATEGIES.get(word_or_class, word_or_class)

    def twin(decay=None):
        return FirstPixels(classes, TEACHER).requires_grad_(decay is None)

    offered = {"supervised": supervised(classes), "classes": classes, "unlabelled_size": SIZE, "twin": twin}
    wires = {name: offered[name] for name in signature.wired(component)}
    return component(**wires, **keys).double()


def run(strategy, numbers: Step, index: int = 0, classify=None):
    known, others = tensors(numbers, strategy.views)
    classify = classify or FirstPixels(numbers.known.shape[1])
    return strategy.terms(classify, known, others, StepContext(0, index, STEPS))


# --- the papers' equations -----------------------------------------------------------------------------------


def log_softmax(logits):
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def softmax(logits):
    return np.exp(log_softmax(logits))


def cross_entropy(target, logits):
    """Of each image; target: classes or distributions."""
    if target.ndim == 1:
        target = np.eye(logits.shape[1])[target]
    return -(target * log_softmax(logits)).sum(1)


def progress(index):
    return index / (STEPS - 1)


class Oracle:
    """``terms`` gives every weighted term but the supervised one: name → (value, weight, mask rate)."""

    def __init__(self, classes):
        self.classes = classes

    def terms(self, numbers, index):
        raise NotImplementedError


class PseudoLabelOracle(Oracle):
    def __init__(self, classes, threshold=0.95, weight=1.0, ramp=0.4):
        super().__init__(classes)
        self.threshold, self.weight, self.ramp = threshold, weight, ramp

    def terms(self, numbers, index):
        p = softmax(numbers.weak[0])
        mask = p.max(1) >= self.threshold
        loss = (mask * cross_entropy(p.argmax(1), numbers.weak[0])).mean()
        rise = min(1, progress(index) / self.ramp) if self.ramp else 1
        return {"pseudo-label": (loss, self.weight * rise, mask.mean())}


class EntropyOracle(Oracle):
    def __init__(self, classes, weight=0.1):
        super().__init__(classes)
        self.weight = weight

    def terms(self, numbers, index):
        p = softmax(numbers.weak[0])
        return {"entropy": (-(p * log_softmax(numbers.weak[0])).sum(1).mean(), self.weight, None)}


class SquaresOracle(Oracle):
    """Π-model and Mean Teacher: the second prediction is the network's or the teacher's."""

    scale = 1.0

    def __init__(self, classes, weight, ramp=0.4):
        super().__init__(classes)
        self.weight, self.ramp = weight, ramp

    def terms(self, numbers, index):
        one, other = softmax(numbers.weak[0]), softmax(self.scale * numbers.weak[1])
        loss = ((one - other) ** 2).sum() / one.size
        left = max(0, 1 - progress(index) / self.ramp) if self.ramp else 0
        return {"consistency": (loss, self.weight * np.exp(-5 * left**2), None)}


class PiModelOracle(SquaresOracle):
    def __init__(self, classes, weight=10.0, ramp=0.4):
        super().__init__(classes, weight, ramp)


class MeanTeacherOracle(SquaresOracle):
    scale = TEACHER

    def __init__(self, classes, weight=50.0, ramp=0.4):
        super().__init__(classes, weight, ramp)


class UDAOracle(Oracle):
    def __init__(self, classes, threshold=0.8, temperature=0.4, weight=1.0):
        super().__init__(classes)
        self.threshold, self.temperature, self.weight = threshold, temperature, weight

    def terms(self, numbers, index):
        p = softmax(numbers.weak[0])
        mask = p.max(1) >= self.threshold
        sharp = p ** (1 / self.temperature)
        sharp /= sharp.sum(1, keepdims=True)
        return {"uda": ((mask * cross_entropy(sharp, numbers.strong)).mean(), self.weight, mask.mean())}


class FixMatchOracle(Oracle):
    def __init__(self, classes, threshold=0.95, weight=1.0, alignment=False, momentum=0.999):
        super().__init__(classes)
        self.threshold, self.weight, self.alignment, self.m = threshold, weight, alignment, momentum
        self.predicted = self.labelled = np.full(classes, 1 / classes)

    def terms(self, numbers, index):
        p = softmax(numbers.weak[0])
        if self.alignment:
            self.predicted = self.m * self.predicted + (1 - self.m) * p.mean(0)
            known = np.eye(self.classes)[numbers.target].mean(0)
            self.labelled = self.m * self.labelled + (1 - self.m) * known
            p = p * self.labelled / self.predicted
            p /= p.sum(1, keepdims=True)
        mask = p.max(1) >= self.threshold
        loss = (mask * cross_entropy(p.argmax(1), numbers.strong)).mean()
        return {"fixmatch": (loss, self.weight, mask.mean())}


class FlexMatchOracle(Oracle):
    def __init__(self, classes, threshold=0.95, weight=1.0):
        super().__init__(classes)
        self.threshold, self.weight = threshold, weight
        self.learned = {}

    def terms(self, numbers, index):
        p = softmax(numbers.weak[0])
        sigma = np.array([sum(c == k for c in self.learned.values()) for k in range(self.classes)])
        beta = sigma / max(sigma.max(), SIZE - sigma.sum())
        threshold = beta / (2 - beta) * self.threshold
        mask = p.max(1) >= threshold[p.argmax(1)]
        loss = (mask * cross_entropy(p.argmax(1), numbers.strong)).mean()
        self.learned |= {
            int(row): int(mine.argmax())
            for row, mine in zip(numbers.index, p, strict=True)
            if mine.max() > self.threshold
        }
        return {"flexmatch": (loss, self.weight, mask.mean())}


class FreeMatchOracle(Oracle):
    def __init__(self, classes, weight=1.0, fairness=0.001, momentum=0.999):
        super().__init__(classes)
        self.weight, self.fairness, self.m = weight, fairness, momentum
        self.level, self.predicted = 1 / classes, np.full(classes, 1 / classes)
        self.histogram = self.predicted

    def average(self, old, new):
        return self.m * old + (1 - self.m) * new

    def terms(self, numbers, index):
        p, q, one = softmax(numbers.weak[0]), softmax(numbers.strong), np.eye(self.classes)
        self.level = self.average(self.level, p.max(1).mean())
        self.predicted = self.average(self.predicted, p.mean(0))
        self.histogram = self.average(self.histogram, one[p.argmax(1)].mean(0))
        mask = p.max(1) >= (self.predicted / self.predicted.max() * self.level)[p.argmax(1)]
        loss = (mask * cross_entropy(p.argmax(1), numbers.strong)).mean()
        fair = 0.0
        if mask.any():
            a = self.predicted / self.histogram
            mean, histogram = q[mask].mean(0), one[q[mask].argmax(1)].mean(0)
            there = histogram > 0
            b = mean[there] / histogram[there]
            fair = ((a / a.sum())[there] * np.log(b / b.sum())).sum()
        return {"freematch": (loss, self.weight, mask.mean()), "fairness": (fair, self.fairness, mask.mean())}


class SoftMatchOracle(Oracle):
    def __init__(self, classes, weight=1.0, n_sigma=2.0, alignment=True, momentum=0.999):
        super().__init__(classes)
        self.weight, self.n, self.alignment, self.m = weight, n_sigma, alignment, momentum
        self.mean, self.variance, self.predicted = 1 / classes, 1.0, np.full(classes, 1 / classes)

    def terms(self, numbers, index):
        p = softmax(numbers.weak[0])
        pseudo = p.argmax(1)
        if self.alignment:
            self.predicted = self.m * self.predicted + (1 - self.m) * p.mean(0)
            p = p / self.predicted / self.classes
            p /= p.sum(1, keepdims=True)
        top = p.max(1)
        self.mean = self.m * self.mean + (1 - self.m) * top.mean()
        self.variance = self.m * self.variance + (1 - self.m) * (top.var(ddof=1) if len(top) > 1 else 0.0)
        gauss = np.exp(-((top - self.mean) ** 2) / (2 * self.variance / self.n**2))
        share = np.where(top < self.mean, gauss, 1)
        return {"softmatch": ((share * cross_entropy(pseudo, numbers.strong)).mean(), self.weight, share.mean())}


ORACLES = {
    "pseudo-label": PseudoLabelOracle,
    "entropy": EntropyOracle,
    "pi-model": PiModelOracle,
    "mean-teacher": MeanTeacherOracle,
    "uda": UDAOracle,
    "fixmatch": FixMatchOracle,
    "flexmatch": FlexMatchOracle,
    "freematch": FreeMatchOracle,
    "softmatch": SoftMatchOracle,
}

# Word and keys: the defaults of every strategy, and keys that bring its other branches to life.
CASES = [
    *[(word, {}) for word in STRATEGIES],
    ("pseudo-label", {"threshold": 0.6, "ramp": 0.0}),
    ("mean-teacher", {"ramp": 0.0, "weight": 1.0}),
    ("uda", {"threshold": 0.9, "temperature": 1.0}),
    ("fixmatch", {"threshold": 0.7, "alignment": True, "momentum": 0.5}),
    ("flexmatch", {"threshold": 0.8}),
    ("freematch", {"momentum": 0.5, "fairness": 0.1}),
    ("softmatch", {"momentum": 0.5, "n_sigma": 3.0}),
    ("softmatch", {"momentum": 0.9, "alignment": False}),
]
IDS = ["-".join([word, *map(str, keys.values())]) for word, keys in CASES]


def assert_follows(strategy, oracle, classes):
    """The terms of ten steps equal the oracle's, values to 1e-6 and weights exactly; their mask rates."""
    rates = []
    for index in range(STEPS - 1):
        numbers = step(100 + index, classes)
        terms, expected = run(strategy, numbers, index), oracle.terms(numbers, index)
        for name, (value, weight, rate) in expected.items():
            np.testing.assert_allclose(terms[name].value.item(), value, rtol=1e-6, atol=1e-9, err_msg=name)
            np.testing.assert_allclose(terms[name].weight, weight, rtol=1e-9)
            if rate is not None:
                np.testing.assert_allclose(terms["mask-rate"].value.item(), rate, rtol=1e-6)
                rates.append(rate)
        assert {name for name, term in terms.items() if term.weight} - {"cross-entropy"} <= set(expected)
    return rates
