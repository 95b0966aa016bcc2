"""Each equation and its gradient against NumPy in float64; where it must be zero; extreme input; order."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmtk.api import StepContext, Unlabelled
from ssl_oracle import (
    CASES,
    IDS,
    ORACLES,
    SIZE,
    STRATEGIES,
    FirstPixels,
    assert_follows,
    cross_entropy,
    make,
    run,
    softmax,
    step,
    tensors,
)

from mmtk_ssl_zoo.confident import confident

# The views whose logits each unlabelled loss is a function of; all else gives targets.
LEARNS = {
    "pseudo-label": {"weak-0"},
    "entropy": {"weak-0"},
    "pi-model": {"weak-0", "weak-1"},
    "mean-teacher": {"weak-0"},
    "uda": {"strong-0"},
    "fixmatch": {"strong-0"},
    "flexmatch": {"strong-0"},
    "freematch": {"strong-0"},
    "softmatch": {"strong-0"},
}
REJECTS = ["pseudo-label", "uda", "fixmatch", "flexmatch", "freematch", "softmatch"]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(("word", "keys"), CASES, ids=IDS)
def test_the_terms_are_those_of_the_paper(word, keys, classes):
    rates = assert_follows(make(word, classes, **keys), ORACLES[word](classes, **keys), classes)
    if keys and word in REJECTS:  # or the equation was not put to the test
        assert 0 < min(rates) < 1


@pytest.mark.parametrize("word", STRATEGIES)
def test_the_labelled_loss_is_the_recipes(word):
    numbers = step(0, 3)
    term = run(make(word, 3), numbers)["cross-entropy"]
    np.testing.assert_allclose(term.value.item(), cross_entropy(numbers.target, numbers.known).mean(), rtol=1e-12)
    assert term.weight == 1


def far(numbers, kinds, seed):
    """The numbers with the logits of every view of a kind: unsure, sure, or from −1e4 to 1e4; no two are equal."""
    draw = np.random.default_rng(seed)

    def of(kind, shape):
        plain = draw.standard_normal(shape)
        return plain + draw.choice([-1e4, -40.0, 0.0, 40.0, 1e4], shape) if kind == "far" else kind * plain

    known, one, other, strong = (
        of(k, each.shape) for k, each in zip(kinds, (numbers.known, *numbers.weak, numbers.strong), strict=True)
    )
    return replace(numbers, known=known, weak=(one, other), strong=strong)


KINDS = st.sampled_from([1e-3, 1.0, 4.0, "far"])


@pytest.mark.parametrize(("word", "keys"), CASES, ids=IDS)
@settings(max_examples=25, deadline=None)
@given(
    classes=st.integers(2, 4),
    count=st.integers(1, 6),
    labelled=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
    kinds=st.lists(st.tuples(KINDS, KINDS, KINDS, KINDS), min_size=1, max_size=4),
)
def test_the_terms_are_those_of_the_paper_at_any_logits(word, keys, classes, count, labelled, seed, kinds):
    """A few steps one after the other: one image or more, all below the threshold or above, logits up to 1e4."""
    strategy, oracle = make(word, classes, **keys), ORACLES[word](classes, **keys)
    for index, of in enumerate(kinds):
        numbers = far(step(seed + index, classes, count, labelled), of, seed + index)
        terms, expected = run(strategy, numbers, index), oracle.terms(numbers, index)
        for name, (value, weight, rate) in expected.items():
            np.testing.assert_allclose(terms[name].value.item(), value, rtol=1e-6, atol=1e-6, err_msg=name)
            np.testing.assert_allclose(terms[name].weight, weight, rtol=1e-9)
            if rate is not None:
                np.testing.assert_allclose(terms["mask-rate"].value.item(), rate, rtol=0, atol=1e-6)


# --- gradients -----------------------------------------------------------------------------------------------


def moved(numbers, view, row, column, by):
    """The numbers with one logit of a view changed."""
    name, _, which = view.partition("-")
    views = list(numbers.weak) if name == "weak" else [numbers.strong]
    views[int(which)] = views[int(which)].copy()
    views[int(which)][row, column] += by
    return replace(numbers, weak=tuple(views)) if name == "weak" else replace(numbers, strong=views[0])


def slopes(oracle, numbers, view, index):
    """The derivative of every term of the oracle by every logit of a view, by central differences."""

    def terms(by, row, column):
        return copy.deepcopy(oracle).terms(moved(numbers, view, row, column, by), index)

    found = {}
    for row, column in np.ndindex(numbers.strong.shape):
        above, below = terms(1e-5, row, column), terms(-1e-5, row, column)
        for name, (value, _, _) in above.items():
            slope = found.setdefault(name, np.zeros(numbers.strong.shape))
            slope[row, column] = (value - below[name][0]) / 2e-5
    return found


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(("word", "keys"), CASES, ids=IDS)
def test_gradients_go_where_they_must_and_nowhere_else(word, keys, classes):
    """Against the oracle's derivative; labelled images, targets, thresholds and the teacher get none."""
    strategy, oracle, index = make(word, classes, **keys), ORACLES[word](classes, **keys), 2
    for before in range(index):
        run(strategy, step(before, classes), before)
        oracle.terms(step(before, classes), before)
    numbers = step(7, classes)
    known, others = tensors(numbers, strategy.views)
    terms = strategy.terms(FirstPixels(classes), known, others, StepContext(0, index, 11))
    leaves = {f"{view}-{k}": leaf for view, copies in others.views.items() for k, leaf in enumerate(copies)}
    for name in copy.deepcopy(oracle).terms(numbers, index):
        wanted = {view: slopes(oracle, numbers, view, index)[name] for view in LEARNS[word]}
        inputs = [*leaves.values(), known.image, others.image]
        gradients = torch.autograd.grad(terms[name].value, inputs, retain_graph=True, allow_unused=True)
        by_view = dict(zip(leaves, gradients, strict=False))
        assert {view for view, gradient in by_view.items() if gradient is not None} == LEARNS[word]
        assert gradients[-2] is None
        assert gradients[-1] is None
        for view, slope in wanted.items():
            np.testing.assert_allclose(by_view[view].numpy()[:, 0, 0], slope, rtol=1e-5, atol=1e-9)
            assert np.abs(slope).max() > 0
    assert not any(buffer.requires_grad for buffer in strategy.buffers())
    sum(term.weight * term.value for term in terms.values()).backward()
    assert all(parameter.grad is None for parameter in strategy.parameters())


