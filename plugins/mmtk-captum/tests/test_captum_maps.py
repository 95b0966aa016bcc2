"""Every map against an independent computation, to 1e-6 in float64."""

import numpy as np
import pytest
import torch
from captum_oracle import (
    BRIDGES,
    CASES,
    METHODS,
    Linear,
    Watched,
    best,
    class_branch,
    grad_cam,
    gradient,
    images,
    resized,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from mmtk.components.bridge.saliency import Saliency
from scipy.signal import correlate2d
from scipy.special import expit

from mmtk_captum import maps
from mmtk_captum.attention import Attention
from mmtk_captum.attribution import Attribution
from mmtk_captum.grad_cam import GradCAM


def close(found, wanted, tolerance=1e-6):
    """Equal to the tolerance, as a share of the largest value; and the values are not all zero."""
    found, wanted = (np.asarray(t.detach() if torch.is_tensor(t) else t) for t in (found, wanted))
    scale = np.abs(wanted).max()
    assert scale > 0
    np.testing.assert_allclose(found / scale, wanted / scale, rtol=0, atol=tolerance)


def made(name, channels=1, **keys):
    word, fixed = CASES[name]
    torch.manual_seed(3)
    return BRIDGES[word](channels, **fixed, **keys).double()


def shown(method, x, classify, **keys):
    return Attribution(x.shape[1], method=method, **keys)(x, classify)[1]


@pytest.fixture(params=[1, 3], ids=["gray", "colour"])
def channels(request):
    return request.param


# --- each method ---------------------------------------------------------------------------------------------


def test_saliency_is_the_papers_bridge(channels):
    x, classify = images(channels=channels), class_branch(channels)
    ours = Attribution(channels, method="saliency")(x, classify)
    theirs = Saliency(channels)(x, classify)
    assert torch.equal(ours[0], theirs[0])
    assert torch.equal(ours[1], theirs[1])
    close(ours[1], np.abs(gradient(x, classify, best(x, classify))).max(1, keepdims=True))


def test_input_x_gradient(channels):
    x, classify = images(channels=channels), class_branch(channels)
    wanted = np.abs(x.numpy() * gradient(x, classify, best(x, classify))).max(1, keepdims=True)
    close(shown("input-x-gradient", x, classify), wanted)


@pytest.mark.parametrize("steps", [1, 2, 8])
def test_integrated_gradients(channels, steps):
    """Gauss and Legendre's rule by NumPy, on the way from black."""
    x, classify = images(channels=channels), class_branch(channels)
    classes, (nodes, weights) = best(x, classify), np.polynomial.legendre.leggauss(steps)
    total = sum(
        w / 2 * gradient(-1 + (t + 1) / 2 * (x + 1), classify, classes)
        for t, w in zip(nodes, weights, strict=True)
    )
    wanted = np.abs((x.numpy() + 1) * total).max(1, keepdims=True)
    close(shown("integrated-gradients", x, classify, steps=steps), wanted)


def test_integrated_gradients_of_a_linear_classifier_are_exact_and_complete():
    x, classify = images(), Linear()
    found = maps.integrated_gradients(x.clone().requires_grad_(), classify, 8)
    close(found, (x + 1) * classify.best(x))
    classes = best(x, classify)[:, None]
    rise = (classify(x) - classify(torch.full_like(x, -1))).gather(1, classes)[:, 0]
    close(found.sum((1, 2, 3)), rise)


def test_integrated_gradients_are_complete_where_the_classifier_is_smooth():
    """Σ = s(x) − s(black) on a classifier that is not linear, for the class that is best at x."""

    def classify(images, *, statistics=True):
        return torch.tanh(linear(images) / 50)

    x, linear = images(), Linear()
    classes = best(x, classify)
    found = maps.integrated_gradients(x.clone().requires_grad_(), classify, 32).sum((1, 2, 3))
    close(found, (classify(x) - classify(torch.full_like(x, -1))).gather(1, classes[:, None])[:, 0])


def test_smoothgrad_without_noise_is_saliency(channels):
    x, classify = images(channels=channels), class_branch(channels)
    close(shown("smoothgrad", x, classify, noise=0.0), shown("saliency", x, classify), 1e-12)


def test_smoothgrad_is_the_mean_gradient_at_the_copies_that_were_asked_about(channels):
    x, classify = images(channels=channels), Watched(class_branch(channels))
    found = shown("smoothgrad", x, classify, samples=6, noise=0.1)
    plain, *copies = classify.seen
    assert torch.equal(plain, x)
    assert len(copies) == 6
    noise = torch.stack(copies) - x
    # 6 draws of 1,536 or 4,608 values: the standard error of their deviation is below 1 %.
    assert noise.std().item() == pytest.approx(0.1 * 2, rel=0.03)
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    classes = best(x, classify)
    mean = np.mean([gradient(copy, classify, classes) for copy in copies], 0)
    close(found, np.abs(mean).max(1, keepdims=True))


def test_the_perturbed_copies_are_asked_about_the_class_of_the_image_itself():
    """Near the boundary of two classes the copies' own best class would differ."""
    x, classify = images(1), Linear(classes=2)
    edge = classify.weight[0] - classify.weight[1]
    # Just across the boundary from black.
    x = x - ((x * edge).sum() - 0.01 * edge.sum()) / (edge**2).sum() * edge
    for method in ("smoothgrad", "integrated-gradients"):
        classify.seen.clear()
        found = shown(method, x, classify, **({"noise": 0.5} if method == "smoothgrad" else {}))
        others = {
            int(k)
            for copy in classify.seen
            for k in torch.einsum("bchw,kchw->bk", copy, classify.weight).argmax(1)
        }
        assert others == {0, 1}
        factor = (x + 1).abs() if method == "integrated-gradients" else 1
        close(found, factor * classify.best(x).abs())


@pytest.mark.parametrize("name", ["captum-grad-cam", "grad-cam"])
def test_grad_cam(name, channels):
    x, classify = images(channels=channels), class_branch(channels)
    close(made(name, channels)(x, classify)[1], grad_cam(x, classify))


def attention(bridge, x, classify):
    """The sigmoid of a convolution of mean and maximum over the channels of the coarsest features, by SciPy."""
    with torch.no_grad():
        last = classify.features(x)[-1].numpy()
    weight, bias = bridge.conv.weight.detach().numpy()[0], bridge.conv.bias.item()
    gate = np.stack(
        [
            correlate2d(each.mean(0), weight[0], "same") + correlate2d(each.max(0), weight[1], "same") + bias
            for each in last
        ]
    )
    return resized(expit(gate[:, None]), x.shape[-2:])


@settings(deadline=None, max_examples=20)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 3), st.sampled_from([1, 3]), st.sampled_from([0.0, 1e-3, 1.0, 1e4])
)
def test_the_maps_of_drawn_images(seed, count, channels, scale):
    """One image or more, black, faint or up to 1e4, by the paper's kind of network and by a linear one."""
    x, classify = images(count, channels, seed=seed) * scale, class_branch(channels)
    slope = gradient(x, classify, best(x, classify))
    wanted = {
        "captum-saliency": np.abs(slope).max(1, keepdims=True),
        "captum-input-x-gradient": np.abs(x.numpy() * slope).max(1, keepdims=True),
        "captum-grad-cam": grad_cam(x, classify),
        "grad-cam": grad_cam(x, classify),
        "attention": attention(made("attention", channels), x, classify),
    }
    for name, expected in wanted.items():
        size = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(
            made(name, channels)(x, classify)[1].detach() / size, expected / size, rtol=0, atol=1e-6, err_msg=name
        )
    if scale:  # of a black image all scores of a linear classifier are equal
        line = Linear(channels)
        row = line.best(x).numpy()
        factors = {"saliency": 1, "input-x-gradient": x.numpy(), "integrated-gradients": x.numpy() + 1}
        for method, factor in factors.items():
            expected = np.abs(factor * row).max(1, keepdims=True)
            np.testing.assert_allclose(shown(method, x, line), expected, rtol=1e-6, atol=1e-6, err_msg=method)


