"""Names of Hugging Face's ``transformers`` for the tensors of ResNets and ConvNeXts, as timm writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Of the part of a name that follows its prefix ("resnet.", "convnext.", "model.resnet." …), in this order.
RESNET = (
    (r"embedder\.embedder\.convolution", "conv1"),
    (r"embedder\.embedder\.normalization", "bn1"),
    (r"encoder\.stages\.(\d+)\.layers\.(\d+)\.shortcut\.convolution", r"layer{1}.\2.downsample.0"),
    (r"encoder\.stages\.(\d+)\.layers\.(\d+)\.shortcut\.normalization", r"layer{1}.\2.downsample.1"),
    (r"encoder\.stages\.(\d+)\.layers\.(\d+)\.layer\.(\d+)\.convolution", r"layer{1}.\2.conv{3}"),
    (r"encoder\.stages\.(\d+)\.layers\.(\d+)\.layer\.(\d+)\.normalization", r"layer{1}.\2.bn{3}"),
)
CONVNEXT = (
    (r"embeddings\.patch_embeddings", "stem.0"),
    (r"embeddings\.layernorm", "stem.1"),
    (r"encoder\.stages\.(\d+)\.downsampling_layer\.(\d+)", r"stages.\1.downsample.\2"),
    (r"encoder\.stages\.(\d+)\.layers\.(\d+)\.layer_scale_parameter", r"stages.\1.blocks.\2.gamma"),
    (r"encoder\.stages\.(\d+)\.layers\.(\d+)\.dwconv", r"stages.\1.blocks.\2.conv_dw"),
    (r"encoder\.stages\.(\d+)\.layers\.(\d+)\.layernorm", r"stages.\1.blocks.\2.norm"),
    (r"encoder\.stages\.(\d+)\.layers\.(\d+)\.pwconv(\d+)", r"stages.\1.blocks.\2.mlp.fc\3"),
)
FAMILIES = {"embedder.embedder.convolution.weight": RESNET, "embeddings.patch_embeddings.weight": CONVNEXT}


def timm_names(names: Iterable[str]) -> dict[str, str]:
    """Give the names of a file's tensors by those of timm, which are equal where transformers wrote no such file.

    Of other architectures of transformers the names stay as they are. A prefix stays.
    """
    names = [*names]
    families = [rules for end, rules in FAMILIES.items() if any(name.endswith(end) for name in names)]
    return {_renamed(name, families[0] if families else ()): name for name in names}


def _renamed(name: str, rules: Iterable[tuple[str, str]]) -> str:
    for pattern, timm in rules:
        match = re.search(rf"(?<!\w){pattern}(?=\.|$)", name)
        if match:
            slots = {number: int(match[int(number)]) + 1 for number in re.findall(r"\{(\d)\}", timm)}
            for number, value in slots.items():  # counted from one in timm, from zero in transformers
                timm = timm.replace(f"{{{number}}}", str(value))
            return name[: match.start()] + match.expand(timm) + name[match.end() :]
    return name
