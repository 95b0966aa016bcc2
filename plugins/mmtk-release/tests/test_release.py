"""What the released code does, and that the contract kit and a run's alarm notice its dead loss."""

import ast
import json
import random
from pathlib import Path

import mmtk
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmtk.api import Labelled, StepContext, Unlabelled
from mmtk.components.augment._operations import MATRICES, OPERATIONS, operate
from mmtk.components.augment.weak import Weak
from mmtk.components.loss.dice import Dice
from mmtk.data.batches import BatchLoader
from mmtk.data.dataset import prepare
from mmtk.model import build
from mmtk.recipe import toml
from mmtk.study.plan import plan_components
from mmtk.testing import ContractError, suite
from mmtk.training import strategies as training_strategies
from mmtk.training.strategies import SupervisedLoss
from mmtk.workflows.predict import predict
from PIL import Image
from scipy.special import log_softmax

from mmtk_release.films import flip_and_crop
from mmtk_release.kl import ReleaseKL
from mmtk_release.pool import INTENSITIES, MOVES, NAMES
from mmtk_release.strong import ReleaseStrong

HERE = Path(__file__).parents[1]


# --- the contract --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", suite("augment", ReleaseStrong))
def test_the_augmentation_keeps_the_contract(check):
    check()


def test_the_contract_refuses_the_dead_kl():
    failed = {}
    for check in suite("consistency", ReleaseKL):
        try:
            check()
        except ContractError as error:
            failed[check.name] = str(error)
    assert set(failed) == {"every-weighted-term-is-alive", "compared-predictions-are-zero-when-equal"}
    assert all("kl" in said for said in failed.values())


# --- the loss ------------------------------------------------------------------------------------------------


def kl(known, other):
    """The term for given logits, and the logits it could train."""
    logits = [torch.tensor(each, requires_grad=True) for each in (known, other)]
    answers = iter(logits)
    strategy = ReleaseKL(SupervisedLoss("dice", Dice(1, False), 5.0))
    target = torch.zeros_like(logits[0]).detach()
    term = strategy.terms(
        lambda images: next(answers),
        Labelled(target, target, torch.arange(len(target))),
        Unlabelled(torch.zeros(len(other), 1, 4, 4), torch.arange(len(other))),
        StepContext(0, 0, 9),
    )["kl"]
    return term, logits


@pytest.mark.parametrize("size", [0.1, 1.0, 100.0, 1e4])
def test_over_one_channel_value_and_gradient_are_exactly_zero(size):
    draw = np.random.default_rng(0)
    term, logits = kl(draw.normal(0, size, (3, 1, 4, 4)), draw.normal(0, size, (3, 1, 4, 4)))
    assert term.value == 0
    assert term.weight == 0.01
    for slope in torch.autograd.grad(term.value, logits):
        assert float(slope.abs().max()) == 0


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(2, 4), st.sampled_from([1e-3, 1.0, 1e4, "far"]))
def test_it_is_the_released_mean_at_any_logits(seed, images, channels, kind):
    """p (log p − log q), a part of which is 0 where p is."""
    draw = np.random.default_rng(seed)
    shape = (images, channels, 2, 3)
    one, other = (
        draw.choice([-1e4, 0.0, 1e4], shape) if kind == "far" else draw.normal(0, kind, shape) for _ in range(2)
    )
    log_p, log_q = (log_softmax(x, 1) for x in (one, other))
    term, _ = kl(one, other)
    np.testing.assert_allclose(term.value.item(), (np.exp(log_p) * (log_p - log_q)).mean(), rtol=1e-9, atol=1e-6)


def test_over_more_channels_it_is_the_released_mean():
    draw = np.random.default_rng(0)
    one, other = draw.normal(0, 2, (3, 2, 4, 4)), draw.normal(0, 2, (3, 2, 4, 4))
    p, q = (np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in (one, other))
    term, logits = kl(one, other)
    np.testing.assert_allclose(term.value.item(), (p * np.log(p / q)).mean(), rtol=1e-12)
    assert all(float(slope.abs().max()) > 0 for slope in torch.autograd.grad(term.value, logits))


# --- the augmentations ---------------------------------------------------------------------------------------


