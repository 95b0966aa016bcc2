"""What the released code does, and that the contract kit and a run's alarm notice its dead loss."""

import ast
import json
import random
from pathlib import Path

import mmtk
import numpy as np
import pytest
import torch
from mmtk.api import Labelled, Now, Unlabelled
from mmtk.build import SupervisedLoss
from mmtk.components.augment.operations import MATRICES, OPERATIONS, operate
from mmtk.components.loss.dice import Dice
from mmtk.testing import ContractError, suite
from PIL import Image

from mmtk_release.films import flip_and_crop
from mmtk_release.kl import ReleaseKL
from mmtk_release.pool import INTENSITIES, MOVES, NAMES
from mmtk_release.strong import ReleaseStrong
from mmtk_release.weak import ReleaseWeak

HERE = Path(__file__).parents[1]


# --- the contract --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", [*suite("augment", ReleaseWeak), *suite("augment", ReleaseStrong)])
def test_the_augmentations_keep_the_contract(check):
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
        lambda images: next(answers), Labelled(target, target, torch.arange(len(target))),
        Unlabelled(torch.zeros(len(other), 1, 4, 4), torch.arange(len(other))), Now(0, 0, 9),
    )["kl"]  # fmt: skip
    return term, logits


@pytest.mark.parametrize("size", [0.1, 1.0, 100.0, 1e4])
def test_over_one_channel_value_and_gradient_are_exactly_zero(size):
    draw = np.random.default_rng(0)
    term, logits = kl(draw.normal(0, size, (3, 1, 4, 4)), draw.normal(0, size, (3, 1, 4, 4)))
    assert term.value == 0
    assert term.weight == 0.01
    for slope in torch.autograd.grad(term.value, logits):
        assert float(slope.abs().max()) == 0


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
            theirs, _ = operate(
                name, torch.from_numpy(film)[None, None].clone(), None, torch.tensor([level]), torch.tensor([sign])
            )
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
    for augment, most in ((ReleaseStrong(), 200), (ReleaseWeak(), 32)):
        _, moved = augment(film, draw, masks.clone())
        shifts = [
            abs(float(each[0].eq(1).nonzero()[:, 0].float().mean()) - 127.5) for each in moved if each.eq(1).any()
        ]
        assert 0 < max(shifts) <= most


@pytest.mark.parametrize("component", [ReleaseWeak, ReleaseStrong])
def test_training_images_are_left_unnormalised_unless_asked(component):
    films = torch.rand(6, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    plain, _ = component(normalise=True)(films, torch.Generator().manual_seed(3))
    seen, _ = component()(films, torch.Generator().manual_seed(3))
    torch.testing.assert_close((seen - 0.5) / 0.5, plain)  # what the network gets after mmtk's normaliser
    assert float(plain.min()) < 0.1


# --- the package ---------------------------------------------------------------------------------------------


def test_components_are_short_and_use_the_public_interface_alone():
    for path in (HERE / "mmtk_release").glob("*.py"):
        text = path.read_text()
        assert text.count("\n") <= 60, path.name
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("mmtk."):
                assert node.module == "mmtk.api", path.name


def test_a_run_warns_of_the_dead_term_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("MMTK_CACHE", str(tmp_path / "cache"))
    tiny = {
        "data.size": 32, "encoder.width": 4, "decoder.width": 4, "train.steps": 3, "train.validate_every": 3,
        "train.batch": 4, "train.precision": "fp32", "evaluate.cases": 2, "tracking.enabled": False,
        **{
            f"data.{task}.{domain}.{part}": count
            for task in ("classification", "segmentation")
            for domain in ("source", "cross")
            for part, count in (("train", 24), ("val", 8), ("test", 10), ("size", 32))
        },
        "data.classification.labels": 8, "data.segmentation.labels": 8,
    }  # fmt: skip
    recipe = mmtk.load_recipe(HERE / "recipes" / "release.toml", overrides=tiny)
    result = mmtk.run(recipe, out=tmp_path / "run", device="cpu")
    warnings = json.loads((result.path / "results.json").read_text())["warnings"]
    assert len(warnings) == 1
    assert warnings[0].startswith("The loss term segmentation/kl is exactly 0 and gives no gradient")
    rows = [json.loads(line) for line in (result.path / "metrics.jsonl").read_text().splitlines()]
    assert {row["train/segmentation/kl"] for row in rows if "train/loss" in row} == {0.0}
