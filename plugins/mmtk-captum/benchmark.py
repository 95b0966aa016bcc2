"""Seconds per step of the segmentation branch with each bridge, in turn, as ratios to the paper's saliency.

python benchmark.py [--size 64] [--batch 10] [--rounds 15] [--threads 1] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from mmtk import build_model, load_recipe
from mmtk.model.device import tune_malloc
from torch.nn import functional as F

METHODS = ("saliency", "input-x-gradient", "integrated-gradients", "smoothgrad", "grad-cam")
BRIDGES = {
    "none": {"use": "none"},
    "saliency": {"use": "saliency"},
    **{f"captum, {method}": {"use": "captum", "method": method} for method in METHODS},
    "grad-cam": {"use": "grad-cam"},
    "attention": {"use": "attention"},
}


def step(bridge: dict[str, str], size: int, batch: int) -> Callable[[], None]:
    """Forward, binary cross-entropy and backward: the segmentation of the paper's network, on random images."""
    changes = {"data.size": size, **{f"bridge.{key}": value for key, value in bridge.items()}}
    net = build_model(load_recipe("multimix", "phantom", changes)).train()
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(batch, 1, size, size, generator=draw) * 2 - 1
    masks = (torch.rand(batch, 1, size, size, generator=draw) > 0.5).float()

    def call() -> None:
        net.zero_grad(set_to_none=True)
        F.binary_cross_entropy_with_logits(net.segment(images), masks).backward()

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tune_malloc()
    steps = {name: step(bridge, options.size, options.batch) for name, bridge in BRIDGES.items()}
    seconds: dict[str, list[float]] = {name: [] for name in BRIDGES}
    for call in steps.values():
        call()  # warm-up
    for _ in range(options.rounds):
        for name, call in steps.items():
            begun = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - begun)
    # Of each round's own ratio: what slows the machine for a while slows both.
    print(f"{options.size} px, {options.batch} images, {options.threads} threads, {options.rounds} rounds")
    for name, taken in seconds.items():
        ratios = [mine / theirs for mine, theirs in zip(taken, seconds["saliency"], strict=True)]
        low, high = min(ratios), max(ratios)
        middle = statistics.median(ratios)
        print(
            f"  {name:30} {statistics.median(taken):7.3f} s  {middle:5.2f} × saliency  ({low:.2f} to {high:.2f})"
        )
    if options.json:
        options.json.write_text(json.dumps({**vars(options), "json": None, "seconds": seconds}, indent=1))


if __name__ == "__main__":
    main()
