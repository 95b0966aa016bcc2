"""What the page on strategies promises of images, logits, dropout, statistics and gradients."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmtk.api import SSL, StepContext, Term
from mmtk.components.encoder.unet import UNetEncoder
from mmtk.model.network import ClassHead, MultiTaskNet
from mmtk.testing import suite
from mmtk.training.objective import _Classify

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "own-ssl-strategy.md"
(INNER_STEP,) = re.findall(r"^```python\n(# within terms.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
SCOPE: dict[str, Any] = {"torch": torch, "F": F}
exec(
    "def direction_of(self, classify, unlabelled, now):\n"
    + textwrap.indent(INNER_STEP, "    ")
    + "    return weak, target, direction\n",
    SCOPE,
)


class Adversarial(SSL):
    """Virtual adversarial training with the inner step of the page."""

    views = {"weak": 1}

    def __init__(self, supervised) -> None:
        super().__init__()
        self.supervised, self.step = supervised, 1.0

    def terms(self, classify, labelled, unlabelled, now):
        terms = self.supervised(classify, labelled)
        weak, target, direction = SCOPE["direction_of"](self, classify, unlabelled, now)
        moved = weak + F.normalize(direction.flatten(1), dim=1).view_as(weak)
        loss = F.kl_div(classify(moved).log_softmax(1), target, reduction="batchmean")
        return {**terms, "vat": Term(loss)}


@pytest.mark.parametrize("check", suite("ssl", Adversarial), ids=str)
def test_the_example_of_the_page_is_a_strategy(check) -> None:
    check()


class Remembering(SSL):
    """A threshold that follows the confidence of the batches, as adaptive ones do."""

    views = {"weak": 1}

    def __init__(self, supervised) -> None:
        super().__init__()
        self.supervised = supervised
        self.register_buffer("confidence", torch.tensor(0.5))

    def terms(self, classify, labelled, unlabelled, now):
        terms = self.supervised(classify, labelled)
        probabilities = classify(unlabelled["weak"][0]).softmax(1)
        loss = (self.confidence * (1 - probabilities.square().sum(1))).mean()
        self.confidence = 0.9 * self.confidence + 0.1 * probabilities.detach().amax(1).mean()
        return {**terms, "confident": Term(loss)}


def test_a_strategy_may_remember_batches() -> None:
    (check,) = (check for check in suite("ssl", Remembering) if "hidden-labels" in str(check))
    check()


@pytest.fixture
def classify() -> tuple[MultiTaskNet, _Classify]:
    torch.manual_seed(0)
    encoder = UNetEncoder(1, width=4, depth=3, dropout=0.25)
    net = MultiTaskNet(encoder, ClassHead(16, 2), None, None).train()
    return net, _Classify(net, "classification", StepContext(0, 3, 10), [])


def test_logits_are_float32_under_half_precision(classify) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert classify[1](torch.zeros(2, 1, 16, 16)).dtype == torch.float32


def test_two_calls_draw_two_dropout_masks_and_a_resumed_step_the_same_two(classify) -> None:
    images = torch.rand(4, 1, 16, 16)
    first, second = classify[1](images), classify[1](images)
    assert not torch.equal(first, second)
    again = _Classify(classify[0], "classification", StepContext(0, 3, 10), [])
    assert torch.equal(again(images), first)
    assert torch.equal(again(images), second)


def statistics(net: nn.Module) -> list[Tensor]:
    return [buffer.clone() for name, buffer in net.named_buffers() if "running" in name]


@pytest.mark.parametrize(
    ("grad", "keyword", "move"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_statistics_move_in_calls_that_record_gradients(grad, keyword, move) -> None:
    encoder = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4))

    class Level(nn.Module):
        channels, strides = (4,), (1,)

        def __init__(self) -> None:
            super().__init__()
            self.layers = encoder

        def forward(self, x: Tensor) -> list[Tensor]:
            return [self.layers(x)]

    net = MultiTaskNet(Level(), ClassHead(4, 2), None, None).train()  # type: ignore[arg-type]
    before = statistics(net)
    with torch.set_grad_enabled(grad):
        _Classify(net, "classification", StepContext(0, 3, 10), [])(torch.rand(4, 1, 16, 16), statistics=keyword)
    assert any(not torch.equal(a, b) for a, b in zip(before, statistics(net), strict=True)) == move
