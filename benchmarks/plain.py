"""A plain implementation of Algorithm 1: one forward of all 50 images, saliency and decoder for every one.

Written from the paper's text and the known behaviour of the released code; the yardstick of benchmarks/step.py.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (16, 32, 64, 128, 256)


def block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.InstanceNorm2d(outputs), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Dropout(0.25))


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(block(i, o) for i, o in zip((1, *WIDTHS[:-1]), WIDTHS, strict=True))
        self.classify = nn.Linear(256, 2)
        inputs = (256 + 128 + 2, 128 + 64, 64 + 32, 32 + 16)
        self.decoder = nn.ModuleList(block(i, o) for i, o in zip(inputs, reversed(WIDTHS[:-1]), strict=True))
        self.mask = nn.Conv2d(16, 1, 1)

    def encode(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        features = []
        for level, part in enumerate(self.encoder):
            x = part(F.max_pool2d(x, 2) if level else x)
            features.append(x)
        return features, self.classify(F.max_pool2d(x, 2).mean((2, 3)))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = images.clone().requires_grad_()
        features, scores = self.encode(x)
        # One forward serves both; its backward fills the parameters' gradients as well, as a plain one does.
        scores.max(1).values.sum().backward(retain_graph=True)
        assert x.grad is not None
        bridge = F.interpolate(torch.cat([images, x.grad.abs()], 1), scale_factor=1 / 8, mode="bilinear")
        y, *skips = reversed(features)
        for level, (part, skip) in enumerate(zip(self.decoder, skips, strict=True)):
            y = F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=True)
            y = part(torch.cat([y, skip, bridge] if level == 0 else [y, skip], 1))
        return scores, self.mask(y)


def soft_dice(logits: Tensor, target: Tensor) -> Tensor:
    p = logits.sigmoid()
    return (1 - (2 * (p * target).sum((1, 2, 3)) + 1) / (p.sum((1, 2, 3)) + target.sum((1, 2, 3)) + 1)).mean()


def step(
    net: Plain, optimizer: torch.optim.Optimizer, streams: list[Tensor], labels: Tensor, masks: Tensor
) -> None:
    """``streams``: labelled, weak, strong classification images; labelled, unlabelled segmentation images."""
    m = len(labels)
    scores, logits = net(torch.cat(streams))
    labelled, weak, strong = scores[:m], scores[m : 2 * m], scores[2 * m : 3 * m]
    confidence, pseudo = weak.softmax(1).max(1)
    unsupervised = (F.cross_entropy(strong, pseudo, reduction="none") * (confidence >= 0.7)).mean()
    p, q = logits[3 * m : 4 * m].sigmoid().clamp(1e-6, 1 - 1e-6), logits[4 * m :].sigmoid().clamp(1e-6, 1 - 1e-6)
    kl = (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean()
    loss = F.cross_entropy(labelled, labels) + 0.25 * unsupervised + 5 * soft_dice(logits[3 * m : 4 * m], masks)
    optimizer.zero_grad()
    (loss + 0.01 * kl).backward()
    optimizer.step()
