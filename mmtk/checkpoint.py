"""Checkpoints in safetensors: weights, optimiser state and a JSON note; nothing in them is ever unpickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor, nn
from torch.optim import Optimizer

from mmtk.errors import MmtkError
from mmtk.runs import atomic


def save(path: Path, modules: dict[str, nn.Module], optimizer: Optimizer | None, note: dict[str, Any]) -> None:
    """Write modules under their prefixes, the optimiser under ``optim.``, and the note, atomically."""
    tensors: dict[str, Tensor] = {}
    for prefix, module in modules.items():
        for name, tensor in module.state_dict().items():
            tensors[f"{prefix}{name}"] = tensor
    if optimizer is not None:
        for index, state in optimizer.state_dict()["state"].items():
            for name, value in state.items():
                if value is not None:
                    tensors[f"optim.{index}.{name}"] = torch.as_tensor(value)
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    data = serialise(contiguous, metadata={"mmtk": json.dumps(note)})
    with atomic(path) as temporary:  # written here, so that a full disk is an OSError like everywhere else
        temporary.write_bytes(data)


def load(path: Path, modules: dict[str, nn.Module], optimizer: Optimizer | None) -> dict[str, Any]:
    """Restore what ``save`` wrote and return its note; a damaged file is an error that names it."""
    try:
        with safe_open(path, framework="pt") as file:
            note: dict[str, Any] = json.loads(file.metadata()["mmtk"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise MmtkError(
            f"this checkpoint cannot be read: {error}", str(path), "Remove it to start from the beginning."
        ) from error
    for prefix, module in modules.items():
        own = {name: tensors.pop(f"{prefix}{name}") for name in module.state_dict()}
        module.load_state_dict(own)
    if optimizer is not None:
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return note
