"""Seconds per training step: mmtk beside a plain implementation of Algorithm 1, in turn, as ratios of one run.

python benchmarks/step.py [--size 128] [--rounds 3] [--steps 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

VARIANTS = {
    "plain": "plain Algorithm 1, as it ships",
    "plain-pages": "plain Algorithm 1, allocator told to keep its pages",
    "mmtk": "mmtk, fp32",
}


def measure(variant: str, size: int, steps: int) -> list[float]:
    """Seconds of each step after one warm-up, on random images, in this process."""
    import torch

    from mmtk.engine import keep_pages

    torch.manual_seed(0)
    batch = 10
    if variant == "mmtk":
        call = _mmtk_step(size, batch)
    else:
        sys.path.insert(0, str(Path(__file__).parent))
        import plain

        if variant == "plain-pages":
            keep_pages()
        net = plain.Plain()
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-4)
        streams = [torch.rand(batch, 1, size, size) * 2 - 1 for _ in range(5)]
        labels, masks = torch.randint(0, 2, (batch,)), (torch.rand(batch, 1, size, size) > 0.5).float()

        def call(index: int) -> None:
            plain.step(net, optimizer, streams, labels, masks)

    call(0)
    seconds = []
    for index in range(steps):
        begun = time.perf_counter()
        call(index + 1)
        seconds.append(time.perf_counter() - begun)
    return seconds


def _mmtk_step(size: int, batch: int):
    """The training step of a run, data and augmentation included, without logs."""
    import tempfile

    from mmtk import load_recipe
    from mmtk.data import prepare
    from mmtk.display import Display
    from mmtk.runs import RunDir
    from mmtk.train import Training

    changes = {
        "data.size": size, "data.classification.labels": "full", "data.classification.source.train": 100,
        "data.segmentation.labels": "full", "train.steps": 1000, "train.batch": batch, "train.alarm": False,
        "train.precision": "fp32",
    }  # fmt: skip
    recipe = load_recipe("multimix", "phantom", changes)
    folder = RunDir(Path(tempfile.mkdtemp(prefix="mmtk-bench-")))
    folder.make()
    folder.claim(recipe)
    training = Training(recipe, prepare(recipe, None), folder, "cpu", Display(quiet=True))
    training.objective.train()
    return training.train_step


def main() -> None:
    """Run every variant in its own process, in turn, and print the ratios of the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--variant", choices=VARIANTS)
    options = parser.parse_args()
    if options.variant:
        print(json.dumps(measure(options.variant, options.size, options.steps)))
        return
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(options.rounds):
        for name in VARIANTS:
            call = [sys.executable, __file__, "--variant", name, "--size", str(options.size)]
            done = subprocess.run(
                [*call, "--steps", str(options.steps)], check=True, capture_output=True, text=True
            )
            seconds[name] += json.loads(done.stdout.splitlines()[-1])
    ours = statistics.median(seconds["mmtk"])
    print(
        f"{options.size} px, 10 images a stream; {options.rounds} rounds of {options.steps} steps after a warm-up"
    )
    for name, title in VARIANTS.items():
        middle = statistics.median(seconds[name])
        low, high = min(seconds[name]), max(seconds[name])
        print(f"  {title:55} {middle:7.3f} s  ({low:.3f} to {high:.3f})  {middle / ours:5.2f} × mmtk")
    if options.json:
        options.json.write_text(json.dumps({"size": options.size, "seconds": seconds}, indent=1))


if __name__ == "__main__":
    main()
