"""Checkpoints in safetensors: weights, optimiser state and a JSON note; nothing in them is ever unpickled.

Equal states have equal bytes: no clock and no path is in them. A hash of the content finds damage.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor, nn
from torch.optim import Optimizer

from mmtk.errors import MmtkError
from mmtk.io.files import atomic
from mmtk.io.spelling import visible


def save(path: Path, modules: dict[str, nn.Module], optimizer: Optimizer | None, note: dict[str, Any]) -> None:
    """Write a checkpoint atomically.

    path: safetensors file; an earlier one is replaced
    modules: by the prefix of their tensors, such as ``net.``
    optimizer: its state goes under ``optim.``; None for weights alone
    note: JSON values, kept in the header beside a SHA-256 of the content
    """
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
    # One entry: safetensors writes several in any order.
    facts = {**note, "sha256": _sha256(contiguous, note)}
    data = serialise(contiguous, metadata={"mmtk": json.dumps(facts)})
    with atomic(path) as temporary:  # written here, so that a full disk is an OSError like everywhere else
        temporary.write_bytes(data)


def _sha256(tensors: dict[str, Tensor], note: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(note).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"\n{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def read(path: Path, cure: str | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the note of a checkpoint; a file that is not as it was written is an error that names it.

    Weights of others, without mmtk's note, are taken as they are: their note is empty.
    """
    try:
        with _named_in_utf8(path) as name, safe_open(name, framework="pt") as file:
            text = (file.metadata() or {}).get("mmtk")
            tensors = {name: file.get_tensor(name) for name in list(file.keys())}
        note: dict[str, Any] = json.loads(text or "{}")
        if text is not None and note.pop("sha256", None) != _sha256(tensors, note):
            raise ValueError("its content is not what was written")
    except (SafetensorError, OSError, ValueError, AttributeError) as error:
        raise MmtkError(f"cannot be read: {error}.", str(path), cure) from error
    return tensors, note


@contextmanager
def _named_in_utf8(path: Path) -> Iterator[str]:
    """The file under a name that safetensors takes: it wants UTF-8, and folders from elsewhere may not have it."""
    if visible(path) == str(path):
        yield str(path)
    else:
        with open(path, "rb") as file:
            yield f"/proc/self/fd/{file.fileno()}"


def load(path: Path, modules: dict[str, nn.Module], optimizer: Optimizer | None) -> dict[str, Any]:
    """Restore what ``save`` wrote and return its note; a damaged file is an error that names it."""
    tensors, note = read(path, "Remove it to start from the beginning.")
    for prefix, module in modules.items():
        module_state = {name: tensors.pop(f"{prefix}{name}") for name in module.state_dict()}
        module.load_state_dict(module_state)
    if optimizer is not None:
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return note