def test_the_gradient_of_the_attention(channels):
    """By the weights of its convolution, the only ones that a bridge of this package learns."""
    x, classify = images(1, channels, 16, 16), class_branch(channels)
    bridge = made("attention", channels)

    def joined(weight):
        return torch.func.functional_call(bridge, {"conv.weight": weight}, (x, classify))[0]

    assert torch.autograd.gradcheck(joined, bridge.conv.weight.detach().clone().requires_grad_())


def test_grad_cam_without_its_relu_is_refused():
    """Captum's default keeps the sign; the oracle tells it from the paper's."""
    x, classify = images(), class_branch()
    with torch.no_grad():
        *_, last = classify.features(x)
    rows = classify._head.linear.weight.detach()[best(x, classify)]
    signed = torch.einsum("bk,bkhw->bhw", rows, last)[:, None].numpy() / last[0, 0].numel()
    assert (signed < 0).any()
    with pytest.raises(AssertionError):
        close(resized(signed, x.shape[-2:]), grad_cam(x, classify))


@pytest.mark.parametrize("kernel", [3, 7])
def test_attention(channels, kernel):
    x, classify = images(channels=channels), class_branch(channels)
    bridge = made("attention", channels, kernel=kernel)
    close(bridge(x, classify)[1], attention(bridge, x, classify))


