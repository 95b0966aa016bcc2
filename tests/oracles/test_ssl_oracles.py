"""Terms of the classification strategies against NumPy and SciPy; the class logits are the first pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracle_inputs import FEW, TOLERANCE, Pixels, as_images, logits, tensors
from scipy.special import logsumexp, softmax

from mmtk.api import Labelled, StepContext, Unlabelled
from mmtk.components.loss.cross_entropy import CrossEntropy
from mmtk.components.ssl.confidence import Confidence
from mmtk.components.ssl.mixmatch import MixMatch, interleave, sharpen
from mmtk.components.ssl.none import NoSSL
from mmtk.training.strategies import SupervisedLoss

COUNTS = st.integers(1, 4)


def supervised(classes, weight=1.0):
    return SupervisedLoss("cross-entropy", CrossEntropy(classes, True, None), weight)


def entropy(x, t):
    """Cross entropy of targets t [B,C] for each row of logits x [B,C]: Σ t (A − x), A the log-sum-exp."""
    return (t * (logsumexp(x, 1, keepdims=True) - x)).sum(1)


def truths(count, classes):
    return hnp.arrays(np.int64, count, elements=st.integers(0, classes - 1))


@st.composite
def labelled(draw, classes):
    """Labelled images that are logits, and the mean cross entropy on them."""
    count = draw(COUNTS)
    x, y = draw(logits(count, classes)), draw(truths(count, classes))
    return Labelled(as_images(x), tensors(y)[0], torch.arange(count)), entropy(x, np.eye(classes)[y]).mean()


def close(term, expected):
    assert term.value.item() == pytest.approx(expected, abs=TOLERANCE)


def total(terms):
    return sum(term.weight * term.value.item() for term in terms.values())


@FEW
@given(st.data(), st.integers(2, 4), st.sampled_from([0.5, 1.0]))
def test_none(data, classes, weight):
    known, expected = data.draw(labelled(classes))
    terms = NoSSL(supervised(classes, weight)).terms(Pixels(classes), known, None, StepContext(0, 0, 9))
    assert list(terms) == ["cross-entropy"]
    close(terms["cross-entropy"], expected)
    assert total(terms) == pytest.approx(weight * expected, abs=TOLERANCE)


@FEW
@given(
    st.data(),
    st.integers(2, 4),
    COUNTS,
    st.sampled_from([0.0, 0.3, 0.7, 0.95, 1.0]),
    st.sampled_from([0.0, 0.25, 3.0]),
)
def test_confidence(data, classes, count, threshold, weight):
    """Eq. 1 image by image: all below the threshold, some, or all; the hidden labels known or not."""
    known, expected = data.draw(labelled(classes))
    weak, strong = data.draw(logits(count, classes)), data.draw(logits(count, classes))
    hidden = data.draw(st.none() | truths(count, classes))
    top = np.sort(softmax(weak, 1), 1)
    certain = top[:, -1] == 1
    assume(((np.abs(top[:, -1] - threshold) > 1e-9) | certain).all())  # rounding decides at the threshold
    accepted = (top[:, -1] >= threshold) | certain
    assume((top[accepted, -1] - top[accepted, -2] > 1e-9).all())  # and between equally likely classes

    rows = [logsumexp(strong[i]) - strong[i, weak[i].argmax()] if accepted[i] else 0.0 for i in range(count)]
    unlabelled = Unlabelled(
        as_images(np.zeros((count, classes))),
        torch.arange(count),
        {"weak": (as_images(weak),), "strong": (as_images(strong),)},
        None if hidden is None else tensors(hidden)[0],
    )
    strategy = Confidence(supervised(classes), threshold=threshold, weight=weight)
    terms = strategy.terms(Pixels(classes), known, unlabelled, StepContext(0, 0, 9))
    close(terms["cross-entropy"], expected)
    close(terms["confidence"], sum(rows) / count)
    close(terms["mask-rate"], accepted.mean())
    assert float(terms["confidence"].active) == pytest.approx(accepted.mean(), abs=TOLERANCE)
    assert total(terms) == pytest.approx(expected + weight * sum(rows) / count, abs=TOLERANCE)
    assert ("pseudo-label-accuracy" in terms) == (hidden is not None)
    if hidden is not None:
        assert bool(terms["pseudo-label-accuracy"].active) == accepted.any()
    if hidden is not None and accepted.any():
        close(terms["pseudo-label-accuracy"], (weak.argmax(1) == hidden)[accepted].mean())


@FEW
@given(st.data(), st.integers(2, 4), COUNTS, st.sampled_from([0.05, 0.3, 0.5, 1.0, 2.0]))
def test_sharpening(data, classes, count, temperature):
    """p^(1/T) / Σ p^(1/T) is the softmax of log p / T; certain predictions stay as they are."""
    x = data.draw(logits(count, classes))
    p = softmax(x, 1)
    with np.errstate(divide="ignore"):
        expected = softmax(np.log(p) / temperature, 1)
    np.testing.assert_allclose(sharpen(tensors(p)[0], temperature), expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sharpening_at_any_temperature_above_0(dtype):
    """Towards T = 0 the likeliest class gets all, and equal ones share it, whatever the precision."""
    p = torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.1, 0.2, 0.3, 0.4], [0.4, 0.4, 0.1, 0.1]], dtype=dtype)
    expected = [[0.25, 0.25, 0.25, 0.25], [0, 0, 0, 1], [0.5, 0.5, 0, 0]]
    np.testing.assert_allclose(sharpen(p, 0.001), expected, rtol=0, atol=TOLERANCE)


@FEW
@given(st.integers(1, 5), st.integers(1, 9))
def test_interleaving_keeps_every_row_once(parts, rows):
    """Row for row a permutation that undoes itself; every part gives the first one about as many rows."""
    given_parts = [torch.arange(rows) + rows * i for i in range(parts)]
    mixed = interleave(given_parts)
    assert sorted(np.concatenate(mixed)) == list(range(parts * rows))
    for back, part in zip(interleave(mixed), given_parts, strict=True):
        np.testing.assert_array_equal(back, part)
    shares = np.bincount(mixed[0].numpy() // rows, minlength=parts)
    assert shares.max() - shares.min() <= 1


@FEW
@given(
    data=st.data(),
    classes=st.integers(2, 4),
    counts=st.tuples(COUNTS, COUNTS),
    views=st.integers(1, 3),
    temperature=st.sampled_from([0.2, 0.5, 1.0]),
    alpha=st.sampled_from([0.1, 0.75, 2.0]),
    schedule=st.tuples(st.sampled_from([0.0, 0.25, 1.0]), st.integers(0, 8)),
)
def test_mixmatch(data, classes, counts, views, temperature, alpha, schedule):
    """The publication's steps on images that carry a mark of their own: how they were mixed can be read off.

    Any number of labelled and unlabelled images, so with the interleaved forwards and without.
    """
    (marked, count), (ramp, index) = counts, schedule
    n = marked + views * count
    x = data.draw(logits(n, classes))
    pixels = as_images(np.hstack([x, np.eye(n)])).detach()
    y, hidden = data.draw(truths(marked, classes)), data.draw(truths(count, classes))
    weak = tuple(pixels[marked + v * count :][:count] for v in range(views))
    classify = Pixels(classes)
    strategy = MixMatch(classes, views=views, temperature=temperature, alpha=alpha, weight=75.0, ramp=ramp)
    terms = strategy.terms(
        classify,
        Labelled(pixels[:marked], tensors(y)[0], torch.arange(marked)),
        Unlabelled(weak[0], torch.arange(count), {"weak": weak}, tensors(hidden)[0]),
        StepContext(3, index, 9),
    )

    mean = softmax(x[marked:], 1).reshape(views, count, classes).mean(0)
    with np.errstate(divide="ignore"):
        guess = softmax(np.log(mean) / temperature, 1)
    targets = np.vstack([np.eye(classes)[y], *[guess] * views])
    seen = torch.cat(classify.given[views:])[:, 0, 0].numpy()
    shares = seen[:, classes:]
    np.testing.assert_allclose(shares.sum(1), 1)
    assert (np.count_nonzero(shares, 1) <= 2).all()
    own = shares.argmax(1)  # the larger share is the image's own
    assert sorted(own) == list(range(n))
    np.testing.assert_allclose(shares @ x, seen[:, :classes], rtol=1e-12, atol=1e-9)

    mixed, soft = seen[:, :classes], shares @ targets
    known = own < marked
    close(terms["mixed-cross-entropy"], entropy(mixed[known], soft[known]).mean())
    close(terms["mixed-squared-error"], ((softmax(mixed, 1) - soft)[~known] ** 2).mean())
    assert terms["mixed-cross-entropy"].weight == 1
    rise = 1.0 if ramp == 0 else min(1.0, index / 8 / ramp)
    assert terms["mixed-squared-error"].weight == pytest.approx(75 * rise, abs=TOLERANCE)
    if (np.diff(np.sort(guess, 1)[:, -2:]) > 1e-9).all():
        close(terms["pseudo-label-accuracy"], (guess.argmax(1) == hidden).mean())
