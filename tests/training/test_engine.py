"""Device and precision: what is chosen, what is refused, and that an engine says nothing of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import fork_server
import pytest
import torch

from mmtk.errors import MmtkError
from mmtk.model.device import in_precision, prepare_device
from mmtk.model.device_choice import choose_device, choose_precision, has_bf16


def test_auto_is_what_the_hardware_has() -> None:
    device = choose_device("auto")
    assert device == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_precision("auto", device) == ("bf16" if has_bf16(device) else "fp32")
    assert choose_precision("fp32", device) == "fp32"


def test_an_unknown_device_and_an_absent_gpu_are_refused() -> None:
    with pytest.raises(MmtkError, match="--device tpu: unknown device"):
        choose_device("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(MmtkError, match="sees no GPU"):
            choose_device("gpu")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_engine_prints_nothing(precision: str, tmp_path: Path) -> None:
    """Nor where Slurm is installed, or has started us: a run is one process wherever it is."""
    (tmp_path / "srun").write_text("#!/bin/sh\n")
    (tmp_path / "srun").chmod(0o755)
    slurm = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "SLURM_NTASKS": "4", "SLURM_JOB_NAME": "study"}
    code = (
        "from mmtk.io import distributed; from mmtk.model.device import in_precision, prepare_device\n"
        f"with in_precision('{precision}', prepare_device('cpu')):\n"
        "    assert distributed.rank_and_world_size() == (0, 1)\n"
        "import mmtk.training.trainer"
    )
    done = subprocess.run(
        [fork_server.python(), "-c", code], capture_output=True, text=True, check=True, env=os.environ | slurm
    )
    assert done.stdout == done.stderr == ""


def test_bf16_multiplies_in_half_precision_and_keeps_weights_in_full() -> None:
    layer = torch.nn.Linear(8, 8)
    with in_precision("bf16", torch.device("cpu")):
        assert layer(torch.ones(2, 8)).dtype == torch.bfloat16
    assert layer.weight.dtype == torch.float32


def test_fp64_is_the_type_of_new_tensors_inside_alone() -> None:
    with in_precision("fp64", torch.device("cpu")):
        assert torch.ones(1).dtype == torch.float64
    assert torch.ones(1).dtype == torch.float32


def test_tf32_is_off_and_a_rank_alone_is_on_the_first_device() -> None:
    device = prepare_device(choose_device("auto"))
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32
    assert device in (torch.device("cpu"), torch.device("cuda", 0))
