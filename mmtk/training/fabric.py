"""Device, precision and memory: Lightning Fabric, set up for reproducible steps."""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mmtk.errors import MmtkError, RunFailed, is_out_of_memory
from mmtk.io import distributed

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp64": "64-true"}


def choose_device(wanted: str = "auto") -> str:
    """``cpu`` or ``cuda`` for auto, cpu, cuda or gpu; an error if it is asked for and not there."""
    available = torch.cuda.is_available()
    if wanted == "auto":
        return "cuda" if available else "cpu"
    if wanted in ("cuda", "gpu"):
        if not available:
            raise MmtkError(f"--device {wanted}: torch {torch.__version__} sees no GPU.", hint="Use --device cpu.")
        return "cuda"
    if wanted == "cpu":
        return "cpu"
    raise MmtkError(f"--device {wanted}: unknown device.", hint="Known: auto, cpu, cuda.")


def has_bf16(device: str) -> bool:
    """Whether the hardware multiplies bfloat16 itself (AVX-512 BF16, AMX, or a GPU of Ampere or later)."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags


def choose_precision(wanted: str, device: str) -> str:
    """``fp32`` or ``bf16`` for ``auto``: bf16 where the hardware has it."""
    if wanted != "auto":
        return wanted
    return "bf16" if has_bf16(device) else "fp32"


def keep_pages() -> bool:
    """Tell glibc to keep freed memory instead of faulting its pages in again for every large tensor.

    Without it a step on a CPU takes about twice as long. Does nothing (False) where libc is not glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL("libc.so.6")
    no_mmap, no_trim, top_pad = (-4, 0), (-1, 2**31 - 1), (-2, 2**28)
    return sum(libc.mallopt(*option) for option in (no_mmap, no_trim, top_pad)) == 3


@contextmanager
def _versions_from_metadata() -> Iterator[None]:
    """Let Fabric look up versions of packages while it is imported, instead of importing the packages.

    For the number of torchmetrics it would import that, torchvision's models and matplotlib, before any step.
    """
    from lightning_utilities.core import imports
    from packaging.version import Version

    def compare(package: str, op: Callable[..., bool], version: str, use_base_version: bool = False) -> bool:
        try:
            found = Version(metadata.version(package))
        except metadata.PackageNotFoundError:
            return False
        return op(Version(found.base_version) if use_base_version else found, Version(version))

    before, imports.compare_version = imports.compare_version, compare
    try:
        yield
    finally:
        imports.compare_version = before


def make_fabric(device: str, precision: str) -> Fabric:
    """A Fabric on this rank's device; TF32 stays off, so that fp32 means fp32."""
    with _versions_from_metadata():
        try:
            from lightning_fabric import Fabric
            from lightning_fabric.plugins.environments.lightning import LightningEnvironment
            from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
            from lightning_fabric.strategies.ddp import DDPStrategy
        except ModuleNotFoundError:  # the same code, as the lightning package brings it
            from lightning.fabric import Fabric  # type: ignore[no-redef]
            from lightning.fabric.plugins.environments.lightning import (  # type: ignore[no-redef]
                LightningEnvironment,
            )
            from lightning.fabric.plugins.environments.torchelastic import (  # type: ignore[no-redef]
                TorchElasticEnvironment,
            )
            from lightning.fabric.strategies.ddp import DDPStrategy  # type: ignore[no-redef]

    # What it would say of precision and devices stands in our provenance.
    for name in ("lightning_fabric", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    if device == "cpu":
        keep_pages()
    world = distributed.place()[1]
    # A part may be without use in a step (a ramp that begins at 0) or at all (a second network's class head).
    strategy: Any = DDPStrategy(find_unused_parameters=True) if world > 1 else "auto"
    # Named, so that nothing is guessed from a cluster's variables or from an srun on the path.
    place = TorchElasticEnvironment() if world > 1 else LightningEnvironment()
    keys: Any = {"accelerator": device, "devices": world, "precision": PRECISIONS[precision], "plugins": place}
    fabric = Fabric(strategy=strategy, **keys)
    if world > 1:
        fabric.launch()  # finds the process group that the ranks have joined
    return fabric


class Shown(nn.Module):
    """An objective whose loss stands beside its step: DDP looks there for the parameters that it reaches."""

    def __init__(self, objective: nn.Module) -> None:
        super().__init__()
        self.objective = objective

    def forward(self, batch: Any) -> tuple[Tensor, Any]:
        """(loss, step) of a batch; the step passes through every engine untouched."""
        step = self.objective(batch)
        return step.loss, step


@contextmanager
def deterministic_kernels(wanted: bool = True) -> Iterator[None]:
    """Let torch use only kernels whose sums have one order; those of the CPU have anyway. Undone at the end."""
    if not wanted:
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
def explained(where: Path) -> Iterator[None]:
    """Put torch's errors of memory and of kernels without a deterministic form in words; others pass."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error)
        if is_out_of_memory(error):
            asked = re.search(r"allocate (\d[\d.]* \w+)", text)
            raise RunFailed(
                f"out of memory{f': {asked[1]} more were asked for' if asked else ''}.",
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
