"""Seconds per training step of MultiMix, against the convolutions in it and the machine's measured peak."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mmtk.bench.measure import Options, Row, fresh, spread, timed
from mmtk.io.memory import peak_memory

BATCH = 10  # images of each of the four streams, as in the paper
STEPS = 3
HERE = "mmtk.bench.step"
# Encoders beside the paper's, each with the paper's decoder.
ENCODERS = {
    "tf_efficientnet_lite0": {"encoder.use": "timm", "encoder.model": "tf_efficientnet_lite0"},
    "resnet18": {"encoder.use": "timm", "encoder.model": "resnet18"},
    "convnext_tiny": {"encoder.use": "timm", "encoder.model": "convnext_tiny"},
    "SMP efficientnet-b0": {"encoder.use": "smp", "encoder.name": "efficientnet-b0"},
}


def rows(options: Options) -> list[Row]:
    """Rows for the step with and without data, its convolutions alone, and other sizes and batches."""
    sizes = {"size": options.size, "batch": BATCH}
    table = []
    for precision in options.precisions:
        keys: dict[str, Any] = {"device": options.device, "precision": precision, **sizes}
        for data in (True, False):
            title = f"mmtk, {precision}, {'with' if data else 'without'} data"
            table.append(_row(title, options.rounds, data=data, **keys))
        table += _bounds(precision, table[-1], fresh(f"{HERE}:bounds", **keys))
    precision = options.precisions[-1]
    for size in (options.size // 4, options.size // 2):
        if size >= 32:
            keys = {"device": options.device, "precision": precision, "size": size, "batch": BATCH}
            table.append(_row(f"mmtk, {precision}, {size} px", options.rounds, data=True, **keys))
    size = max(32, options.size // 2)
    for batch in (BATCH // 2, 2 * BATCH):
        keys = {"device": options.device, "precision": precision, "size": size, "batch": batch}
        table.append(_row(f"mmtk, {precision}, {size} px, batch {batch}", options.rounds, data=True, **keys))
    return [*table, *encoder_rows(options)]


def encoder_rows(options: Options) -> Iterator[Row]:
    """Rows for other encoders at half the size, each against its own convolutions; none below 64 px."""
    size = options.size // 2
    for (name, encoder), precision in product(ENCODERS.items() if size >= 64 else (), options.precisions):
        keys: dict[str, Any] = {"device": options.device, "precision": precision, "size": size}
        keys |= {"batch": BATCH // 2, "encoder": encoder}
        row = _row(f"mmtk, {precision}, {size} px, {name}", options.rounds, data=False, **keys)
        _bounds(precision, row, fresh(f"{HERE}:bounds", **keys))
        yield row


def _row(title: str, rounds: int, **keys: Any) -> Row:
    return summary(title, [fresh(f"{HERE}:step", **keys) for _ in range(rounds)], keys["batch"])


def summary(title: str, results: list[dict[str, Any]], batch: int) -> Row:
    """One row from the results of several processes: seconds, images/s, FLOP/s and peak memory."""
    seconds = spread([duration for result in results for duration in result["seconds"]])
    row: Row = {"name": title, "seconds": seconds, "images/s": 4 * batch / seconds["median"]}
    if flops := results[0].get("flops"):
        row["GFLOP/s"] = flops / seconds["median"] / 1e9
    return row | {"peak GB": max(result["peak"] for result in results)}


def _bounds(precision: str, step: Row, measured: dict[str, Any]) -> list[Row]:
    """Rows of the lower bounds of a step; the step's row gets its ratio to each."""
    matrix, convolutions = spread(measured["product"]), spread(measured["convolutions"])
    peak = measured["product_flops"] / matrix["median"] / 1e9
    reached = measured["convolution_flops"] / convolutions["median"] / 1e9
    step["of the peak"] = step["GFLOP/s"] / peak
    step["× its convolutions"] = spread(measured["ratios"])["median"]
    return [
        {
            "name": f"its convolutions alone, {precision}",
            "seconds": convolutions,
            "GFLOP/s": reached,
            "of the peak": reached / peak,
        },
        {"name": f"a matrix product, {precision}", "seconds": matrix, "GFLOP/s": peak, "of the peak": 1.0},
    ]


def training(size: int, batch: int, precision: str, device: str, **changes: Any) -> Any:
    """Make a trainer of MultiMix on synthetic films, ready for ``train_step(index)``, in a temporary folder.

    size: pixels a side of the images
    batch: images of each of the four streams
    precision: ``fp32`` or ``bf16``
    device: ``cpu`` or ``cuda``
    changes: further recipe keys, dotted
    """
    from mmtk import load_recipe
    from mmtk.data.dataset import prepare
    from mmtk.runs.display import Display
    from mmtk.runs.folder import RunDir
    from mmtk.training.trainer import make_trainer

    keys = {
        "data.size": size,
        "data.classification.labels": "full",
        "data.classification.source.train": 100,
        "data.segmentation.labels": "full",
        "data.segmentation.source.train": 50,
        "data.leaks": "allow",
        "train.steps": 1000,
        "train.batch": batch,
        "train.alarm": False,
        "train.precision": precision,
        **{
            f"data.{task}.{domain}.size": size
            for task in ("classification", "segmentation")
            for domain in ("source", "cross")
        },
        **{
            f"data.{task}.{domain}.{part}": 10
            for task in ("classification", "segmentation")
            for domain, parts in (("source", ("val", "test")), ("cross", ("train", "val", "test")))
            for part in parts
        },
        **changes,
    }
    recipe = load_recipe("multimix", "phantom", keys)
    folder = RunDir(Path(tempfile.mkdtemp(prefix="mmtk-bench-")))
    folder.make()
    folder.claim(recipe)
    trainer = make_trainer(recipe, prepare(recipe, None), folder, device, Display(quiet=True))
    trainer.objective.train()
    return trainer


