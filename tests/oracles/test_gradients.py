"""Gradients: by finite differences, by hand at extremes, and who gets one from which term."""

from __future__ import annotations

import copy
import inspect
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle_inputs import (
    FEW,
    SEEDS,
    TOLERANCE,
    Pixels,
    as_images,
    class_batches,
    holes,
    mask_batches,
    masks,
    moderate,
    spread,
    tensors,
)
from scipy.special import expit, log_expit, log_softmax, softmax
from tiny import shallow

from mmtk.api import Labelled, LabelSpec, StepContext, Unlabelled
from mmtk.components.consistency.kl import bernoulli_kl, categorical_kl
from mmtk.components.loss.cross_entropy import CrossEntropy
from mmtk.components.loss.dice import Dice
from mmtk.components.loss.smp import SmpLoss
from mmtk.components.ssl.confidence import Confidence
from mmtk.components.ssl.mixmatch import MixMatch
from mmtk.data.batches import Batch
from mmtk.model import build
from mmtk.registry import catalog
from mmtk.training import strategies as training_strategies
from mmtk.training.objective import Objective

both_kinds = pytest.mark.parametrize("exclusive", [False, True], ids=["independent", "exclusive"])
NOW = StepContext(3, 4, 9)


def slopes(value, *inputs):
    """∂ value / ∂ each input as NumPy, 0 where it does not depend on it."""
    found = torch.autograd.grad(value, inputs, allow_unused=True)
    return [np.zeros(x.shape) if g is None else g.numpy() for x, g in zip(inputs, found, strict=True)]


# --- finite differences ----------------------------------------------------------------------------------------

MASK_LOSSES = {
    "cross-entropy": lambda c, e: CrossEntropy(c, e, torch.linspace(0.5, 2, c), smoothing=0.1),
    "dice": Dice,
    "smp-dice": lambda c, e: SmpLoss(c, e, name="dice", smooth=0.5),
    "smp-jaccard": lambda c, e: SmpLoss(c, e, name="jaccard"),
    "smp-tversky": lambda c, e: SmpLoss(c, e, name="tversky", alpha=0.3, beta=0.7, gamma=1.3),
    "smp-focal": lambda c, e: SmpLoss(c, e, name="focal", alpha=0.25, gamma=1.5),
    "smp-mcc": lambda c, e: SmpLoss(1, False, name="mcc"),
    "smp-soft-bce": lambda c, e: SmpLoss(c, False, name="soft-bce", smooth=0.1),
}
CASES = [
    (name, e) for name in MASK_LOSSES for e in (False, True) if not (e and name in ("smp-mcc", "smp-soft-bce"))
]


@st.composite
def small_masks(draw, exclusive, one_channel):
    """Logits within a few units and masks with holes, small enough to move every logit."""
    channels = 1 if one_channel else draw(st.integers(2, 3))
    shape = (draw(st.integers(1, 2)), channels, 2, 3)
    target = draw(masks(*shape, exclusive=exclusive))
    return draw(moderate(*shape)), np.where(draw(holes(shape, exclusive)), -1, target)


@pytest.mark.parametrize(("name", "exclusive"), CASES)
@settings(max_examples=10)
@given(data=st.data())
def test_losses_of_masks(name, exclusive, data):
    logits, target = tensors(*data.draw(small_masks(exclusive, name == "smp-mcc")))
    loss = MASK_LOSSES[name](logits.shape[1], exclusive)
    assert torch.autograd.gradcheck(lambda x: loss(x, target), logits.requires_grad_())


@settings(max_examples=15)
@given(class_batches(ignore=True), st.data(), st.sampled_from([0.0, 0.2]))
def test_cross_entropy_of_classes(batch, data, smoothing):
    logits, target = tensors(data.draw(moderate(*batch[0].shape)), batch[1])
    loss = CrossEntropy(logits.shape[1], True, torch.linspace(0.5, 2, logits.shape[1]), smoothing=smoothing)
    assert torch.autograd.gradcheck(lambda x: loss(x, target), logits.requires_grad_())


