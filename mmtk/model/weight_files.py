"""Weights files: of a run, an exported folder, or a .safetensors file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from torch import Tensor, nn

from mmtk.counts import share
from mmtk.errors import MmtkError
from mmtk.model import checkpoint
from mmtk.model.network import MultiTaskNet
from mmtk.runs.folder import RunDir

# First bytes of torch.save's zip archive and of a bare pickle.
PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
PICKLE_CURE = (
    "Convert its state dict: "
    'safetensors.torch.save_file(torch.load("FILE", weights_only=True), "FILE.safetensors").'
)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The network's weights in a .safetensors file, a run directory (the best ones) or an exported folder."""
    folder = RunDir(path)
    file = path if not path.is_dir() else folder.model if folder.model.is_file() else folder.best
    if not file.is_file():
        raise MmtkError("no such weights file.", str(file), "Give a .safetensors file or a run directory.")
    if _is_pickle(file):
        raise MmtkError("cannot be read: it is a pickle of PyTorch, which may hold code.", str(file), PICKLE_CURE)
    tensors, _ = checkpoint.read(file, "It is damaged, or no .safetensors file: copy or train it again.")
    return {name.removeprefix("net."): tensor for name, tensor in tensors.items() if not name.startswith("optim.")}


def _is_pickle(file: Path) -> bool:
    with open(file, "rb") as stream:
        start, rest = stream.read(4), stream.read(4)
    return start.startswith(PICKLES) and rest != bytes(4)  # a safetensors file begins with a length of 8 bytes


def load_weights(net: nn.Module, path: Path) -> None:
    """Load a whole network; a name or shape that differs is an error that names it."""
    _load(net, read_weights(path), path)


def load_start(net: nn.Module, path: Path) -> None:
    """Load a whole network to train on from; MmtkError as of ``check_weights`` and ``finite``."""
    _load(net, finite(read_weights(path), path), path)


def load_encoder(net: MultiTaskNet, path: str) -> None:
    """Load the encoder of a network to train on from; MmtkError as of ``load_start``."""
    _load(net.encoder, finite(encoder_part(read_weights(Path(path))), Path(path)), Path(path))


def finite(weights: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The weights of a file; MmtkError if one is not finite, from which no run can learn."""
    for name, tensor in weights.items():
        if count := int((~tensor.isfinite()).sum()):
            values = share(count, tensor.numel(), "value", "is not finite", "are not finite")
            message = f"{name}: {values}."
            raise MmtkError(message, str(path), "Its training diverged: take earlier weights.")
    return weights


def encoder_part(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The encoder's weights among those of a network; all, where they are of an encoder alone."""
    inside = {n.removeprefix("encoder."): t for n, t in weights.items() if n.startswith("encoder.")}
    return inside or weights


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
    for name in sorted({*weights} & {*state} - {*free}):
        if state[name].is_floating_point() and not weights[name].is_floating_point():
            raise MmtkError(
                f"{name}: has whole numbers ({str(weights[name].dtype).removeprefix('torch.')}), no weights.",
                str(path),
                "Quantised weights are not read: take those from before.",
            )
