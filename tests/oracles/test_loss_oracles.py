"""Losses against NumPy and SciPy: two to four classes, masks of both kinds, weights, holes, extremes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle_inputs import FEW, TOLERANCE, class_batches, mask_batches, tensors
from scipy.special import expit, log_expit, logsumexp, softmax

from mmtk.components.loss.cross_entropy import CrossEntropy
from mmtk.components.loss.dice import Dice
from mmtk.components.loss.smp import SmpLoss

SMOOTHING = st.sampled_from([0.0, 0.1, 0.5, 0.99])
both_kinds = pytest.mark.parametrize("exclusive", [False, True], ids=["independent", "exclusive"])


def weights(classes):
    """No class weights, or one per class between 0.1 and 10."""
    return st.none() | st.lists(st.floats(0.1, 10), min_size=classes, max_size=classes).map(np.array)


def rows(logits, target):
    """Pixels that count as rows: logits [N,K] and one-hot targets [N,K], from exclusive masks."""
    keep = (target >= 0).all(1)
    return np.moveaxis(logits, 1, -1)[keep], np.moveaxis(target, 1, -1)[keep]


def softmax_entropy(logits, one_hot, weight, smoothing):
    """Σ over rows and classes of w t (A − x) with A the log-sum-exp, over the weight of the true classes."""
    if not len(logits):
        return 0.0
    soft = (1 - smoothing) * one_hot + smoothing / logits.shape[1]
    each = weight * soft * (logsumexp(logits, 1, keepdims=True) - logits)
    return each.sum() / (weight * one_hot).sum()


def check(loss, logits, target, expected):
    assert loss(*tensors(logits, target)).item() == pytest.approx(expected, abs=TOLERANCE)


@FEW
@given(st.data(), class_batches(ignore=True), SMOOTHING)
def test_cross_entropy_of_classes(data, batch, smoothing):
    logits, target = batch
    classes = logits.shape[1]
    given_weights = data.draw(weights(classes))
    keep = target >= 0
    weight = np.ones(classes) if given_weights is None else given_weights
    expected = softmax_entropy(logits[keep], np.eye(classes)[target[keep]], weight, smoothing)
    as_tensor = None if given_weights is None else tensors(given_weights)[0]
    check(CrossEntropy(classes, True, as_tensor, smoothing=smoothing), logits, target, expected)


@both_kinds
@FEW
@given(data=st.data(), smoothing=SMOOTHING)
def test_cross_entropy_of_masks(exclusive, data, smoothing):
    logits, target = data.draw(mask_batches(exclusive))
    channels = logits.shape[1]
    given_weights = data.draw(weights(channels))
    weight = np.ones(channels) if given_weights is None else given_weights
    if exclusive:
        expected = softmax_entropy(*rows(logits, target), weight, smoothing)
    else:
        soft = np.where(target == 1, 1 - smoothing / 2, smoothing / 2)
        each = -(soft * log_expit(logits) + (1 - soft) * log_expit(-logits))
        share = weight[:, None, None] * (target >= 0)
        expected = (share * each).sum() / share.sum() if share.any() else 0.0
    as_tensor = None if given_weights is None else tensors(given_weights)[0]
    check(CrossEntropy(channels, exclusive, as_tensor, smoothing=smoothing), logits, target, expected)


@both_kinds
@FEW
@given(data=st.data(), smooth=st.sampled_from([1e-5, 0.5, 1.0, 100.0]))
def test_dice(exclusive, data, smooth):
    """One image and one channel after the other; a channel of an image that is all ignored is passed over."""
    logits, target = data.draw(mask_batches(exclusive))
    p = softmax(logits, 1) if exclusive else expit(logits)
    losses = []
    for image in range(len(logits)):
        for channel in range(int(exclusive), logits.shape[1]):
            keep = target[image, channel] >= 0
            if keep.any():
                a, b = p[image, channel][keep], target[image, channel][keep]
                losses.append(1 - (2 * (a * b).sum() + smooth) / (a.sum() + b.sum() + smooth))
    expected = np.mean(losses) if losses else 0.0
    check(Dice(logits.shape[1], exclusive, smoothing=smooth), logits, target, expected)


@both_kinds
@FEW
@given(data=st.data())
def test_dice_of_certain_predictions_is_that_of_the_masks(exclusive, data):
    """Logits of ±1e4 are masks themselves: what remains is one minus the Dice score of counted pixels."""
    _, target = data.draw(mask_batches(exclusive, ignore=False))
    predicted = np.roll(target, data.draw(st.integers(0, 6)), -1) > 0
    counted = slice(int(exclusive), None)
    common = (predicted & (target == 1))[:, counted].sum((2, 3))
    sizes = (predicted.sum((2, 3)) + target.sum((2, 3)))[:, counted]
    expected = np.mean(1 - (2 * common + 1e-9) / (sizes + 1e-9))
    check(Dice(target.shape[1], exclusive, smoothing=1e-9), np.where(predicted, 1e4, -1e4), target, expected)


# --- the losses of segmentation-models-pytorch, from their papers -------------------------------------------


def overlap(logits, target, exclusive, alpha, beta, gamma=1.0, smooth=0.0):
    """1 − TP / (TP + α FP + β FN) per channel over the batch (Salehi et al. 2017), 0 for a channel without mask.

    Dice is α = β = 1/2 and Jaccard α = β = 1; ``smooth`` is added on both sides of the ratio.
    """
    keep = np.broadcast_to((target >= 0).all(1, keepdims=True), target.shape) if exclusive else target >= 0
    p = softmax(logits, 1) if exclusive else expit(logits)
    losses = []
    for channel in range(logits.shape[1]):
        a, b = p[:, channel][keep[:, channel]], target[:, channel][keep[:, channel]]
        hit, false, missed = (a * b).sum(), (a * (1 - b)).sum(), ((1 - a) * b).sum()
        score = (hit + smooth) / max(hit + alpha * false + beta * missed + smooth, 1e-7)
        losses.append(1 - score if b.any() else 0.0)
    return np.mean(losses) ** gamma


@both_kinds
@FEW
@given(data=st.data(), smooth=st.sampled_from([0.0, 0.5, 10.0]))
def test_smp_overlap(exclusive, data, smooth):
    logits, target = data.draw(mask_batches(exclusive))
    channels = logits.shape[1]
    alpha, beta, gamma = data.draw(st.tuples(st.floats(0.1, 2), st.floats(0.1, 2), st.floats(1, 3)))
    tversky = {"alpha": alpha, "beta": beta, "gamma": gamma}
    for name, given_keys, oracle in (
        ("dice", {}, {"alpha": 0.5, "beta": 0.5}),
        ("jaccard", {}, {"alpha": 1, "beta": 1}),
        ("tversky", tversky, tversky),
    ):
        expected = overlap(logits, target, exclusive, smooth=smooth, **oracle) if (target >= 0).any() else 0.0
        check(SmpLoss(channels, exclusive, name=name, smooth=smooth, **given_keys), logits, target, expected)


@both_kinds
@FEW
@given(data=st.data(), gamma=st.sampled_from([0.0, 1.0, 2.0, 5.0]), alpha=st.none() | st.floats(0, 1))
def test_smp_focal(exclusive, data, gamma, alpha):
    """−α_t (1 − p_t)^γ log p_t with sigmoids, each class against the rest (Lin et al. 2017), its mean."""
    logits, target = data.draw(mask_batches(exclusive))
    x, t = rows(logits, target) if exclusive else (logits[target >= 0], target[target >= 0])
    signed = np.where(t == 1, x, -x)
    weight = 1 if alpha is None else np.where(t == 1, alpha, 1 - alpha)
    expected = (-weight * expit(-signed) ** gamma * log_expit(signed)).mean() if x.size else 0.0
    loss = SmpLoss(logits.shape[1], exclusive, name="focal", gamma=gamma, alpha=alpha)
    check(loss, logits, target, expected)


@FEW
@given(mask_batches(False, channels=1))
def test_smp_mcc(batch):
    """1 − the correlation coefficient of probabilities and mask (Matthews 1975), 1e-5 added to each count."""
    logits, target = batch
    p, t = expit(logits[target >= 0]), target[target >= 0]
    tp, tn, fp, fn = ((a * b).sum() + 1e-5 for a, b in ((p, t), (1 - p, 1 - t), (p, 1 - t), (1 - p, t)))
    correlation = (tp * tn - fp * fn) / np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    check(SmpLoss(1, False, name="mcc"), logits, target, 1 - correlation if t.size else 0.0)


@FEW
@given(mask_batches(False), st.floats(0, 0.5))
def test_smp_soft_bce(batch, smooth):
    logits, target = batch
    x, t = logits[target >= 0], target[target >= 0]
    soft = t * (1 - smooth) + (1 - t) * smooth
    expected = -(soft * log_expit(x) + (1 - soft) * log_expit(-x)).mean() if x.size else 0.0
    check(SmpLoss(logits.shape[1], False, name="soft-bce", smooth=smooth), logits, target, expected)


def lovasz(errors, mask):
    """The convex extension of the Jaccard loss of a set M of errors, |M| / |mask ∪ M| (Berman et al. 2018)."""
    order = np.argsort(-errors, kind="stable")
    value, before, wrong, union = 0.0, 0.0, 0, int(mask.sum())
    for pixel in order:
        wrong, union = wrong + 1, union + (not mask[pixel])
        value += errors[pixel] * (wrong / union - before)
        before = wrong / union
    return value


@both_kinds
@FEW
@given(data=st.data())
def test_smp_lovasz(exclusive, data):
    """SMP computes it in float32, so to 1e-6 of the largest logit."""
    logits, target = data.draw(mask_batches(exclusive))
    logits = logits.astype(np.float32)
    largest = max(1.0, float(np.abs(logits).max()))
    if exclusive:
        x, t = rows(logits.astype(np.float64), target)
        p, present = softmax(x, 1) if len(x) else x, [k for k in range(x.shape[1]) if t[:, k].any()]
        losses = [lovasz(np.abs(t[:, k] - p[:, k]), t[:, k] > 0) for k in present]
        expected, largest = np.mean(losses) if losses else 0.0, 1.0
    else:
        x, t = logits[target >= 0].astype(np.float64), target[target >= 0]
        expected = lovasz(np.maximum(0, 1 - x * (2 * t - 1)), t > 0)
    found = SmpLoss(logits.shape[1], exclusive, name="lovasz")(*tensors(logits, target.astype(np.float32)))
    assert found.item() == pytest.approx(expected, abs=TOLERANCE * largest)
