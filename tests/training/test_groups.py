"""Fine-tuning: rates and weight decay of parts and layers, freezing for some steps or for good, frozen norms."""

from __future__ import annotations

import copy
import filecmp
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny
from torch import nn

import mmtk
from mmtk.api import StepContext
from mmtk.data.dataset import prepare
from mmtk.errors import MmtkError
from mmtk.model.network import is_norm
from mmtk.runs.display import Display
from mmtk.runs.folder import RunDir
from mmtk.study.plan import plan_components
from mmtk.training.groups import Freezing
from mmtk.training.strategies import TwinNet
from mmtk.training.trainer import Interrupted, Trainer, make_trainer

RESNET = {"encoder": {"use": "timm", "model": "test_resnet"}}
SGD = {"train__optimizer": "sgd", "train__schedule": "constant", "train__lr": 0.01, "train__weight_decay": 0.1}


def training(folder: Path, name: str = "umtl", **changes: Any) -> Trainer:
    """A run at toy size, ready for its first step or where its checkpoint left it."""
    recipe = tiny(name, **changes)
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    return make_trainer(recipe, prepare(recipe, None), RunDir(folder), "cpu", Display(quiet=True))


def trained(run: Trainer, steps: int) -> Trainer:
    """The run after its first steps."""
    run.objective.train()
    for index in range(steps):
        run.train_step(index)
    run.close()
    return run


