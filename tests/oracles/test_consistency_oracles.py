"""Terms of the segmentation strategies against NumPy and SciPy; the mask logits are the images themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle_inputs import FEW, TOLERANCE, Identity, logits, mask_batches, tensors
from scipy.special import expit, logsumexp, rel_entr, softmax

from mmtk.api import Labelled, StepContext, Unlabelled
from mmtk.components.consistency.kl import KL, bernoulli_kl, categorical_kl
from mmtk.components.consistency.none import NoConsistency
from mmtk.components.loss.cross_entropy import CrossEntropy
from mmtk.components.loss.dice import Dice
from mmtk.training.strategies import SupervisedLoss

both_kinds = pytest.mark.parametrize("exclusive", [False, True], ids=["independent", "exclusive"])
NOW = StepContext(0, 0, 9)


def divergence(x, y, exclusive):
    """Mean KL of the distributions with logits x from those with logits y, as an exponential family has it:
    A(y) − A(x) − ⟨∇A(x), y − x⟩ with A the log-partition function; finite for any logits.
    """
    if exclusive:
        bregman = logsumexp(y, 1) - logsumexp(x, 1) - (softmax(x, 1) * (y - x)).sum(1)
    else:
        bregman = np.logaddexp(0, y) - np.logaddexp(0, x) - expit(x) * (y - x)
    return bregman.mean()


@st.composite
def pairs(draw, exclusive):
    """Two arrays of logits of one shape."""
    images, channels = draw(st.integers(1, 4)), draw(st.integers(2 if exclusive else 1, 4))
    shape = (images, channels, draw(st.integers(1, 6)), draw(st.integers(1, 7)))
    first = draw(logits(*shape))
    return first, draw(st.just(first) | st.just(-first) | logits(*shape))


@both_kinds
@FEW
@given(data=st.data())
def test_kl_at_any_logits(exclusive, data):
    x, y = data.draw(pairs(exclusive))
    found = (categorical_kl if exclusive else bernoulli_kl)(*tensors(x, y)).item()
    assert found == pytest.approx(divergence(x, y, exclusive), abs=TOLERANCE)
    assert found >= -1e-12


@both_kinds
@FEW
@given(data=st.data())
def test_kl_is_the_relative_entropy_of_the_probabilities(exclusive, data):
    """Where no probability underflows: SciPy's relative entropy, summed over the outcomes of a pixel."""
    x, y = (np.clip(each, -30, 30) for each in data.draw(pairs(exclusive)))
    if exclusive:
        expected = rel_entr(softmax(x, 1), softmax(y, 1)).sum(1).mean()
    else:
        expected = (rel_entr(expit(x), expit(y)) + rel_entr(expit(-x), expit(-y))).mean()
    found = (categorical_kl if exclusive else bernoulli_kl)(*tensors(x, y)).item()
    assert found == pytest.approx(expected, abs=TOLERANCE)


@both_kinds
@FEW
@given(data=st.data(), weight=st.sampled_from([0.0, 0.01, 2.0]), scale=st.sampled_from([1.0, 5.0]))
def test_kl_strategy(exclusive, data, weight, scale):
    """Eq. 2: the supervised loss and, over the pairs that there are, the divergence; holes do not enter it."""
    x, target = data.draw(mask_batches(exclusive))
    others = data.draw(logits(data.draw(st.integers(1, 4)), *x.shape[1:]))
    images, masks, unlabelled = tensors(x, target, others)
    loss = data.draw(st.sampled_from([CrossEntropy(x.shape[1], exclusive, None), Dice(x.shape[1], exclusive)]))
    strategy = KL(SupervisedLoss("supervised", loss, scale), exclusive, weight=weight)
    known = Labelled(images, masks, torch.arange(len(x)))
    terms = strategy.terms(Identity(), known, Unlabelled(unlabelled, torch.arange(len(others))), NOW)

    both = min(len(x), len(others))
    expected = divergence(x[:both], others[:both], exclusive)
    assert {name: term.weight for name, term in terms.items()} == {"supervised": scale, "kl": weight}
    assert terms["kl"].value.item() == pytest.approx(expected, abs=TOLERANCE)
    # The supervised losses have their own oracles; here it counts that they see these logits and masks.
    assert terms["supervised"].value.item() == loss(images, masks).item()


@both_kinds
@FEW
@given(data=st.data(), scale=st.sampled_from([0.5, 1.0, 5.0]))
def test_none(exclusive, data, scale):
    """The supervised loss alone; here the share of wrong pixels times 1e4 where the network is certain."""
    _, target = data.draw(mask_batches(exclusive, ignore=False))
    guess = np.roll(target, 1, -1)
    known = Labelled(
        *tensors(np.where(guess == 1, 1e4, 0.0 if exclusive else -1e4), target), torch.arange(len(target))
    )
    loss = CrossEntropy(target.shape[1], exclusive, None)
    terms = NoConsistency(SupervisedLoss("supervised", loss, scale)).terms(Identity(), known, None, NOW)
    wrong = (guess != target).any(1) if exclusive else guess != target
    assert {name: term.weight for name, term in terms.items()} == {"supervised": scale}
    assert terms["supervised"].value.item() == pytest.approx(1e4 * wrong.mean(), abs=TOLERANCE)