# --- nothing is confident ------------------------------------------------------------------------------------


def unsure(word):
    """A strategy whose state refuses everything that is not very sure, and its state's tensors by name."""
    strategy = make(word, 2)
    with torch.no_grad():
        if word == "flexmatch":  # all learned, half as either class: both thresholds stand at τ
            strategy.learned.value.copy_(torch.arange(SIZE) % 2)
        if word == "freematch":
            strategy.confidence.value.fill_(0.99)
        if word == "softmatch":
            strategy.mean.value.fill_(1.0)
            strategy.variance.value.fill_(1e-6)
    return strategy


@pytest.mark.parametrize("word", REJECTS)
def test_all_below_the_threshold_is_exactly_zero_and_finite(word):
    numbers = step(1, 2)
    flat = np.tile([0.01, 0.0], (len(numbers.strong), 1))
    flat[1::2] = flat[1::2, ::-1]
    strategy = unsure(word)
    known, others = tensors(replace(numbers, weak=(flat, flat)), strategy.views)
    terms = strategy.terms(FirstPixels(2), known, others, StepContext(0, 5, 11))
    for name in {word, "fairness"} & set(terms):
        assert terms[name].value == 0
        assert float(terms[name].active) == 0
        assert terms[name].weight > 0
        learning = others[next(iter(LEARNS[word])).partition("-")[0]][0]
        (gradient,) = torch.autograd.grad(terms[name].value, learning, retain_graph=True)
        assert gradient.abs().max() == 0
    assert terms["mask-rate"].value == 0
    assert terms["pseudo-label-accuracy"].active == 0  # of no image at all


