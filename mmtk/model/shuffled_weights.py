"""Networks whose weights are shuffled, from the class head down to the image."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from mmtk.api import Encoder
from mmtk.model.network import ClassHead
from mmtk.seeding import generator


def stages(encoder: Encoder, head: ClassHead) -> list[list[nn.Module]]:
    """The layers in five parts: the head, then quarters of the encoder's layers, the last ones first."""
    layers = [module for module in encoder.modules() if [*module.parameters(recurse=False)]][::-1]
    edges = [round(len(layers) * quarter / 4) for quarter in range(5)]
    return [[head.linear], *(layers[start:end] for start, end in itertools.pairwise(edges))]


@contextmanager
def shuffled(modules: Sequence[nn.Module], *key: object) -> Iterator[None]:
    """Inside the block the entries of every weight tensor are in a drawn order, which keeps their distribution.

    modules: whose own parameters are shuffled; afterwards they are as before
    key: of the draw
    """
    before = []
    draw = generator("shuffled weights", *key)
    with torch.no_grad():
        for module in modules:
            for parameter in module.parameters(recurse=False):
                before.append((parameter, parameter.clone()))
                order = torch.randperm(parameter.numel(), generator=draw).to(parameter.device)
                parameter.copy_(parameter.flatten()[order].view_as(parameter))
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, values in before:
                parameter.copy_(values)
