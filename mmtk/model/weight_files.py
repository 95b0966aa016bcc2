"""Weights files: of a run, an exported folder, a .safetensors file, or on the Hugging Face hub."""

from __future__ import annotations

import pickle
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmtk.counts import share
from mmtk.errors import MmtkError
from mmtk.model import checkpoint, hub
from mmtk.runs.folder import RunDir

# First bytes of torch.save's zip archive and of a bare pickle.
PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
PICKLE_CURE = (
    "Convert its state dict: "
    'safetensors.torch.save_file(torch.load("FILE", weights_only=True), "FILE.safetensors").'
)
DAMAGED = "It is damaged, or no .safetensors file: copy or train it again."
CODE_CURE = (
    "Where you trust it, save its weights alone: "
    'safetensors.torch.save_file(torch.load("FILE", weights_only=False)["state_dict"], "FILE.safetensors").'
)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The network's weights in a .safetensors file, a run directory (the best ones) or an exported folder."""
    file = _file_of(path)
    if _is_pickle(file):
        raise MmtkError("cannot be read: it is a pickle of PyTorch, which may hold code.", str(file), PICKLE_CURE)
    tensors, _ = checkpoint.read(file, DAMAGED)
    return _weights_alone(tensors)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], bool, Path]:
    """All tensors of a file that somebody else may have written, under their names there.

    path: a .safetensors file, a file of ``torch.save`` (nothing in it is run), a run directory, an exported
        folder, or an address on the Hugging Face hub

    The tensors, whether they stand in the order of the network, and the file. Tables in tables are joined by dots.
    """
    file = _file_of(path)
    if _is_pickle(file):
        return dict(_tensors_in(_unpickled(file))), True, file
    tensors, _ = checkpoint.read(file, DAMAGED)
    return _weights_alone(tensors), False, file


def read_start(path: Path) -> dict[str, Tensor]:
    """Weights of a whole network to train on from, also of a file of ``torch.save`` with the same names."""
    return _weights_alone(read_tensors(path)[0])


def _file_of(path: Path) -> Path:
    if hub.is_address(path):
        return hub.fetch(str(path))
    folder = RunDir(path)
    file = path if not path.is_dir() else folder.model if folder.model.is_file() else folder.best
    if not file.is_file():
        raise MmtkError("no such weights file.", str(file), "Give a .safetensors file or a run directory.")
    return file


def _weights_alone(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix("net."): tensor for name, tensor in tensors.items() if not name.startswith("optim.")}


def _unpickled(file: Path) -> Any:
    """Content of a file of ``torch.save``, of which torch reads tensors and plain values alone."""
    try:
        with open(file, "rb") as stream:  # by its name torch would choose how to read it
            return torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        message = "cannot be read: it is a pickle that holds more than weights, which may be code."
        raise MmtkError(message, str(file), CODE_CURE) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        first_line = str(error).partition("\n")[0]
        raise MmtkError(f"cannot be read: {first_line}.", str(file), "It is damaged: copy it again.") from error


def _tensors_in(content: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Tensors of a table and of the tables in it, with their names."""
    if isinstance(content, Mapping):
        for name, value in content.items():
            inner = f"{prefix}.{name}" if prefix else str(name)
            if isinstance(value, Tensor):
                yield inner, value
            else:
                yield from _tensors_in(value, inner)


def _is_pickle(file: Path) -> bool:
    with open(file, "rb") as stream:
        start, rest = stream.read(4), stream.read(4)
    return start.startswith(PICKLES) and rest != bytes(4)  # a safetensors file begins with a length of 8 bytes


def load_weights(net: nn.Module, path: Path) -> None:
    """Load a whole network; a name or shape that differs is an error that names it."""
    _load(net, read_weights(path), path)


def load_start(net: nn.Module, path: Path) -> None:
    """Load a whole network to train on from; MmtkError as of ``check_weights`` and ``finite``."""
    _load(net, finite(read_start(path), path), path)


def finite(weights: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The weights of a file; MmtkError if one is not finite, from which no run can learn."""
    for name, tensor in weights.items():
        if count := int((~tensor.isfinite()).sum()):
            values = share(count, tensor.numel(), "value", "is not finite", "are not finite")
            message = f"{name}: {values}."
            raise MmtkError(message, str(path), "Its training diverged: take earlier weights.")
    return weights


def _load(module: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    check_weights(module, weights, path)
    module.load_state_dict(weights)


def check_weights(module: nn.Module, weights: dict[str, Tensor], path: Path, free: Collection[str] = ()) -> None:
    """Raise MmtkError with the names of the first three weights that do not fit a module.

    module: with the expected names and shapes
    weights: by name, as in a state dict
    path: of their file, for the message
    free: names of weights that may have any shape
    """
    state = module.state_dict()
    other = {n for n in {*state} & {*weights} - {*free} if state[n].shape != weights[n].shape}
    wrong = sorted({*state} ^ {*weights} | other)
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise MmtkError(
            f"does not fit this network: {', '.join(wrong[:3])}{more} missing, unknown or of another shape.",
            str(path),
            "Take weights of the same encoder and data.channels.",
        )
    refuse_whole_numbers(state, {name: weights[name] for name in {*weights} - {*free}}, path)


def refuse_whole_numbers(state: Mapping[str, Tensor], weights: Mapping[str, Tensor], path: Path) -> None:
    """Raise MmtkError for a weight of whole numbers, as quantised networks have them.

    state: of the module, by name; ``weights``: for it, from the file ``path``
    """
    for name in sorted({*weights} & {*state}):
        if state[name].is_floating_point() and not weights[name].is_floating_point():
            raise MmtkError(
                f"{name}: has whole numbers ({str(weights[name].dtype).removeprefix('torch.')}), no weights.",
                str(path),
                "Quantised weights are not read: take those from before.",
            )
