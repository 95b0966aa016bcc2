"""Masks of images of classes come from the pass that gives the classes, with the values of passes of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny import tiny

from mmtk.data.dataset import prepare
from mmtk.model import build, evaluate, passes
from mmtk.model.ensemble import Ensemble

SYSTEMS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "a bridge": ("multimix", {}, True),
    "no bridge": ("umtl", {}, True),
    "views": ("multimix", {"evaluate__tta": ["flip"]}, True),
    "dropout": ("multimix", {"evaluate__dropout": True}, False),
    "classes without the normaliser": ("multimix", {"data__classification__normalise": False}, False),
}


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize(("name", "changes", "shared"), SYSTEMS.values(), ids=SYSTEMS)
def test_scores_and_areas_are_those_of_passes_of_their_own(
    name: str, changes: dict[str, Any], shared: bool, members: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny(name, **changes)
    data = prepare(recipe, None)
    nets = [build.network(recipe, data.targets).eval() for _ in range(members)]
    net = nets[0] if members == 1 else Ensemble(nets, data.targets).eval()
    calls = []

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: calls.append(function) or function(*arguments)

    monkeypatch.setattr(evaluate, "batches_with_areas", counted(passes.batches_with_areas))
    scores = evaluate.evaluate(net, recipe, data.tests(), {})
    assert len(calls) == (2 if shared else 0)
    for test in (test for test in data.tests() if test.task == "classification"):
        alone = evaluate.fill(net, recipe, test, "cpu")["classification"].per_image()
        assert scores.metrics[test.domain, test.task]["classification"].per_image() == alone
        areas = passes.MaskAreas(data.targets["segmentation"])
        passes.add_areas(net, recipe, test, "cpu", areas)
        attributes = scores.attributes[test.domain, test.task]
        assert {key: one["image:predicted mask area"] for key, one in attributes.items()} == areas.values


def test_logits_of_both_tasks_are_equal_to_the_last_bit() -> None:
    recipe = tiny()
    net = build.network(recipe, prepare(recipe, None).targets).eval()
    images = torch.randn(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        both = net(images)
        assert torch.equal(both.classification, net.classify(images))
        assert torch.equal(both.segmentation, net.segment(images))
