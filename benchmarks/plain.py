"""A plain implementation of Algorithm 1, computed as the released code does: every pass for all 50 images.

Own code, written from the paper and from what the release computes: for all five streams a forward and a full
backward pass in evaluation mode for the saliency, then a training forward of encoder and decoder and its backward.
The one difference: the divergence is that of sigmoids; the release's softmax over one channel is always 0.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (16, 32, 64, 128, 256)


def block(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.InstanceNorm2d(outputs)]
        layers.append(nn.LeakyReLU(0.2, inplace=True))
    return nn.Sequential(*layers, nn.Dropout(dropout))


class Plain(nn.Module):
    def __init__(self, dropout: float = 0.25) -> None:
        super().__init__()
        pairs = zip((1, *WIDTHS[:-1]), WIDTHS, strict=True)
        self.encoder = nn.ModuleList(block(i, o, dropout) for i, o in pairs)
        self.classify = nn.Linear(256, 2)
        inputs = (256 + 128 + 2, 128 + 64, 64 + 32, 32 + 16)
        outputs = reversed(WIDTHS[:-1])
        self.decoder = nn.ModuleList(block(i, o, dropout) for i, o in zip(inputs, outputs, strict=True))
        self.mask = nn.Conv2d(16, 1, 1)

    def encode(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        features = []
        for level, part in enumerate(self.encoder):
            x = part(F.max_pool2d(x, 2) if level else x)
            features.append(x)
        return features, self.classify(F.max_pool2d(x, 2).mean((2, 3)))

    def saliency(self, images: Tensor) -> Tensor:
        """|∂ best score / ∂ image|; fills the gradients of the parameters as well, which are then thrown away."""
        x = images.clone().requires_grad_()
        self.encoder.eval()
        self.encode(x)[1].amax(1).sum().backward()
        self.encoder.train()
        self.zero_grad()
        assert x.grad is not None
        return x.grad.abs()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        saliency = self.saliency(images)
        features, scores = self.encode(images)
        both = torch.cat([images, saliency], 1)
        bridge = F.interpolate(both, scale_factor=1 / 8, mode="bilinear", align_corners=True)
        y, *skips = reversed(features)
        for level, (part, skip) in enumerate(zip(self.decoder, skips, strict=True)):
            y = F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=True)
            y = part(torch.cat([y, skip, bridge] if level == 0 else [y, skip], 1))
        return scores, self.mask(y)


def soft_dice(logits: Tensor, target: Tensor) -> Tensor:
    p = logits.sigmoid()
    return (1 - (2 * (p * target).sum((2, 3)) + 1) / (p.sum((2, 3)) + target.sum((2, 3)) + 1)).mean()


def divergence(x: Tensor, y: Tensor) -> Tensor:
    p = x.sigmoid()
    inside = p * (F.logsigmoid(x) - F.logsigmoid(y))
    return (inside + (1 - p) * (F.logsigmoid(-x) - F.logsigmoid(-y))).mean()


def loss(net: Plain, streams: list[Tensor], labels: Tensor, masks: Tensor, threshold: float = 0.7) -> Tensor:
    """``streams``: labelled, weak, strong classification images; labelled, unlabelled segmentation images."""
    scores, logits = net(torch.cat(streams))
    sizes = [len(images) for images in streams]
    labelled, weak, strong, *_ = scores.split(sizes)
    *_, known, unknown = logits.split(sizes)
    confidence, pseudo = weak.softmax(1).max(1)
    unsupervised = (F.cross_entropy(strong, pseudo, reduction="none") * (confidence >= threshold)).mean()
    supervised = F.cross_entropy(labelled, labels) + 5 * soft_dice(known, masks)
    return supervised + 0.25 * unsupervised + 0.01 * divergence(known, unknown)


def step(
    net: Plain, optimizer: torch.optim.Optimizer, streams: list[Tensor], labels: Tensor, masks: Tensor
) -> None:
    optimizer.zero_grad()
    loss(net, streams, labels, masks).backward()
    optimizer.step()
