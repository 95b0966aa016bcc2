"""Scores of maps on planted truth: a lesion of the phantom, images of four by four pixels, shuffled weights."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

from mmtk.components.encoder.unet import UNetEncoder
from mmtk.components.source.phantom import Film, render
from mmtk.gradients import input_gradient
from mmtk.model import map_scores
from mmtk.model.map_scores import blurred, boxes_region, coarse, curve_area, hits, mass_inside, rank_correlation
from mmtk.model.network import ClassHead, FrozenClassify
from mmtk.model.shuffled_weights import shuffled, stages


@pytest.fixture(scope="module")
def lesion():
    """Pixels [1,H,W] that pneumonia changes in a film of the phantom, by 10 gray levels or more."""
    well, ill = (render(Film(0, "nihx", 1, 1, is_ill, 64)).astype(int) for is_ill in (False, True))
    region = torch.from_numpy(np.abs(ill - well) >= 10)[None]
    assert 0.01 < region.double().mean() < 0.5
    return region


def test_map_that_is_the_lesion_lies_in_it(lesion):
    assert mass_inside(lesion.double(), lesion).item() == 1
    assert hits(lesion.double(), lesion).item() == 1
    assert mass_inside((~lesion).double(), lesion).item() == 0
    assert hits((~lesion).double(), lesion).item() == 0


def test_uniform_map_has_the_share_of_the_area(lesion):
    uniform = torch.full(lesion.shape, 0.3, dtype=torch.float64)
    assert mass_inside(uniform, lesion).item() == pytest.approx(lesion.double().mean().item(), abs=1e-12)
    assert hits(uniform, lesion).isnan().all()  # it points nowhere


def test_no_region_and_no_mass_have_no_score(lesion):
    assert mass_inside(lesion.double(), torch.zeros_like(lesion)).isnan().all()
    assert hits(lesion.double(), torch.zeros_like(lesion)).isnan().all()
    assert mass_inside(torch.zeros(lesion.shape), lesion).isnan().all()


def test_boxes_are_pixels_whose_centre_lies_inside():
    region = boxes_region(((0.25, 0.5, 0.5, 0.25), (0.0, 0.0, 0.2, 0.2)), (4, 4))
    by_hand = [[1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert region.int().tolist() == by_hand
    assert not boxes_region((), (4, 4)).any()


def first_pixel(images):
    """Class logits whose probability of class 1 is the mean of the four pixels of the first row."""
    share = images[:, 0, 0].mean(1).clamp(1e-9, 1 - 1e-9)
    return torch.stack([(1 - share).log(), share.log()], 1)


def test_deletion_and_insertion_by_hand(monkeypatch):
    """Four by four pixels, the first row white: the class rests on it, four steps of four pixels each."""
    monkeypatch.setattr(map_scores, "STEPS", 4)
    images = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    images[0, 0, 0] = 1
    right, wrong = torch.zeros(2, 1, 4, 4, dtype=torch.float64)
    right[0, 0], wrong[0, 3] = 1, 1
    black = torch.zeros_like(images)
    # With the right map the row goes first: probabilities 1, 0, 0, 0, 0.
    assert curve_area(images, images, black, right, first_pixel).item() == pytest.approx(0.125, abs=1e-8)
    assert curve_area(images, black, images, right, first_pixel).item() == pytest.approx(0.875, abs=1e-8)
    # With the row last: 1, 1, 1, 1, 0 where nothing else comes after it.
    last = torch.arange(16, dtype=torch.float64).reshape(1, 4, 4)
    assert curve_area(images, images, black, last, first_pixel).item() == pytest.approx(0.875, abs=1e-8)
    # deletion itself goes to the mean of the image, 1/4: probabilities 1, 1/4, 1/4, 1/4, 1/4.
    area = map_scores.deletion(images, right, first_pixel).item()
    assert area == pytest.approx((1 + 2 * 3 / 4 + 1 / 4) / 8, abs=1e-8)


def test_blur_is_that_of_scipy():
    images = torch.rand(2, 1, 32, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = gaussian_filter(images[:, 0].numpy(), (0, 2, 2), mode="mirror", truncate=3)
    np.testing.assert_allclose(blurred(images)[:, 0].numpy(), expected, rtol=0, atol=1e-12)


def test_rank_correlation_is_that_of_scipy():
    draw = np.random.default_rng(0)
    first, second = draw.integers(0, 9, (2, 5, 8, 8)).astype(float)
    expected = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(rank_correlation(first, second), expected, atol=1e-12)
    np.testing.assert_allclose(rank_correlation(first, first), 1)
    assert np.isnan(rank_correlation(first, np.ones_like(first))).all()


def test_coarse_maps_are_means_of_cells():
    maps = torch.rand(2, 64, 64, generator=torch.Generator().manual_seed(0))
    means = maps.numpy().reshape(2, 32, 2, 32, 2).mean((2, 4))
    np.testing.assert_allclose(coarse(maps), means / means.max((1, 2), keepdims=True), rtol=1e-5)


@pytest.fixture
def branch():
    torch.manual_seed(0)
    encoder = UNetEncoder(1, width=4, depth=4)
    return encoder, ClassHead(encoder.channels[-1], 2)


def test_shuffled_weights_are_the_same_numbers_in_another_order_and_come_back(branch):
    encoder, _ = branch
    before = {name: values.clone() for name, values in encoder.state_dict().items()}
    with shuffled([*encoder.modules()], 0):
        after = encoder.state_dict()
        assert any(not torch.equal(before[name], after[name]) for name in before)
        for name, values in before.items():
            assert torch.equal(values.flatten().sort().values, after[name].flatten().sort().values), name
    assert all(torch.equal(before[name], values) for name, values in encoder.state_dict().items())


def test_stages_hold_every_layer_once_from_the_head_down(branch):
    encoder, head = branch
    parts = stages(encoder, head)
    layers = [module for part in parts[1:] for module in part]
    assert parts[0] == [head.linear]
    assert len(parts) == 5
    own = [module for module in encoder.modules() if [*module.parameters(recurse=False)]]
    assert layers == own[::-1]


def test_maps_of_equal_weights_are_equal_and_of_shuffled_ones_are_not(branch):
    encoder, head = branch
    classify = FrozenClassify(encoder, head)
    images = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    maps = input_gradient(images, classify)[:, 0]
    with shuffled([], 0):
        np.testing.assert_allclose(
            rank_correlation(maps.numpy(), input_gradient(images, classify)[:, 0].numpy()), 1
        )
    with shuffled([*encoder.modules(), head.linear], 0):
        correlations = rank_correlation(maps.numpy(), input_gradient(images, classify)[:, 0].numpy())
    assert (correlations < 0.9).all()