def state(module: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of all weights and statistics."""
    return copy.deepcopy(module.state_dict())


def changed(module: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    """Names of weights and statistics that are others than before."""
    return {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}


def by_hand(objective: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of the test below, from timm's names in a ResNet: one level of features a layer."""
    layers = {"conv1": 4, "bn1": 4, "layer1": 3, "layer2": 2, "layer3": 1, "layer4": 0}
    groups = []
    for name, parameter in objective.named_parameters():
        rate, decay = 0.01, 0.1
        if name.startswith("net.encoder.body."):
            rate, decay = 0.01 * 0.5 * 0.8 ** layers[name.split(".")[3]], 0.1 * 3
        elif name.startswith("net.head."):
            rate = 0.01 * 2
        elif name.startswith("net.decoder."):
            decay = 0.0
        if parameter.dim() == 1:
            decay = 0.0
        groups.append({"params": [parameter], "lr": rate, "weight_decay": decay})
    return torch.optim.SGD(groups, lr=1.0, momentum=0.9, nesterov=True)


def test_steps_are_those_of_an_optimiser_built_by_hand(tmp_path: Path) -> None:
    keys = {
        "train__groups__encoder__lr": 0.5,
        "train__groups__encoder__weight_decay": 3.0,
        "train__groups__encoder__layer_decay": 0.8,
        "train__groups__head__lr": 2.0,
        "train__groups__decoder__weight_decay": 0.0,
        "train__groups__decay_norms": False,
    }
    run = training(tmp_path, **RESNET, **SGD, **keys)
    plain = copy.deepcopy(run.objective).train()
    optimiser, start = by_hand(plain), state(run.objective)
    trained(run, 3)
    for index in range(3):
        optimiser.zero_grad()
        plain(run.loader.batch(StepContext(run.recipe.seed, index, run.total))).loss.backward()
        optimiser.step()
    for (name, ours), theirs in zip(run.objective.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")
    assert len(changed(run.objective, start)) > 80


@pytest.mark.parametrize(
    ("schedule", "factor"), [("cosine", 0.5 * (1 + math.cos(math.pi / 4))), ("constant", 1.0)]
)
def test_factors_follow_the_schedule(tmp_path: Path, schedule: str, factor: float) -> None:
    keys = {"train__schedule": schedule, "train__lr": 0.01, "train__groups__head__lr": 0.25}
    run = trained(training(tmp_path, **keys), 2)
    rates = sorted(group["lr"] for group in run.optimizer.param_groups)
    assert rates == pytest.approx([0.25 * 0.01 * factor, 0.01 * factor])


def test_a_part_frozen_for_two_steps_stays_to_the_last_bit_and_learns_after(tmp_path: Path) -> None:
    """Statistics of its norms too; the averaged weights are those of all steps."""
    run = training(tmp_path, **RESNET, train__groups__encoder__frozen=2, train__ema=0.9, train__weight_decay=0.1)
    encoder, head = state(run.net.encoder), state(run.net.head)
    trained(run, 2)
    assert changed(run.net.encoder, encoder) == set()
    assert changed(run.eval_net.encoder, encoder) == set()
    assert len(changed(run.net.head, head)) == 2
    for index in (2, 3):  # in the first step a ResNet's residual branches end in weights of 0
        run.train_step(index)
    assert len(changed(run.net.encoder, encoder)) == len(encoder)
    assert len(changed(run.eval_net.encoder, encoder)) == len(encoder)


def test_a_part_frozen_for_good_is_one_frozen_for_every_step(tmp_path: Path) -> None:
    for word, frozen in (("good", "always"), ("steps", 99)):
        run = training(tmp_path / word, **RESNET, train__groups__encoder__frozen=frozen, train__clip=0.1)
        run.fit()
        run.close()
        assert any(parameter.requires_grad for parameter in run.net.encoder.parameters()) == (word == "steps")
    for file in ("metrics.jsonl", "checkpoints/best.safetensors"):
        assert filecmp.cmp(tmp_path / "good" / file, tmp_path / "steps" / file, shallow=False)


def test_frozen_norms_keep_weights_and_statistics_whatever_images_are_beside(tmp_path: Path) -> None:
    run = training(tmp_path, **RESNET, train__groups__encoder__norms="frozen", train__weight_decay=0.1)
    before = state(run.net.encoder)
    trained(run, 2)
    norms = {name for name, module in run.net.encoder.named_modules() if is_norm(module)}
    of_norms = {name for name in before if name.rpartition(".")[0] in norms}
    assert changed(run.net.encoder, before) == {*before} - of_norms
    assert len(norms) == 15
    images = torch.rand(4, 1, 32, 32)
    assert run.net.encoder.training
    torch.testing.assert_close(run.net.encoder(images)[-1][:2], run.net.encoder(images[:2])[-1])
    free = trained(training(tmp_path / "free", **RESNET), 1).net.encoder
    assert (free(images)[-1][:2] - free(images[:2])[-1]).abs().max() > 0.01


@pytest.mark.parametrize("decay", [None, 0.9])
def test_a_second_network_is_frozen_as_the_first(tmp_path: Path, decay: float | None) -> None:
    run = training(tmp_path, **RESNET, train__groups__encoder__frozen=1)
    run.close()
    twin = TwinNet(run.net, copy.deepcopy(run.net), "segmentation", decay)
    both = nn.ModuleList([run.net, twin]).train()
    freezing = Freezing(run.recipe, both)
    for step, training_norms in ((0, False), (1, True)):
        freezing.set_modes(step)
        modes = {norm.training for norm in twin.net.encoder.modules() if is_norm(norm)}
        assert modes == {training_norms}
        for parameter in both.parameters():
            parameter.grad = torch.ones_like(parameter) if parameter.requires_grad else None
        freezing.drop_gradients(step)
        with_gradient = [parameter.grad is not None for parameter in twin.net.encoder.parameters()]
        assert any(with_gradient) == (step == 1 and decay is None)
        assert (twin.net.head.linear.bias.grad is not None) == (decay is None)


@pytest.mark.long
def test_a_run_resumed_within_and_behind_its_freeze_ends_with_the_same_bytes(tmp_path: Path) -> None:
    keys = {
        **RESNET,
        "train__ema": 0.9,
        "train__groups__encoder__frozen": 2,
        "train__groups__encoder__layer_decay": 0.5,
        "train__groups__head__lr": 3.0,
    }
    whole = training(tmp_path / "whole", "multimix", **keys)
    whole.fit()
    whole.close()
    stops = 0
    while True:  # stopped after every single step
        part = training(tmp_path / "parts", "multimix", **keys)
        part.stop = 2
        try:
            part.fit()
        except Interrupted:
            stops += 1
            continue
        finally:
            part.close()
        break
    assert stops == 4
    for file in ("checkpoints/best.safetensors", "checkpoints/last.safetensors", "metrics.jsonl"):
        assert filecmp.cmp(tmp_path / "parts" / file, tmp_path / "whole" / file, shallow=False)


def test_a_run_keeps_its_groups_in_the_provenance(tmp_path: Path) -> None:
    recipe = tiny("enc", train__groups__encoder__frozen="always", train__groups__head__lr=2.0)
    mmtk.run(recipe, tmp_path / "run", pictures=False)
    facts = json.loads((tmp_path / "run" / "provenance.json").read_text())["groups"]
    assert facts == {"groups": [{"tensors": 2, "lr_factor": 2.0, "weight_decay": 0.0}], "frozen": 20}
    mmtk.run(tiny("enc"), tmp_path / "plain", pictures=False)
    assert "groups" not in json.loads((tmp_path / "plain" / "provenance.json").read_text())


def test_groups_that_change_nothing_have_the_digest_of_none() -> None:
    plain = tiny("multimix").digest
    assert tiny("multimix", train__groups__encoder__lr=1.0, train__groups__decay_norms=True).digest == plain
    assert tiny("multimix", train__groups__encoder__lr=0.9).digest != plain
    assert tiny("multimix", train__groups__decay_norms=False).digest != plain


def test_groups_are_axes_of_a_study() -> None:
    axes = "train.groups.encoder.lr=0.1+1,train.groups.decoder.frozen=0+5+always,tasks=classification+both"
    plan = plan_components("umtl", axes, seeds=[0], profile="phantom")
    assert plan.dropped == []
    assert len(plan.cells) == 2 * 3 + 2  # the encoder's rate alone where there is no decoder
    assert {cell.recipe.get("train.groups.encoder.lr") for cell in plan.cells} == {0.1, 1.0}
    assert {cell.recipe.get("train.groups.decoder.frozen") for cell in plan.cells} == {None, 0, 5, "always"}


EVERYTHING = {f"train__groups__{part}__frozen": steps for part, steps in (("encoder", 3), ("head", 1))}


@pytest.mark.parametrize(
    ("name", "keys", "message"),
    [
        ("multimix", {"train__groups__bridge__lr": 0.5}, "train.groups.bridge: matches no parameter"),
        ("enc", EVERYTHING, "everything (encoder, head) is frozen in the first step, so nothing is trained"),
        ("enc", {"train__groups__encoder__norms": "frozen"}, "this network's encoder has no norm with weights"),
        ("enc", {"train__groups__backbone__lr": 0.5}, "train.groups.backbone: unknown key"),
        ("enc", {"train__groups__head__layer_decay": 0.5}, "train.groups.head.layer_decay: unknown key"),
        ("enc", {"train__groups__encoder__frozen": "never"}, "should be an integer or 'always', got \"never\""),
        ("enc", {"train__groups__encoder__layer_decay": 0.0}, "should be greater than 0, got 0.0"),
        ("enc", {"train__groups__encoder__lr": math.nan}, "train.groups.encoder.lr: should"),
        ("enc", {"train__groups": 3}, "train.groups: should be a table"),
    ],
)
def test_groups_that_cannot_be_are_refused(name: str, keys: dict[str, Any], message: str, tried: Any) -> None:
    tried("groups that match nothing, freeze everything or are wrong", "refused, with the key and its line")
    with pytest.raises(MmtkError) as refused:
        tiny(name, **keys)
    assert message in str(refused.value)
    assert "--set" in str(refused.value)
