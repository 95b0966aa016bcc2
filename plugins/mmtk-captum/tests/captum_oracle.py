"""Every map once more, without Captum: by NumPy and SciPy, or by autograd from the equations."""

from __future__ import annotations

import numpy as np
import torch
from mmtk.components.encoder.unet import UNetEncoder
from mmtk.model.network import ClassHead, FrozenClassify

from mmtk_captum.attention import Attention
from mmtk_captum.attribution import Attribution
from mmtk_captum.grad_cam import GradCAM

BRIDGES = {"captum": Attribution, "grad-cam": GradCAM, "attention": Attention}
METHODS = ("saliency", "input-x-gradient", "integrated-gradients", "smoothgrad", "grad-cam")
CASES = {
    **{f"captum-{method}": ("captum", {"method": method}) for method in METHODS},
    "grad-cam": ("grad-cam", {}),
    "attention": ("attention", {}),
}


def class_branch(channels: int = 1, classes: int = 3) -> FrozenClassify:
    """A small class branch of the paper's kind, with dropout in train mode, in float64."""
    torch.manual_seed(1)
    encoder = UNetEncoder(channels, width=4, depth=4, dropout=0.25).double()
    return FrozenClassify(encoder, ClassHead(encoder.channels[-1], classes).double())


def images(count: int = 3, channels: int = 1, height: int = 32, width: int = 48, seed: int = 0) -> torch.Tensor:
    """[B,C,H,W] in [−1, 1], float64, so many that they are of more than one best class."""
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(count, channels, height, width, generator=draw, dtype=torch.float64) * 2 - 1


class Linear:
    """s = W x, with its class's row of W as the gradient everywhere; keeps the images it was asked about."""

    def __init__(self, channels: int = 1, height: int = 32, width: int = 48, classes: int = 3) -> None:
        draw = torch.Generator().manual_seed(2)
        self.weight = torch.randn(classes, channels, height, width, generator=draw, dtype=torch.float64)
        self.seen: list[torch.Tensor] = []

    def __call__(self, x: torch.Tensor, *, statistics: bool = True) -> torch.Tensor:
        self.seen.append(x.detach())
        return torch.einsum("bchw,kchw->bk", x, self.weight)

    def best(self, x: torch.Tensor) -> torch.Tensor:
        """The rows of W of the best classes [B,C,H,W]."""
        return self.weight[torch.einsum("bchw,kchw->bk", x, self.weight).argmax(1)]


class Watched:
    """A class branch that keeps the images it was asked about."""

    def __init__(self, classify: FrozenClassify) -> None:
        self.classify, self.seen = classify, []

    def __call__(self, x: torch.Tensor, *, statistics: bool = True) -> torch.Tensor:
        self.seen.append(x.detach())
        return self.classify(x)

    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        self.seen.append(x.detach())
        return self.classify.features(x)

    def head(self, features: list[torch.Tensor]) -> torch.Tensor:
        return self.classify.head(features)


def gradient(x: torch.Tensor, classify, classes: torch.Tensor) -> np.ndarray:
    """∂s_k/∂x, image by image."""
    rows = []
    for image, k in zip(x, classes, strict=True):
        image = image[None].clone().requires_grad_()
        classify(image)[0, k].backward(inputs=[image])
        rows.append(image.grad[0].numpy())
    return np.stack(rows)


def best(x: torch.Tensor, classify) -> torch.Tensor:
    with torch.no_grad():
        return classify(x).argmax(1)


def resized(planes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Planes [..., h, w] resized bilinearly, corner to corner, one axis after the other."""
    for axis, wanted in ((-2, size[0]), (-1, size[1])):
        there = np.linspace(0, planes.shape[axis] - 1, wanted)
        planes = np.apply_along_axis(lambda line, t=there: np.interp(t, np.arange(len(line)), line), axis, planes)
    return planes


def grad_cam(x: torch.Tensor, classify: FrozenClassify) -> np.ndarray:
    """For a head of max-pool 2, mean and linear layer the mean gradient of channel k is w_k/(h w)."""
    with torch.no_grad():
        last = classify.features(x)[-1].numpy()
    assert last.shape[-2] % 2 == last.shape[-1] % 2 == 0  # each pooled cell has four
    rows = classify._head.linear.weight.detach().numpy()[best(x, classify).numpy()]
    found = np.einsum("bk,bkhw->bhw", rows, last)[:, None] / (last.shape[-2] * last.shape[-1])
    return resized(np.maximum(found, 0), x.shape[-2:])
