"""The command ``mmtk bench``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from mmtk.cli.options import DeviceOpt


def bench(
    part: Annotated[
        str | None,
        typer.Argument(metavar="step|data|eval|startup|study|compare", help="What to measure; all by default."),
    ] = None,
    device: DeviceOpt = "auto",
    precision: Annotated[str, typer.Option(help="fp32 or bf16; auto: all that the hardware has.")] = "auto",
    size: Annotated[int, typer.Option(help="Image size in pixels.")] = 256,
    rounds: Annotated[int, typer.Option(min=1, help="New processes for each row.")] = 3,
    json: Annotated[Path | None, typer.Option("--json", help="Write what was measured to this file.")] = None,
) -> None:
    """Measure mmtk on this machine: step, data, evaluation, start-up, many runs at once, comparisons."""
    from mmtk.bench.run import bench as run_bench

    run_bench(part, device, precision, size, rounds, json)


COMMANDS: dict[str, Callable[..., None]] = {"bench": bench}
