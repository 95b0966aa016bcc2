"""The network: one encoder, a class head, a decoder, and a bridge between the two branches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from mmtk.api import Bridge, Decoder, Encoder, Prediction

if TYPE_CHECKING:
    from mmtk.model.encoder_start import EncoderStart

_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a norm with weights or statistics."""
    return isinstance(module, _NORMS) and bool(module.state_dict())


class ClassHead(nn.Module):
    """Max-pool 2 → global average → linear (Table 4)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, classes)

    def forward(self, features: list[Tensor]) -> Tensor:
        """The coarsest features [B,C,h,w] → class logits [B,classes]."""
        # ceil_mode keeps a 1×1 map; on even sides it changes nothing.
        pooled = F.max_pool2d(features[-1], 2, ceil_mode=True)
        logits: Tensor = self.linear(pooled.mean((-2, -1)))
        return logits


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Batch norm uses the batch's statistics inside the block but does not remember them."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


@contextmanager
def frozen_mode(*modules: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block (dropout off, norms frozen), every mode flag as it was after it."""
    training = [m for module in modules for m in module.modules() if m.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision becomes fp32; float64 stays."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class FrozenClassify:
    """The ``classify`` of bridges: dropout off, norms frozen, fp32; modes are as before after every call."""

    def __init__(self, encoder: Encoder, head: ClassHead) -> None:
        self._encoder, self._head = encoder, head

    def __call__(self, images: Tensor, *, statistics: bool = True) -> Tensor:
        """[B,C,H,W] → class logits [B,classes]; ``statistics`` has no effect, they are frozen."""
        return self.head(self.features(images))

    def features(self, images: Tensor) -> list[Tensor]:
        """The encoder's feature maps, fine → coarse."""
        with frozen_mode(self._encoder), torch.autocast(images.device.type, enabled=False):
            features: list[Tensor] = self._encoder(at_least_float32(images))
            return features

    def head(self, features: list[Tensor]) -> Tensor:
        """Class logits from feature maps."""
        with frozen_mode(self._head), torch.autocast(features[-1].device.type, enabled=False):
            logits: Tensor = self._head([at_least_float32(feature_map) for feature_map in features])
            return logits


class _RecordingClassify(FrozenClassify):
    """A bridge's ``classify`` that keeps the features of ``images``, where the bridge asks for theirs."""

    def __init__(self, classify: FrozenClassify, images: Tensor) -> None:
        super().__init__(classify._encoder, classify._head)
        self._images, self.recorded = images, list[Tensor]()

    def features(self, images: Tensor) -> list[Tensor]:
        """The encoder's feature maps, fine → coarse."""
        features = super().features(images)
        same_memory = images.data_ptr() == self._images.data_ptr() and images.stride() == self._images.stride()
        if same_memory and images.shape == self._images.shape and images.dtype == self._images.dtype:
            self.recorded = [feature_map.detach() for feature_map in features]
        return features


class MultiTaskNet(nn.Module):
    """Encoder → class head; encoder and bridge → decoder. A task that is absent has no branch.

    ``bridge_classify`` replaces the class branch that the bridge reads: a twin's bridge reads the main one's.
    """

    def __init__(
        self,
        encoder: Encoder,
        head: ClassHead | None,
        decoder: Decoder | None,
        bridge: Bridge | None,
        bridge_classify: FrozenClassify | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.encoder_start: EncoderStart | None = None  # of weights that somebody else has trained
        self.head = head
        self.bridge = bridge
        self.decoder = decoder
        frozen_classify = FrozenClassify(encoder, head) if head is not None else None
        self.bridge_classify = bridge_classify or frozen_classify

    @property
    def members(self) -> list[MultiTaskNet]:
        """The network itself: an ensemble has several."""
        return [self]

    def forward(self, x: Tensor) -> Prediction:
        """[B,C,H,W], normalised → logits of every task, and the bridge's map where it has one."""
        features, joined, saliency = self._encode(x)
        classes = self.head(features) if self.head is not None else None
        masks = self._decode(x, features, joined) if self.decoder is not None else None
        return Prediction(classes, masks, saliency)

    def classify(self, x: Tensor) -> Tensor:
        """[B,C,H,W] → class logits [B,classes]."""
        assert self.head is not None
        return self.head(self.encoder(x))

    def segment(self, x: Tensor) -> Tensor:
        """[B,C,H,W] → mask logits [B,K,H,W]; the bridge runs for these images alone."""
        features, joined, _ = self._encode(x)
        return self._decode(x, features, joined)

    def _encode(self, x: Tensor) -> tuple[list[Tensor], Tensor | None, Tensor | None]:
        """The encoder's features; what the bridge joins to them, and its map, where there is a bridge."""
        if self.bridge is None or self.decoder is None:
            return self.encoder(x), None, None
        assert self.bridge_classify is not None
        if not self._passes_are_equal(x):
            features = self.encoder(x)
            return features, *self.bridge(x, self.bridge_classify)
        classify = _RecordingClassify(self.bridge_classify, x)
        joined, saliency = self.bridge(x, classify)
        return classify.recorded or self.encoder(x), joined, saliency

    def _passes_are_equal(self, x: Tensor) -> bool:
        """Whether the bridge's own pass of ``x`` through the encoder has the features that the decoder needs."""
        return (
            self.bridge_classify is not None
            and self.bridge_classify._encoder is self.encoder
            and not torch.is_grad_enabled()
            and not torch.is_autocast_enabled(x.device.type)
            and x.dtype == torch.promote_types(x.dtype, torch.float32)
            and not any(module.training for module in self.encoder.modules())
            and not is_in_torch_dispatch_mode()  # such as a tracer: its tensors have no memory
        )

    def _decode(self, x: Tensor, features: list[Tensor], joined: Tensor | None) -> Tensor:
        assert self.decoder is not None
        if self.bridge is not None and joined is not None:
            level = list(self.encoder.strides).index(self.bridge.stride)
            skip = torch.cat([features[level], joined.to(features[level].dtype)], dim=1)
            features = [*features[:level], skip, *features[level + 1 :]]
        masks: Tensor = self.decoder(features, (x.shape[-2], x.shape[-1]))
        return masks