@both_kinds
@settings(max_examples=15)
@given(data=st.data())
def test_kl(exclusive, data):
    shape = (data.draw(st.integers(1, 2)), data.draw(st.integers(2, 3)), 2, 3)
    pair = [x.requires_grad_() for x in tensors(data.draw(moderate(*shape)), data.draw(moderate(*shape)))]
    assert torch.autograd.gradcheck(categorical_kl if exclusive else bernoulli_kl, pair)


@settings(max_examples=15)
@given(st.data(), st.integers(2, 4), st.integers(1, 4), st.sampled_from([0.0, 0.6, 1.0]))
def test_confidence(data, classes, count, threshold):
    """By the strong view: the threshold acts on the weak one, so no step is near."""
    weak = as_images(data.draw(moderate(count, classes)))
    known = Labelled(as_images(np.zeros((1, classes))), torch.zeros(1, dtype=torch.long), torch.arange(1))
    strategy = Confidence(lambda *_: {}, threshold=threshold)

    def term(strong):
        views = {"weak": (weak,), "strong": (strong,)}
        unlabelled = Unlabelled(weak, torch.arange(count), views)
        return strategy.terms(Pixels(classes), known, unlabelled, NOW)["confidence"].value

    assert torch.autograd.gradcheck(term, as_images(data.draw(moderate(count, classes))))


@settings(max_examples=15)
@given(st.data(), st.integers(2, 4), st.integers(1, 3), st.integers(1, 3))
def test_mixmatch(data, classes, marked, count):
    """By the weights of the network, against steps in which the guess stays: no gradient goes through a target."""
    images = [as_images(data.draw(moderate(n, classes))).detach() for n in (marked, count, count)]
    known = Labelled(images[0], torch.arange(marked) % classes, torch.arange(marked))
    unlabelled = Unlabelled(images[1], torch.arange(count), {"weak": tuple(images[1:])})
    start = tensors(data.draw(moderate(classes)))[0].requires_grad_()

    class Scaled(Pixels):
        """The first two forwards make the guess."""

        def __call__(self, images, *, statistics=True):
            logits = super().__call__(images)
            return (start if len(self.given) <= 2 else self.scale) * logits

    def both(scale):
        classify = Scaled(classes)
        classify.scale = scale
        terms = MixMatch(classes).terms(classify, known, unlabelled, NOW)
        return torch.stack([terms["mixed-cross-entropy"].value, terms["mixed-squared-error"].value])

    step = 1e-5 * torch.eye(classes, dtype=torch.float64)
    expected = [((both(start + d) - both(start - d)) / 2e-5).tolist() for d in step]
    found = [slopes(both(start)[term], start)[0] for term in (0, 1)]
    np.testing.assert_allclose(found, np.transpose(expected), rtol=0, atol=TOLERANCE)


# --- by hand, at any logits --------------------------------------------------------------------------------------


@FEW
@given(class_batches(), st.sampled_from([0.0, 0.2]))
def test_cross_entropy_at_any_logits(batch, smoothing):
    """(softmax − target) / images."""
    logits, target = tensors(*batch)
    classes = logits.shape[1]
    value = CrossEntropy(classes, True, None, smoothing=smoothing)(logits.requires_grad_(), target)
    soft = (1 - smoothing) * np.eye(classes)[batch[1]] + smoothing / classes
    expected = (softmax(batch[0], 1) - soft) / len(soft)
    np.testing.assert_allclose(slopes(value, logits)[0], expected, rtol=0, atol=TOLERANCE)


