"""Losses against NumPy in float64 and against segmentation-models-pytorch itself."""

import numpy as np
import pytest
import torch
from segmentation_models_pytorch import losses

from mmtk.components.loss.cross_entropy import CrossEntropy
from mmtk.components.loss.dice import Dice
from mmtk.components.loss.smp import SmpLoss
from mmtk.errors import MmtkError


def masks(channels, exclusive, ignore, seed=0, batch=3, side=6):
    """Logits and targets in float64; some pixels ignored, in exclusive masks in all channels."""
    rng = np.random.default_rng(seed)
    logits = 3 * rng.standard_normal((batch, channels, side, side))
    if exclusive:
        index = rng.integers(0, channels, (batch, side, side))
        target = np.moveaxis(np.eye(channels)[index], -1, 1)
        hole = np.broadcast_to(rng.random((batch, 1, side, side)) < 0.3, target.shape)
    else:
        target = rng.integers(0, 2, logits.shape).astype(float)
        hole = rng.random(target.shape) < 0.3
    if ignore:
        target = np.where(hole, -1, target)
    return logits, target


def tensors(logits, target, dtype=torch.float64):
    return torch.tensor(logits, dtype=dtype, requires_grad=True), torch.tensor(target)


def precision(name):
    """SMP's Lovász loss mixes in float32, whatever it is given."""
    return torch.float32 if "lovasz" in name else torch.float64


def log_softmax(x, axis=1):
    shifted = x - x.max(axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))


def log_sigmoid(x):
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


def cross_entropy_of_classes(logits, target, weights, smoothing):
    k = logits.shape[1]
    share = (1 - smoothing) * np.eye(k)[target] + smoothing / k
    return -(share * weights * log_softmax(logits)).sum() / weights[target].sum()


def cross_entropy_of_masks(logits, target, exclusive, smoothing):
    if exclusive:
        keep = (target >= 0).all(1)
        rows, index = np.moveaxis(logits, 1, -1)[keep], target.argmax(1)[keep]
        return cross_entropy_of_classes(rows, index, np.ones(logits.shape[1]), smoothing)
    soft = target * (1 - smoothing) + smoothing / 2
    each = -(soft * log_sigmoid(logits) + (1 - soft) * log_sigmoid(-logits))
    return each[target >= 0].mean()


def dice(logits, target, exclusive, s):
    p = np.exp(log_softmax(logits) if exclusive else log_sigmoid(logits))
    values = []
    for image in range(len(logits)):
        for channel in range(1 if exclusive else 0, logits.shape[1]):
            keep = target[image, channel] >= 0
            a, b = p[image, channel][keep], target[image, channel][keep]
            values.append(1 - (2 * (a * b).sum() + s) / (a.sum() + b.sum() + s))
    return np.mean(values)


KINDS = [(1, False), (3, False), (2, True), (4, True)]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, "weighted"])
@pytest.mark.parametrize("classes", [2, 5])
def test_cross_entropy_of_classes(classes, weights, smoothing):
    rng = np.random.default_rng(classes)
    logits, target = 3 * rng.standard_normal((7, classes)), rng.integers(0, classes, 7)
    given = None if weights is None else rng.random(classes) + 0.1
    loss = CrossEntropy(classes, True, None if given is None else torch.tensor(given), smoothing=smoothing)
    expected = cross_entropy_of_classes(logits, target, np.ones(classes) if given is None else given, smoothing)
    assert loss(*tensors(logits, target)).item() == pytest.approx(expected, abs=1e-12)
    assert loss(*tensors(logits, target, torch.float32)).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("ignore", [False, True])
@pytest.mark.parametrize(("channels", "exclusive"), KINDS)
def test_cross_entropy_of_masks(channels, exclusive, ignore, smoothing):
    logits, target = masks(channels, exclusive, ignore)
    loss = CrossEntropy(channels, exclusive, None, smoothing=smoothing)
    expected = cross_entropy_of_masks(logits, target, exclusive, smoothing)
    assert loss(*tensors(logits, target)).item() == pytest.approx(expected, abs=1e-12)
    assert loss(*tensors(logits, target, torch.float32)).item() == pytest.approx(expected, abs=1e-6)