class _RepeatedBatch:
    """A stream that gives the same batch in every step."""

    def __init__(self, batch: Any) -> None:
        self.repeated = batch

    def batch(self, now: Any, device: Any) -> Any:
        """The batch, as that of step ``now``."""
        return type(self.repeated)(now, self.repeated.classification, self.repeated.segmentation)


def _with_one_batch(trainer: Any) -> Any:
    """The trainer, which now takes the same batch in every step."""
    from mmtk.api import StepContext

    now = StepContext(trainer.recipe.seed, 0, trainer.total)
    trainer.loader = _RepeatedBatch(trainer.loader.batch(now, trainer.device))
    return trainer


def step(
    size: int,
    batch: int,
    precision: str,
    device: str,
    data: bool,
    encoder: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Time ``STEPS`` training steps after a warm-up of one.

    size: pixels a side of the images
    batch: images of each of the four streams
    precision: ``fp32`` or ``bf16``
    device: ``cpu`` or ``cuda``
    data: whether each step loads its batch; otherwise all take the same one
    encoder: recipe keys of another encoder than the paper's

    Returns ``seconds`` of each step, ``flops`` of one, and ``peak``, the memory of the process in GB.
    """
    trainer = training(size, batch, precision, device, **encoder)
    if not data:
        trainer = _with_one_batch(trainer)
    trainer.train_step(0)
    numbers = iter(range(1, 1 + STEPS))
    seconds = timed(lambda: trainer.train_step(next(numbers)), STEPS, device)
    peak = peak_memory(device)
    return {"seconds": seconds, "peak": peak, "flops": count(lambda: trainer.train_step(1 + STEPS))}


def count(call: Callable[[], object]) -> int:
    """FLOP of the convolutions and matrix products in a call, forward and backward, by torch's own formulas."""
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    total = 0

    # Not torch's FlopCounterMode: its hooks on modules refuse the input gradient of the bridge.
    class Count(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal total
            out = func(*args, **(kwargs or {}))
            if formula := flop_registry.get(func._overloadpacket):
                total += formula(*args, **(kwargs or {}), out_val=out)
            return out

    with Count():
        call()
    return total


def bounds(
    size: int, batch: int, precision: str, device: str, encoder: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """Time a large matrix product, and the convolutions of a training step one after another.

    size: pixels a side of the images
    batch: images of each of the four streams
    precision: ``fp32`` or ``bf16``
    device: ``cpu`` or ``cuda``
    encoder: recipe keys of another encoder than the paper's

    Returns ``product`` and ``convolutions`` (seconds of each repetition), the FLOP of one of each, and ``ratios``
    of a step's seconds over those of its convolutions, measured in turns.
    """
    import torch

    trainer = _with_one_batch(training(size, batch, precision, device, **encoder))
    trainer.train_step(0)
    calls = record(lambda: trainer.train_step(1))
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    side = 4096 if device == "cuda" else 2048 if size >= 128 else 256
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    a @ b
    matrix = timed(lambda: a @ b, 10, device)
    flops = sum(
        number * count(partial(f, *_filled(signature, device))) for (f, signature), number in calls.items()
    )
    totals, ratios = [], []
    for index in range(2, 2 + STEPS):  # in turns, so that other work on the machine slows both
        (seconds,) = timed(partial(trainer.train_step, index), 1, device)
        totals.append(sum(number * _seconds(f, shapes, device) for (f, shapes), number in calls.items()))
        ratios.append(seconds / totals[-1])
    return {
        "product": matrix,
        "product_flops": 2 * side**3,
        "convolutions": totals,
        "convolution_flops": flops,
        "ratios": ratios,
    }


def _seconds(function: Callable[..., object], signature: tuple[Any, ...], device: str) -> float:
    """Seconds of a call on random numbers, after one that is not counted."""
    call = partial(function, *_filled(signature, device))
    return timed(call, 2, device)[1]


def record(call: Callable[[], object]) -> Counter[Any]:
    """The convolutions and matrix products in a call: (operator, shapes and other arguments) → times.

    A convolution of one pixel is a matrix product in some networks, such as ConvNeXt.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    aten = torch.ops.aten
    operators = {aten.convolution.default, aten.convolution_backward.default}
    operators |= {aten.addmm.default, aten.mm.default, aten.bmm.default}
    counts: Counter[Any] = Counter()

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func in operators:
                counts[func, tuple(_shape(tensor) for tensor in args)] += 1
            return func(*args, **(kwargs or {}))

    with Recorder():
        call()
    return counts


def _shape(value: Any) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        # A step on a CPU computes in channels-last, but layer by layer in the other layout under a recorder.
        channels_last = value.device.type == "cpu" or not value.is_contiguous()
        return ("tensor", tuple(value.shape), value.dtype, channels_last and value.dim() == 4)
    return tuple(value) if isinstance(value, list) else value


def _filled(signature: tuple[Any, ...], device: str) -> list[Any]:
    import torch

    filled: list[Any] = []
    for entry in signature:
        if isinstance(entry, tuple) and entry[:1] == ("tensor",):
            tensor = torch.randn(entry[1], device=device).to(entry[2])
            filled.append(tensor.to(memory_format=torch.channels_last) if entry[3] else tensor)
        else:
            filled.append(list(entry) if isinstance(entry, tuple) else entry)
    return filled