# --- what all of them keep -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("stride", [4, 8])
def test_what_is_joined_is_image_and_map(name, channels, stride):
    x, classify = images(channels=channels), class_branch(channels)
    bridge = made(name, channels, stride=stride)
    joined, found = bridge(x, classify)
    assert bridge.channels == channels + 1
    assert bridge.stride == stride
    close(joined, resized(np.concatenate([x, found], 1), (32 // stride, 48 // stride)))
    assert not found.requires_grad
    assert joined.requires_grad == (name == "attention")


@pytest.mark.parametrize("name", CASES)
def test_two_calls_are_equal_and_the_global_generator_stays(name):
    x, classify, bridge = images(), class_branch(), made(name)
    state = torch.get_rng_state()
    first = bridge(x, classify)[0]
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    assert torch.equal(bridge(x, classify)[0], first)


@pytest.mark.parametrize("name", CASES)
def test_the_map_of_an_image_does_not_depend_on_the_others(name):
    x, classify, bridge = images(), class_branch(), made(name)
    alone = torch.cat([bridge(image[None], classify)[1] for image in x])
    close(bridge(x, classify)[1], alone, 1e-9)
    close(bridge(x.flip(0), classify)[1], alone.flip(0), 1e-9)


@pytest.mark.parametrize("name", CASES)
def test_no_forward_is_larger_than_the_batch(name):
    x, classify = images(), Watched(class_branch())
    made(name)(x, classify)
    assert classify.seen
    assert max(len(each) for each in classify.seen) == len(x)


@pytest.mark.parametrize("name", CASES)
def test_under_no_grad_and_with_parameters_that_need_none(name):
    x, classify, bridge = images(), class_branch(), made(name)
    wanted = bridge(x, classify)[1]
    with torch.no_grad():
        close(bridge(x, classify)[1], wanted, 1e-12)
    classify._encoder.requires_grad_(False)
    classify._head.requires_grad_(False)
    close(bridge(x, classify)[1], wanted, 1e-12)


@pytest.mark.parametrize("name", [name for name in CASES if name != "attention"])
def test_autocast_does_not_reach_the_maps(name):
    x, classify, bridge = images().float(), class_branch(), made(name)
    classify._encoder.float()
    classify._head.float()
    wanted = bridge(x, classify)[1]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(bridge(x, classify)[1], wanted)


@pytest.mark.parametrize("name", CASES)
def test_the_image_and_the_class_branch_get_no_gradient_and_keep_their_modes(name):
    x, classify, bridge = images().requires_grad_(), class_branch(), made(name)
    branch = torch.nn.ModuleList([classify._encoder, classify._head])
    modes = [module.training for module in branch.modules()]
    joined, _ = bridge(x, classify)
    if joined.requires_grad:
        (joined**2).sum().backward()
        assert all(p.grad is not None and p.grad.any() for p in bridge.parameters())
    assert x.grad is None
    assert x.requires_grad
    assert all(p.grad is None for p in branch.parameters())
    assert modes == [module.training for module in branch.modules()]
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in branch.modules())


def test_a_word_for_every_method_that_differs():
    """No two methods are the same map under two names, except Grad-CAM with its own word."""
    x, classify = images(), class_branch()
    found = [shown(method, x, classify) / shown(method, x, classify).max() for method in METHODS]
    for at, one in enumerate(found):
        assert all((one - other).abs().max() > 1e-3 for other in found[at + 1 :])
    assert torch.equal(GradCAM(1)(x, classify)[1], shown("grad-cam", x, classify))
    assert not list(GradCAM(1).parameters())
    assert list(Attention(1).parameters())
