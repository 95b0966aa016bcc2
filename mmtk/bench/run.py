"""Entry point of ``mmtk bench``: measure parts, print tables, write JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from mmtk.bench.measure import Options, machine
from mmtk.errors import MmtkError

PARTS = {
    "step": "step",
    "data": "data",
    "eval": "evaluation",
    "startup": "startup",
    "study": "study",
    "compare": "comparison",
}
SCHEMA = 1


def options_for(device: str, precision: str, size: int, rounds: int) -> Options:
    """Resolve ``auto`` to the hardware of this machine.

    device: ``auto``, ``cpu`` or ``cuda``
    precision: ``auto`` (every precision that the device has, fp32 first), ``fp32`` or ``bf16``; else MmtkError
    size: pixels a side of the images
    rounds: fresh processes per variant
    """
    from mmtk.model.device_choice import PRECISIONS, choose_device, has_bf16

    device_name = choose_device(device)
    if precision not in ("auto", *PRECISIONS):
        raise MmtkError(f"--precision {precision}: unknown precision.", hint="Known: auto, fp32, bf16.")
    every = ("fp32", "bf16") if has_bf16(device_name) else ("fp32",)
    return Options(device_name, every if precision == "auto" else (precision,), size, rounds)


def measure(parts: Sequence[str], options: Options, note: Callable[[str], None]) -> dict[str, Any]:
    """Measure some ``parts`` of PARTS; machine, settings and the rows of each part, ready for JSON.

    ``note`` gets a line of progress before and after each part.
    """
    results: dict[str, Any] = {
        "schema": SCHEMA,
        "measured": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": machine(options.device),
        "settings": vars(options) | {"precisions": list(options.precisions)},
        "parts": {},
    }
    for part in parts:
        note(f"Measuring {part} …")
        start = time.perf_counter()
        results["parts"][part] = import_module(f"mmtk.bench.{PARTS[part]}").rows(options)
        note(f"  {time.perf_counter() - start:.0f} s")
    return results


def _check_output(path: Path) -> None:
    """Refuse an output file that mmtk bench did not write, or whose folder does not exist."""
    if not path.absolute().parent.is_dir():
        raise MmtkError("no such folder.", str(path.absolute().parent), "Make it, or choose another --json.")
    if path.exists():
        try:
            figures = json.loads(path.read_bytes())
            earlier = isinstance(figures, dict) and {"schema", "machine", "parts"} <= figures.keys()
        except (OSError, ValueError):
            earlier = False
        if not earlier:
            message = "was not written by mmtk bench, so it is not replaced."
            raise MmtkError(message, str(path), "Name another file.")


def bench(part: str | None, device: str, precision: str, size: int, rounds: int, out: Path | None) -> None:
    """Measure, print tables, and write JSON.

    part: a name of PARTS, None for all
    device: ``auto``, ``cpu`` or ``cuda``
    precision: ``auto``, ``fp32`` or ``bf16``
    size: pixels a side of the images, a multiple of 16 from 32 on
    rounds: fresh processes per variant
    out: JSON file, None for none; an earlier one is replaced, any other file is an MmtkError
    """
    from mmtk.bench.tables import show
    from mmtk.io.files import write_json

    if part is not None and part not in PARTS:
        raise MmtkError(f"{part}: unknown part.", hint=f"Known: {', '.join(PARTS)}.")
    if size < 32 or size % 16:
        raise MmtkError(f"--size {size}: not a multiple of 16 from 32 on.", hint="Take 32, 64, 128 or 256.")
    if out is not None:
        _check_output(out)
    options = options_for(device, precision, size, rounds)
    parts = list(PARTS) if part is None else [part]
    measured = measure(parts, options, lambda text: print(text, file=sys.stderr, flush=True))
    if out is not None:
        write_json(out, measured)
    show(measured)
