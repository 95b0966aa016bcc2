"""Losses equal loops in NumPy, no label reaches the encoder, collapse is noticed, a run starts from a start."""

import json
from pathlib import Path

import mmtk
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmtk.api import Labelled, MmtkError, StepContext, Unlabelled
from mmtk.testing import suite
from torch import nn

from mmtk_self_start.common import refuse_collapse, spread
from mmtk_self_start.masked import Masked, squares
from mmtk_self_start.simclr import SimCLR, contrast

RECIPES = Path(__file__).parents[1] / "recipes"
TINY = {
    "data.size": 32,
    "encoder.width": 4,
    "train.steps": 4,
    "train.batch": 4,
    "train.precision": "fp32",
    "tracking.enabled": False,
    "data.classification.labels": 8,
    **{
        f"data.classification.{domain}.{part}": count
        for domain in ("source", "cross")
        for part, count in (("train", 24), ("val", 8), ("test", 10), ("size", 32))
    },
}
CHECKS = [
    pytest.param(check, id=f"{strategy.__name__}-{check}")
    for strategy in (SimCLR, Masked)
    for check in suite("ssl", strategy)
]


@pytest.mark.parametrize("check", CHECKS)
def test_contract(check):
    check()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 999), count=st.integers(1, 6), temperature=st.floats(0.05, 5), size=st.floats(0.001, 1000)
)
def test_contrast_is_the_equation_of_the_paper(seed, count, temperature, size):
    one, other = torch.randn(2, count, 7, generator=torch.Generator().manual_seed(seed)) * size
    both = np.concatenate([one, other]).astype(float)
    both /= np.linalg.norm(both, axis=1, keepdims=True)
    losses = []
    for i in range(2 * count):
        terms = {k: np.exp(both[i] @ both[k] / temperature) for k in range(2 * count) if k != i}
        losses.append(-np.log(terms[(i + count) % (2 * count)] / sum(terms.values())))
    assert contrast(one, other, temperature).item() == pytest.approx(np.mean(losses), rel=1e-4, abs=1e-4)


class Net(nn.Module):
    """Two levels of features and a linear head, called as mmtk calls them."""

    def __init__(self):
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.linear = nn.Linear(6, 2)

    def features(self, x):
        fine = self.fine(x)
        return [fine, self.coarse(fine)]

    def head(self, features):
        return self.linear(features[-1].mean((2, 3)))

    def forward(self, x, statistics=True):
        return self.head(self.features(x))


def supervised(predict, labelled, logits=None):
    value = nn.functional.cross_entropy(predict(labelled.image) if logits is None else logits, labelled.target)
    return {"cross-entropy": mmtk.api.Term(value)}


def batch():
    draw = torch.Generator().manual_seed(0)
    images = [torch.rand(4, 1, 16, 16, generator=draw) * 2 - 1 for _ in range(4)]
    labelled = Labelled(images[0], torch.tensor([0, 1, 0, 1]), torch.arange(4))
    return labelled, Unlabelled(images[1], torch.arange(4), {"strong": tuple(images[2:]), "weak": (images[3],)})


@pytest.mark.parametrize("strategy", [SimCLR(supervised, [3, 6]), Masked(supervised, [3, 6], 1, patch=4)])
def test_no_label_reaches_the_encoder_and_the_rest_no_head(strategy):
    net = Net()
    terms = strategy.terms(net, *batch(), StepContext(0, 0, 10))
    (name,) = {*terms} & {"simclr", "masked"}
    terms["cross-entropy"].value.backward()
    assert net.fine.weight.grad is None
    assert net.linear.weight.grad.any()
    net.zero_grad()
    terms[name].value.backward()
    assert net.linear.weight.grad is None
    assert all(parameter.grad.any() for parameter in (net.fine.weight, net.coarse.weight))
    assert all(parameter.grad is not None for parameter in strategy.parameters())
    assert terms["spread"].weight == 0


@settings(max_examples=20, deadline=None)
@given(step=st.integers(0, 9), share=st.floats(0.2, 0.9))
def test_the_masked_loss_is_the_mean_over_the_grayed_pixels(step, share):
    net, strategy, (labelled, unlabelled) = Net(), Masked(supervised, [3, 6], 1, patch=4, share=share), batch()
    now = StepContext(0, step, 10)
    value = strategy.terms(net, labelled, unlabelled, now)["masked"].value.item()
    images = unlabelled["weak"][0]
    hidden = squares(images, 4, share, now.generator("squares"))
    assert hidden.float().mean().item() == pytest.approx(share, abs=0.25)
    decoded = strategy._decoded(net.features(torch.where(hidden, 0.0, images)), images).detach().numpy()
    errors = [
        (decoded[i, 0, y, x] - images[i, 0, y, x].item()) ** 2
        for i, _, y, x in zip(*np.nonzero(hidden.numpy()), strict=True)
    ]
    assert value == pytest.approx(np.mean(errors), rel=1e-4)
    blocks = hidden.view(4, 1, 4, 4, 4, 4).float().mean((3, 5))
    assert {*blocks.unique().tolist()} <= {0.0, 1.0}


def test_collapse_is_seen_and_ends_a_run():
    vectors = torch.randn(500, 64, generator=torch.Generator().manual_seed(0))
    assert spread(vectors).item() == pytest.approx(1, abs=0.05)
    same = spread(torch.ones(8, 64) + 1e-4 * vectors[:8])
    assert same.item() < 0.01
    refuse_collapse(same, 0.02, StepContext(0, 48, 100))
    refuse_collapse(same, 0.0, StepContext(0, 49, 100))
    with pytest.raises(MmtkError, match=r"The encoder has collapsed\."):
        refuse_collapse(same, 0.02, StepContext(0, 49, 100))


@pytest.mark.parametrize("name", ["simclr", "masked"])
def test_a_run_starts_from_a_start(name, tmp_path):
    recipe = mmtk.load_recipe(RECIPES / f"{name}.toml", "phantom", TINY)
    mmtk.run(recipe, tmp_path / "start", pictures=False)
    rows = [json.loads(line) for line in (tmp_path / "start" / "metrics.jsonl").read_text().splitlines()]
    assert all(row["train/classification/spread"] > 0.02 for row in rows if "train/loss" in row)
    start = {**TINY, "encoder.weights": str(tmp_path / "start"), "ssl.use": "none"}
    mmtk.run(mmtk.load_recipe("enc", "phantom", start), tmp_path / "run", pictures=False)
    facts = json.loads((tmp_path / "run" / "provenance.json").read_text())
    assert facts["start"]["seen"] == 0
    assert facts["encoder_weights"]["loaded"] == 20
