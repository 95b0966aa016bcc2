"""Weights files: of a run, an exported folder, or a .safetensors file."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from mmtk.errors import MmtkError
from mmtk.model import checkpoint
from mmtk.model.network import MultiTaskNet
from mmtk.runs.folder import RunDir


def read_weights(path: Path) -> dict[str, Tensor]:
    """The network's weights in a .safetensors file, a run directory (the best ones) or an exported folder."""
    folder = RunDir(path)
    file = path if not path.is_dir() else folder.model if folder.model.is_file() else folder.best
    if not file.is_file():
        raise MmtkError("no such weights file.", str(file), "Give a .safetensors file or a run directory.")
    tensors, _ = checkpoint.read(file, "It is damaged, or no .safetensors file: copy or train it again.")
    return {name.removeprefix("net."): tensor for name, tensor in tensors.items() if not name.startswith("optim.")}


def load_weights(net: nn.Module, path: Path) -> None:
    """Load a whole network; a name or shape that differs is an error that names it."""
    _load(net, read_weights(path), path)


def load_encoder(net: MultiTaskNet, path: str) -> None:
    """Load the encoder of a network from a weights file; MmtkError as of ``check_weights``."""
    _load(net.encoder, encoder_part(read_weights(Path(path))), Path(path))


def encoder_part(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The encoder's weights among those of a network; all, where they are of an encoder alone."""
    inside = {n.removeprefix("encoder."): t for n, t in weights.items() if n.startswith("encoder.")}
    return inside or weights


def _load(module: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    check_weights(module, weights, path)
    module.load_state_dict(weights)


def check_weights(module: nn.Module, weights: dict[str, Tensor], path: Path, shapes: bool = True) -> None:
    """Raise MmtkError with the names of the first three weights that do not fit a module.

    module: with the expected names and shapes
    weights: by name, as in a state dict
    path: of their file, for the message
    shapes: whether a weight of another shape is an error too, beside missing and unknown ones
    """
    state = module.state_dict()
    other = {n for n in {*state} & {*weights} if shapes and state[n].shape != weights[n].shape}
    wrong = sorted({*state} ^ {*weights} | other)
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise MmtkError(
            f"does not fit this network: {', '.join(wrong[:3])}{more} missing, unknown or of another shape.",
            str(path),
            "Take weights of the same encoder and data.channels.",
        )
