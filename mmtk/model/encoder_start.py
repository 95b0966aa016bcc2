"""Start of an encoder from weights that somebody else has trained, under whatever names they have there."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmtk import api
from mmtk.counts import counted
from mmtk.errors import MmtkError
from mmtk.model.transformers_names import timm_names
from mmtk.model.weight_files import finite, read_tensors, refuse_whole_numbers

Names = dict[str, str]  # of a file's tensors, by the encoder's names
AVERAGED = ("ema", "teacher")  # copies of a network in one file of which those are taken


@dataclass(frozen=True)
class EncoderStart:
    """Facts on the weights that an encoder starts from.

    file: path, as the recipe has it
    sha256: of the file
    prefix: of the encoder's names in the file
    loaded: number of tensors taken
    by_order: whether they were matched by their order, since the file has other names
    adapted: names of the weights whose input channels were summed or repeated
    pixels: mean and standard deviation of the pixels that the weights expect, absorbed by the first layer; empty
        where they expect those of mmtk
    unused: names in the file that the encoder has no place for, such as those of a classifier
    """

    file: str
    sha256: str
    prefix: str
    loaded: int
    by_order: bool
    adapted: tuple[str, ...]
    pixels: tuple[tuple[float, ...], ...]
    unused: tuple[str, ...]

    @property
    def facts(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    @property
    def sentence(self) -> str:
        """Sentence for a terminal: what was loaded, adapted and left."""
        parts = [f"{counted(self.loaded, 'tensor')} from {self.file}"]
        if self.prefix:
            parts.append(f"named {self.prefix}.… there")
        if self.by_order:
            parts.append("matched by order and shape, since the names differ")
        if self.adapted:
            parts.append(f"{', '.join(self.adapted)} adapted to the channels of the images")
        if self.pixels:
            parts.append("the pixel range of the weights absorbed")
        if self.unused:
            names = ", ".join(self.unused[:3]) + (", …" if len(self.unused) > 3 else "")
            parts.append(f"{len(self.unused)} unused ({names})")
        return f"Encoder: {'; '.join(parts)}."


def load_encoder(encoder: api.Encoder, path: Path) -> EncoderStart:
    """Load weights into an encoder; MmtkError for a file that lacks one of them, or has one of another shape."""
    state, start = fit(encoder, path)
    encoder.load_state_dict(state, strict=False)
    return start


def fit(encoder: api.Encoder, path: Path) -> tuple[dict[str, Tensor], EncoderStart]:
    """Weights of a file under the names of an encoder, which may be on ``meta``, and the facts on them."""
    foreign, ordered, file = read_tensors(path)
    names_there = timm_names(foreign)
    tensors = {name: foreign[other] for name, other in names_there.items()}
    state = encoder.state_dict()
    needed = [name for name, value in state.items() if _is_needed(name, value)]
    first = next((name for name in needed if state[name].dim() == 4), "")
    names, prefix = _by_name(state, tensors, first)
    missing = [name for name in needed if name not in names]
    by_order = False
    if missing and ordered and (in_order := _by_order(state, needed, tensors, first)):
        names, prefix, missing, by_order = in_order, "", [], True
    if missing:
        raise _misfit(missing, foreign, path, "missing or of another shape")
    refuse_whole_numbers(state, {name: tensors[other] for name, other in names.items()}, path)
    weights = finite({name: tensors[other] for name, other in names.items()}, path)
    pixels = _foreign_pixels(encoder, weights[first] if first else None, names, tensors)
    if pixels is not None:
        weights |= absorbed_pixels(encoder, weights, first, *pixels)
    adapted = tuple(name for name in names if weights[name].shape != state[name].shape)
    for name in adapted:
        weights[name] = with_channels(weights[name], state[name].shape[1])
    unused = sorted(name for name in {*tensors} - {*names.values()} if _is_needed(name, tensors[name]))
    if not by_order and (deeper := _extra_layers(encoder, unused, prefix)):
        raise _misfit([names_there[name] for name in deeper], foreign, path, "which it does not have")
    unused = [names_there[name] for name in unused]
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    absorbed = tuple(map(tuple, pixels or ()))
    return weights, EncoderStart(str(path), sha256, prefix, len(names), by_order, adapted, absorbed, tuple(unused))


def _foreign_pixels(
    encoder: api.Encoder, weight: Tensor | None, names: Names, tensors: Mapping[str, Tensor]
) -> tuple[Sequence[float], Sequence[float]] | None:
    """Mean and standard deviation of the pixels that foreign weights expect; None for those of a network of mmtk.

    encoder: which declares them
    weight: of the convolution that reads the image, as the file has it
    names: in the file, by the encoder's
    tensors: of the file
    """
    pixels = encoder.pretrained_pixels
    if pixels is None or weight is None or weight.shape[1] != len(pixels[0]):
        return None
    has_names_of_mmtk = {*names} <= {other.removeprefix("encoder.") for other in tensors}
    return None if has_names_of_mmtk else pixels


def _misfit(wrong: list[str], tensors: Mapping[str, Tensor], path: Path, why: str) -> MmtkError:
    """Error for weights of another architecture.

    wrong: names that are wrong, and ``why``
    tensors: of the file ``path``
    """
    more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
    names = ", ".join([*tensors][:3])
    return MmtkError(
        f"does not fit this network: {', '.join(wrong[:5])}{more} {why}.",
        str(path),
        f"Take weights of the same encoder. The file has {counted(len(tensors), 'tensor')}: {names}, …",
    )


def _is_needed(name: str, value: Tensor) -> bool:
    """Whether an encoder cannot do without a tensor: indices and counters it has itself."""
    return value.is_floating_point() and not name.endswith("num_batches_tracked")


# --- whose tensor is whose ---------------------------------------------------------------------------------------


def _canonical(name: str) -> str:
    """A name in which a dot and an underscore are the same: wrappers of timm write one for the other."""
    return name.replace("_", ".")


def _by_name(state: Mapping[str, Tensor], tensors: Mapping[str, Tensor], first: str) -> tuple[Names, str]:
    """Names in the file of the encoder's tensors, and the prefix there under which most of them are found.

    state: of the encoder
    tensors: of the file
    first: name of the convolution that reads the image, whose channels may differ
    """
    shared = _shared_prefix([*state])
    by_suffix = {_canonical(name.removeprefix(shared)): name for name in state}
    matches: dict[str, Names] = {}
    for other, tensor in tensors.items():
        parts = _canonical(other).split(".")
        for depth in range(len(parts)):
            name = by_suffix.get(".".join(parts[depth:]))
            if name is not None and _fits(tensor, state[name], name == first):
                matches.setdefault(".".join(parts[:depth]), {})[name] = other
    if not matches:
        return {}, ""
    prefix = max(matches, key=lambda one: (len(matches[one]), any(word in one for word in AVERAGED)))
    return matches[prefix], prefix


def _extra_layers(encoder: nn.Module, unused: list[str], prefix: str) -> list[str]:
    """Unused names of a file that are further numbered layers of a part that the encoder has: of a deeper network.

    encoder: whose parts are looked at
    unused: names in the file
    prefix: of the encoder's names there
    """
    shared = _canonical(_shared_prefix([*encoder.state_dict()]))
    modules = {_canonical(name).removeprefix(shared): module for name, module in encoder.named_modules()}
    extra = []
    for name in unused:
        path = _canonical(name)
        if not path.startswith(f"{prefix}." if prefix else ""):
            continue
        parts = path.removeprefix(f"{prefix}.").split(".")
        depth = max((k for k in range(1, len(parts)) if ".".join(parts[:k]) in modules), default=0)
        container = modules.get(".".join(parts[:depth])) if depth else None
        if container is not None and len([*container.children()]) and parts[depth].isdigit():
            extra.append(name)
    return extra


def _shared_prefix(names: list[str]) -> str:
    """The module that all names begin with, with its dot; empty where they begin differently."""
    beginnings = Counter(name.partition(".")[0] for name in names)
    return f"{names[0].partition('.')[0]}." if len(beginnings) == 1 and "." in names[0] else ""


def _fits(tensor: Tensor, expected: Tensor, first: bool) -> bool:
    """Whether a tensor has the shape of the encoder's own one; of the first convolution but for the channels."""
    if tensor.shape == expected.shape:
        return True
    return first and tensor.dim() == 4 and tensor[:, 0].shape == expected[:, 0].shape and tensor.shape[1] in (1, 3)


