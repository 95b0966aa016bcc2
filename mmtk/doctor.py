"""What mmtk finds on this machine."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import torch

from mmtk import __version__, build
from mmtk.engine import choose_device, choose_precision, keep_pages
from mmtk.errors import MmtkError
from mmtk.recipe import load_recipe

LIBRARIES = (
    "torchvision", "timm", "segmentation-models-pytorch", "lightning-fabric", "pydantic", "mlflow", "monai",
    "torchmetrics",
)  # fmt: skip


def findings(data: Path | None) -> Iterator[tuple[str, str]]:
    """Name and finding, line by line."""
    from mmtk.provenance import hardware

    device = choose_device("auto")
    yield "mmtk", f"{__version__} on Python {platform.python_version()}"
    yield "torch", f"{torch.__version__}, {torch.get_num_threads()} threads"
    for name in LIBRARIES:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            yield name, "not installed"
    yield "device", f"{device}: {hardware(device)}"
    yield "precision", f"{choose_precision('auto', device)} (what auto means here)"
    yield "allocator", "glibc, told to keep its pages" if keep_pages() else "left as it is"
    from mmtk.tracking import tracking_uri

    yield "tracking", tracking_uri()
    root = build.data_root(data)
    if root is None:
        yield "data", "no folder given (MMTK_DATA or --data); the phantom needs none"
        return
    recipe = load_recipe("multimix", "chest-xray")
    for task in recipe.tasks:
        for domain in ("source", "cross"):
            use = recipe[f"data.{task}.{domain}.use"]
            try:
                items = build.source(recipe, task, domain, root).items("all")
                yield use, f"{len(items)} images in {root}"
            except MmtkError as error:
                yield use, error.message.splitlines()[0]
