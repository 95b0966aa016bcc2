"""MONAI as its tutorials have it: a U-Net for masks, DenseNet121 for classes; files are read once (CacheDataset).

Segmentation follows ``2d_segmentation/torch/unet_training_dict.py``: UNet of the same channels, Dice loss on
sigmoids, Adam at 1e-3, two images a step with four crops of 3/4 of the side each, quarter turns. Whole images in
batches of ten, or no turns, were tried: validation was lower after the same time. Classification follows
``mednist_tutorial.ipynb``: DenseNet121, cross entropy, random rotation, flip and zoom, Adam; at 1e-4, since its
1e-5 is for 47,000 labelled images, in batches of ten. Validation is as in the plain loop.
"""

from __future__ import annotations

import json
from typing import Any

import monai
import numpy as np
import shared
import torch
from monai.data import CacheDataset, DataLoader
from monai.losses import DiceLoss
from monai.metrics import DiceMetric, ROCAUCMetric
from monai.networks.nets import DenseNet121, UNet
from monai.transforms import (
    Compose,
    Lambdad,
    RandCropByPosNegLabeld,
    RandFlipd,
    RandRotate90d,
    RandRotated,
    RandZoomd,
    ToTensord,
)
from torch import nn

BATCH, INTERVAL = 10, 25
KEYS = ("image", "target")


class Half:
    """One task: its network, its loss and its data.

    wish: what ``shared.request`` gave
    task: classification or segmentation
    """

    def __init__(self, wish: dict[str, Any], task: str) -> None:
        self.task, self.size, self.wish = task, wish["size"], wish
        self.masks = task == "segmentation"
        self.net: nn.Module
        if self.masks:
            channels, strides = (16, 32, 64, 128, 256), (2, 2, 2, 2)
            self.net = UNet(2, 1, 1, channels, strides, num_res_units=2)
            self.loss: nn.Module = DiceLoss(sigmoid=True)
        else:
            self.net, self.loss = DenseNet121(2, 1, 2), nn.CrossEntropyLoss()
        self.adam = torch.optim.Adam(self.net.parameters(), lr=1e-3 if self.masks else 1e-4)
        labelled = CacheDataset(wish["parts"][task]["labelled"], self._transform(random=True), progress=False)
        self.loader = DataLoader(labelled, batch_size=2 if self.masks else BATCH, shuffle=True)
        self._batches: Any = iter(())
        self._parts: dict[str, Any] = {}

    def _transform(self, random: bool) -> Compose:
        steps: list[Any] = [Lambdad("image", lambda path: shared.picture(path, self.size))]
        if self.masks:
            steps += [Lambdad("target", lambda path: shared.mask(path, self.size))]
            if random:
                crop = (self.size * 3 // 4,) * 2
                steps += [
                    RandCropByPosNegLabeld(
                        KEYS, label_key="target", spatial_size=crop, pos=1, neg=1, num_samples=4
                    ),
                    RandRotate90d(KEYS, prob=0.5, spatial_axes=(0, 1)),
                ]
            return Compose([*steps, ToTensord(KEYS)])
        if random:
            steps += [
                RandRotated("image", range_x=np.pi / 12, prob=0.5, keep_size=True),
                RandFlipd("image", spatial_axis=0, prob=0.5),
                RandZoomd("image", min_zoom=0.9, max_zoom=1.1, prob=0.5),
            ]
        return Compose([*steps, ToTensord("image")])

    def train(self) -> None:
        self.net.train()
        for _ in range(INTERVAL):
            if (batch := next(self._batches, None)) is None:
                self._batches = iter(self.loader)
                batch = next(self._batches)
            self.adam.zero_grad()
            self.loss(self.net(batch["image"]), batch["target"]).backward()
            self.adam.step()

    @torch.no_grad()
    def score(self, part: str) -> float:
        self.net.eval()
        if part not in self._parts:
            self._parts[part] = CacheDataset(
                self.wish["parts"][self.task][part], self._transform(False), progress=False
            )
        metric = DiceMetric() if self.masks else ROCAUCMetric()
        for batch in DataLoader(self._parts[part], batch_size=BATCH):
            outputs = self.net(batch["image"])
            if self.masks:
                metric(outputs > 0, batch["target"])
            else:
                metric(outputs.softmax(1)[:, 1], batch["target"])
        value = metric.aggregate()
        return float(value)


def main() -> None:
    """The training of one task, the only one with a goal."""
    wish = shared.request()
    clock = shared.Clock(wish)
    monai.utils.set_determinism(wish["seed"])
    [(task, goal)] = wish["goals"].items()
    half = Half(wish, task)
    tasks = {task: shared.until(goal, clock, half.train, half.score)}
    versions = {"monai": monai.__version__, "torch": torch.__version__}
    print(json.dumps({"versions": versions, "tasks": tasks}))


if __name__ == "__main__":
    main()
