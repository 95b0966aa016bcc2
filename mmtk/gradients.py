"""Gradients of class scores with respect to images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def input_gradient(x: Tensor, classify: Callable[[Tensor], Tensor], classes: Tensor | None = None) -> Tensor:
    """|∂ s_k / ∂x| of the class scores s, k the best class (or ``classes`` [B]): [B,1,H,W], no gradient (eq. 3).

    With several input channels the largest gradient of a pixel counts. Asks for input gradients only, so no
    parameter's ``.grad`` is touched; works under an outer ``no_grad``.
    """
    return input_gradients(x, classify, [classes])


def input_gradients(x: Tensor, classify: Callable[[Tensor], Tensor], choices: Sequence[Tensor | None]) -> Tensor:
    """``input_gradient`` of each of several ``choices`` of classes [B,choices,H,W], from one pass forward."""
    # Autocast would run parts of the backward pass (matrix products) in half precision too.
    with torch.enable_grad(), torch.autocast(x.device.type, enabled=False):
        x = x.detach().requires_grad_()
        scores = classify(x)
        maps = []
        for index, classes in enumerate(choices, 1):
            class_scores = scores.amax(1) if classes is None else scores.gather(1, classes[:, None])
            (gradient,) = torch.autograd.grad(class_scores.sum(), x, retain_graph=index < len(choices))
            maps.append(gradient.abs().amax(1, keepdim=True))
    return maps[0] if len(maps) == 1 else torch.cat(maps, dim=1)
