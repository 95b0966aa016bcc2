"""Classification strategies against NumPy in float64; the class logits are the first pixels of an image."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from mmtk.api import Labelled, StepContext, Unlabelled
from mmtk.components.loss.cross_entropy import CrossEntropy
from mmtk.components.ssl.confidence import Confidence
from mmtk.components.ssl.mixmatch import MixMatch, interleave, sharpen
from mmtk.components.ssl.none import NoSSL
from mmtk.training.strategies import SupervisedLoss

NOW = StepContext(seed=3, index=4, total=9)


class FirstPixels:
    """A linear classifier, scale · pixels, that notes its calls."""

    def __init__(self, classes):
        self.classes, self.calls = classes, []
        self.scale = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)

    def __call__(self, images, *, statistics=True):
        self.calls.append((images.detach(), statistics, torch.is_grad_enabled()))
        return self.scale * images[:, 0, 0, : self.classes]


def supervised(classes):
    return SupervisedLoss("cross-entropy", CrossEntropy(classes, True, None), 1.0)


def numbers(seed, *shape, spread=2.0):
    return torch.from_numpy(np.random.default_rng(seed).normal(0, spread, shape))


def as_images(logits):
    return logits[:, None, None, :].clone().requires_grad_()


def log_softmax(logits):
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def softmax(logits):
    return np.exp(log_softmax(logits))


def batch(classes, count=6, labelled=4, views=("weak", "strong")):
    """Random labelled images and ``count`` unlabelled ones with one image per view."""
    marked = as_images(numbers(0, labelled, classes))
    known = Labelled(marked, torch.arange(labelled) % classes, torch.arange(labelled))
    made = {view: (as_images(numbers(10 + i, count, classes, spread=3.0)),) for i, view in enumerate(views)}
    truth = torch.arange(count) % classes
    return known, Unlabelled(as_images(numbers(9, count, classes)), torch.arange(count), made, truth)


# --- none ----------------------------------------------------------------------------------------------------


def test_none_is_the_supervised_loss():
    known, _ = batch(3)
    terms = NoSSL(supervised(3)).terms(FirstPixels(3), known, None, NOW)
    rows = log_softmax(known.image.detach().numpy()[:, 0, 0])
    expected = -rows[np.arange(4), known.target.numpy()].mean()
    assert list(terms) == ["cross-entropy"]
    np.testing.assert_allclose(terms["cross-entropy"].value.item(), expected, rtol=1e-12)


# --- confidence ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("threshold", [0.0, 0.7, 0.9])
def test_equation_1(classes, threshold):
    known, others = batch(classes, count=12)
    strategy = Confidence(supervised(classes), threshold=threshold, weight=0.25)
    terms = strategy.terms(FirstPixels(classes), known, others, NOW)

    weak, strong = (others[view][0].detach().numpy()[:, 0, 0] for view in ("weak", "strong"))
    confident = softmax(weak).max(1) >= threshold
    pseudo = weak.argmax(1)
    losses = -log_softmax(strong)[np.arange(len(strong)), pseudo]
    rows = log_softmax(known.image.detach().numpy()[:, 0, 0])
    supervised_part = -rows[np.arange(4), known.target.numpy()].mean()
    expected = supervised_part + 0.25 * (confident * losses).sum() / len(losses)

    total = sum(term.weight * term.value for term in terms.values()).item()
    np.testing.assert_allclose(total, expected, rtol=1e-6)
    assert set(terms) == {"cross-entropy", "confidence", "mask-rate", "pseudo-label-accuracy"}
    assert [terms[name].weight for name in ("mask-rate", "pseudo-label-accuracy")] == [0, 0]
    np.testing.assert_allclose(terms["mask-rate"].value.item(), confident.mean(), rtol=1e-6)
    assert float(terms["confidence"].active) == pytest.approx(confident.mean())
    right = (pseudo == others.truth.numpy())[confident].mean()
    np.testing.assert_allclose(terms["pseudo-label-accuracy"].value.item(), right, rtol=1e-6)


def test_the_gradient_goes_through_accepted_strong_views_only():
    """∂L_u/∂logits of image i is 1(accepted) · (softmax − one-hot)/n; the weak view gets none."""
    known, others = batch(3)
    Confidence(supervised(3)).terms(FirstPixels(3), known, others, NOW)["confidence"].value.backward()
    weak, strong = others["weak"][0], others["strong"][0]
    logits = weak.detach().numpy()[:, 0, 0]
    confident = softmax(logits).max(1) >= 0.7
    assert 0 < confident.sum() < len(confident)
    expected = (softmax(strong.detach().numpy()[:, 0, 0]) - np.eye(3)[logits.argmax(1)]) / len(logits)
    np.testing.assert_allclose(strong.grad.numpy()[:, 0, 0], expected * confident[:, None], rtol=1e-6, atol=1e-12)
    assert weak.grad is None
    assert others.image.grad is None
    assert known.image.grad is None


def test_the_pseudo_label_comes_from_the_weak_view():
    """Sure weak views of class 0 and undecided strong ones of class 1: swapped, nothing would be accepted."""
    known, others = batch(2, count=4)
    sure, unsure = torch.tensor([[5.0, 0.0]] * 4).double(), torch.tensor([[0.0, 0.1]] * 4).double()
    others = Unlabelled(others.image, others.index, {"weak": (as_images(sure),), "strong": (as_images(unsure),)})
    terms = Confidence(supervised(2)).terms(FirstPixels(2), known, others, NOW)
    assert terms["mask-rate"].value == 1
    np.testing.assert_allclose(terms["confidence"].value.item(), np.log1p(np.exp(0.1)), rtol=1e-6)
    assert "pseudo-label-accuracy" not in terms  # the truth is not known here


def test_all_below_the_threshold_is_exactly_zero_with_zero_gradient():
    known, others = batch(2)
    flat = {"weak": (as_images(torch.zeros(6, 2).double()),), "strong": others.views["strong"]}
    others = Unlabelled(others.image, others.index, flat, others.truth)
    terms = Confidence(supervised(2), threshold=0.6).terms(FirstPixels(2), known, others, NOW)
    assert terms["confidence"].value == 0
    assert float(terms["confidence"].active) == 0
    assert all(term.value.isfinite() for term in terms.values())
    assert terms["pseudo-label-accuracy"].active == 0  # of no image at all
    terms["confidence"].value.backward()
    assert others["strong"][0].grad.abs().max() == 0


def test_the_threshold_itself_is_confident_enough():
    known, others = batch(2, count=2)
    on_it = {"weak": (as_images(torch.zeros(2, 2).double()),), "strong": others.views["strong"]}
    others = Unlabelled(others.image, others.index, on_it, others.truth)
    for threshold, rate in ((0.5, 1), (float(np.nextafter(0.5, 1)), 0)):
        terms = Confidence(supervised(2), threshold=threshold).terms(FirstPixels(2), known, others, NOW)
        assert terms["mask-rate"].value == rate


def test_the_order_of_the_images_does_not_matter():
    known, others = batch(3)
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    shuffled = {name: (views[0][order],) for name, views in others.views.items()}
    moved = Unlabelled(others.image[order], others.index[order], shuffled, others.truth[order])
    found = [Confidence(supervised(3)).terms(FirstPixels(3), known, u, NOW) for u in (others, moved)]
    for name, term in found[0].items():
        torch.testing.assert_close(found[1][name].value, term.value)


# --- mixmatch ------------------------------------------------------------------------------------------------


def marked_images(logits, first, total):
    """Images whose pixels are the logits and then a one-hot mark of the image: mixing can be read off."""
    marks = torch.eye(total, dtype=torch.float64)[first : first + len(logits)]
    return torch.cat([logits, marks], 1)[:, None, None, :]


def mixed_batch(classes, labelled=4, unlabelled=4, views=2):
    total = labelled + views * unlabelled
    logits = numbers(1, total, classes)
    known = Labelled(
        marked_images(logits[:labelled], 0, total), torch.arange(labelled) % classes, torch.arange(labelled)
    )
    starts = range(labelled, total, unlabelled)
    weak = tuple(marked_images(logits[s : s + unlabelled], s, total) for s in starts)
    truth = torch.arange(unlabelled) % classes
    return known, Unlabelled(weak[0], torch.arange(unlabelled), {"weak": weak}, truth), logits.numpy()


def read_mixing(classify, views):
    """(own image, partner, share λ' of its own) of every mixed image that was classified, in call order."""
    pixels = torch.cat([images for images, _, _ in classify.calls[views:]])[:, 0, 0].numpy()
    shares = pixels[:, classify.classes :]
    own = shares.argmax(1)
    rest = shares.copy()
    rest[np.arange(len(own)), own] = 0
    partner = np.where(rest.max(1) > 0, rest.argmax(1), own)
    return own, partner, shares[np.arange(len(own)), own], pixels[:, : classify.classes]


@pytest.mark.parametrize(
    ("classes", "labelled", "unlabelled", "views"), [(2, 4, 4, 2), (5, 4, 8, 2), (3, 5, 5, 1), (3, 4, 3, 3)]
)
def test_mixmatch_of_the_publication(classes, labelled, unlabelled, views):
    known, others, logits = mixed_batch(classes, labelled, unlabelled, views)
    classify, strategy = FirstPixels(classes), MixMatch(classes, views=views, ramp=0.0)
    terms = strategy.terms(classify, known, others, NOW)

    guess = softmax(logits[labelled:]).reshape(views, unlabelled, classes).mean(0) ** 2
    guess /= guess.sum(1, keepdims=True)
    targets = np.concatenate([np.eye(classes)[known.target.numpy()], np.tile(guess, (views, 1))])
    own, partner, share, mixed = read_mixing(classify, views)
    assert sorted(own) == list(range(len(logits)))
    assert sorted(partner) == list(range(len(logits)))
    np.testing.assert_allclose(mixed, share[:, None] * logits[own] + (1 - share[:, None]) * logits[partner])
    soft = share[:, None] * targets[own] + (1 - share[:, None]) * targets[partner]
    is_labelled = own < labelled
    entropy = -(soft * log_softmax(mixed)).sum(1)[is_labelled].sum() / labelled
    squared = ((softmax(mixed) - soft) ** 2)[~is_labelled].sum() / (views * unlabelled * classes)

    np.testing.assert_allclose(terms["mixed-cross-entropy"].value.item(), entropy, rtol=1e-10)
    np.testing.assert_allclose(terms["mixed-squared-error"].value.item(), squared, rtol=1e-10)
    assert [terms[name].weight for name in terms] == [1.0, 75.0, 0]
    right = (guess.argmax(1) == others.truth.numpy()).mean()
    np.testing.assert_allclose(terms["pseudo-label-accuracy"].value.item(), right, rtol=1e-6)


def test_the_share_is_drawn_per_image_from_the_folded_beta():
    known, others, _ = mixed_batch(2, 100, 100, 2)
    classify = FirstPixels(2)
    MixMatch(2, alpha=0.75).terms(classify, known, others, NOW)
    _, _, share, _ = read_mixing(classify, 2)
    assert share.min() >= 0.5
    assert len(np.unique(share.round(9))) > 290
    beta = stats.beta(0.75, 0.75)
    assert stats.kstest(share, lambda x: beta.cdf(x) - beta.cdf(1 - x)).pvalue > 0.01


def test_the_temperature_sharpens():
    p = torch.tensor([[0.6, 0.3, 0.1], [0.5, 0.5, 0.0]], dtype=torch.float64)
    expected = np.array([[0.36, 0.09, 0.01], [0.25, 0.25, 0.0]])
    np.testing.assert_allclose(sharpen(p, 0.5), expected / expected.sum(1, keepdims=True), rtol=1e-12)
    torch.testing.assert_close(sharpen(p, 1.0), p)
    known, others, _ = mixed_batch(3)
    found = [
        MixMatch(3, temperature=t).terms(FirstPixels(3), known, others, NOW)["mixed-squared-error"].value.item()
        for t in (0.5, 1.0)
    ]
    assert found[0] != pytest.approx(found[1])


def test_targets_carry_no_gradient():
    """∂/∂scale equals a finite difference in which the targets are held fixed."""
    known, others, logits = mixed_batch(3)
    classify = FirstPixels(3)
    terms = MixMatch(3).terms(classify, known, others, NOW)
    (slope,) = torch.autograd.grad(terms["mixed-squared-error"].value, classify.scale)
    assert [grad for _, _, grad in classify.calls] == [False, False, True, True, True]

    guess = softmax(logits[4:]).reshape(2, 4, 3).mean(0) ** 2
    guess /= guess.sum(1, keepdims=True)
    targets = np.concatenate([np.eye(3)[known.target.numpy()], guess, guess])
    own, partner, share, mixed = read_mixing(classify, 2)
    soft = share[:, None] * targets[own] + (1 - share[:, None]) * targets[partner]

    def loss(scale):
        return ((softmax(scale * mixed) - soft)[own >= 4] ** 2).mean()

    np.testing.assert_allclose(slope.item(), (loss(1 + 1e-5) - loss(1 - 1e-5)) / 2e-5, rtol=1e-6)


@pytest.mark.parametrize(
    ("ramp", "index", "share"),
    [(1.0, 0, 0), (1.0, 4, 0.5), (1.0, 8, 1), (0.25, 1, 0.5), (0.25, 4, 1), (0.0, 0, 1)],
)
def test_the_weight_rises_linearly(ramp, index, share):
    known, others, _ = mixed_batch(2)
    terms = MixMatch(2, weight=75.0, ramp=ramp).terms(FirstPixels(2), known, others, StepContext(0, index, 9))
    assert terms["mixed-squared-error"].weight == pytest.approx(75 * share)


@pytest.mark.parametrize(("count", "rows"), list(itertools.product([1, 2, 3, 5], [1, 4, 7, 10])))
def test_interleaving_is_its_own_inverse(count, rows):
    parts = list(torch.arange(count * rows).view(count, rows, 1))
    mixed = interleave(parts)
    assert [len(part) for part in mixed] == [rows] * count
    assert torch.equal(torch.cat(mixed).sort(0).values, torch.cat(parts))
    assert all(torch.equal(a, b) for a, b in zip(interleave(mixed), parts, strict=True))
    if rows >= count:
        assert {int(row) // rows for row in mixed[0]} == set(range(count))


def test_only_the_first_interleaved_forward_updates_statistics():
    known, others, _ = mixed_batch(2)
    classify = FirstPixels(2)
    MixMatch(2).terms(classify, known, others, NOW)
    assert [statistics for _, statistics, grad in classify.calls if grad] == [True, False, False]
    assert {len(images) for images, _, _ in classify.calls} == {4}


def test_the_same_step_draws_the_same_and_another_does_not():
    known, others, _ = mixed_batch(2)
    calls = []
    for now in (NOW, NOW, StepContext(3, 5, 9), StepContext(4, 4, 9)):
        classify = FirstPixels(2)
        MixMatch(2).terms(classify, known, others, now)
        calls.append(torch.cat([images for images, _, _ in classify.calls]))
    assert torch.equal(calls[0], calls[1])
    assert not torch.equal(calls[0], calls[2])
    assert not torch.equal(calls[0], calls[3])


def test_the_number_of_views_is_a_key():
    assert MixMatch(2, views=3).views == {"weak": 3}
    assert Confidence(supervised(2)).views == {"weak": 1, "strong": 1}
    assert NoSSL(supervised(2)).views == {}
