"""Checks of the parts of a network: encoder, decoder and bridge."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from mmtk.components.encoder.unet import UNetEncoder
from mmtk.model.network import ClassHead, FrozenClassify
from mmtk.testing.check import Subject, expect

SIZES = ((64, 64), (96, 64))
CHANNELS, STRIDES = (4, 8, 16, 16), (1, 2, 4, 8)  # of the features that a decoder gets


def _images(size: tuple[int, int], channels: int = 1, count: int = 2) -> Tensor:
    return torch.rand(count, channels, *size) * 2 - 1


# --- encoder ---------------------------------------------------------------------------------------------------


def strides_increase(subject: Subject) -> None:
    """Strides are whole numbers that grow from level to level, one channel count for each."""
    encoder = subject.make(in_channels=1)
    channels, strides = list(encoder.channels), list(encoder.strides)
    grow = all(a < b for a, b in pairwise(strides)) and strides[0] >= 1
    expect(
        grow, "strides that strictly increase from 1 or more", f"{strides}", "leave out levels of equal stride."
    )
    expect(
        len(channels) == len(strides),
        "a channel count for every stride",
        f"{len(channels)} for {len(strides)}",
        "declare both for every level that forward returns.",
    )


def features_are_as_declared(subject: Subject) -> None:
    """Two sizes, one and three channels: every level has the declared channels and stride, and is finite."""
    for in_channels in (1, 3):
        encoder = subject.make(in_channels=in_channels).eval()
        for height, width in SIZES:
            with torch.no_grad():
                features = encoder(_images((height, width), in_channels))
            got = [tuple(feature.shape) for feature in features]
            expected_shapes = [
                (2, c, height // s, width // s) for c, s in zip(encoder.channels, encoder.strides, strict=True)
            ]
            expect(
                got == expected_shapes,
                f"features {expected_shapes} of images [2,{in_channels},{height},{width}]",
                f"{got}",
                "return the levels fine → coarse and declare what they are.",
            )
            fine = all(bool(torch.isfinite(feature).all()) for feature in features)
            expect(fine, "finite features", "NaN or infinity", "check initialisation and norms.")


def every_parameter_learns(subject: Subject) -> None:
    """Each parameter gets a gradient; biases in front of a norm are exempt, for it takes them out again."""
    part, outputs = _OUTPUTS[subject.kind](subject)
    torch.stack(
        [(output * torch.randn_like(output)).sum() for output in outputs if output.requires_grad]
        or [torch.zeros((), requires_grad=True)]
    ).sum().backward()
    dead = [name for name, p in part.named_parameters() if p.requires_grad and not _learns(p)]
    dead = [name for name in dead if name not in before_norms(part)]
    expect(
        not dead,
        "a gradient of every parameter",
        f"none of {', '.join(dead[:5])}",
        "use it with its gradient (no no_grad, no detach), freeze it by requires_grad_(False), or remove it.",
    )


def _shaken(module: nn.Module) -> nn.Module:
    """The module in training mode, moved a little: a norm that begins at 0 would hide what is behind it."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return module.train()


def _encoder_outputs(subject: Subject) -> tuple[nn.Module, list[Tensor]]:
    encoder = _shaken(subject.make(in_channels=1))
    return encoder, encoder(_images((64, 64), count=4))


def _decoder_outputs(subject: Subject) -> tuple[nn.Module, list[Tensor]]:
    decoder = _shaken(subject.make(channels=list(CHANNELS), strides=list(STRIDES), classes=2))
    return decoder, [decoder(_features(32, count=4), (32, 32))]


def _bridge_outputs(subject: Subject) -> tuple[nn.Module, list[Tensor]]:
    bridge = _shaken(subject.make(in_channels=1))
    return bridge, [bridge(_images((32, 32), count=4), _class_branch()[2])[0]] if bridge.channels else []


def _learns(parameter: nn.Parameter) -> bool:
    return parameter.grad is not None and bool(parameter.grad.abs().max() > 0)


def before_norms(module: nn.Module) -> set[str]:
    """Biases whose layer is followed by a norm in the same container: they get rounding noise or nothing."""
    norms = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)
    names = set()
    for path, parent in module.named_modules():
        children = list(parent.named_children())
        for (name, layer), (_, following) in pairwise(children):
            if isinstance(following, norms) and getattr(layer, "bias", None) is not None:
                names.add(".".join(filter(None, (path, name, "bias"))))
    return names


ENCODER = (strides_increase, features_are_as_declared, every_parameter_learns)


# --- decoder ---------------------------------------------------------------------------------------------------


