"""Attributions of the best class by Captum (Kokhlikyan et al., 2020): images → one value per pixel and channel."""

from __future__ import annotations

import torch
from captum.attr import InputXGradient, IntegratedGradients, LayerGradCam, Saliency
from mmtk.api import Classify
from torch import Tensor, nn
from torch.nn import functional as F

BLACK, RANGE = -1.0, 2.0  # images lie in [−1, 1]


def best_class(x: Tensor, classify: Classify) -> Tensor:
    """The class of each image [B,C,H,W] → [B]: what perturbed copies are asked about, too."""
    with torch.no_grad():
        return classify(x).argmax(1)


def saliency(x: Tensor, classify: Classify) -> Tensor:
    """|∂s/∂x| (Simonyan et al., 2013), s the best score."""
    return Saliency(lambda images: classify(images).amax(1)).attribute(x)


def input_x_gradient(x: Tensor, classify: Classify) -> Tensor:
    """x · ∂s/∂x (Shrikumar et al., 2016)."""
    return InputXGradient(lambda images: classify(images).amax(1)).attribute(x)


def integrated_gradients(x: Tensor, classify: Classify, steps: int) -> Tensor:
    """(x − black) · mean of ∂s/∂x on the way from black (Sundararajan et al., 2017), a batch at a time."""
    way, classes = IntegratedGradients(classify), best_class(x, classify)
    baseline = torch.full_like(x, BLACK).detach()
    return way.attribute(x, baseline, target=classes, n_steps=steps, internal_batch_size=len(x))


def smoothgrad(x: Tensor, classify: Classify, samples: int, noise: float) -> Tensor:
    """Mean of ∂s/∂x over noisy copies (Smilkov et al., 2017), one at a time; noise: sd as a share of the range."""
    # Captum's NoiseTunnel draws from the global generator. One draw for all images: the batch does not matter.
    generator = torch.Generator().manual_seed(0)
    way, classes, total = Saliency(classify), best_class(x, classify), torch.zeros_like(x)
    for _ in range(samples):
        drawn = torch.randn(x.shape[1:], generator=generator).to(x)
        copy = (x.detach() + noise * RANGE * drawn).requires_grad_()
        total = total + way.attribute(copy, target=classes, abs=False)
    return total / samples


def grad_cam(x: Tensor, classify: Classify) -> Tensor:
    """ReLU(Σ_k mean(∂s/∂A_k) A_k) (Selvaraju et al., 2017), A the coarsest features: [B,1,H,W]."""
    with torch.no_grad():
        *others, last = classify.features(x)
    here = nn.Identity()  # the layer that Captum looks at: what is before it is not run again
    cam = LayerGradCam(lambda features: classify.head([*others, here(features)]).amax(1), here)
    found = cam.attribute(last.requires_grad_(), relu_attributions=True)
    return F.interpolate(found, size=x.shape[-2:], mode="bilinear", align_corners=True)