@both_kinds
@FEW
@given(data=st.data())
def test_kl_at_any_logits(exclusive, data):
    """q − p at the second logits; at the first p times (log p/q minus its mean over the outcomes), per pixel."""
    x, _ = data.draw(mask_batches(exclusive, ignore=False))
    y = data.draw(st.just(-x) | st.builds(spread, st.just(x.shape), SEEDS, st.sampled_from([1.0, 1e4])))
    if exclusive:
        p, q, gap = softmax(x, 1), softmax(y, 1), log_softmax(x, 1) - log_softmax(y, 1)
        by_x, pixels = p * (gap - (p * gap).sum(1, keepdims=True)), x[:, 0].size
    else:
        p, q = expit(x), expit(y)
        odds = (log_expit(x) - log_expit(-x)) - (log_expit(y) - log_expit(-y))
        by_x, pixels = expit(x) * expit(-x) * odds, x.size
    first, second = (each.requires_grad_() for each in tensors(x, y))
    found = slopes((categorical_kl if exclusive else bernoulli_kl)(first, second), first, second)
    np.testing.assert_allclose(found[0], by_x / pixels, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(found[1], (q - p) / pixels, rtol=0, atol=TOLERANCE)


@both_kinds
@FEW
@given(data=st.data())
def test_dice_at_any_logits(exclusive, data):
    """By p: −2 (g (P + G + s) − (I + s/2)) / (P + G + s)², by the logit that times the slope of p."""
    x, target = data.draw(mask_batches(exclusive, ignore=False))
    first = int(exclusive)
    p = softmax(x, 1) if exclusive else expit(x)
    a, g = p[:, first:], target[:, first:]
    common, size = ((each).sum((2, 3), keepdims=True) for each in (a * g, a + g))
    by_p = np.zeros_like(p)
    by_p[:, first:] = -(2 * g * (size + 1) - (2 * common + 1)) / (size + 1) ** 2 / (len(x) * a.shape[1])
    expected = p * (by_p - (p * by_p).sum(1, keepdims=True)) if exclusive else p * expit(-x) * by_p
    logits, t = tensors(x, target)
    value = Dice(x.shape[1], exclusive)(logits.requires_grad_(), t)
    np.testing.assert_allclose(slopes(value, logits)[0], expected, rtol=0, atol=TOLERANCE)


@FEW
@given(st.data())
def test_lovasz_hinge(data):
    """−(2t − 1) times what its pixel adds to the Jaccard loss, of those within the margin (Berman et al. 2018)."""
    shape = (1, 1, data.draw(st.integers(1, 4)), 5)
    x, target = data.draw(moderate(*shape)).astype(np.float32), data.draw(masks(*shape, exclusive=False))
    signs = 2 * target - 1
    errors, expected = (1 - x * signs).ravel(), np.zeros(x.size)
    order = np.argsort(-errors)
    wrong, union, before = 0, int(target.sum()), 0.0
    for pixel in order:
        wrong, union = wrong + 1, union + int(target.ravel()[pixel] == 0)
        expected[pixel] = -signs.ravel()[pixel] * (wrong / union - before) * (errors[pixel] > 0)
        before = wrong / union
    logits, t = tensors(x, target.astype(np.float32))
    value = SmpLoss(1, False, name="lovasz")(logits.requires_grad_(), t)
    np.testing.assert_allclose(slopes(value, logits)[0].ravel(), expected, rtol=0, atol=TOLERANCE)


@both_kinds
@pytest.mark.parametrize("gamma", [0.0, 1.0, 1.25, 2.0])
@pytest.mark.parametrize("name", ["focal", "tversky"])
def test_every_exponent_gives_a_finite_gradient(name, gamma, exclusive):
    """Right predictions, hardly certain to sure, of masks that are empty, half or full: what a training meets."""
    for pixels, scale in product((0, 2, 4), (1.0, 10.0, 40.0, 1e4)):
        target = np.zeros((2, 2, 4, 4), np.float32)
        target[:, 1, :pixels] = 1
        target[:, 0] = 1 - target[:, 1] if exclusive else target[:, 1]
        logits, t = tensors(scale * (2 * target - 1), target)
        value = SmpLoss(2, exclusive, name=name, gamma=gamma)(logits.requires_grad_(), t)
        assert value.isfinite()
        assert np.isfinite(slopes(value, logits)[0]).all(), (pixels, scale)


# --- who learns --------------------------------------------------------------------------------------------------

FEW_NAMES = {
    "classification": LabelSpec("classification", ("normal", "pneumonia")),
    "segmentation": LabelSpec("segmentation", ("lung",), exclusive=False),
}
MORE_NAMES = {
    "classification": LabelSpec("classification", ("normal", "bacterial", "viral")),
    "segmentation": LabelSpec("segmentation", ("background", "left lung", "right lung")),
}
SYSTEMS = ["enc", "enc-ssl", "enc-mm", "unet", "unet-ssl", "umtl", "umtl-s", "umtl-ssl", "umtl-ssl-s", "multimix"]
every_system = pytest.mark.parametrize("name", SYSTEMS)
both_targets = pytest.mark.parametrize("targets", [FEW_NAMES, MORE_NAMES], ids=["two", "several"])
BRANCH = {"classification": "head", "segmentation": "decoder"}

# Which images a term learns from: through the logits of which of them a gradient comes back.
LEARNS_FROM = {
    "classification/cross-entropy": {"labelled"},
    "classification/confidence": {"strong"},
    "classification/mixed-cross-entropy": {"labelled", "weak"},  # every image is mixed with any other
    "classification/mixed-squared-error": {"labelled", "weak"},
    "classification/mask-rate": set(),
    "classification/pseudo-label-accuracy": set(),
    "segmentation/dice": {"labelled"},
    "segmentation/kl": {"labelled", "unlabelled"},
}


def network(name, targets):
    """A tiny recipe, every pseudo-label counting, and its network in float64."""
    recipe = shallow(name)
    if recipe.get("ssl.use") == "confidence":
        recipe = shallow(name, ssl__threshold=0.0)
    return recipe, build.network(recipe, targets).double().train()


def images(seed, count=4):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, 1, 32, 32, generator=draw, dtype=torch.float64).requires_grad_()


