"""Each equation and its gradient against NumPy in float64; where it must be zero; extreme input; order."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from seg_oracle import CASES, IDS, ORACLES, SHAPES, STRATEGIES, Bench, assert_follows, step

from mmtk_seg_zoo.boxes import boxes

REJECTS = ["ua-mt", "weak-strong", "cutmix"]
PARTS = {"cps": ("net", "twin")}  # whose parameters learn; everywhere else the main network's alone


@pytest.mark.parametrize(("channels", "exclusive"), SHAPES)
@pytest.mark.parametrize(("word", "keys"), CASES, ids=IDS)
def test_the_terms_are_those_of_the_paper(word, keys, channels, exclusive):
    bench = Bench(word, channels, exclusive, keys)
    supports = assert_follows(bench, ORACLES[word](bench, **keys))
    if keys and word in REJECTS:  # or the equation was not put to the test
        assert 0 < min(supports) < 1


def far(numbers, kinds, masks, seed):
    """The numbers with images of every kind: faint, plain, or up to 1e4; masks empty, full or as they are."""
    draw = np.random.default_rng(seed)

    def of(kind, images):
        return (
            images + draw.choice([-1e4, -10.0, 0.0, 10.0, 1e4], images.shape) if kind == "far" else kind * images
        )

    names = ("known", "plain", "weak", "strong")
    made = {name: of(kind, getattr(numbers, name)) for name, kind in zip(names, kinds, strict=True)}
    target = numbers.target.copy()
    if masks != "drawn":
        target[:] = masks == "full"
        if target.shape[1] > 1 and np.allclose(numbers.target.sum(1), 1):  # exclusive: all of one class
            target[:], target[:, -1 if masks == "full" else 0] = 0, 1
    return type(numbers)(made["known"], target, made["plain"], made["weak"], made["strong"])


KINDS = st.sampled_from([1e-3, 1.0, 4.0, "far"])


@pytest.mark.parametrize(("word", "keys"), CASES, ids=IDS)
@settings(max_examples=25, deadline=None)
@given(
    shape=st.sampled_from(SHAPES),
    count=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
    masks=st.sampled_from(["drawn", "empty", "full"]),
    kinds=st.lists(st.tuples(KINDS, KINDS, KINDS, KINDS), min_size=1, max_size=3),
)
def test_the_terms_are_those_of_the_paper_at_any_logits(word, keys, shape, count, seed, masks, kinds):
    """A few steps one after the other: one image or more, masks empty or full, logits beyond 1e4."""
    bench = Bench(word, *shape, keys)
    oracle = ORACLES[word](bench, **keys)
    for index, of in enumerate(kinds):
        numbers = far(step(seed + index, *shape, count), of, masks, seed + index)
        terms, wanted = bench.run(numbers, index), oracle.terms(numbers, index)
        for name, (value, weight, support) in wanted.items():
            np.testing.assert_allclose(terms[name].value.item(), value, rtol=1e-6, atol=1e-6, err_msg=name)
            np.testing.assert_allclose(terms[name].weight, weight, rtol=1e-12)
            np.testing.assert_allclose(float(terms[name].active), support, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("channels", "exclusive"), SHAPES)
@pytest.mark.parametrize(("word", "keys"), CASES, ids=IDS)
def test_the_gradient_is_that_of_the_equation_and_reaches_no_target(word, keys, channels, exclusive):
    """By central differences of the oracle, with what gives targets held fast."""
    bench, index = Bench(word, channels, exclusive, keys), 6
    numbers = step(3, channels, exclusive)
    terms = {name: term for name, term in bench.run(numbers, index).items() if term.weight}
    wanted = ORACLES[word](bench, **keys).terms(numbers, index)
    for part in ("net", "twin"):
        network = getattr(bench, part)
        learns = part in PARTS.get(word, ("net",))
        for name in wanted:
            parameters = list(network.parameters())
            found = (
                torch.autograd.grad(terms[name].value, parameters, retain_graph=True, allow_unused=True)
                if all(p.requires_grad for p in parameters)
                else [None, None]
            )
            if not learns:
                assert all(slope is None for slope in found)
                continue

            def value(name: str = name) -> float:
                return ORACLES[word](bench, **keys).terms(numbers, index)[name][0]

            for parameter, slope in zip(parameters, found, strict=True):
                slope = np.zeros(channels) if slope is None else slope.numpy()
                np.testing.assert_allclose(slope, differences(value, parameter), rtol=1e-4, atol=1e-8)


def differences(value, parameter, by=1e-6):
    """The derivative of an oracle's term by a parameter of a network that learns, one number a channel.

    The weak view of weak-to-strong consistency is predicted by the network as it was: a target has no gradient.
    """
    slopes = np.zeros(len(parameter))
    for channel in range(len(parameter)):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter[channel] += sign * by
            values.append(value())
            with torch.no_grad():
                parameter[channel] -= sign * by
        slopes[channel] = (values[0] - values[1]) / (2 * by)
    return slopes


def test_gradients_were_there_to_compare():
    for word, keys in CASES:
        bench = Bench(word, 3, False, keys)
        terms = bench.run(step(3, 3, False), 6)
        moved = list(bench.net.parameters())
        for name in ORACLES[word](bench, **keys).terms(step(3, 3, False), 6):
            if name != "cross-entropy-second":
                slopes = torch.autograd.grad(terms[name].value, moved, retain_graph=True)
                assert max(slope.abs().max() for slope in slopes) > 1e-6, (word, name)


@pytest.mark.parametrize("word", STRATEGIES)
def test_the_labelled_loss_is_the_recipes(word):
    bench = Bench(word, 1, False, {})
    numbers = step(0, 1, False)
    logits, target = bench.net.numpy(numbers.known), numbers.target
    expected = (np.logaddexp(0, logits) - target * logits).mean()
    term = bench.run(numbers)["cross-entropy"]
    np.testing.assert_allclose(term.value.item(), expected, rtol=1e-12)
    assert term.weight == 1


# --- where nothing counts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "exclusive"), SHAPES)
@pytest.mark.parametrize(("word", "name"), [("weak-strong", "weak-strong"), ("cutmix", "cutmix")])
def test_all_below_the_threshold_is_exactly_zero_with_zero_gradient(word, name, channels, exclusive):
    bench = Bench(word, channels, exclusive, {"threshold": 1.0})
    term = bench.run(step(1, channels, exclusive))[name]
    assert term.value == 0
    assert float(term.active) == 0
    assert term.weight > 0
    slopes = torch.autograd.grad(term.value, list(bench.net.parameters()))
    assert all(float(slope.abs().max()) == 0 for slope in slopes)


def test_ua_mt_of_a_teacher_that_knows_nothing_is_zero_and_explained():
    bench = Bench("ua-mt", 4, True, {"ramp": 0.4})
    with torch.no_grad():
        bench.twin.slope.zero_()
        bench.twin.offset.zero_()
    term = bench.run(step(1, 4, True))["consistency"]
    assert term.value == 0
    assert float(term.active) == 0


def test_a_mask_within_the_bounds_costs_nothing():
    bench, numbers = Bench("area-prior", 1, False, {}), step(1, 1, False)
    with torch.no_grad():
        bench.net.slope.zero_()
        bench.net.offset.fill_(float(np.log(numbers.target.mean() / (1 - numbers.target.mean()))))
    term = bench.run(numbers)["area"]
    assert term.value == 0
    assert float(term.active) == 0


def test_ignored_pixels_belong_to_no_area():
    bench, numbers = Bench("area-prior", 1, False, {}), step(1, 1, False)
    numbers.target[:] = 1
    numbers.target[:, :, :3] = -1
    bench.run(numbers)
    assert bench.strategy.low.item() == bench.strategy.high.item() == 1


# --- extremes, order, one image, boxes -----------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "exclusive"), SHAPES)
@pytest.mark.parametrize(("word", "keys"), CASES, ids=IDS)
def test_extreme_logits_stay_finite(word, keys, channels, exclusive):
    bench = Bench(word, channels, exclusive, keys)
    with torch.no_grad():
        bench.net.slope.mul_(1e4)
        bench.twin.slope.mul_(-1e4)
    terms = list(bench.run(step(0, channels, exclusive), 9).values())
    assert all(torch.isfinite(term.value) for term in terms)
    total = sum(term.weight * term.value for term in terms if term.weight)
    slopes = torch.autograd.grad(total, list(bench.net.parameters()))
    assert all(bool(torch.isfinite(slope).all()) for slope in slopes)


@pytest.mark.parametrize("word", ["entropy", "cps", "weak-strong", "area-prior"])
def test_the_order_of_the_images_does_not_matter(word):
    numbers = step(2, 3, True)
    turned = type(numbers)(
        numbers.known,
        numbers.target,
        numbers.plain[::-1].copy(),
        numbers.weak[::-1].copy(),
        numbers.strong[::-1].copy(),
    )
    terms, same = Bench(word, 3, True, {}).run(numbers, 4), Bench(word, 3, True, {}).run(turned, 4)
    for name, term in terms.items():
        torch.testing.assert_close(same[name].value, term.value)


@pytest.mark.parametrize("word", STRATEGIES)
def test_a_single_unlabelled_image_is_enough(word):
    bench = Bench(word, 1, False, {})
    assert all(bool(torch.isfinite(term.value)) for term in bench.run(step(0, 1, False, count=1), 4).values())


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_boxes_cover_their_share_and_differ(share):
    found = boxes(200, (64, 48), share, torch.Generator().manual_seed(0))
    assert set(found.unique().tolist()) == {0.0, 1.0}
    areas = found.mean((1, 2, 3))
    assert float((areas - share).abs().max()) < 1 / 48 + 1 / 64
    assert len({each.numpy().tobytes() for each in found}) > 100
    for each in found[:, 0]:  # a box: the product of its rows and its columns
        assert torch.equal(each, each.amax(1)[:, None] * each.amax(0)[None])