def shifted(name, film, level):
    """By whole pixels, cut towards zero as released; mmtk's own strong rounds to the nearest one."""
    axis = 1 if name == "translate-x" else 0
    pixels = int(level * 0.3 / 10 * film.shape[axis])
    moved = np.roll(film, -pixels, axis)
    outside = np.arange(film.shape[axis]) + pixels
    gone = (outside < 0) | (outside >= film.shape[axis])
    moved[(slice(None), gone) if axis else gone] = 0
    return moved


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_is_that_of_strong(name):
    assert set(NAMES) == set(OPERATIONS)
    film = np.random.default_rng(0).integers(0, 256, (40, 48), dtype=np.uint8)
    for level in range(1, 10):
        for sign in (1, -1) if name in MATRICES else (1,):
            if name.startswith("translate"):
                np.testing.assert_array_equal(
                    MOVES[name](Image.fromarray(film), sign * level, 0), shifted(name, film, sign * level)
                )
                continue
            if name in INTENSITIES:
                ours = INTENSITIES[name](Image.fromarray(film), level)
            else:
                ours = MOVES[name](Image.fromarray(film), sign * level, 0)
            theirs = torch.from_numpy(film)[None, None].clone()
            operate([name], theirs, None, [level], [sign])
            np.testing.assert_array_equal(np.asarray(ours), theirs[0, 0].numpy(), err_msg=f"level {level}")


