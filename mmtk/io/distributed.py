"""Processes that share the work of one run: ranks, collectives, launch.

A rank is started by ``torchrun``, or by ``mmtk run --devices N`` through the same machinery (torch's elastic
agent). Alone, every function here is a no-op. Rank 0 speaks and writes; the others compute.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from mmtk.errors import MmtkError, Reported, RunFailed
from mmtk.io import spelling

T = TypeVar("T")
COMMAND = "MMTK_COMMAND"  # the command of the mmtk that started this rank and speaks for it
LOST = 70  # exit code of a rank that lost another one
HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)  # by torch's elastic agent
GRACE = "120"  # seconds in which ranks that were told to stop may finish a step and write the checkpoint


def rank_and_world_size() -> tuple[int, int]:
    """Rank and number of ranks of this process; (0, 1) for a run on one device."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return 0, 1
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def command() -> list[str]:
    """The command of this run, as its user gave it."""
    arguments: list[str] = json.loads(os.environ[COMMAND]) if COMMAND in os.environ else sys.argv
    return arguments


def silent() -> bool:
    """Whether another process reports how this run ended."""
    return rank_and_world_size()[0] > 0 or COMMAND in os.environ


def exit_rank() -> None:
    """Exit a rank at once when its work is done; without ranks, do nothing.

    On its ordinary way out a process that was in a group is aborted now and then, by a thread of torch's that
    still runs.
    """
    if rank_and_world_size()[1] > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def check(devices: int | None, device: str, batch: int) -> int:
    """Number of devices of a run; MmtkError if they are absent or cannot share a batch."""
    world = rank_and_world_size()[1]
    if world > 1 and world != int(os.environ["LOCAL_WORLD_SIZE"]):
        raise MmtkError("a run is divided among the devices of one machine.", hint="Use torchrun --nnodes 1.")
    if world > 1 and devices not in (None, world):
        raise MmtkError(f"--devices {devices}: torchrun started {world} processes.", hint="Leave --devices out.")
    devices = world if world > 1 else devices or 1
    if device == "cuda" and devices > (visible_gpus := torch.cuda.device_count()):
        raise MmtkError(
            f"{devices} GPUs asked for, but torch sees {visible_gpus}.", hint=f"Use --devices {visible_gpus}."
        )
    if batch % devices:
        fitting = [str(n) for n in range(1, batch + 1) if batch % n == 0]
        raise MmtkError(
            f"train.batch = {batch} cannot be divided equally among {devices} devices.",
            hint=f"Use {', '.join(fitting)} devices, or --set train.batch={-(-batch // devices) * devices}.",
        )
    return devices


# --- among the ranks -----------------------------------------------------------------------------------------


@contextmanager
def process_group(device: str) -> Iterator[None]:
    """Join the process group for the block; end this process if another rank is lost."""
    rank, world = rank_and_world_size()
    if world == 1:
        yield
        return
    from mmtk.io.parallel import die_with_parent

    if sys.platform == "linux":
        die_with_parent()
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # Gloo beside NCCL: what ranks say to each other on the CPU fails at once where one of them is gone. No
    # answer for long is no failure: rank 0 may be scoring a large test set.
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    try:
        distributed.init_process_group(backend, timeout=timedelta(days=7))
        yield
        barrier()
    except RuntimeError as error:
        if not _is_loss(error):
            raise
        if COMMAND in os.environ or rank > 1:
            sys.exit(LOST)
        raise RunFailed(
            f"rank {rank}: another process of this run has ended; the last checkpoint is kept.",
            hint="Run the same command again to continue, with any number of devices.",
        ) from error
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


def _is_loss(error: RuntimeError) -> bool:
    """Whether a collective failed because another rank is gone."""
    phrases = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "remote process exited")
    return isinstance(error, distributed.DistNetworkError) or any(words in str(error) for words in phrases)


def barrier() -> None:
    """Wait for every rank."""
    all_gather_object(None)


def all_gather_object(value: T) -> list[T]:
    """Gather a small picklable value of every rank, by rank."""
    world = rank_and_world_size()[1]
    if world == 1:
        return [value]
    values: list[T | None] = [None] * world
    distributed.all_gather_object(values, value)
    return values  # type: ignore[return-value]


@contextmanager
def rank_zero_first() -> Iterator[None]:
    """Run the block on rank 0 before the others, so that they find what it built."""
    rank = rank_and_world_size()[0]
    if rank:
        barrier()
    yield
    if not rank:
        barrier()


def rank_zero_reports() -> None:
    """Exit every rank but 0 before an error that all of them raise, so that it is reported once."""
    if rank_and_world_size()[0]:
        sys.exit(0)


