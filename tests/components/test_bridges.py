"""The saliency bridge against eqs. 3 and 4 in float64, and that it leaves no trace on the network."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmtk.api import Bridge
from mmtk.components.bridge.none import NoBridge
from mmtk.components.bridge.saliency import Saliency
from mmtk.components.decoder.unet import UNetDecoder
from mmtk.components.encoder.timm import TimmEncoder
from mmtk.components.encoder.unet import UNetEncoder
from mmtk.components.loss.dice import Dice
from mmtk.gradients import input_gradient, input_gradients
from mmtk.model.network import ClassHead, FrozenClassify, MultiTaskNet

SIZE = 32


def make_net(encoder=None, channels=1, stride=8, dropout=0.25):
    torch.manual_seed(0)
    encoder = encoder or UNetEncoder(channels, width=4, dropout=dropout)
    bridge = Saliency(channels, stride=stride)
    widths = list(encoder.channels)
    widths[list(encoder.strides).index(stride)] += bridge.channels
    decoder = UNetDecoder(widths, 1, width=4, dropout=dropout)
    return MultiTaskNet(encoder, ClassHead(encoder.channels[-1], 2), decoder, bridge)


def images(count=3, channels=1, dtype=torch.float64):
    return torch.randn(count, channels, SIZE, SIZE, generator=torch.Generator().manual_seed(1), dtype=dtype)


def resize(x, size):
    """Bilinear with aligned corners, by a matrix per axis."""
    at = np.linspace(0, x.shape[-1] - 1, size)
    matrix = np.clip(1 - np.abs(at[:, None] - np.arange(x.shape[-1])), 0, None)
    return np.einsum("ij,bcjk,lk->bcil", matrix, x, matrix)


class Tiny(nn.Module):
    """One convolution, leaky ReLU, global average, linear: small enough to differentiate by hand."""

    def __init__(self, channels, classes):
        super().__init__()
        self.conv = nn.Conv2d(channels, 5, 3, padding=1)
        self.linear = nn.Linear(5, classes)

    def forward(self, x, *, statistics=True):
        return self.linear(F.leaky_relu(self.conv(x), 0.2).mean((2, 3)))

    def gradient(self, x):
        """∂ max_k s_k / ∂x in NumPy: the chain rule backwards through each of the four layers."""
        weight, bias = (p.detach().numpy() for p in self.conv.parameters())
        head, offset = (p.detach().numpy() for p in self.linear.parameters())
        batch, channels, height, width = x.shape
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        before = np.zeros((batch, len(weight), height, width)) + bias[:, None, None]
        for i in range(3):
            for j in range(3):
                window = padded[:, :, i : i + height, j : j + width]
                before += np.einsum("oc,bchw->bohw", weight[:, :, i, j], window)
        pooled = np.where(before > 0, before, 0.2 * before).mean((2, 3))
        best = (pooled @ head.T + offset).argmax(1)
        back = head[best][:, :, None, None] / (height * width) * np.where(before > 0, 1, 0.2)
        found = np.zeros((batch, channels, height + 2, width + 2))
        for i in range(3):
            for j in range(3):
                found[:, :, i : i + height, j : j + width] += np.einsum("oc,bohw->bchw", weight[:, :, i, j], back)
        return found[:, :, 1:-1, 1:-1]


@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 5)])
def test_equations_3_and_4_against_numpy(channels, classes):
    torch.manual_seed(0)
    tiny, x = Tiny(channels, classes).double(), images(channels=channels)
    joined, shown = Saliency(channels)(x, tiny)
    saliency = np.abs(tiny.gradient(x.numpy())).max(1, keepdims=True)
    np.testing.assert_allclose(shown.numpy(), saliency, rtol=1e-12)
    both = np.concatenate([x.numpy(), saliency], 1)
    np.testing.assert_allclose(joined.numpy(), resize(both, SIZE // 8), rtol=1e-10, atol=1e-12)


def test_equation_3_of_the_whole_encoder_against_finite_differences():
    net, x = make_net().double().eval(), images(2)
    _, shown = net.bridge(x, net.bridge_classify)
    step = 1e-6
    for row, column in [(0, 0), (5, 17), (16, 16), (31, 30)]:
        moved = torch.zeros_like(x)
        moved[:, :, row, column] = step
        with torch.no_grad():
            best = net.classify(x).argmax(1)
            slope = (net.classify(x + moved) - net.classify(x - moved)) / (2 * step)
        expected = slope.gather(1, best[:, None])[:, 0].abs()
        torch.testing.assert_close(shown[:, 0, row, column], expected, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_the_bridge_joins_at_its_stride(stride):
    net = make_net(stride=stride)
    joined, shown = net.bridge(images(dtype=torch.float32), net.bridge_classify)
    assert joined.shape == (3, 2, SIZE // stride, SIZE // stride)
    assert shown.shape == (3, 1, SIZE, SIZE)
    assert net.segment(images(dtype=torch.float32)).shape == (3, 1, SIZE, SIZE)


def test_the_saliency_of_a_given_class_and_of_one_image_alone():
    net, x = make_net().double(), images()
    classes = torch.tensor([0, 1, 1])
    both = [input_gradient(x, net.bridge_classify, torch.full((3,), k)) for k in (0, 1)]
    chosen = input_gradient(x, net.bridge_classify, classes)
    torch.testing.assert_close(chosen, torch.stack([both[k][i] for i, k in enumerate(classes.tolist())]))
    torch.testing.assert_close(input_gradient(x[1:2], net.bridge_classify, classes[1:2]), chosen[1:2])


def test_gradients_of_several_classes_from_one_pass_are_those_of_a_pass_each():
    net, x = make_net(), images(dtype=torch.float32)
    choices = [None, *(torch.full((3,), k) for k in (0, 1))]
    expected = torch.cat([input_gradient(x, net.bridge_classify, choice) for choice in choices], dim=1)
    assert input_gradients(x, net.bridge_classify, choices).equal(expected)


def encoder_passes(net, call):
    """Output of a call, and the number of passes of the encoder for it."""
    passes = []
    with net.encoder.register_forward_hook(lambda *_: passes.append(1)):
        return call(), len(passes)


@pytest.mark.parametrize(
    ("make", "channels"),
    [
        (lambda: UNetEncoder(1, width=4, dropout=0.25), 1),
        (lambda: TimmEncoder(3, model="resnet10t", pretrained=False), 3),
    ],
)
def test_scoring_passes_an_image_once_through_the_encoder_with_equal_bytes(make, channels, monkeypatch):
    net, x = make_net(make(), channels).eval(), images(5, channels, torch.float32)
    with torch.no_grad():
        shared = [encoder_passes(net, lambda: net.segment(x)), encoder_passes(net, lambda: net(x))]
        monkeypatch.setattr(net, "_passes_are_equal", lambda x: False)
        plain = [encoder_passes(net, lambda: net.segment(x)), encoder_passes(net, lambda: net(x))]
    assert [passes for _, passes in shared + plain] == [1, 1, 2, 2]
    assert shared[0][0].equal(plain[0][0])
    for name in ("classification", "segmentation", "saliency"):
        assert getattr(shared[1][0], name).equal(getattr(plain[1][0], name))


@pytest.mark.parametrize("case", ["gradients", "training", "dropout", "half precision", "twin", "other images"])
def test_the_encoder_passes_twice_where_the_passes_differ(case, monkeypatch):
    net, x = make_net().eval(), images(dtype=torch.float32)
    if case == "training":
        net.train()
    elif case == "dropout":
        net.encoder.blocks[0][-1].train()
    elif case == "twin":
        net.bridge_classify = make_net().eval().bridge_classify
    elif case == "other images":
        forward = net.bridge.forward
        monkeypatch.setattr(net.bridge, "forward", lambda x, classify: forward(x + 1, classify))
    with torch.set_grad_enabled(case == "gradients"), torch.autocast("cpu", enabled=case == "half precision"):
        _, passes = encoder_passes(net, lambda: net.segment(x))
    assert passes == (1 if case == "twin" else 2)  # the bridge of a twin asks another encoder


def test_the_bridge_works_under_no_grad_and_gives_no_gradient():
    net, x = make_net(), images(dtype=torch.float32)
    with torch.no_grad():
        without = net.bridge(x, net.bridge_classify)
        assert not torch.is_grad_enabled()
    for a, b in zip(net.bridge(x, net.bridge_classify), without, strict=True):
        assert torch.equal(a, b)
        assert not a.requires_grad
    assert not x.requires_grad


def test_gradients_that_were_there_stay_and_none_stays_none():
    net, x = make_net(), images(dtype=torch.float32)
    net.bridge(x, net.bridge_classify)
    assert [n for n, p in net.named_parameters() if p.grad is not None] == []
    net.classify(x).sum().backward()
    before = {n: None if p.grad is None else p.grad.clone() for n, p in net.named_parameters()}
    net.bridge(x, net.bridge_classify)
    for name, p in net.named_parameters():
        assert p.grad is None if before[name] is None else torch.equal(p.grad, before[name])


@pytest.mark.parametrize("mode", ["train", "eval", "mixed"])
def test_every_mode_flag_is_as_before(mode):
    net, x = make_net(), images(dtype=torch.float32)
    for number, module in enumerate(net.modules()):
        module.training = mode == "train" or (mode == "mixed" and number % 3 == 0)
    before = [m.training for m in net.modules()]
    net.bridge(x, net.bridge_classify)
    assert [m.training for m in net.modules()] == before


def test_every_mode_flag_is_as_before_after_an_error():
    net = make_net().train()
    with pytest.raises(RuntimeError):
        net.bridge(images(channels=2, dtype=torch.float32), net.bridge_classify)
    assert all(m.training for m in net.modules())


def test_dropout_is_off_inside_and_draws_nothing():
    net, x = make_net().train(), images(dtype=torch.float32)
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    in_training = net.bridge(x, net.bridge_classify)
    assert torch.equal(torch.random.get_rng_state(), state)
    for a, b in zip(in_training, net.eval().bridge(x, net.bridge_classify), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(net.bridge_classify(x), net.classify(x))


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_batch_norm_statistics_stay_and_are_what_is_used(training):
    net, x = make_net(TimmEncoder(1, model="resnet18")).train(training), images(dtype=torch.float32)
    before = {n: b.clone() for n, b in net.named_buffers()}
    assert any("running_mean" in n for n in before)
    _, shown = net.bridge(x, net.bridge_classify)
    assert all(torch.equal(b, before[n]) for n, b in net.named_buffers())
    # With the norms frozen an image's map does not depend on the batch that it stands in.
    _, alone = net.bridge(x[:1], net.bridge_classify)
    torch.testing.assert_close(shown[:1], alone, rtol=1e-3, atol=1e-6)


def test_the_bridge_stays_in_fp32_under_autocast():
    net, x = make_net().eval(), images(dtype=torch.float32)
    exact = net.bridge(x, net.bridge_classify)
    with torch.autocast("cpu", torch.bfloat16):
        half = net.bridge(x, net.bridge_classify)
        logits = net.segment(x)
    assert logits.dtype == torch.bfloat16
    for a, b in zip(half, exact, strict=True):
        assert torch.equal(a, b)


class Constant(Bridge):
    """Joins what it was given."""

    def __init__(self, joined):
        super().__init__()
        self.joined, self.channels, self.stride = joined, joined.shape[1], 8

    def forward(self, x, classify):
        return self.joined, None


def test_the_segmentation_loss_reaches_the_encoder_through_its_features_only():
    """The same gradients when y is replaced by the constant that it equals; none for the class head."""
    x, dice = images(), Dice(1, False)
    mask = (images().roll(5, -1) > 0).double()
    with_bridge, with_constant = (make_net(dropout=0).double() for _ in range(2))
    joined, _ = with_bridge.bridge(x, with_bridge.bridge_classify)
    with_constant.bridge = Constant(joined)
    for net in (with_bridge, with_constant):
        dice(net.segment(x), mask).backward()
    expected = dict(with_constant.named_parameters())
    for name, p in with_bridge.named_parameters():
        if name.startswith("head."):
            assert p.grad is None
        else:
            torch.testing.assert_close(p.grad, expected[name].grad, rtol=1e-9, atol=1e-14)
            assert p.grad.isfinite().all()
    assert all(b.grad.abs().max() > 0 for b in (block[0].weight for block in with_bridge.encoder.blocks))


def test_a_network_without_a_class_head_of_its_own_reads_another():
    main, other = make_net().double().eval(), make_net().double().eval()
    with torch.no_grad():
        main.head.linear.weight.mul_(-3)
    other.bridge_classify = FrozenClassify(main.encoder, main.head)
    x = images()
    with torch.no_grad():
        assert torch.equal(other(x).saliency, main(x).saliency)
        assert torch.equal(other.segment(x), main.segment(x))


def test_no_bridge_joins_and_shows_nothing():
    joined, shown = NoBridge()(images(), None)
    assert (NoBridge.channels, joined.shape[1], shown) == (0, 0, None)