def _features(size: int, count: int = 2) -> list[Tensor]:
    return [
        torch.randn(count, c, size // s, size // s, requires_grad=True)
        for c, s in zip(CHANNELS, STRIDES, strict=True)
    ]


def logits_have_the_size_asked_for(subject: Subject) -> None:
    """One and three mask channels at the asked size, finite."""
    for classes in (1, 3):
        decoder = subject.make(channels=list(CHANNELS), strides=list(STRIDES), classes=classes)
        for size in (32, 64):
            logits = decoder(_features(size), (size, size))
            expected_shape = (2, classes, size, size)
            expect(
                tuple(logits.shape) == expected_shape,
                f"logits {expected_shape}",
                f"{tuple(logits.shape)}",
                "upsample to `size`, whatever the first stride is.",
            )
            expect(bool(torch.isfinite(logits).all()), "finite logits", "NaN or infinity", "check the norms.")


def gradients_reach_every_feature(subject: Subject) -> None:
    """Every level that the encoder gives is used."""
    decoder = subject.make(channels=list(CHANNELS), strides=list(STRIDES), classes=2).train()
    features = _features(32)
    (decoder(features, (32, 32)) * torch.randn(2, 2, 32, 32)).sum().backward()
    dead = [i for i, feature in enumerate(features) if feature.grad is None or not bool(feature.grad.any())]
    expect(
        not dead,
        "a gradient at every feature",
        f"none at level {', '.join(map(str, dead))}",
        "join every level, or ask for fewer.",
    )


DECODER = (logits_have_the_size_asked_for, gradients_reach_every_feature, every_parameter_learns)


# --- bridge ----------------------------------------------------------------------------------------------------


def _class_branch() -> tuple[UNetEncoder, ClassHead, FrozenClassify]:
    encoder = UNetEncoder(1, width=4, depth=4, dropout=0.25)
    head = ClassHead(encoder.channels[-1], 2)
    return encoder, head, FrozenClassify(encoder, head)


def joins_what_it_declares(subject: Subject) -> None:
    """[B,channels,H/stride,W/stride], finite; the map to show is [B,1,H,W] or None."""
    bridge = subject.make(in_channels=1)
    if not bridge.channels:
        return
    _, _, classify = _class_branch()
    joined, saliency = bridge(_images((32, 48)), classify)
    expected_shape = (2, bridge.channels, 32 // bridge.stride, 48 // bridge.stride)
    expect(
        tuple(joined.shape) == expected_shape,
        f"a joined tensor {expected_shape}",
        f"{tuple(joined.shape)}",
        "resize to the declared stride, and declare all channels.",
    )
    expect(bool(torch.isfinite(joined).all()), "finite values", "NaN or infinity", "divide with a small constant.")
    fine = saliency is None or tuple(saliency.shape) == (2, 1, 32, 48)
    expect(
        fine,
        "a map [2,1,32,48] or None",
        f"{None if saliency is None else tuple(saliency.shape)}",
        "resize the map.",
    )


def same_images_same_bridge(subject: Subject) -> None:
    """Two calls are equal, also where others drew in between, and under ``no_grad``."""
    bridge = subject.make(in_channels=1)
    if not bridge.channels:
        return
    _, _, classify = _class_branch()
    images = _images((32, 32))
    first = bridge(images, classify)[0].detach()
    torch.rand(3)
    second = bridge(images, classify)[0].detach()
    expect(torch.equal(first, second), "equal calls to be equal", "different values", "draw nothing at random.")
    with torch.no_grad():
        third = bridge(images, classify)[0]
    close = torch.allclose(first, third, rtol=1e-4, atol=1e-6)
    expect(
        close, "the same under no_grad", "other values", "use torch.enable_grad() inside; evaluation has no_grad."
    )


def leaves_gradients_and_modes_alone(subject: Subject) -> None:
    """No parameter's ``.grad``, mode flag or statistic of the class branch changes."""
    bridge = subject.make(in_channels=1)
    if not bridge.channels:
        return
    encoder, head, classify = _class_branch()
    for parameter in (*encoder.parameters(), *head.parameters()):
        parameter.grad = torch.ones_like(parameter)
    modes = [module.training for module in encoder.modules()]
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    bridge(_images((32, 32)), classify)
    is_same = all(
        bool((p.grad == 1).all()) for p in (*encoder.parameters(), *head.parameters()) if p.grad is not None
    )
    expect(
        is_same,
        "untouched .grad",
        "changed gradients",
        "use torch.autograd.grad(scores, images) instead of backward().",
    )
    expect(
        modes == [module.training for module in encoder.modules()],
        "untouched modes",
        "other modes",
        "do not call train() or eval(): classify is frozen already.",
    )
    same = all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    expect(same, "untouched weights and statistics", "other ones", "use classify, not the encoder itself.")


BRIDGE = (
    joins_what_it_declares,
    same_images_same_bridge,
    leaves_gradients_and_modes_alone,
    every_parameter_learns,
)

_OUTPUTS = {"encoder": _encoder_outputs, "decoder": _decoder_outputs, "bridge": _bridge_outputs}
