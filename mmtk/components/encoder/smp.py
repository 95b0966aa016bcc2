"""Encoders of segmentation-models-pytorch."""

from __future__ import annotations

import copy
from difflib import get_close_matches
from typing import Annotated

import torch
from torch import Tensor, nn

from mmtk.api import Encoder, Field, MmtkError
from mmtk.components.encoder.timm import check_network, missing_weights
from mmtk.errors import listing

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and standard deviation of most weights' pixels
OTHER_PIXELS = ("dpn", "inception", "xception")  # names of those that were trained on others


class SmpEncoder(Encoder):
    """An encoder of segmentation-models-pytorch, by name.

    name: the encoder, such as resnet18, efficientnet-b0 or mit_b0
    depth: how often the resolution is halved, 3 to 5
    pretrained: start from SMP's ImageNet weights (a local file goes into encoder.weights instead)
    """

    def __init__(
        self,
        in_channels: int,
        *,
        name: str = "resnet18",
        depth: Annotated[int, Field(ge=3, le=5)] = 5,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        self.body = _build(name, in_channels, depth, pretrained)
        self.pretrained_pixels = None if name.startswith(OTHER_PIXELS) else IMAGENET
        self.levels, self.channels, self.strides = _settle(self.body, in_channels)

    def forward(self, x: Tensor) -> list[Tensor]:
        """[B,C,H,W] → one [B,channels[i],H/strides[i],W/strides[i]] per level."""
        features = self.body(x)
        return [features[level] for level in self.levels]


def _build(name: str, in_channels: int, depth: int, pretrained: bool) -> nn.Module:
    from segmentation_models_pytorch.encoders import encoders, get_encoder

    if name.startswith("tu-"):
        raise MmtkError(
            f"'{name}' is a timm model.", hint=f'Set use = "timm" and model = "{name.removeprefix("tu-")}".'
        )
    if name not in encoders:
        near = get_close_matches(name, encoders, n=5, cutoff=0.5)
        raise MmtkError(
            f"segmentation-models-pytorch has no encoder called '{name}'."
            + (f" Nearest: {', '.join(near)}." if near else ""),
            hint=f"Known: {listing(encoders)}.",
        )
    weights = None
    if pretrained:
        pretrained_settings = encoders[name].get("pretrained_settings", {})
        if "imagenet" not in pretrained_settings:
            raise missing_weights(f"smp/{name}", "segmentation-models-pytorch has none of ImageNet for it")
        check_network(f"smp/{name}")
        weights = "imagenet"
    try:
        body: nn.Module = get_encoder(name, in_channels=in_channels, depth=depth, weights=weights)
    except OSError as error:
        raise missing_weights(f"smp/{name}", str(error)) from error
    except ValueError as error:
        raise MmtkError(f"The SMP encoder '{name}' cannot be built: {error}") from error
    return body


class _Removed(nn.Module):
    """Stands where SMP's loops expect a stage that feeds no level: some of them still call it."""

    def forward(self, x: Tensor, *_: float) -> Tensor:
        return x


def _settle(
    body: nn.Module, in_channels: int, side: int = 64
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """The levels that carry features, their channels and strides; parts that feed none of them are removed.

    SMP's first level mostly is the input itself, and transformers have an empty one at stride 2. Stages below
    ``depth`` and classifier convolutions stay in SMP's module; without gradient they would stall DDP.
    """
    probe = copy.deepcopy(body).to("meta")
    x = torch.zeros(2, in_channels, side, side, device="meta")
    with torch.enable_grad():
        features = probe(x)
        levels = tuple(i for i, f in enumerate(features) if f is not x and f.shape[1])
        torch.autograd.backward([features[level].sum() for level in levels])
    used = {name for name, parameter in probe.named_parameters() if parameter.grad is not None}
    _prune(body, "", used)
    channels = tuple(features[level].shape[1] for level in levels)
    return levels, channels, tuple(side // features[level].shape[-1] for level in levels)


def _prune(module: nn.Module, prefix: str, used: set[str]) -> None:
    for name, child in module.named_children():
        unused_names = {f"{prefix}{name}.{key}" for key, _ in child.named_parameters()}
        if unused_names and not unused_names & used:
            setattr(module, name, _Removed())
        else:
            _prune(child, f"{prefix}{name}.", used)
