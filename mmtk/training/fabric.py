"""Device, precision and memory: Lightning Fabric, set up for reproducible steps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mmtk.io import distributed
from mmtk.model.device import PRECISIONS, keep_pages

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@contextmanager
def _versions_from_metadata() -> Iterator[None]:
    """Let Fabric look up versions of packages while it is imported, instead of importing the packages.

    For the number of torchmetrics it would import that, torchvision's models and matplotlib, before any step.
    """
    from lightning_utilities.core import imports
    from packaging.version import Version

    def compare(package: str, op: Callable[..., bool], version: str, use_base_version: bool = False) -> bool:
        try:
            installed_version = Version(metadata.version(package))
        except metadata.PackageNotFoundError:
            return False
        return op(
            Version(installed_version.base_version) if use_base_version else installed_version, Version(version)
        )

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
            from lightning.fabric.plugins.environments.lightning import LightningEnvironment  # type: ignore[no-redef]
            from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment  # type: ignore[no-redef]
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
    environment = TorchElasticEnvironment() if world > 1 else LightningEnvironment()
    keys: Any = {
        "accelerator": device,
        "devices": world,
        "precision": PRECISIONS[precision],
        "plugins": environment,
    }
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
