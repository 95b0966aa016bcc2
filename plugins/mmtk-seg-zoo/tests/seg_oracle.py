"""Every strategy in NumPy and float64, from the papers' equations alone; and networks to feed both with."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata

import numpy as np
import torch
from mmtk.api import Labelled, StepContext, Unlabelled
from mmtk.components.loss.cross_entropy import CrossEntropy
from mmtk.registry import signature
from mmtk.training.strategies import SupervisedLoss
from scipy.special import entr, log_expit, log_softmax
from torch import nn

STEPS, SIZE = 11, (6, 5)
POINTS = metadata.distribution("mmtk-seg-zoo").entry_points
STRATEGIES = {point.name: point.load() for point in POINTS if point.group == "mmtk.consistency"}
# Mask channels, and whether each pixel has exactly one of them.
SHAPES = [(1, False), (3, False), (2, True), (4, True)]


class Pointwise(nn.Module):
    """Logits of every pixel: slope · x + offset, by channel."""

    def __init__(self, channels: int, seed: int) -> None:
        super().__init__()
        draw = np.random.default_rng(seed)
        slope = draw.choice([-1, 1], channels) * draw.uniform(1.5, 5, channels)
        self.slope = nn.Parameter(torch.from_numpy(slope))
        self.offset = nn.Parameter(torch.from_numpy(draw.normal(0, 0.5, channels)))

    def forward(self, images: torch.Tensor, *, statistics: bool = True) -> torch.Tensor:
        return images * self.slope[:, None, None] + self.offset[:, None, None]

    def numpy(self, images: np.ndarray) -> np.ndarray:
        slope, offset = self.slope.detach().numpy(), self.offset.detach().numpy()
        return images * slope[:, None, None] + offset[:, None, None]


@dataclass(frozen=True)
class Step:
    """The images of a step [B,1,H,W] and the labelled masks [B,K,H,W]."""

    known: np.ndarray
    target: np.ndarray
    plain: np.ndarray
    weak: np.ndarray
    strong: np.ndarray


def step(seed: int, channels: int, exclusive: bool, count: int = 4) -> Step:
    draw = np.random.default_rng(seed)
    known, plain = draw.normal(0, 1, (3, 1, *SIZE)), draw.normal(0, 1, (count, 1, *SIZE))
    if exclusive:
        target = np.moveaxis(np.eye(channels)[draw.integers(0, channels, (3, *SIZE))], -1, 1)
    else:
        target = (draw.random((3, channels, *SIZE)) < 0.3).astype(float)
    weak = plain + draw.normal(0, 0.1, plain.shape)
    return Step(known, target, plain, weak, weak + draw.normal(0, 0.5, plain.shape))


@dataclass
class Bench:
    """A strategy in float64 with its networks, wired by name as the host does it."""

    word: object
    channels: int
    exclusive: bool
    keys: dict

    def __post_init__(self) -> None:
        self.net, self.twin = Pointwise(self.channels, 0), Pointwise(self.channels, 1)

        def twin(decay=None):
            return self.twin.requires_grad_(decay is None)

        component = STRATEGIES.get(self.word, self.word)
        loss = SupervisedLoss("cross-entropy", CrossEntropy(self.channels, self.exclusive, None), 1.0)
        offered = {"supervised": loss, "classes": self.channels, "exclusive": self.exclusive, "twin": twin}
        wires = {name: offered[name] for name in signature.wired(component)}
        self.strategy = component(**wires, **self.keys).double()

    def run(self, numbers: Step, index: int = 0):
        known = Labelled(*map(torch.from_numpy, (numbers.known, numbers.target)), torch.arange(len(numbers.known)))
        made = {name: (torch.from_numpy(getattr(numbers, name)),) for name in self.strategy.views}
        plain = torch.from_numpy(numbers.plain)
        others = Unlabelled(plain, torch.arange(len(plain)), made)
        return self.strategy.terms(self.net, known, others, StepContext(0, index, STEPS))


# --- the papers' equations -----------------------------------------------------------------------------------


def log_probabilities(logits, exclusive):
    """Classes in axis 1: log-softmax, or log of off and on of each channel; finite for any logits."""
    return log_softmax(logits, 1) if exclusive else np.stack([log_expit(-logits), log_expit(logits)], 1)


def doubt(p):
    return entr(p).sum(1)


def surprise(log_p, classes):
    """−log p of the given class of every pixel."""
    return -np.take_along_axis(log_p, classes[:, None], 1)[:, 0]


def noisy(images, sd, index, purpose):
    draw = (
        torch.randn(images.shape, generator=StepContext(0, index, STEPS).generator(purpose)).numpy().astype(float)
    )
    return images + sd * np.clip(draw, -2, 2)


def rise(index, ramp):
    left = max(0, 1 - index / (STEPS - 1) / ramp) if ramp else 0
    return np.exp(-5 * left**2)


class Oracle:
    """``terms`` gives every weighted term but the supervised ones: name → (value, weight, support)."""

    def __init__(self, bench: Bench, **keys):
        self.bench = bench
        self.keys = {**STRATEGIES[self.word].__init__.__kwdefaults__, **keys}

    def log_p(self, images, net=None):
        return log_probabilities((net or self.bench.net).numpy(images), self.bench.exclusive)

    def p(self, images, net=None):
        return np.exp(self.log_p(images, net))

    def __getattr__(self, name):
        return self.keys[name]


class EntropyOracle(Oracle):
    word = "entropy"

    def terms(self, numbers, index):
        return {"entropy": (doubt(self.p(numbers.plain)).mean(), self.weight * rise(index, self.ramp), 1)}


class MeanTeacherOracle(Oracle):
    word = "mean-teacher"

    def terms(self, numbers, index):
        target = self.p(noisy(numbers.plain, self.noise, index, "noise"), self.bench.twin)
        gap = (self.p(numbers.plain) - target) ** 2
        return {"consistency": (gap.mean(), self.weight * rise(index, self.ramp), 1)}


class UAMTOracle(Oracle):
    word = "ua-mt"

    def terms(self, numbers, index):
        target, *others = (
            self.p(noisy(numbers.plain, self.noise, index, f"noise-{i}"), self.bench.twin)
            for i in range(self.passes + 1)
        )
        classes, up = target.shape[1], rise(index, self.ramp)
        sure = doubt(sum(others) / len(others)) < (0.75 + 0.25 * up) * np.log(classes)
        gap = ((self.p(numbers.plain) - target) ** 2).sum(1)
        value = gap[sure].sum() / (classes * max(1, sure.sum()))
        return {"consistency": (value, self.weight * up, sure.mean())}


class CPSOracle(Oracle):
    word = "cps"

    def terms(self, numbers, index):
        images = np.concatenate([numbers.known, numbers.plain])
        one, two = self.log_p(images), self.log_p(images, self.bench.twin)
        cross = surprise(one, two.argmax(1)).mean() + surprise(two, one.argmax(1)).mean()
        own = self.log_p(numbers.known, self.bench.twin)
        if self.bench.exclusive:
            second = surprise(own, numbers.target.argmax(1)).mean()
        else:
            on = numbers.target.astype(bool)
            second = -np.where(on, own[:, 1], own[:, 0]).mean()
        return {"cps": (cross, self.weight, 1), "cross-entropy-second": (second, 1, 1)}


class WeakStrongOracle(Oracle):
    word = "weak-strong"

    def terms(self, numbers, index):
        p, log_q = self.p(numbers.weak), self.log_p(numbers.strong)
        accepted = p.max(1) >= self.threshold
        value = (accepted * surprise(log_q, p.argmax(1))).sum() / accepted.size
        return {"weak-strong": (value, self.weight, accepted.mean())}


class CutMixOracle(Oracle):
    word = "cutmix"

    def box(self, count, index):
        """Pixel centres inside a box of the wanted area."""
        draw = StepContext(0, index, STEPS).generator("cutmix")
        aspect, top, left = torch.rand(3, count, 1, 1, 1, generator=draw).numpy().astype(float).reshape(3, count)
        inside = np.zeros((count, 1, *SIZE))
        for i in range(count):
            height = self.area ** aspect[i]
            width = self.area / height
            for row, column in np.ndindex(*SIZE):
                y, x = (row + 0.5) / SIZE[0], (column + 0.5) / SIZE[1]
                y, x = y - top[i] * (1 - height), x - left[i] * (1 - width)
                inside[i, 0, row, column] = 0 <= y < height and 0 <= x < width
        return inside

    def terms(self, numbers, index):
        x, others = numbers.plain, np.roll(numbers.plain, 1, 0)
        box = self.box(len(x), index)
        spread = box if self.bench.exclusive else box[:, None]
        target = np.where(spread, self.p(x, self.bench.twin), self.p(others, self.bench.twin))
        sure = (target.max(1) > self.threshold).mean()
        gap = ((self.p(np.where(box, x, others)) - target) ** 2).sum(1).mean()
        return {"cutmix": (sure * gap, self.weight, sure)}


class AreaPriorOracle(Oracle):
    word = "area-prior"

    def __init__(self, bench, **keys):
        super().__init__(bench, **keys)
        self.seen = []

    def terms(self, numbers, index):
        self.seen += list(numbers.target.mean((-2, -1)))
        low, high = np.min(self.seen, 0) * (1 - self.slack), np.max(self.seen, 0) * (1 + self.slack)
        p = self.p(numbers.plain)
        area = (p if self.bench.exclusive else p[:, 1]).mean((-2, -1))
        off = np.where(area < low, low - area, np.where(area > high, area - high, 0))
        return {"area": ((off**2).mean(), self.weight, (off > 0).mean())}


ORACLES = {oracle.word: oracle for oracle in Oracle.__subclasses__()}

# Word and keys: the defaults of every strategy, and keys that bring its other branches to life.
CASES = [
    *[(word, {}) for word in STRATEGIES],
    ("entropy", {"ramp": 0.0, "weight": 1.0}),
    ("mean-teacher", {"noise": 0.5, "ramp": 1.0}),
    ("ua-mt", {"noise": 0.5, "passes": 3, "ramp": 1.0}),
    ("weak-strong", {"threshold": 0.8}),
    ("cutmix", {"threshold": 0.8, "area": 0.3}),
    ("area-prior", {"slack": 0.0}),
]
IDS = ["-".join([word, *map(str, keys.values())]) for word, keys in CASES]


def assert_follows(bench: Bench, oracle: Oracle) -> list[float]:
    """The terms of ten steps equal the oracle's: values to 1e-9, weights, supports; the supports met."""
    supports = []
    for index in range(STEPS - 1):
        numbers = step(100 + index, bench.channels, bench.exclusive)
        terms = {name: term for name, term in bench.run(numbers, index).items() if term.weight}
        terms.pop("cross-entropy")
        wanted = oracle.terms(numbers, index)
        assert set(terms) == set(wanted)
        for name, (value, weight, support) in wanted.items():
            np.testing.assert_allclose(terms[name].value.item(), value, rtol=1e-6, atol=1e-9)
            np.testing.assert_allclose(terms[name].weight, weight, rtol=1e-12)
            np.testing.assert_allclose(float(terms[name].active), support, rtol=1e-6)
            supports.append(float(support))
    return supports