def test_class_weights_weigh_the_channels_of_independent_masks():
    logits, target = masks(2, False, True)
    weights = np.array([1.0, 3.0])[:, None, None] * (target >= 0)
    each = -(target * log_sigmoid(logits) + (1 - target) * log_sigmoid(-logits))
    loss = CrossEntropy(2, False, torch.tensor([1.0, 3.0]))
    expected = (each * weights).sum() / weights.sum()
    assert loss(*tensors(logits, target)).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("smoothing", [1.0, 1e-5])
@pytest.mark.parametrize("ignore", [False, True])
@pytest.mark.parametrize(("channels", "exclusive"), KINDS)
def test_dice(channels, exclusive, ignore, smoothing):
    logits, target = masks(channels, exclusive, ignore)
    loss = Dice(channels, exclusive, smoothing=smoothing)
    expected = dice(logits, target, exclusive, smoothing)
    assert loss(*tensors(logits, target)).item() == pytest.approx(expected, abs=1e-12)
    assert loss(*tensors(logits, target, torch.float32)).item() == pytest.approx(expected, abs=1e-6)


def test_dice_leaves_out_a_channel_that_is_not_labelled():
    logits, target = masks(2, False, True)
    target[0, 1] = -1
    kept = [
        dice(logits[:1, :1], target[:1, :1], False, 1.0),
        *(dice(logits[i : i + 1], target[i : i + 1], False, 1.0) for i in (1, 2)),
    ]
    expected = (kept[0] + 2 * kept[1] + 2 * kept[2]) / 5
    assert Dice(2, False)(*tensors(logits, target)).item() == pytest.approx(expected, abs=1e-12)


SMP = [
    ("dice", {"smooth": 0.5}, lambda mode: losses.DiceLoss(mode, smooth=0.5)),
    ("jaccard", {}, lambda mode: losses.JaccardLoss(mode)),
    (
        "tversky",
        {"alpha": 0.3, "beta": 0.7, "gamma": 1.3, "smooth": 1.0},
        lambda mode: losses.TverskyLoss(mode, alpha=0.3, beta=0.7, gamma=1.3, smooth=1.0),
    ),
    ("focal", {"alpha": 0.25, "gamma": 1.5}, lambda mode: losses.FocalLoss(mode, alpha=0.25, gamma=1.5)),
    ("lovasz", {}, lambda mode: losses.LovaszLoss(mode)),
]


@pytest.mark.parametrize(("channels", "exclusive"), KINDS)
@pytest.mark.parametrize(("name", "keys", "direct"), SMP, ids=[row[0] for row in SMP])
def test_smp_loss_equals_smp(name, keys, direct, channels, exclusive):
    logits, target = tensors(*masks(channels, exclusive, False), precision(name))
    mode = "multiclass" if exclusive else "binary" if channels == 1 else "multilabel"
    expected = direct(mode)(logits, target.argmax(1) if exclusive else target)
    torch.testing.assert_close(SmpLoss(channels, exclusive, name=name, **keys)(logits, target), expected)


def test_smp_mcc_and_soft_bce_equal_smp():
    logits, target = tensors(*masks(1, False, False))
    torch.testing.assert_close(
        SmpLoss(1, False, name="mcc")(logits, target), losses.MCCLoss()(logits.sigmoid(), target)
    )
    torch.testing.assert_close(
        SmpLoss(1, False, name="soft-bce", smooth=0.1)(logits, target),
        losses.SoftBCEWithLogitsLoss(smooth_factor=0.1)(logits, target),
    )


EVERY = {
    "cross-entropy": lambda c, e: CrossEntropy(c, e, None),
    "dice": Dice,
    "smp-dice": lambda c, e: SmpLoss(c, e, name="dice"),
    "smp-jaccard": lambda c, e: SmpLoss(c, e, name="jaccard"),
    "smp-tversky": lambda c, e: SmpLoss(c, e, name="tversky"),
    "smp-focal": lambda c, e: SmpLoss(c, e, name="focal"),
    "smp-lovasz": lambda c, e: SmpLoss(c, e, name="lovasz"),
    "smp-mcc": lambda c, e: SmpLoss(c, e, name="mcc"),
    "smp-soft-bce": lambda c, e: SmpLoss(c, e, name="soft-bce"),
}
FITS = {"smp-mcc": [(1, False)], "smp-soft-bce": [(1, False), (3, False)]}
CASES = [(name, c, e) for name in EVERY for c, e in FITS.get(name, KINDS)]
every = pytest.mark.parametrize(("name", "channels", "exclusive"), CASES)


