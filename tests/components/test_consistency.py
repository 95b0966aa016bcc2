"""Segmentation strategies against scipy in float64; the mask logits are the images themselves."""

import numpy as np
import pytest
import torch
from scipy.special import expit, rel_entr
from scipy.special import softmax as scipy_softmax

from mmtk.api import Labelled, StepContext, Unlabelled
from mmtk.components.consistency.kl import KL, bernoulli_kl, categorical_kl
from mmtk.components.consistency.none import NoConsistency
from mmtk.components.loss.dice import Dice
from mmtk.training.strategies import SupervisedLoss

NOW = StepContext(seed=3, index=4, total=9)


class Itself:
    """Mask logits are the image; notes how many images it was given."""

    def __init__(self):
        self.calls = []

    def __call__(self, images, *, statistics=True):
        self.calls.append(len(images))
        return images * 1


def logits(seed, count=3, channels=1, size=4):
    made = np.random.default_rng(seed).normal(0, 3, (count, channels, size, size))
    return torch.from_numpy(made).requires_grad_()


def supervised(exclusive=False, channels=1):
    return SupervisedLoss("dice", Dice(channels, exclusive), 5.0)


def batch(channels=1, labelled=3, unlabelled=3):
    image = logits(0, labelled, channels)
    known = Labelled(image, (logits(1, labelled, channels) > 0).double(), torch.arange(labelled))
    return known, Unlabelled(logits(2, unlabelled, channels), torch.arange(unlabelled))


def divergence(p, q):
    """Mean Bernoulli KL per pixel."""
    p, q = expit(p.detach().numpy()), expit(q.detach().numpy())
    return (rel_entr(p, q) + rel_entr(1 - p, 1 - q)).mean()


@pytest.mark.parametrize("channels", [1, 3])
def test_bernoulli_kl_equals_that_of_scipy(channels):
    p, q = logits(0, channels=channels), logits(1, channels=channels)
    np.testing.assert_allclose(bernoulli_kl(p, q).item(), divergence(p, q), rtol=1e-6)
    np.testing.assert_allclose(bernoulli_kl(p.float(), q.float()).item(), divergence(p, q), rtol=1e-5)


@pytest.mark.parametrize("channels", [2, 4])
def test_categorical_kl_equals_that_of_scipy(channels):
    p, q = logits(0, channels=channels), logits(1, channels=channels)
    expected = rel_entr(scipy_softmax(p.detach(), 1), scipy_softmax(q.detach(), 1)).sum(1).mean()
    np.testing.assert_allclose(categorical_kl(p, q).item(), expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kl", [bernoulli_kl, categorical_kl])
@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, 1), (-1, -1), (1, 0), (0, -1)])
def test_extreme_logits_stay_finite(kl, signs, dtype):
    p, q = (torch.full((1, 2, 2, 2), 1e4 * sign, dtype=dtype) for sign in signs)
    for each in (p, q):
        each[:, 1] = 0
        each.requires_grad_()
    value = kl(p, q)
    value.backward()
    assert value.isfinite()
    assert value >= 0
    assert p.grad.isfinite().all()
    assert q.grad.isfinite().all()
    if signs == (1, -1):  # log p/q where p is sure of the opposite: 1e4 in half of the pixels or in all
        torch.testing.assert_close(value.item(), 5e3 if kl is bernoulli_kl else 1e4, rtol=1e-3, atol=0)


@pytest.mark.parametrize("kl", [bernoulli_kl, categorical_kl])
def test_zero_for_equals_and_positive_with_gradient_through_both_otherwise(kl):
    p, q = logits(0, channels=2), logits(1, channels=2)
    same = kl(p, p.detach().clone().requires_grad_())
    assert same.item() == pytest.approx(0, abs=1e-15)
    kl(p, q).backward()
    assert kl(p, q) > 0
    assert (p.grad.abs() > 0).all()
    assert (q.grad.abs() > 0).all()
    assert torch.autograd.gradcheck(kl, (p, q))


def test_one_channel_is_not_dead():
    """The release takes a softmax over the one channel: always 0, without gradient. The Bernoulli form lives."""
    p, q = logits(0), logits(1)
    released = categorical_kl(p, q)
    released.backward()
    assert released == 0
    assert p.grad.abs().max() == 0
    p.grad = None
    value = bernoulli_kl(p, q)
    value.backward()
    assert value > 0.1
    assert (p.grad.abs() > 0).all()


def test_equation_2():
    known, others = batch()
    terms = KL(supervised(), False, weight=0.01).terms(Itself(), known, others, NOW)
    p, g = expit(known.image.detach().numpy()), known.target.numpy()
    dice = 1 - (2 * (p * g).sum((1, 2, 3)) + 1) / (p.sum((1, 2, 3)) + g.sum((1, 2, 3)) + 1)
    expected = 5 * dice.mean() + 0.01 * divergence(known.image, others.image)
    assert list(terms) == ["dice", "kl"]
    total = sum(term.weight * term.value for term in terms.values()).item()
    np.testing.assert_allclose(total, expected, rtol=1e-6)


def test_the_labelled_prediction_comes_first():
    """KL is not symmetric: p is the labelled image's."""
    known, others = batch()
    value = KL(supervised(), False).terms(Itself(), known, others, NOW)["kl"].value.item()
    assert divergence(others.image, known.image) != pytest.approx(value, rel=1e-3)


def test_exclusive_channels_take_the_categorical_form():
    known, others = batch(channels=3)
    terms = KL(supervised(True, 3), True).terms(Itself(), known, others, NOW)
    torch.testing.assert_close(terms["kl"].value, categorical_kl(known.image, others.image))


@pytest.mark.parametrize(("labelled", "unlabelled"), [(3, 3), (3, 6), (4, 2)])
def test_images_are_paired_by_their_place(labelled, unlabelled):
    known, others = batch(labelled=labelled, unlabelled=unlabelled)
    segment, pairs = Itself(), min(labelled, unlabelled)
    terms = KL(supervised(), False).terms(segment, known, others, NOW)
    single = [divergence(known.image[i], others.image[i]) for i in range(pairs)]
    np.testing.assert_allclose(terms["kl"].value.item(), np.mean(single), rtol=1e-6)
    turned = Unlabelled(others.image[:pairs].roll(1, 0), others.index[:pairs])
    again = KL(supervised(), False).terms(Itself(), known, turned, NOW)
    assert again["kl"].value.item() != pytest.approx(np.mean(single), rel=1e-3)
    assert segment.calls == [labelled, pairs]  # the labelled forward serves both terms


def test_kl_moves_the_labelled_and_the_unlabelled_prediction():
    known, others = batch()
    KL(supervised(), False).terms(Itself(), known, others, NOW)["kl"].value.backward()
    assert (known.image.grad.abs() > 0).all()
    assert (others.image.grad.abs() > 0).all()


def test_none_is_the_supervised_loss_and_needs_no_unlabelled_images():
    known, others = batch()
    alone = NoConsistency(supervised()).terms(Itself(), known, None, NOW)
    assert list(alone) == ["dice"]
    assert not NoConsistency.unlabelled_stream
    assert KL.unlabelled_stream
    torch.testing.assert_close(
        alone["dice"].value, KL(supervised(), False).terms(Itself(), known, others, NOW)["dice"].value
    )