def stream(task, target, strategy, seed):
    """Random labelled and unlabelled images with every declared view, and all of them by name."""
    known, other = images(seed), images(seed + 1)
    classes = len(target.names)
    if task == "classification":
        y = torch.arange(4) % classes
    elif target.exclusive:
        y = torch.nn.functional.one_hot((images(seed + 2)[:, 0] > 0).long(), classes).movedim(-1, 1).double()
    else:
        y = (images(seed + 2).repeat(1, classes, 1, 1) > 0).double()
    made = {
        view: tuple(images(seed + 10 + 5 * i + k) for k in range(declared.count))
        for i, (view, declared) in enumerate(strategy.declared_views.items())
    }
    hidden = torch.arange(4) % classes if task == "classification" else None
    streams = Labelled(known, y, torch.arange(4)), Unlabelled(other, torch.arange(4), made, hidden)
    return streams, {"labelled": (known,), "unlabelled": (other,)} | made


def one_step(name, targets):
    """The network, the terms of one step, and the images of each task by name."""
    recipe, net = network(name, targets)
    strategies, batches, seen = {}, {}, {}
    for seed, (task, kind) in enumerate({"classification": "ssl", "segmentation": "consistency"}.items()):
        if task in recipe.tasks:
            strategies[task] = training_strategies.strategy(recipe, kind, net, targets)
            batches[task], seen[task] = stream(task, targets[task], strategies[task], 100 * seed)
    objective = Objective(net, strategies.get("classification"), strategies.get("segmentation")).train()
    return net, objective(Batch(StepContext(0, 1, 9), **batches)).terms, seen


def gradients(value, inputs):
    return (
        torch.autograd.grad(value, inputs, retain_graph=True, allow_unused=True) if value.requires_grad else None
    )


def weights(module):
    """All but biases: one in front of a norm has no effect."""
    return [p for p in module.parameters() if p.dim() > 1]


