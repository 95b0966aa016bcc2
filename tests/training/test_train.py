"""The training loop itself: rates, updates, selection on validation, and resuming in one process."""

from __future__ import annotations

import copy
import filecmp
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from tiny import tiny
from torch.utils._python_dispatch import TorchDispatchMode

from mmtk.api import StepContext
from mmtk.components._blocks import Dropout
from mmtk.data.dataset import prepare
from mmtk.errors import MmtkError
from mmtk.io.files import read_lines
from mmtk.model.evaluate import compute, fill
from mmtk.model.weight_files import read_weights
from mmtk.runs.display import Display
from mmtk.runs.folder import RunDir
from mmtk.training.schedule import OPTIMIZERS, eager, rate
from mmtk.training.trainer import Interrupted, Trainer, make_trainer

aten = torch.ops.aten


def training(folder: Path, name: str = "umtl", **changes: Any) -> Trainer:
    """A run at toy size, ready for its first step or where its checkpoint left it."""
    recipe = tiny(name, **changes)
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    return make_trainer(recipe, prepare(recipe, None), RunDir(folder), "cpu", Display(quiet=True))


def test_learning_rates() -> None:
    lr = {"train__lr": 0.5}
    steps = tiny("umtl", train__schedule="step", train__epochs=24, train__decay_every=8, train__decay=0.1, **lr)
    assert [rate(steps, step, 240) for step in (0, 79, 80, 160, 239)] == pytest.approx(
        [0.5, 0.5, 0.05, 0.005, 0.005]
    )
    cosine = tiny("umtl", train__schedule="cosine", **lr)
    assert [rate(cosine, step, 100) for step in (0, 50, 100)] == pytest.approx([0.5, 0.25, 0.0])
    warm = tiny("umtl", train__schedule="constant", train__warmup=0.1, **lr)
    assert [rate(warm, step, 100) for step in (0, 4, 9, 10, 99)] == pytest.approx([0.05, 0.25, 0.5, 0.5, 0.5])


def test_a_step_is_that_of_a_plain_optimiser(tmp_path: Path) -> None:
    """With SGD: Adam would blow up the rounding noise that biases in front of a norm have for a gradient."""
    keys = {"train__optimizer": "sgd", "train__schedule": "constant", "train__lr": 0.01}
    run = training(tmp_path, "multimix", **keys)
    plain = copy.deepcopy(run.objective).train()
    decay = run.recipe["train.weight_decay"]
    optimiser = torch.optim.SGD(plain.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=decay)
    run.objective.train()
    for index in range(3):
        run.train_step(index)
        optimiser.zero_grad()
        plain(run.loader.batch(StepContext(run.recipe.seed, index, run.total))).loss.backward()
        optimiser.step()
    run.close()
    for ours, theirs in zip(run.objective.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_eager_optimiser_is_that_of_torch_to_the_last_bit(name: str) -> None:
    kind, results = OPTIMIZERS[name], []
    for used in (kind, eager(kind)):
        generator = torch.Generator().manual_seed(0)
        weights = [torch.randn(5, 7, generator=generator, requires_grad=True) for _ in range(3)]
        keys = {"momentum": 0.9, "nesterov": True} if name == "sgd" else {}
        optimiser = used([{"params": weights[:2]}], lr=0.1, weight_decay=0.01, fused=True, **keys)
        optimiser.add_param_group({"params": weights[2:], "lr": 0.05})
        calls: list[int] = []
        optimiser.register_step_post_hook(lambda *_, calls=calls: calls.append(1))
        for index in range(6):
            optimiser.zero_grad(set_to_none=True)
            sum((weight * weight.sin()).sum() for weight in weights).backward()
            optimiser.step()
            if index == 2:
                optimiser.load_state_dict(copy.deepcopy(optimiser.state_dict()))
        state = optimiser.state_dict()
        assert all(weight.requires_grad and weight.is_leaf for weight in weights)
        results.append((weights, state["state"], state["param_groups"], calls))
    torch.testing.assert_close(*results, rtol=0, atol=0)


class Reads(TorchDispatchMode):
    """Notes the operations that make the CPU wait for a value of the device."""

    waits = (
        aten._local_scalar_dense.default,
        aten.nonzero.default,
        aten.masked_select.default,
        aten.equal.default,
    )

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        chosen = args[1] if func in (aten.index.Tensor, aten.index_put_.default) else []
        if func in self.waits or any(each is not None and each.dtype == torch.bool for each in chosen):
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["multimix", "enc-mm", "umtl-ssl-s", "unet-ssl"])
def test_nothing_is_read_before_all_work_of_a_step_is_on_its_way(tmp_path: Path, name: str) -> None:
    run = training(tmp_path, name, train__clip=1.0)
    run.objective.train()
    batch = run.loader.batch(StepContext(run.recipe.seed, 0, run.total))
    with Reads() as reads:
        step = run.forward(batch)
        step.loss.backward()
        assert reads.found == []
        assert torch.isfinite(step.loss)
    assert reads.found == ["aten._local_scalar_dense.default"]
    run.close()