def gather(rows: Tensor) -> Tensor:
    """Gather tensors [B,…] of all ranks, by rank, without gradient; B is the same on all."""
    return torch.cat(_parts(rows))


def whole_batch(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Gather logits and targets of all ranks with gradient, so that each computes the loss of the whole batch.

    Each rank's gradient goes through its own rows alone, and the engine takes the mean over ranks: hence the
    factor.
    """
    rank, world = rank_and_world_size()
    if world == 1:
        return logits, target
    rank_logits = logits.view_as(logits)
    if rank_logits.requires_grad:
        rank_logits.register_hook(lambda gradient: gradient * world)
    parts = _parts(logits)
    parts[rank] = rank_logits
    return torch.cat(parts), gather(target)


def _parts(rows: Tensor) -> list[Tensor]:
    plain = rows.detach().contiguous()
    message = plain.to(torch.uint8) if plain.dtype == torch.bool else plain  # which gloo does not know
    parts = [torch.empty_like(message) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, message)
    return [part.to(rows.dtype) for part in parts]


class _LossFirst(nn.Module):
    """Objective that returns (loss, step): DDP finds unused parameters from the loss."""

    def __init__(self, objective: nn.Module) -> None:
        super().__init__()
        self.objective = objective

    def forward(self, batch: Any) -> tuple[Tensor, Any]:
        step = self.objective(batch)
        return step.loss, step


def share_gradients(objective: nn.Module, device: torch.device) -> Callable[[Any], Any]:
    """Wrap an objective so that its gradients are means over the ranks."""
    if rank_and_world_size()[1] == 1:
        return objective
    # A part may be without use in a step (a ramp that begins at 0) or at all (a second network's class head).
    ids = [device.index] if device.type == "cuda" else None
    # A CPU lays out the gradients of 1 × 1 convolutions otherwise, of which torch warns in every rank.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    shared = DistributedDataParallel(_LossFirst(objective), device_ids=ids, find_unused_parameters=True)
    return lambda batch: shared(batch)[1]


def share_batch_norm(module: nn.Module, device: str) -> None:
    """Make batch norms use the statistics of all ranks, which torch supports on GPUs only."""
    if rank_and_world_size()[1] == 1 or not check_batch_norm(module, device):
        return
    from timm.layers.norm_act import convert_sync_batchnorm  # torch's own loses the activation of timm's norms

    convert_sync_batchnorm(module)


def check_batch_norm(module: nn.Module, device: str) -> int:
    """Number of batch norms; MmtkError if ranks on this device could not share their statistics."""
    norms = sum(isinstance(part, _BatchNorm) for part in module.modules())
    if norms and device == "cpu":
        raise MmtkError(
            f"this network has {norms} batch norms, whose statistics torch cannot share among processes on a CPU.",
            hint="Use one device, GPUs, or parts without batch norm (encoder/unet).",
        )
    return norms


# --- starting them -------------------------------------------------------------------------------------------


def launch(argv: Sequence[str], devices: int, folder: Path) -> None:
    """Run ``argv`` as ``devices`` ranks and wait for them.

    RunFailed if a rank was killed, Reported if one has printed its error. A signal to this process stops all ranks
    after their current step.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // devices)))
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", GRACE)
    # Else DDP warns of looking for unused parameters where in the first step there are none.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    os.environ[COMMAND] = json.dumps(sys.argv)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=devices,
        max_restarts=0,
        run_id=str(os.getpid()),
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        logs_specs=DefaultLogsSpecs(log_dir=os.devnull),
    )
    handlers = {number: signal.getsignal(number) for number in HANDLED}
    try:
        elastic_launch(config, argv[0])(*argv[1:])
    except SignalException as stop:
        raise Reported(128 + stop.sigval) from stop
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        raise _failure(codes, devices, folder) from error
    finally:
        del os.environ[COMMAND]
        for number, handler in handlers.items():  # which the agent has replaced
            signal.signal(number, handler)


def _failure(codes: dict[int, int], devices: int, folder: Path) -> RunFailed | Reported:
    """Error for ranks that ended with these exit codes, negative for a signal."""
    exit_codes = [code for code in codes.values() if code > 0 and code != LOST]
    if exit_codes:
        return Reported(exit_codes[0])
    # Ranks that lost another one, or that the agent ended thereupon, are no cause.
    rank = min(codes, key=lambda rank: codes[rank] in (LOST, -signal.SIGTERM))
    how = f"was killed by {signal.Signals(-codes[rank]).name}" if codes[rank] < 0 else "has ended"
    return RunFailed(
        f"process {rank} of {devices} {how}; the others were ended and the last checkpoint is kept.",
        str(folder),
        "SIGKILL mostly means that the memory was full. Continue, with any number of --devices: "
        f"{spelling.command('run', folder)}",
    )