@pytest.mark.parametrize("size", [32, 64, 256])
@pytest.mark.parametrize(("padding", "reach"), [(4, 4), (0, 0)])
def test_crops_reach_as_many_pixels_at_every_size(size, padding, reach):
    rows = np.tile(np.arange(size) % 251, (size, 1)).astype(np.uint8)[None]
    rows = np.ascontiguousarray(rows.transpose(0, 2, 1))  # the gray of a pixel tells its row
    found = set()
    for seed in range(300):
        moved, _ = flip_and_crop(rows, None, random.Random(seed), padding, ())
        found.add(int(moved[0, size // 2, 0]) - (size // 2) % 251)
    assert found == set(range(-reach, reach + 1))


def test_the_strong_view_keeps_more_of_the_image_than_the_papers():
    """At 256 pixels the released crop moves by 4 pixels at most, the paper's by 32."""
    film = torch.rand(64, 1, 256, 256, generator=torch.Generator().manual_seed(0))
    inner = torch.zeros(1, 1, 256, 256)
    inner[:, :, 120:136, 120:136] = 1
    masks = inner.repeat(64, 1, 1, 1)
    draw = torch.Generator().manual_seed(1)
    for augment, most in ((ReleaseStrong(), 200), (Weak(), 32)):
        _, moved = augment(film, draw, masks.clone())
        shifts = [
            abs(float(each[0].eq(1).nonzero()[:, 0].float().mean()) - 127.5) for each in moved if each.eq(1).any()
        ]
        assert 0 < max(shifts) <= most


# --- the package ---------------------------------------------------------------------------------------------


def test_components_are_short_and_use_the_public_interface_alone():
    for path in (HERE / "mmtk_release").glob("*.py"):
        text = path.read_text()
        assert text.count("\n") <= 60, path.name
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("mmtk."):
                assert node.module == "mmtk.api", path.name


# --- the recipe ----------------------------------------------------------------------------------------------

# The five deviations: an axis from the release's level to the paper's, and the keys in which the two differ.
AXES = {
    "consistency=release-kl+kl": {"consistency.use"},
    "augment.strong=release-strong+strong": {
        "augment.strong.use",
        *(f"augment.strong.{key}" for key in ("n", "probability", "flip", "padding", "pool")),
    },
    "data.classification.normalise=false+true": {"data.classification.normalise"},
    "train.frozen_views=true+false": {"train.frozen_views"},
    "evaluate.dropout=true+false": {"evaluate.dropout"},
}
TINY = {
    "data.size": 32,
    "encoder.width": 4,
    "decoder.width": 4,
    "train.steps": 3,
    "train.validate_every": 3,
    "train.batch": 4,
    "train.precision": "fp32",
    "evaluate.cases": 2,
    "tracking.enabled": False,
    "data.classification.labels": 8,
    "data.segmentation.labels": 8,
    **{
        f"data.{task}.{domain}.{part}": count
        for task in ("classification", "segmentation")
        for domain in ("source", "cross")
        for part, count in (("train", 24), ("val", 8), ("test", 10), ("size", 32))
    },
}


def leaves(recipe):
    return dict(toml.leaves(recipe.values))


def differing(one, other):
    one, other = leaves(one), leaves(other)
    return {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}


def test_each_deviation_is_an_axis_that_changes_itself_alone():
    plan = plan_components("release", ",".join(AXES), "one-at-a-time", overrides=TINY)
    *cells, reference = plan.cells
    assert plan.dropped == []
    assert reference.reference
    assert reference.name == "MultiMix-release"
    for cell, (axis, keys) in zip(cells, AXES.items(), strict=True):
        place, _, levels = axis.partition("=")
        assert cell.name == f"MultiMix-release ({place}={levels.partition('+')[2]})"
        assert differing(cell.recipe, reference.recipe) - {"name"} == keys


def test_with_all_five_taken_back_it_is_multimix():
    plan = plan_components("release", ",".join(AXES), "factorial", overrides=TINY)
    assert len(plan.cells) == 32
    multimix = mmtk.load_recipe("multimix", overrides=TINY)
    (same,) = [cell for cell in plan.cells if cell.recipe.digest == multimix.digest]
    assert set(same.levels.values()) == {"kl", "strong", "true", "false"}
    assert differing(same.recipe, multimix) == {"name", "description", "others", "origin.recipe"}
    changed = differing(mmtk.load_recipe("release", overrides=TINY), multimix)
    assert changed == set().union(*AXES.values()) | {"name", "description", "others", "origin.recipe"}


def batches(recipe, data):
    """Every tensor that the network sees in the first two steps, by name."""
    net = build.network(recipe, data.targets)
    strategies = {
        task: training_strategies.strategy(recipe, kind, net, data.targets)
        for task, kind in (("classification", "ssl"), ("segmentation", "consistency"))
    }
    views = {task: strategy.declared_views for task, strategy in strategies.items()}
    streams = BatchLoader(recipe, data.stores, data.parts, views, dict.fromkeys(strategies, True), epoch=2)
    found = {}
    for step in (0, 1):
        batch = streams.batch(StepContext(0, step, 9))
        for task in strategies:
            known, others = getattr(batch, task)
            found |= {f"{task} {name} {step}": value for name, value in vars(known).items()}
            found[f"{task} unlabelled {step}"] = others.image
            found |= {f"{task} {view} {step}": made[0] for view, made in others.views.items()}
    return found


def test_each_deviation_changes_what_it_should_and_nothing_else():
    """What the network is trained on, for each cell; the loss and the scoring have their own tests."""
    reference, *cells = (
        mmtk.load_recipe("release", overrides=TINY | changes)
        for changes in (
            {},
            {"consistency.use": "kl"},
            {"augment.strong.use": "strong"},
            {"data.classification.normalise": True},
            {"train.frozen_views": False},
            {"evaluate.dropout": False},
        )
    )
    data = prepare(reference, None)
    own = batches(reference, data)
    changed = []
    for cell in cells:
        found = batches(cell, data)
        assert found.keys() == own.keys()
        names = {name for name, value in found.items() if not torch.equal(value, own[name])}
        changed.append({name.rpartition(" ")[0] for name in names})
        if cell["data.classification.normalise"]:
            for name in names:
                assert torch.equal(found[name], (own[name] - 0.5) / 0.5)
                assert 0 <= own[name].min() < own[name].max() <= 1
    loss, strong, normalised, frozen, scoring = changed
    images = {f"classification {view}" for view in ("image", "unlabelled", "weak", "strong")}
    assert loss == scoring == set()
    assert strong == {"classification strong"}
    assert normalised == images
    assert frozen == {"classification image"}  # masks and their images are not augmented, as released


@pytest.mark.long
def test_a_run_from_end_to_end_warns_of_the_dead_term_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("MMTK_CACHE", str(tmp_path / "cache"))
    recipe = mmtk.load_recipe("release", overrides=TINY)
    result = mmtk.run(recipe, out=tmp_path / "run", device="cpu")
    warnings = json.loads((result.path / "results.json").read_text())["warnings"]
    assert len(warnings) == 1
    assert warnings[0].startswith("The loss term segmentation/kl is exactly 0 and gives no gradient")
    rows = [json.loads(line) for line in (result.path / "metrics.jsonl").read_text().splitlines()]
    assert {row["train/segmentation/kl"] for row in rows if "train/loss" in row} == {0.0}
    image = next((tmp_path / "run" / "figures").glob("*.png"))
    rows = predict(result.path, [image], tmp_path / "out", "cpu")
    assert not any(row.error for row in rows)
    assert (tmp_path / "out" / "predictions.csv").is_file()
