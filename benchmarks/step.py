"""Seconds and peak memory of a training step: mmtk, a plain Algorithm 1 and the convolutions alone, in turn.

python benchmarks/step.py [--size 256] [--rounds 3] [--steps 3] [--only NAME …] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

BATCH = 10  # images of a stream
VARIANTS = {
    "plain": "plain Algorithm 1, as it ships",
    "plain-pages": "plain Algorithm 1, allocator told to keep its pages",
    "mmtk": "mmtk, fp32",
    "mmtk-bf16": "mmtk, bf16",
    "convolutions": "the convolutions of mmtk's step alone, fp32",
    "convolutions-bf16": "the convolutions of mmtk's step alone, bf16",
}


def measure(variant: str, size: int, steps: int) -> list[float]:
    """Seconds of each step after one warm-up, on random images, in this process."""
    import torch

    torch.manual_seed(0)
    call = _MAKERS[variant.removesuffix("-bf16").removesuffix("-pages")](variant, size)
    call(0)
    seconds = []
    for index in range(steps):
        begun = time.perf_counter()
        call(index + 1)
        seconds.append(time.perf_counter() - begun)
    return seconds


def peak() -> int:
    """The most memory that this process has held so far, in bytes."""
    kib_on_linux = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kib_on_linux


def _plain(variant: str, size: int) -> Callable[[int], None]:
    import torch

    sys.path.insert(0, str(Path(__file__).parent))
    import plain

    from mmtk.engine import keep_pages

    if variant == "plain-pages":
        keep_pages()
    net = plain.Plain()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4)
    streams = [torch.rand(BATCH, 1, size, size) * 2 - 1 for _ in range(5)]
    labels, masks = torch.randint(0, 2, (BATCH,)), (torch.rand(BATCH, 1, size, size) > 0.5).float()
    return lambda index: plain.step(net, optimizer, streams, labels, masks)


def _mmtk(variant: str, size: int) -> Callable[[int], object]:
    """The training step of a run, data and augmentation included, without logs."""
    import tempfile

    from mmtk import load_recipe
    from mmtk.data import prepare
    from mmtk.display import Display
    from mmtk.runs import RunDir
    from mmtk.train import Training

    changes = {
        "data.size": size, "data.classification.labels": "full", "data.classification.source.train": 100,
        "data.segmentation.labels": "full", "train.steps": 1000, "train.batch": BATCH, "train.alarm": False,
        "train.precision": "bf16" if variant.endswith("bf16") else "fp32",
    }  # fmt: skip
    recipe = load_recipe("multimix", "phantom", changes)
    folder = RunDir(Path(tempfile.mkdtemp(prefix="mmtk-bench-")))
    folder.make()
    folder.claim(recipe)
    training = Training(recipe, prepare(recipe, None), folder, "cpu", Display(quiet=True))
    training.objective.train()
    return training.train_step


def _convolutions(variant: str, size: int) -> Callable[[int], None]:
    """Every convolution of that step, forward and backward, on tensors of its shapes, layout and precision."""
    import torch
    from torch.nn import functional as F

    from mmtk.components.blocks import channels_last
    from mmtk.engine import keep_pages

    keep_pages()
    half = torch.bfloat16 if variant.endswith("bf16") else torch.float32

    def both(inputs: int, outputs: int, side: int, dtype: torch.dtype, gradient: str) -> Callable[[], None]:
        x, w, g = (
            channels_last(torch.randn(shape).to(dtype))
            for shape in (
                (BATCH, inputs, side, side), (outputs, inputs, 3, 3), (BATCH, outputs, side, side),
            )
        )  # fmt: skip
        wanted = ["x" in gradient, "w" in gradient, "w" in gradient]

        def call() -> None:
            F.conv2d(x, w, padding=1)
            if gradient:
                torch.ops.aten.convolution_backward(
                    g, x, w, [outputs], [1, 1], [1, 1], [1, 1], False, [0, 0], 1, wanted
                )

        return call

    widths = [16, 32, 64, 128, 256]
    encoder = [
        (i, o, size >> level)
        for level, width in enumerate(widths)
        for i, o in ((widths[level - 1] if level else 1, width), (width, width))
    ]
    decoder = [  # what comes from below and what comes over the skip are convolved apart
        (i, o, size >> level)
        for level, o in enumerate(widths[:-1])
        for i in (2 * o, o + 2 if level == 3 else o, o)
    ]
    calls = []
    for i, o, side in encoder:
        trained = both(i, o, side, half, "w" if i == 1 else "xw")
        calls += 4 * [trained]  # labelled and strong, labelled and unlabelled
        calls += [both(i, o, side, half, "")]  # weak
        calls += 2 * [both(i, o, side, torch.float32, "x")]  # saliency
    calls += [call for shape in decoder for call in 2 * [both(*shape, half, "xw")]]

    def step(index: int) -> None:
        for call in calls:
            call()

    return step


_MAKERS: dict[str, Callable[[str, int], Callable[[int], object]]] = {
    "plain": _plain,
    "mmtk": _mmtk,
    "convolutions": _convolutions,
}


def main() -> None:
    """Run every variant in its own process, in turn, and print the medians as ratios to mmtk's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--variant", choices=VARIANTS, help="measure this one in this process and print JSON")
    options = parser.parse_args()
    if options.variant:
        seconds = measure(options.variant, options.size, options.steps)
        print(json.dumps({"seconds": seconds, "peak": peak()}))
        return
    found: dict[str, dict[str, list[float]]] = {name: {"seconds": [], "peak": []} for name in options.only}
    for _ in range(options.rounds):
        for name in options.only:
            call = [sys.executable, __file__, "--variant", name, "--size", str(options.size)]
            done = subprocess.run([*call, "--steps", str(options.steps)], check=True, stdout=subprocess.PIPE)
            one = json.loads(done.stdout.splitlines()[-1])
            print(f"  {name}: {statistics.median(one['seconds']):.3f} s", file=sys.stderr, flush=True)
            found[name]["seconds"] += one["seconds"]
            found[name]["peak"].append(one["peak"])
    print(f"{options.size} px, {BATCH} images a stream; {options.rounds} × {options.steps} steps after a warm-up")
    middle = {name: statistics.median(each["seconds"]) for name, each in found.items()}
    for name, each in found.items():
        low, high = min(each["seconds"]), max(each["seconds"])
        line = f"  {VARIANTS[name]:55} {middle[name]:7.3f} s ({low:.3f} to {high:.3f})"
        line += "".join(
            f"  {middle[name] / middle[our]:5.2f} × {our}" for our in ("mmtk", "mmtk-bf16") if our in middle
        )
        print(f"{line}  {max(each['peak']) / 2**30:5.2f} GiB")
    if options.json:
        options.json.write_text(json.dumps({"size": options.size, "variants": found}, indent=1))


if __name__ == "__main__":
    main()