def _by_order(
    state: Mapping[str, Tensor], needed: list[str], tensors: Mapping[str, Tensor], first: str
) -> Names | None:
    """Names in the file where its first tensors are the encoder's, one after the other, in kind and shape.

    state, needed: of the encoder, and the names that it cannot do without
    tensors: of the file, in the order in which the network has them
    first: name of the convolution that reads the image

    None where one differs.
    """
    others = [name for name, value in tensors.items() if _is_needed(name, value)][: len(needed)]
    pairs = [*zip(needed, others, strict=False)]
    alike = all(
        name.rpartition(".")[2] == other.rpartition(".")[2] and _fits(tensors[other], state[name], name == first)
        for name, other in pairs
    )
    return dict(pairs) if alike and len(pairs) == len(needed) else None


# --- other pixels, other channels --------------------------------------------------------------------------------


def with_channels(weight: Tensor, channels: int) -> Tensor:
    """A first convolution for other channels: summed to one, else repeated and scaled (timm's rule)."""
    from timm.models import adapt_input_conv

    if weight.shape[1] == 1:
        return weight.repeat(1, channels, 1, 1) / channels
    adapted: Tensor = adapt_input_conv(channels, weight)
    return adapted


def absorbed_pixels(
    encoder: nn.Module, weights: Mapping[str, Tensor], first: str, mean: Sequence[float], std: Sequence[float]
) -> dict[str, Tensor]:
    """Weights that take images in [−1, 1] as the given ones take (v − mean) / std of pixels v in [0, 1].

    With x = 2v − 1, (v − mean) / std = x · 0.5 / std + (0.5 − mean) / std. The factor goes into the convolution,
    the constant into its bias, or into the mean that the batch norm behind it subtracts. At the border of an image
    padded with zeros the constant is only nearly right; where there is neither bias nor norm it is left out.

    encoder: of the weights
    weights: by its names
    first: name of the convolution that reads the image
    mean: of the pixels, one value a channel
    std: their standard deviation
    """
    weight = weights[first].float()
    scale = torch.tensor([0.5 / one for one in std]).view(1, -1, 1, 1)
    offset = torch.tensor([(0.5 - m) / s for m, s in zip(mean, std, strict=True)]).view(1, -1, 1, 1)
    constant = (weight * offset).sum((1, 2, 3))
    changed = {first: weight * scale}
    bias = f"{first.removesuffix('weight')}bias"
    if bias in weights:
        return changed | {bias: weights[bias].float() + constant}
    norm = next(_norms_behind(encoder, first, len(weight)), None)
    if norm is not None and norm in weights:
        changed[norm] = weights[norm].float() - constant
    return changed


def _norms_behind(encoder: nn.Module, first: str, channels: int) -> Iterator[str]:
    """Names of the running means of the batch norms behind a convolution, with as many channels."""
    behind = False
    for name, module in encoder.named_modules():
        if name == first.removesuffix(".weight"):
            behind = True
        elif behind and isinstance(module, nn.modules.batchnorm._BatchNorm) and module.num_features == channels:
            yield f"{name}.running_mean"