def test_what_no_image_took_part_in_is_not_logged(tmp_path: Path) -> None:
    rows = []
    for threshold in (0.0, 1.0):
        run = training(tmp_path / str(threshold), "multimix", ssl__threshold=threshold, train__steps=1)
        run.fit()
        run.close()
        rows.append(read_lines(tmp_path / str(threshold) / "metrics.jsonl")[0])
    sure, unsure = rows
    assert 0 <= sure["train/classification/pseudo-label-accuracy"] <= 1
    assert "train/classification/pseudo-label-accuracy" not in unsure
    assert unsure["train/classification/mask-rate"] == unsure["train/classification/confidence"] == 0


@pytest.mark.parametrize("decay", [0.999, 0.5])
def test_the_evaluated_average_is_the_mean_of_the_steps_until_the_decay_is_smaller(
    tmp_path: Path, decay: float
) -> None:
    """Averaged weights a_t = α a_(t−1) + (1 − α) w_t, α = min(1 − 1/t, decay)."""
    run = training(tmp_path, train__ema=decay, train__lr=0.01)
    expected: dict[str, torch.Tensor] = {}
    run.objective.train()
    for index in range(4):
        run.train_step(index)
        alpha = min(1 - 1 / (index + 1), decay)
        for name, value in run.net.state_dict().items():
            if value.is_floating_point():
                value = value.double()
                expected[name] = alpha * expected[name] + (1 - alpha) * value if index else value
    run.close()
    judged = run.eval_net.state_dict()
    assert expected
    for name, value in expected.items():
        torch.testing.assert_close(judged[name].double(), value, rtol=1e-5, atol=1e-7)
    assert not torch.equal(run.net.state_dict()[name], judged[name])


def test_the_best_validation_is_kept(tmp_path: Path) -> None:
    run = training(tmp_path, "unet", train__steps=12, train__validate_every=2, train__lr=0.01)
    run.fit()
    run.close()
    scores = {
        row["step"]: row["val/score"] for row in read_lines(tmp_path / "metrics.jsonl") if "val/score" in row
    }
    best = max(scores, key=lambda step: (scores[step], -step))
    assert best > min(scores)
    assert (run.best_step, run.best_score) == (best, scores[best])
    with safe_open(run.folder.best, "pt") as file:
        note = json.loads(file.metadata()["mmtk"])
    assert (note["step"], note["score"]) == (best, scores[best])


def test_validation_reads_the_validation_part(tmp_path: Path) -> None:
    run = training(tmp_path)
    run.close()
    for test in run.data.validation():
        part = run.data.parts[test.task]
        assert test.rows == part.val
        assert not set(test.rows) & {*part.test, *part.labelled, *part.unlabelled}


def test_dropout_is_off_in_validation_and_on_again_in_training(tmp_path: Path) -> None:
    run = training(tmp_path, "enc", encoder__dropout=0.5)
    run.close()
    run.objective.train()
    before = copy.deepcopy(run.net.state_dict())
    (test,) = run.data.validation()
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        found.append(compute("classification", fill(run.net, run.recipe, test, "cpu")))
        assert all(module.training for module in run.net.modules())
    assert found[0] == found[1]
    for module in run.net.modules():  # draws are keyed, so equal scores alone would not show that there are none
        if isinstance(module, Dropout):
            module.p = 0.0
    assert compute("classification", fill(run.net, run.recipe, test, "cpu")) == found[0]
    assert all(torch.equal(value, before[name]) for name, value in run.net.state_dict().items())


def test_dropout_can_stay_on_in_validation_and_draws_the_same_every_time(tmp_path: Path) -> None:
    """As the released code scores: its saliency leaves the encoder in training mode."""
    run = training(tmp_path, "umtl", encoder__dropout=0.5, evaluate__dropout=True)
    run.close()
    plain = tiny("umtl", encoder__dropout=0.5)
    found = {}
    for seed in (0, 1):
        torch.manual_seed(seed)
        for test in run.data.validation():
            for name, recipe in (("on", run.recipe), ("off", plain)):
                scores = compute(test.task, fill(run.net, recipe, test, "cpu"))
                found.setdefault((test.task, name), []).append(scores)
            assert all(module.training for module in run.net.modules())
    for scores in found.values():
        assert scores[0] == scores[1]
    for task in ("classification", "segmentation"):
        assert found[task, "on"] != found[task, "off"]


