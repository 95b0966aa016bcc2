"""The paper's network in a plain PyTorch loop, supervised, without anything of mmtk: both tasks at once, Adam."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import shared
import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (16, 32, 64, 128, 256)
BATCH, RATE, INTERVAL = 10, 1e-3, 25  # images of a task in a step, learning rate, steps between two validations


def block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.InstanceNorm2d(outputs), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Dropout(0.25))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        pairs = zip((1, *WIDTHS[:-1]), WIDTHS, strict=True)
        self.encoder = nn.ModuleList(block(i, o) for i, o in pairs)
        self.classify = nn.Linear(256, 2)
        below, skips = (256, 128, 64, 32), (128, 64, 32, 16)
        self.decoder = nn.ModuleList(block(b + s, s) for b, s in zip(below, skips, strict=True))
        self.mask = nn.Conv2d(16, 1, 1)

    def encode(self, x: Tensor) -> list[Tensor]:
        features = []
        for level, part in enumerate(self.encoder):
            features.append(x := part(F.max_pool2d(x, 2) if level else x))
        return features

    def scores(self, x: Tensor) -> Tensor:
        return self.classify(F.max_pool2d(self.encode(x)[-1], 2).mean((2, 3)))

    def masks(self, x: Tensor) -> Tensor:
        y, *skips = reversed(self.encode(x))
        for part, skip in zip(self.decoder, skips, strict=True):
            y = F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=True)
            y = part(torch.cat([y, skip], 1))
        return self.mask(y)


def soft_dice(logits: Tensor, target: Tensor) -> Tensor:
    p = logits.sigmoid()
    return (1 - (2 * (p * target).sum((2, 3)) + 1) / (p.sum((2, 3)) + target.sum((2, 3)) + 1)).mean()


class Loop:
    """Training and scoring of both tasks; images are read as they are needed first, and kept."""

    def __init__(self, wish: dict[str, Any]) -> None:
        torch.manual_seed(wish["seed"])
        self.wish, self.size = wish, wish["size"]
        self.net = Net()
        self.adam = torch.optim.Adam(self.net.parameters(), lr=RATE)
        self.draw = np.random.default_rng(wish["seed"])
        self._images: dict[str, Tensor] = {}

    def images(self, items: Sequence[dict[str, Any]]) -> Tensor:
        for item in items:
            if item["image"] not in self._images:
                self._images[item["image"]] = torch.from_numpy(shared.picture(item["image"], self.size))
        return torch.stack([self._images[item["image"]] for item in items])

    def masks(self, items: Sequence[dict[str, Any]]) -> Tensor:
        return torch.stack([torch.from_numpy(shared.mask(item["target"], self.size)) for item in items])

    def batch(self, task: str) -> list[dict[str, Any]]:
        """Some labelled images; each class equally often, as a set of which three quarters are ill needs."""
        items = self.wish["parts"][task]["labelled"]
        if task == "segmentation":
            return [items[i] for i in self.draw.integers(0, len(items), BATCH)]
        classes = [[item for item in items if item["target"] == number] for number in (0, 1)]
        return [group[self.draw.integers(0, len(group))] for group in classes * (BATCH // 2)]

    def train(self) -> None:
        self.net.train()
        for _ in range(INTERVAL):
            sick, organ = self.batch("classification"), self.batch("segmentation")
            flips = self.draw.random(BATCH) < 0.5
            images = self.images(sick)
            images = torch.stack([x.flip(-1) if flip else x for x, flip in zip(images, flips, strict=True)])
            labels = torch.tensor([item["target"] for item in sick])
            loss = F.cross_entropy(self.net.scores(images), labels)
            loss = loss + 5 * soft_dice(self.net.masks(self.images(organ)), self.masks(organ))
            self.adam.zero_grad()
            loss.backward()
            self.adam.step()

    @torch.no_grad()
    def score(self, task: str, part: str) -> float:
        self.net.eval()
        items = self.wish["parts"][task][part]
        groups = [items[i : i + BATCH] for i in range(0, len(items), BATCH)]
        if task == "classification":
            scores = torch.cat([self.net.scores(self.images(group)).softmax(1)[:, 1] for group in groups])
            return shared.auroc(scores.tolist(), [item["target"] for item in items])
        masks = torch.cat([self.net.masks(self.images(group)) > 0 for group in groups]).float().numpy()
        return shared.dice(list(masks), list(self.masks(items).numpy()))


def main() -> None:
    """Both tasks are trained together, until the slower one is there."""
    wish = shared.request()
    clock, loop = shared.Clock(wish), Loop(wish)
    reached: dict[str, Any] = {}
    best = dict.fromkeys(wish["goals"], 0.0)
    while len(reached) < len(best) and not clock.over:
        loop.train()
        for task in best.keys() - reached.keys():
            value, now = loop.score(task, "val"), clock.now()
            best[task] = max(best[task], value)
            if value >= wish["goals"][task]:
                reached[task] = {**now, "validation": value, "test": loop.score(task, "test")}
    for task in best.keys() - reached.keys():
        reached[task] = {**clock.now(), "validation": best[task], "test": None}
    print(json.dumps({"versions": {"torch": torch.__version__}, "tasks": reached}))


if __name__ == "__main__":
    main()