def test_the_fairness_of_a_single_class_is_explained():
    """One class predicted among the accepted: nothing to compare, and the support says so."""
    numbers = step(1, 3)
    same = np.tile([4.0, 0.0, -1.0], (len(numbers.strong), 1))
    terms = run(make("freematch", 3), replace(numbers, weak=(same, same), strong=same))
    assert terms["mask-rate"].value == 1
    assert terms["fairness"].value.abs() < 1e-12
    assert float(terms["fairness"].active) == 0
    assert float(run(make("freematch", 3), numbers)["fairness"].active) > 0


# --- extremes, order, one image ------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(("word", "keys"), CASES, ids=IDS)
def test_extreme_logits_stay_finite(word, keys, classes):
    strategy = make(word, classes, **keys)
    for index in range(4):
        numbers, draw = step(index, classes), np.random.default_rng(index)
        far = [draw.choice([-1e4, 0.0, 1e4], numbers.strong.shape) for _ in range(3)]
        known, others = tensors(replace(numbers, weak=(far[0], far[1]), strong=far[2]), strategy.views)
        classify = FirstPixels(classes)
        terms = strategy.terms(classify, known, others, StepContext(0, index, 11))
        assert all(torch.isfinite(term.value) for term in terms.values())
        (slope,) = torch.autograd.grad(sum(t.weight * t.value for t in terms.values()), [classify.scale])
        assert torch.isfinite(slope)
        assert all(torch.isfinite(buffer).all() for buffer in strategy.buffers())


@pytest.mark.parametrize(("word", "keys"), CASES, ids=IDS)
def test_the_order_of_the_images_does_not_matter(word, keys):
    one, other = make(word, 3, **keys), make(word, 3, **keys)
    for index in range(3):
        numbers = step(index, 3)
        shuffled = numbers.rows(np.random.default_rng(index).permutation(len(numbers.index)))
        terms, same = run(one, numbers, index), run(other, shuffled, index)
        for name, term in terms.items():
            torch.testing.assert_close(same[name].value, term.value)
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], tensor)


def test_an_image_that_a_batch_holds_twice_is_learned_alike_in_any_order():
    numbers = step(0, 3, count=2)
    sure = np.array([[9.0, 0.0, 0.0], [0.0, 9.0, 0.0]])
    found = []
    for order in ([0, 1], [1, 0]):
        strategy = make("flexmatch", 3)
        run(strategy, replace(numbers, weak=(sure, sure), index=np.array([4, 4])).rows(np.array(order)))
        found.append(strategy.learned.value.tolist())
    assert found[0] == found[1] == [-1] * 4 + [1] + [-1] * (SIZE - 5)


@pytest.mark.parametrize("word", STRATEGIES)
def test_a_single_unlabelled_image_is_enough(word):
    strategy = make(word, 2)
    for index in range(3):
        terms = run(strategy, step(index, 2, count=1), index)
        assert all(torch.isfinite(term.value) for term in terms.values())
    assert all(torch.isfinite(buffer).all() for buffer in strategy.buffers())


def test_equal_confidences_without_memory_weigh_one():
    """A variance of exactly 0: nothing lies below the mean."""
    numbers = step(0, 2)
    same = np.tile([1.0, 0.0], (len(numbers.strong), 1))
    strategy = make("softmatch", 2, momentum=0.0)
    terms = run(strategy, replace(numbers, weak=(same, same)))
    assert strategy.variance.value == 0
    assert terms["mask-rate"].value == 1
    expected = cross_entropy(np.zeros(len(same), int), numbers.strong).mean()
    np.testing.assert_allclose(terms["softmatch"].value.item(), expected, rtol=1e-9)


# --- the parts -----------------------------------------------------------------------------------------------