@pytest.mark.parametrize("name", ["multimix", "enc-mm"])
def test_a_resumed_run_ends_with_the_same_bytes(name: str, tmp_path: Path) -> None:
    whole = training(tmp_path / "whole", name)
    whole.fit()
    whole.close()
    while True:  # stopped after every single step
        part = training(tmp_path / "parts", name)
        part.stop = 2
        try:
            part.fit()
        except Interrupted:
            continue
        finally:
            part.close()
        break
    for file in ("checkpoints/best.safetensors", "checkpoints/last.safetensors", "metrics.jsonl"):
        assert filecmp.cmp(tmp_path / "parts" / file, tmp_path / "whole" / file, shallow=False)
    ours, theirs = whole.objective.state_dict(), part.objective.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


# --- damaged checkpoints -----------------------------------------------------------------------------------------


def flipped(data: bytes) -> bytes:
    """One bit of the last tensor changed: safetensors itself does not notice."""
    return data[:-5] + bytes([data[-5] ^ 4]) + data[-4:]


def stopped_after(folder: Path, steps: int) -> None:
    """A run that is validated and saved after every step, ended in the middle."""
    run = training(folder, train__validate_every=1)
    run.objective.train()
    for index in range(steps):
        run.train_step(index)
        run.logs.write({"step": run.steps_done, "train/loss": 0.0}, 0.0)
        run.save()
    run.close()


def continued(folder: Path) -> tuple[Trainer, list[str]]:
    recipe = tiny("umtl", train__validate_every=1)
    display = Display(quiet=True)
    said: list[str] = []
    display.warn = said.append  # type: ignore[method-assign]
    return make_trainer(recipe, prepare(recipe, None), RunDir(folder), "cpu", display), said


@pytest.mark.parametrize("damage", [flipped, lambda data: data[: len(data) // 2], lambda data: b"", None])
def test_a_damaged_checkpoint_gives_way_to_the_one_before_it(tmp_path: Path, damage: Any, tried: Any) -> None:
    tried("last checkpoint truncated, flipped, empty or gone", "goes on from the one before it, and says so")
    stopped_after(tmp_path, 3)
    last = tmp_path / "checkpoints" / "last.safetensors"
    if damage is None:  # killed between moving one away and writing the next
        last.unlink()
    else:
        last.write_bytes(damage(last.read_bytes()))
    run, said = continued(tmp_path)
    assert run.steps_done == 2
    assert len(read_lines(tmp_path / "metrics.jsonl")) == len(read_lines(tmp_path / "timing.jsonl")) == 2
    if damage is not None:
        assert len(said) == 1
        assert "last.safetensors cannot be read:" in said[0]
        assert "Going on from the checkpoint before it." in said[0]
    run.objective.train()
    run.train_step(2)
    run.save()
    run.close()
    again, said = continued(tmp_path)  # both are good again
    assert (again.steps_done, said) == (3, [])
    again.close()


def test_without_a_good_checkpoint_the_run_ends_with_a_message(tmp_path: Path) -> None:
    stopped_after(tmp_path, 3)
    for name in ("last", "previous"):
        file = tmp_path / "checkpoints" / f"{name}.safetensors"
        file.write_bytes(flipped(file.read_bytes()))
    with pytest.raises(
        MmtkError, match=r"previous\.safetensors: cannot be read: its content is not what was written"
    ):
        continued(tmp_path)


def test_damaged_weights_are_noticed_where_they_are_used(tmp_path: Path) -> None:
    run = training(tmp_path, "unet")
    run.fit()
    run.close()
    run.folder.best.write_bytes(flipped(run.folder.best.read_bytes()))
    with pytest.raises(MmtkError, match=r"best\.safetensors: cannot be read: its content is not what was written"):
        read_weights(tmp_path)


def test_equal_states_have_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        run = training(tmp_path / name)
        run.fit()
        run.close()
    for file in ("last", "previous", "best"):
        one, other = (tmp_path / name / "checkpoints" / f"{file}.safetensors" for name in ("one", "other"))
        assert filecmp.cmp(one, other, shallow=False)
