"""The layer table of a network: kind, output shape and parameters of every layer, in the order they run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mmtk.io.files import write_json
from mmtk.model.network import MultiTaskNet
from mmtk.recipe.recipe import Recipe


def write_layers(path: Path, recipe: Recipe, net: MultiTaskNet, device: torch.device | str) -> None:
    """Write ``layers.json``: the ``size`` of the images and the ``layers`` of ``layer_table``.

    path: of the file
    recipe: with the size and channels of the images
    net: left in evaluation mode
    device: that ``net`` is on
    """
    size = recipe.data.size
    image = torch.zeros(1, recipe.data.channels, size, size, device=device)
    write_json(path, {"size": size, "layers": layer_table(net.eval(), image)})


def layer_table(net: torch.nn.Module, image: torch.Tensor) -> list[dict[str, Any]]:
    """List the modules without parts that a forward pass of ``image`` reaches, in the order they run.

    Each has its ``layer`` (name in the network), ``kind`` (class and settings), ``output`` (shape of one image)
    and ``parameters`` (count).
    """
    rows: dict[str, dict[str, Any]] = {}

    def hook(name: str) -> Callable[..., None]:
        def note(module: torch.nn.Module, inputs: Any, outputs: Any) -> None:
            output = outputs[0] if isinstance(outputs, tuple) else outputs
            row = {
                "layer": name,
                "kind": f"{type(module).__name__}({module.extra_repr()})",
                "output": list(output.shape[1:]),
                "parameters": sum(parameter.numel() for parameter in module.parameters()),
            }
            # A bridge runs the encoder a second time: the first pass is the one to show.
            rows.setdefault(name, row)

        return note

    leaves = {name: module for name, module in net.named_modules() if name and not [*module.children()]}
    hooks = [module.register_forward_hook(hook(name)) for name, module in leaves.items()]
    try:
        with torch.no_grad():
            net(image)
    finally:
        for handle in hooks:
            handle.remove()
    return list(rows.values())