def test_the_temperature_changes_the_targets():
    numbers = step(3, 3)
    found = {t: run(make("uda", 3, temperature=t), numbers)["uda"].value.item() for t in (0.4, 1.0, 2.0)}
    assert len({round(value, 6) for value in found.values()}) == 3
    rates = {run(make("uda", 3, temperature=t), numbers)["mask-rate"].value.item() for t in (0.4, 1.0, 2.0)}
    assert len(rates) == 1  # the threshold is on what is not sharpened


def test_alignment_changes_fixmatchs_labels_but_softmatchs_weights_alone():
    """Weak views that all lean to class 0, some less than others: aligned, the least of them become class 1."""
    numbers = step(3, 2)
    lean = np.stack([np.linspace(0.5, 5, 8), np.zeros(8)], 1)
    numbers = replace(
        numbers, weak=(lean, lean), target=np.array([0, 1, 0, 1]), strong=lean, truth=np.zeros(8, int)
    )
    keys = {"alignment": True, "momentum": 0.1}
    fix = run(make("fixmatch", 2, threshold=0.0, **keys), numbers)
    assert 0 < fix["pseudo-label-accuracy"].value < 1
    soft, plain = (run(make("softmatch", 2, **keys | {"alignment": on}), numbers) for on in (True, False))
    assert soft["pseudo-label-accuracy"].value == 1
    assert abs(soft["mask-rate"].value - plain["mask-rate"].value) > 1e-3


def test_flexmatch_begins_without_a_threshold_and_rises_with_what_is_learned():
    strategy = make("flexmatch", 2, threshold=0.8)
    assert strategy.thresholds(strategy.learned.value).tolist() == [0, 0]
    learned = torch.tensor([0] * 8 + [1] * 4 + [-1] * (SIZE - 12))
    beta = np.array([8 / 8, 4 / 8])  # eight are not learned yet
    np.testing.assert_allclose(strategy.thresholds(learned), 0.8 * beta / (2 - beta), rtol=1e-6)
    learned = torch.tensor([0] * 4 + [1] * 2 + [-1] * (SIZE - 6))
    beta = np.array([4 / 14, 2 / 14])  # the warm-up: more are not learned than are of any class
    np.testing.assert_allclose(strategy.thresholds(learned), 0.8 * beta / (2 - beta), rtol=1e-6)


def test_an_image_keeps_its_class_until_it_is_learned_as_another():
    strategy, numbers = make("flexmatch", 2), step(0, 2, count=2)
    views = [([9.0, 0.0], 0), ([0.2, 0.0], 0), ([0.0, 9.0], 1)]
    for index, (logits, expected) in enumerate(views):
        both = np.array([logits, [0.1, 0.0]])
        run(strategy, replace(numbers, weak=(both, both), index=np.array([3, 5])), index)
        assert strategy.learned.value[3] == expected
        assert strategy.learned.value[5] == -1


def test_the_shared_loss_and_what_it_logs():
    numbers = step(4, 3)
    logits, share = torch.from_numpy(numbers.strong), torch.linspace(0, 1, 8).double()
    soft = torch.from_numpy(softmax(numbers.weak[0]))
    _, others = tensors(numbers, {"weak": 1})
    for target in (soft, soft.argmax(1)):
        terms = confident("any", logits, target, share, 0.5, others, StepContext(0, 0, 1))
        losses = cross_entropy(target.numpy(), numbers.strong)
        np.testing.assert_allclose(terms["any"].value.item(), (share.numpy() * losses).mean(), rtol=1e-12)
        right = share.numpy()[numbers.weak[0].argmax(1) == numbers.truth].sum() / share.sum()
        np.testing.assert_allclose(terms["pseudo-label-accuracy"].value.item(), right, rtol=1e-12)
        assert [term.weight for term in terms.values()] == [0.5, 0, 0]
        assert float(terms["any"].active) == float(terms["mask-rate"].value) == pytest.approx(0.5)
    unknown = Unlabelled(others.image, others.index, others.views)
    assert set(confident("any", logits, soft, share, 0.5, unknown, StepContext(0, 0, 1))) == {"any", "mask-rate"}
