"""Seconds, FLOP and peak memory of the plain step, in a process of its own (see all.py)."""

from __future__ import annotations

from typing import Any

import torch
from plain import Plain, step

from mmtk.bench.measure import timed
from mmtk.bench.step import STEPS, count
from mmtk.io.memory import peak_memory
from mmtk.model.device import tune_malloc


def measure(size: int, batch: int, device: str, pages: bool) -> dict[str, Any]:
    """Some steps on random images after a warm-up; with ``pages`` glibc is told to keep them, as mmtk tells it."""
    torch.manual_seed(0)
    if pages:
        tune_malloc()
    net = Plain().to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4)
    streams = [torch.rand(batch, 1, size, size, device=device) * 2 - 1 for _ in range(5)]
    labels = torch.randint(0, 2, (batch,), device=device)
    masks = (torch.rand(batch, 1, size, size, device=device) > 0.5).float()

    def call() -> None:
        step(net, optimizer, streams, labels, masks)

    call()
    seconds = timed(call, STEPS, device)
    return {"seconds": seconds, "peak": peak_memory(device), "flops": count(call)}
