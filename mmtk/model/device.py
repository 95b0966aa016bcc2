"""Device, precision, memory and deterministic kernels."""

from __future__ import annotations

import ctypes
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from mmtk.errors import MmtkError, RunFailed, is_out_of_memory


def prepare_device(name: str) -> torch.device:
    """This rank's device for ``cpu`` or ``cuda``, set up for training; TF32 stays off: fp32 means fp32."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    if name == "cpu":
        tune_malloc()
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


@contextmanager
def in_precision(name: str, device: torch.device) -> Iterator[None]:
    """Compute in fp32, bf16 (torch's autocast; weights stay fp32) or fp64 (the type of new tensors too)."""
    if name == "bf16":
        with torch.autocast(device.type, torch.bfloat16):
            yield
    elif name == "fp64":
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(before)
    else:
        yield


def tune_malloc() -> bool:
    """Tell glibc to keep freed memory instead of faulting its pages in again for every large tensor.

    Without it a step on a CPU takes about twice as long. Does nothing (False) where libc is not glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL("libc.so.6")
    no_mmap, no_trim, top_pad = (-4, 0), (-1, 2**31 - 1), (-2, 2**28)
    return sum(libc.mallopt(*option) for option in (no_mmap, no_trim, top_pad)) == 3


@contextmanager
def deterministic_kernels(enabled: bool = True) -> Iterator[None]:
    """Let torch use only kernels whose sums have one order; those of the CPU have anyway. Undone at the end."""
    if not enabled:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it at its first use
    cudnn = torch.backends.cudnn
    before = torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        _, cudnn.deterministic, cudnn.benchmark = before


@contextmanager
def readable_errors(where: Path) -> Iterator[None]:
    """Put torch's errors of memory and of kernels without a deterministic form in words; others pass."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error)
        if is_out_of_memory(error):
            request = re.search(r"allocate (\d[\d.]* \w+)", text)
            raise RunFailed(
                f"out of memory{f': {request[1]} more were asked for' if request else ''}.",
                str(where),
                "Lower train.batch, data.size or the width of the network, or run fewer at a time.",
            ) from error
        if torch.are_deterministic_algorithms_enabled() and "eterministic" in text:
            raise MmtkError(
                f"--deterministic: {re.split(', but |[.]', text)[0]}.",
                str(where),
                "Choose another component, or leave --deterministic out.",
            ) from error
        raise
