"""Device and precision that a run uses; torch is asked only where there may be a GPU."""

from __future__ import annotations

from pathlib import Path

from mmtk.errors import MmtkError
from mmtk.io import gpus

PRECISIONS = ("fp32", "bf16", "fp64")


def choose_device(name: str = "auto") -> str:
    """``cpu`` or ``cuda`` for auto, cpu, cuda or gpu; an error if it is asked for and not there."""
    if name not in ("auto", "cpu", "cuda", "gpu"):
        raise MmtkError(f"--device {name}: unknown device.", hint="Known: auto, cpu, cuda.")
    if name == "cpu" or (name == "auto" and not gpus.possible()):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if name == "auto":
        return "cpu"
    raise MmtkError(f"--device {name}: torch {torch.__version__} sees no GPU.", hint="Use --device cpu.")


def has_bf16(device: str) -> bool:
    """Whether the hardware multiplies bfloat16 itself (AVX-512 BF16, AMX, or a GPU of Ampere or later)."""
    if device == "cuda":
        import torch

        return torch.cuda.is_bf16_supported(including_emulation=False)
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags


def choose_precision(name: str, device: str) -> str:
    """``fp32`` or ``bf16`` for ``auto``: bf16 where the hardware has it."""
    if name != "auto":
        return name
    return "bf16" if has_bf16(device) else "fp32"