@every_system
@both_targets
def test_a_term_teaches_the_encoder_and_the_branch_of_its_task(name, targets):
    """Every weight of the encoder and of the task's branch, and nothing at all of the other branch."""
    net, terms, _ = one_step(name, targets)
    assert {key.split("/")[0] for key in terms} == {task for task, part in BRANCH.items() if getattr(net, part)}
    for key, term in terms.items():
        task = key.split("/")[0]
        if not LEARNS_FROM[key]:
            assert not term.value.requires_grad, key
            continue
        for own in weights(net.encoder) + weights(getattr(net, BRANCH[task])):
            (found,) = gradients(term.value, [own])
            assert found is not None, key
            assert found.isfinite().all(), key
            assert found.abs().max() > 0, key
        for other in (part for kind, part in BRANCH.items() if kind != task and getattr(net, part) is not None):
            assert set(gradients(term.value, list(getattr(net, other).parameters()))) == {None}, key


@every_system
@both_targets
def test_a_term_learns_from_the_images_that_it_should(name, targets):
    """No gradient comes back through the weak view of the confidence term, nor from one task to the other."""
    _, terms, seen = one_step(name, targets)
    for key, term in terms.items():
        found = {
            (task, view)
            for task, by_view in seen.items()
            for view, given in by_view.items()
            if term.value.requires_grad and any(g is not None and g.any() for g in gradients(term.value, given))
        }
        assert found == {(key.split("/")[0], view) for view in LEARNS_FROM[key]}, key


@pytest.mark.parametrize(
    ("name", "bridged"), [("umtl", False), ("umtl-s", True), ("umtl-ssl-s", True), ("multimix", True)]
)
@both_targets
def test_the_bridge_tells_but_does_not_teach(name, bridged, targets):
    """The masks follow the class head through the bridge only, and no gradient goes back through it."""
    _, net = network(name, targets)
    net.eval()
    x = images(7)
    before = net.segment(x)
    assert set(torch.autograd.grad(before.sum(), list(net.head.parameters()), allow_unused=True)) == {None}
    if bridged:
        assert not any(each.requires_grad for each in net.bridge(x, net.bridge_classify))
        assert list(net.bridge.parameters()) == []
    with torch.no_grad():
        net.head.linear.weight.mul_(-3)
    assert torch.equal(before, net.segment(x)) != bridged


def test_no_strategy_that_ships_asks_for_a_second_network():
    """So that the terms above are all there is; what a second network gets, the next tests say."""
    for kind in ("ssl", "consistency"):
        for word in catalog.BUILTINS[kind]:
            signature = inspect.signature(catalog.load(catalog.find(kind, word)))
            assert "twin" not in signature.parameters


@pytest.mark.parametrize("task", BRANCH)
@both_targets
def test_a_teacher_teaches_and_a_twin_learns_its_own_branch(task, targets):
    """By the distance to an averaged copy the network alone moves; a trained twin moves by its own outputs."""
    recipe, net = network("multimix", targets)
    other = next(part for kind, part in BRANCH.items() if kind != task)
    teacher = training_strategies.TwinNet(net, copy.deepcopy(net), task, 0.9).train()
    twin = training_strategies.TwinNet(net, build.network(recipe, targets, "twin-1").double(), task, None).train()
    x, y = images(1), images(2)  # of two images: the copy says the same of the same one
    predict = net.classify if task == "classification" else net.segment

    def learns(value, module):
        found = torch.autograd.grad(value, weights(module), retain_graph=True, allow_unused=True)
        states = {g is not None and bool(g.any()) for g in found}
        assert len(states) == 1  # a part learns as a whole or not at all
        return states.pop()

    distance = (predict(x) - teacher(y)).square().mean()
    assert learns(distance, net.encoder)
    assert learns(distance, getattr(net, BRANCH[task]))
    assert not learns(distance, getattr(net, other))
    assert not any(p.requires_grad for p in teacher.parameters())
    (through,) = torch.autograd.grad(distance, [y], allow_unused=True)
    assert through is None

    distance = (predict(x).detach() - twin(y)).square().mean()
    assert learns(distance, twin.net.encoder)
    assert learns(distance, getattr(twin.net, BRANCH[task]))
    assert not learns(distance, getattr(twin.net, other))
    # Its bridge reads the main network's class branch, which learns nothing by that.
    for part in (net.encoder, net.head, net.decoder):
        assert not learns(distance, part)