@every
def test_ignored_pixels_take_no_part(name, channels, exclusive):
    """Whatever the network says there, the value is the same and no gradient comes back."""
    loss = EVERY[name](channels, exclusive)
    logits, target = masks(channels, exclusive, True)
    ignored = target < 0
    a, t = tensors(logits, target, precision(name))
    b, _ = tensors(np.where(ignored, 50 - logits, logits), target, precision(name))
    value = loss(a, t)
    torch.testing.assert_close(value, loss(b, t))
    value.backward()
    assert (a.grad[torch.tensor(ignored)] == 0).all()
    assert a.grad.abs().sum() > 0


@every
def test_all_ignored_is_zero_with_zero_gradient(name, channels, exclusive):
    logits = torch.randn(2, channels, 4, 4, requires_grad=True)
    value = EVERY[name](channels, exclusive)(logits, torch.full((2, channels, 4, 4), -1))
    value.backward()
    assert value.shape == ()
    assert value.item() == 0
    assert (logits.grad == 0).all()


@every
def test_extreme_logits_stay_finite_and_half_precision_is_raised(name, channels, exclusive):
    loss = EVERY[name](channels, exclusive)
    logits, target = masks(channels, exclusive, True)
    for sign in (1e4, -1e4):
        extreme, t = tensors(sign * np.sign(logits), target, torch.float32)
        value = loss(extreme, t)
        value.backward()
        assert value.isfinite()
        assert extreme.grad.isfinite().all()
    half = torch.tensor(logits).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(half, t)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(half.float(), t))


@every
def test_smallest_at_the_target(name, channels, exclusive):
    loss = EVERY[name](channels, exclusive)
    logits, target = tensors(*masks(channels, exclusive, True), precision(name))
    at_target = 100 * (2 * target.clamp_min(0) - 1).to(logits)
    lowest = loss(at_target, target).item()
    assert lowest == pytest.approx(0, abs=1e-3)
    assert loss(logits, target).item() > lowest + 0.01
    assert loss(-at_target, target).item() > loss(logits, target).item()


@pytest.mark.parametrize(("name", "channels", "exclusive"), [case for case in CASES if case[0] != "smp-lovasz"])
def test_gradient_by_finite_differences(name, channels, exclusive):
    logits, target = tensors(*masks(channels, exclusive, True, batch=2, side=3))
    assert torch.autograd.gradcheck(lambda x: EVERY[name](channels, exclusive)(x, target), logits)


def test_gradient_of_cross_entropy_of_classes():
    logits, target = torch.randn(4, 3, dtype=torch.float64, requires_grad=True), torch.tensor([0, 2, 1, 1])
    loss = CrossEntropy(3, True, torch.tensor([1.0, 2.0, 0.5]), smoothing=0.1)
    assert torch.autograd.gradcheck(lambda x: loss(x, target), logits)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: CrossEntropy(1, True, None), "cross-entropy: a softmax over 1 channel"),
        (lambda: Dice(1, True), "dice: a softmax over 1 channel"),
        (lambda: SmpLoss(1, True), "smp 'dice': a softmax over 1 channel"),
        (lambda: SmpLoss(1, False, name="focal", gamma=0.5), "gamma = 0.5: between 0 and 1 the gradient"),
        (lambda: SmpLoss(1, False, name="dice", alpha=1), "'dice' has no key 'alpha'.\n  It takes smooth."),
        (lambda: SmpLoss(1, False, name="focal", beta=1), "no key 'beta'.\n  It takes alpha, gamma."),
        (lambda: SmpLoss(1, False, name="lovasz", gamma=1), "no key 'gamma'.\n  It takes no keys but name."),
        (lambda: SmpLoss(3, False, name="mcc"), "'mcc' takes one mask channel, and there are 3"),
        (lambda: SmpLoss(2, True, name="soft-bce"), "'soft-bce' takes independent masks"),
        (lambda: Dice(2, True)(torch.zeros(2, 2), torch.zeros(2)), "dice compares masks, not class labels"),
        (lambda: SmpLoss(2, True)(torch.zeros(2, 2), torch.zeros(2)), "smp compares masks"),
    ],
)
def test_refusals(make, text):
    with pytest.raises(MmtkError) as error:
        make()
    assert text in str(error.value)
