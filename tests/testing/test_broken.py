"""Every check catches a component that breaks just what it is about, and says what to change."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmtk.api import (
    SSL,
    Augment,
    Bridge,
    Consistency,
    Decoder,
    Encoder,
    Item,
    Job,
    JobResult,
    LabelSpec,
    Launcher,
    Loss,
    Metric,
    MmtkError,
    Source,
    Term,
)
from mmtk.registry.kinds import KINDS
from mmtk.search import Draw, Search, Settings, Space, Trial
from mmtk.testing import ContractError, every, kind_checks, named, outcomes, suite

BROKEN: dict[tuple[str, str], type[Any]] = {}


def breaks(kind: str, check: str) -> Any:
    """Mark a class as the one that ``check`` of ``kind`` has to catch."""

    def note(component: type[Any]) -> type[Any]:
        BROKEN[kind, check] = component
        return component

    return note


# --- every kind ------------------------------------------------------------------------------------------------


def classes_only(target: Tensor) -> Tensor:
    """The target, if it is one of classes."""
    if target.ndim != 1:
        raise MmtkError("it is for classes.")
    return target


class GoodLoss(Loss):
    """Cross entropy of classes."""

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits, classes_only(target))


@breaks("any", "subclasses-the-contract")
class NoLoss:
    """It is nothing."""


@breaks("any", "keys-are-typed")
class Untyped(GoodLoss):
    """A key without a type."""

    def __init__(self, *, size=1) -> None:
        self.size = size


@breaks("any", "defaults-are-valid")
class BadDefault(GoodLoss):
    """A default of another type.

    size: in pixels
    """

    def __init__(self, *, size: int = "large") -> None:  # type: ignore[assignment]
        self.size = size


@breaks("any", "docstring-names-every-key")
class Undocumented(GoodLoss):
    """Nothing about its key."""

    def __init__(self, *, size: int = 1) -> None:
        self.size = size


# --- strategies ------------------------------------------------------------------------------------------------


class Base(SSL):
    """Supervised, and the entropy of the weak view."""

    views = {"weak": 1}

    def __init__(self, supervised, classes) -> None:
        super().__init__()
        self.supervised, self.classes = supervised, classes

    def terms(self, classify, labelled, unlabelled, now):
        return {
            **self.supervised(classify, labelled),
            "more": Term(self.more(classify, labelled, unlabelled, now)),
        }

    def more(self, classify, labelled, unlabelled, now) -> Tensor:
        log_p = classify(unlabelled["weak"][0]).log_softmax(1)
        return -(log_p.exp() * log_p).sum(1).mean()


@breaks("ssl", "gives-terms")
class NoTerms(Base):
    """Bare numbers."""

    def terms(self, classify, labelled, unlabelled, now):
        return {"more": self.more(classify, labelled, unlabelled, now)}


@breaks("ssl", "reads-the-views-it-declares")
class UnreadView(Base):
    """A view for nothing."""

    views = {"weak": 1, "strong": 1}


@breaks("ssl", "finite-when-nothing-is-confident")
class EmptySet(Base):
    """The mean over an empty set."""

    def more(self, classify, labelled, unlabelled, now):
        logits = classify(unlabelled["weak"][0])
        confident = (logits.softmax(1).max(1).values > 0.4 + 0.2 / self.classes).float()
        confident = confident * (logits.abs().sum(1) > 0)
        return (confident * logits.logsumexp(1)).sum() / confident.sum()


@breaks("ssl", "finite-with-extreme-logits")
class LogOfSoftmax(Base):
    """The logarithm of a probability that is 0."""

    def more(self, classify, labelled, unlabelled, now):
        p = classify(unlabelled["weak"][0]).softmax(1)
        return -(p * p.log()).sum(1).mean()


@breaks("ssl", "every-weighted-term-is-alive")
class DeadStudent(Base):
    """The student's prediction is the teacher's (USB's Mean Teacher)."""

    def more(self, classify, labelled, unlabelled, now):
        with torch.no_grad():
            return super().more(classify, labelled, unlabelled, now)


@breaks("ssl", "its-parameters-learn")
class DeadHead(Base):
    """A projection that is used under no_grad."""

    def __init__(self, supervised, classes) -> None:
        super().__init__(supervised, classes)
        self.head = nn.Linear(classes, classes)

    def more(self, classify, labelled, unlabelled, now):
        with torch.no_grad():
            shift = self.head(classify(unlabelled["weak"][0])).mean()
        return super().more(classify, labelled, unlabelled, now) * (1 + 0.1 * shift.tanh())


@breaks("ssl", "targets-carry-no-gradient")
class LearningTarget(Base):
    """A target that is trained towards the student."""

    views = {"weak": 1, "strong": 1}

    def more(self, classify, labelled, unlabelled, now):
        target = classify(unlabelled["weak"][0]).softmax(1)
        return -(target * classify(unlabelled["strong"][0]).log_softmax(1)).sum(1).mean()


@breaks("ssl", "equal-calls-are-equal")
class GlobalNoise(Base):
    """A state that every call moves."""

    def __init__(self, supervised, classes) -> None:
        super().__init__(supervised, classes)
        self.register_buffer("calls", torch.zeros(()))

    def more(self, classify, labelled, unlabelled, now):
        self.calls += 1
        return self.calls * super().more(classify, labelled, unlabelled, now)


@breaks("ssl", "state-survives-a-checkpoint")
class ForgetfulState(Base):
    """What it has learned is no buffer."""

    def __init__(self, supervised, classes) -> None:
        super().__init__(supervised, classes)
        self.seen = 0

    def more(self, classify, labelled, unlabelled, now):
        self.seen = max(self.seen, now.index if now.index < 3 else 0)
        return (1 + self.seen) * super().more(classify, labelled, unlabelled, now)


@breaks("ssl", "hidden-labels-enter-no-loss")
class Cheat(Base):
    """The hidden labels in the loss."""

    def more(self, classify, labelled, unlabelled, now):
        logits = classify(unlabelled["weak"][0])
        return (
            F.cross_entropy(logits, unlabelled.truth) if unlabelled.truth is not None else logits.square().mean()
        )


@breaks("ssl", "leaves-the-batch-alone")
class InPlace(Base):
    """Noise into the host's own images."""

    def more(self, classify, labelled, unlabelled, now):
        unlabelled["weak"][0].add_(0.1)
        return super().more(classify, labelled, unlabelled, now)


@breaks("consistency", "compared-predictions-are-zero-when-equal")
class DeadKL(Consistency):
    """KL over a softmax of one channel (the MultiMix release)."""

    def __init__(self, supervised) -> None:
        super().__init__()
        self.supervised = supervised

    def terms(self, segment, labelled, unlabelled, now):
        p, q = segment(labelled.image), segment(unlabelled.image[: len(labelled.image)])
        log_p, log_q = p[:, :1].log_softmax(1), q[:, :1].log_softmax(1)
        kl = (log_p.exp() * (log_p - log_q)).mean()
        return {**self.supervised(segment, labelled, p), "kl": Term(kl)}


# --- parts of the network --------------------------------------------------------------------------------------


class GoodEncoder(Encoder):
    """Two levels."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.channels, self.strides = [4, 8], [1, 2]
        self.one, self.two = nn.Conv2d(in_channels, 4, 3, padding=1), nn.Conv2d(4, 8, 3, 2, padding=1)

    def forward(self, x):
        one = self.one(x).relu()
        return [one, self.two(one).relu()]


@breaks("encoder", "strides-increase")
class EqualStrides(GoodEncoder):
    """Two levels of one stride."""

    def __init__(self, in_channels: int) -> None:
        super().__init__(in_channels)
        self.strides = [2, 2]


@breaks("encoder", "features-are-as-declared")
class WrongChannels(GoodEncoder):
    """Fewer channels than declared."""

    def __init__(self, in_channels: int) -> None:
        super().__init__(in_channels)
        self.channels = [4, 16]


@breaks("encoder", "every-parameter-learns")
class Unused(GoodEncoder):
    """A layer that nothing passes."""

    def __init__(self, in_channels: int) -> None:
        super().__init__(in_channels)
        self.spare = nn.Conv2d(4, 4, 1)


class GoodDecoder(Decoder):
    """A convolution of each level, summed."""

    def __init__(self, channels, classes) -> None:
        super().__init__()
        self.each = nn.ModuleList(nn.Conv2d(c, classes, 1) for c in channels)

    def forward(self, features, size):
        return sum(F.interpolate(conv(f), size) for conv, f in zip(self.each, features, strict=True))


@breaks("decoder", "logits-have-the-size-asked-for")
class OwnSize(GoodDecoder):
    """Always half the size."""

    def forward(self, features, size):
        return super().forward(features, (size[0] // 2, size[1] // 2))


@breaks("decoder", "gradients-reach-every-feature")
class Lazy(GoodDecoder):
    """The finest level is left out."""

    def forward(self, features, size):
        return super().forward([features[0].detach(), *features[1:]], size)


@breaks("decoder", "every-parameter-learns")
class SpareLayer(GoodDecoder):
    """A layer that nothing passes."""

    def __init__(self, channels, classes) -> None:
        super().__init__(channels, classes)
        self.spare = nn.Conv2d(1, 1, 1)


class GoodBridge(Bridge):
    """The image itself."""

    channels, stride = 1, 8

    def forward(self, x, classify):
        return F.avg_pool2d(x.detach(), 8), None


@breaks("bridge", "joins-what-it-declares")
class OtherStride(GoodBridge):
    """Half the declared size."""

    def forward(self, x, classify):
        return F.avg_pool2d(x.detach(), 16), None


@breaks("bridge", "every-parameter-learns")
class FrozenByAccident(GoodBridge):
    """A trainable convolution under no_grad."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Conv2d(1, 1, 1)

    def forward(self, x, classify):
        with torch.no_grad():
            return F.avg_pool2d(self.filter(x), 8), None


@breaks("bridge", "same-images-same-bridge")
class NoisyBridge(GoodBridge):
    """Noise of its own."""

    def forward(self, x, classify):
        joined = F.avg_pool2d(x.detach(), 8)
        return joined + 0.1 * torch.randn_like(joined), None


@breaks("bridge", "leaves-gradients-and-modes-alone")
class BackwardBridge(GoodBridge):
    """backward() instead of autograd.grad."""

    def forward(self, x, classify):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            classify(x).amax(1).sum().backward()
        return F.avg_pool2d(x.grad, 8), None


# --- losses and metrics ----------------------------------------------------------------------------------------


@breaks("loss", "smallest-at-the-target")
class WrongSign(GoodLoss):
    """Minus the loss."""

    def __call__(self, logits, target):
        return -super().__call__(logits, target)


@breaks("loss", "a-scalar-with-a-gradient")
class PerImage(GoodLoss):
    """One value per image."""

    def __call__(self, logits, target):
        return F.cross_entropy(logits, classes_only(target), reduction="none")


@breaks("loss", "the-order-of-images-does-not-matter")
class FirstCounts(GoodLoss):
    """The first image counts most."""

    def __call__(self, logits, target):
        weights = torch.linspace(1, 0, len(logits))
        return (weights * F.cross_entropy(logits, classes_only(target), reduction="none")).mean()


@breaks("loss", "ignored-pixels-take-no-part")
class IgnoresNothing(Loss):
    """−1 taken for background."""

    def __call__(self, logits, target):
        if target.ndim == 1:
            raise MmtkError("it is for masks.")
        return F.binary_cross_entropy_with_logits(logits, target.clamp_min(0))


class GoodMetric(Metric):
    """The share of right classes."""

    task = "classification"

    def __init__(self) -> None:
        self.rows: list[tuple[str, float]] = []

    def update(self, logits: Tensor, target: Tensor, ids: Sequence[str]) -> None:
        self.rows += zip(ids, (logits.argmax(1) == target).float().tolist(), strict=True)

    def merge(self, other: Metric) -> None:
        self.rows += other.rows  # type: ignore[attr-defined]

    def compute(self) -> dict[str, float]:
        return {"right": sum(right for _, right in self.rows) / len(self.rows), "n": len(self.rows)}


@breaks("metric", "two-halves-equal-the-whole")
class MeanOfMeans(GoodMetric):
    """What the other saw is forgotten."""

    def merge(self, other: Metric) -> None:
        pass


@breaks("metric", "a-perfect-input-scores-best")
class Constant(GoodMetric):
    """The number of images."""

    def compute(self) -> dict[str, float]:
        return {"right": 1.0}


@breaks("metric", "per-image-has-every-image-once")
class LostImages(GoodMetric):
    """Half the values."""

    def per_image(self) -> dict[str, list[Any]]:
        return {"id": [name for name, _ in self.rows][:3]}


# --- data ------------------------------------------------------------------------------------------------------


class GoodAugment(Augment):
    """A brightness per image."""

    def draws(self, images, generator):
        return torch.rand(len(images), 1, 1, 1, generator=generator)

    def __call__(self, images, generator, masks=None, geometric=True):
        return images * (0.5 + 0.5 * self.draws(images, generator)), masks


@breaks("augment", "stays-in-range-and-shape")
class Overexposed(GoodAugment):
    """Brighter than white."""

    def __call__(self, images, generator, masks=None, geometric=True):
        return images + 0.5, masks


@breaks("augment", "draws-belong-to-the-generator")
class GlobalDraws(GoodAugment):
    """The global generator."""

    def draws(self, images, generator):
        return torch.rand(len(images), 1, 1, 1)


@breaks("augment", "parameters-are-drawn-per-image")
class OneForAll(GoodAugment):
    """One draw for the batch."""

    def draws(self, images, generator):
        return torch.rand(1, 1, 1, 1, generator=generator)


@breaks("augment", "masks-stay-masks-and-move-along")
class MaskStaysBehind(GoodAugment):
    """The image is turned over, its mask is not."""

    def __call__(self, images, generator, masks=None, geometric=True):
        made = super().__call__(images, generator)[0]
        return (made.flip(2) if geometric else made), masks


@breaks("augment", "geometry-can-be-left-out")
class AlwaysFlips(GoodAugment):
    """A flip, asked for or not."""

    def __call__(self, images, generator, masks=None, geometric=True):
        made = super().__call__(images, generator)[0]
        return made.flip(3), None if masks is None else masks.flip(3)


@breaks("augment", "gray-levels-go-the-same-way")
class BytesMeantForFloats(GoodAugment):
    """Noise of a few hundredths, which is nothing on gray levels of 0…255."""

    uint8 = True

    def __call__(self, images, generator, masks=None, geometric=True):
        noise = 0.1 * self.draws(images, generator)
        return (images * 0.8 + noise).to(images.dtype), masks


class GoodSource(Source):
    """Noise, drawn by id."""

    labels = LabelSpec("classification", ("one", "two"))
    first = 0

    def items(self, split):
        parts = {"train": range(8), "val": range(8, 12), "test": range(12, 16), "all": range(16)}
        return [Item(f"i{k:02}", f"i{k:02}", k % 2, f"p{k:02}") for k in parts[split]]

    def image(self, item):
        return np.zeros((32, 32), np.uint8)

    def digest(self):
        return "noise"


@breaks("source", "ids-are-stable-and-ordered")
class Unordered(GoodSource):
    """The order of a set of files."""

    def items(self, split):
        return super().items(split)[::-1]


@breaks("source", "splits-are-disjoint")
class OnePatient(GoodSource):
    """A patient in two splits."""

    def items(self, split):
        return [Item(item.id, item.image, item.target, "p") for item in super().items(split)]


@breaks("source", "images-and-masks-can-be-read")
class FloatImages(GoodSource):
    """Pixels in [0, 1]."""

    def image(self, item):
        return np.zeros((32, 32), np.float32)


@breaks("source", "the-digest-is-stable")
class ClockDigest(GoodSource):
    """Another digest every time."""

    def digest(self):
        GoodSource.first += 1
        return str(GoodSource.first)


@breaks("source", "metadata-name-no-person")
class NamedPatients(GoodSource):
    """Metadata with the name of the patient."""

    def items(self, split):
        return [replace(item, metadata={"Patient Name": "Doe"}) for item in super().items(split)]


@breaks("launcher", "every-job-is-reported")
class GivesUp(Launcher):
    """It stops at the first failure."""

    def run(self, jobs: Sequence[Job]) -> Iterator[JobResult]:
        yield JobResult(jobs[0].dir, 0, jobs[0].dir / "output.log")


class GoodSearch(Search):
    """Draws of every key."""

    sequential = False

    def propose(self, space: Space, history: Sequence[Trial], draw: Draw) -> Settings:
        return {key: values.at(draw(key).random()) for key, values in space.items()}


@breaks("search", "proposals-lie-in-the-space")
class Beyond(GoodSearch):
    """It goes beyond the ends of ranges."""

    def propose(self, space: Space, history: Sequence[Trial], draw: Draw) -> Settings:
        return super().propose(space, history, draw) | {"train.lr": 1.0}


@breaks("search", "equal-trials-get-equal-proposals")
class Forgetful(GoodSearch):
    """It draws from a generator that nobody can wind back."""

    def propose(self, space: Space, history: Sequence[Trial], draw: Draw) -> Settings:
        return {key: values.at(random.SystemRandom().random()) for key, values in space.items()}


@breaks("search", "trials-differ")
class Stubborn(GoodSearch):
    """The same settings in every trial."""

    def propose(self, space: Space, history: Sequence[Trial], draw: Draw) -> Settings:
        return {key: values.at(0.5) for key, values in space.items()}


@breaks("search", "shared-keys-are-shared-draws")
class OneGenerator(GoodSearch):
    """It draws all keys from one generator, so that a key more shifts the others."""

    def propose(self, space: Space, history: Sequence[Trial], draw: Draw) -> Settings:
        generator = draw("all keys")
        return {key: space[key].at(generator.random()) for key in sorted(space)}


# --- the tests -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "check"), [pytest.param(*key, id="-".join(key)) for key in BROKEN])
def test_the_check_catches_its_broken_component(kind: str, check: str) -> None:
    component = BROKEN[kind, check]
    (found,) = [each for each in suite("loss" if kind == "any" else kind, component) if each.name == check]
    with pytest.raises(ContractError) as caught:
        found()
    expected, got, change = (
        str(caught.value).split("\n")[0],
        str(caught.value),
        str(caught.value).split("change: ")[1],
    )
    assert expected.startswith("expected: ")
    assert "\ngot: " in got
    assert len(change) > 10


GOOD = {
    "ssl": Base,
    "encoder": GoodEncoder,
    "decoder": GoodDecoder,
    "bridge": GoodBridge,
    "loss": GoodLoss,
    "metric": GoodMetric,
    "augment": GoodAugment,
    "source": GoodSource,
}


@pytest.mark.parametrize("kind", GOOD)
def test_what_the_broken_ones_were_made_from_is_whole(kind: str) -> None:
    for check in suite(kind, GOOD[kind]):
        check()


def test_an_import_that_opens_a_connection_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import socket\nfrom mmtk.api import Loss\n\n\nclass L(Loss):\n    '''A loss.'''\n"
        "    def __call__(self, a, b):\n        return a\n"
    )
    (tmp_path / "talks_to_others.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    import talks_to_others

    (check,) = [c for c in suite("loss", talks_to_others.L) if c.name == "import-touches-neither-cuda-nor-network"]
    check()
    asks = "try:\n    socket.create_connection(('127.0.0.1', 9), 0.1)\nexcept OSError:\n    pass\n"
    (tmp_path / "talks_to_others.py").write_text(code + asks)
    with pytest.raises(ContractError, match="opens a network connection"):
        check()


def test_every_check_has_its_broken_component() -> None:
    checks = {(kind, named(function)) for kind in KINDS for function in kind_checks(kind)}
    # Consistency runs the checks of ssl; what it has beside them is its own.
    shared = {name for kind, name in checks if kind == "ssl"}
    checks -= {("consistency", name) for name in shared}
    checks |= {("any", named(function)) for function in every.CHECKS}
    assert checks - set(BROKEN) == {("any", "import-touches-neither-cuda-nor-network")}
    assert set(BROKEN) <= checks


class MasksOnly(Loss):
    """Dice of masks, which says in its class that it serves masks alone."""

    tasks = ("segmentation",)

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        batch, channels, _, _ = target.shape  # a ValueError for class labels
        valid, truth = (target >= 0).float(), target.clamp_min(0).float()
        p = logits.double().sigmoid() * valid
        both, sizes = (p * truth).sum((2, 3)), (p + truth).sum((2, 3))
        return (1 - (2 * both + 1) / (sizes + 1)).sum() / (batch * channels)


class MasksByValueError(MasksOnly):
    """The same, refused by the error that unpacking raises."""

    tasks = ("classification", "segmentation")


@pytest.mark.parametrize("component", [MasksOnly, MasksByValueError])
def test_a_loss_of_one_task_passes_every_check(component: type[Any]) -> None:
    for check in suite("loss", component):
        check()


def test_one_cause_is_told_once() -> None:
    failures = [error for _, error in outcomes(suite("loss", Untyped)) if error]
    (cause,) = failures
    assert "size" in str(cause)


def test_checks_after_the_cause_are_not_run() -> None:
    checks = [check.name for check, _ in outcomes(suite("ssl", type("Plain", (), {"__doc__": "No SSL."})))]
    assert checks == ["subclasses-the-contract"]
