"""A step of mmtk equals the plain Algorithm 1 of the benchmarks: loss and every gradient."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
from tiny import tiny

from mmtk.api import Labelled, LabelSpec, StepContext, Unlabelled
from mmtk.data.batches import Batch
from mmtk.model import build
from mmtk.training import strategies as training_strategies
from mmtk.training.objective import Objective

ROOT = Path(__file__).parents[2]
TARGETS = {
    "classification": LabelSpec("classification", ("normal", "pneumonia")),
    "segmentation": LabelSpec("segmentation", ("lung",), exclusive=False),
}
NAMES = {
    "encoder.blocks": "encoder",
    "head.linear": "classify",
    "decoder.blocks": "decoder",
    "decoder.last": "mask",
}


def _plain() -> Any:
    spec = importlib.util.spec_from_file_location("plain", ROOT / "benchmarks" / "plain.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _named(name: str) -> str:
    for ours, theirs in NAMES.items():
        name = name.replace(ours, theirs)
    return name


def both(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, list[tuple[str, Any, Any]]]:
    """Loss of mmtk and of the plain step, and the gradients of each weight, without dropout."""
    off: dict[str, Any] = {"encoder__dropout": 0.0, "decoder__dropout": 0.0, "encoder__width": 16}
    recipe = tiny("multimix", **off, decoder__width=16, ssl__threshold=0.5)
    net = build.network(recipe, TARGETS).to(dtype)
    strategies: list[Any] = [
        training_strategies.strategy(recipe, kind, net, TARGETS) for kind in ("ssl", "consistency")
    ]
    objective = Objective(net, *strategies).train()
    module = _plain()
    plain = module.Plain(dropout=0.0).to(dtype)
    plain.load_state_dict({_named(name): value for name, value in net.state_dict().items()})
    draw = torch.Generator().manual_seed(0)
    streams = [2 * torch.rand(2, 1, 64, 64, generator=draw).to(dtype) - 1 for _ in range(5)]
    labels, masks = torch.tensor([0, 1]), (torch.rand(2, 1, 64, 64, generator=draw) > 0.5).to(dtype)
    known, weak, strong, segmented, unknown = streams
    index = torch.arange(2)
    classification = (
        Labelled(known, labels, index),
        Unlabelled(weak, index, {"weak": (weak,), "strong": (strong,)}),
    )
    segmentation = Labelled(segmented, masks, index), Unlabelled(unknown, index)
    ours = objective(Batch(StepContext(0, 1, 9), classification, segmentation)).loss
    ours.backward()
    theirs = module.loss(plain, streams, labels, masks, threshold=0.5)
    theirs.backward()
    expected = dict(plain.named_parameters())
    gradients = [(name, p.grad, expected[_named(name)].grad) for name, p in net.named_parameters()]
    return ours, theirs, gradients


def test_loss_and_gradients_are_equal_in_double_precision() -> None:
    ours, theirs, gradients = both(torch.float64)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
    assert len(gradients) == 40
    for name, found, expected in gradients:
        largest = 1.0 if name.endswith("bias") else float(expected.abs().max())
        assert largest > 0
        assert float((found - expected).abs().max()) < 1e-10 * largest, name


def test_losses_are_equal_in_single_precision() -> None:
    ours, theirs, _ = both(torch.float32)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=0)
