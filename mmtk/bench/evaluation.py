"""Scores of masks per second, against a loop over the library that defines each score."""

from __future__ import annotations

import time
from importlib import import_module
from typing import Any

from mmtk.bench.measure import Options, Row, fresh, spread
from mmtk.counts import counted
from mmtk.errors import MmtkError
from mmtk.io.extras import install_line

MASKS = 1000
LOOPED = 100  # masks that the slow loop scores, in each round
HERE = "mmtk.bench.evaluation"


def rows(options: Options) -> list[Row]:
    """Dice, HD, HD95 and SSIM of ``MASKS`` masks by mmtk, and of some of them by MONAI and torchmetrics."""
    _required()
    table: list[Row] = []
    for name, target, count in (
        ("MONAI and torchmetrics, image by image", "libraries", LOOPED),
        ("mmtk", "mmtk_metric", MASKS),
    ):
        results = [fresh(f"{HERE}:{target}", size=options.size, count=count) for _ in range(options.rounds)]
        seconds = spread([result["seconds"] * MASKS / count for result in results])
        table.append(
            {"name": f"{counted(MASKS, 'mask')}, {name}", "seconds": seconds, "masks/s": MASKS / seconds["median"]}
        )
        values = results[0]["values"]
        if target == "libraries":
            expected = values
    table[1]["× the libraries"] = table[0]["seconds"]["median"] / table[1]["seconds"]["median"]
    for key, expected_value in expected.items():
        pairs = zip(expected_value, values[key], strict=False)
        table[1][f"largest difference, {key}"] = max(abs(a - b) for a, b in pairs)
    return table


def _required() -> None:
    try:
        for name in ("monai", "torchmetrics"):
            import_module(name)
    except ImportError as error:
        raise MmtkError(
            f"mmtk bench eval compares with {error.name}, which is not installed.",
            hint=f"Install it: {install_line('bench')}",
        ) from error


def masks(size: int, count: int) -> tuple[Any, Any]:
    """Logits and references [count,1,size,size] of synthetic lungs, the logits with small errors."""
    import numpy as np
    import torch
    from scipy.ndimage import gaussian_filter

    from mmtk.components.source.phantom import Phantom

    source = Phantom("segmentation", train=min(count, LOOPED), val=0, test=0, size=size)
    reference = np.stack([source.mask(item) for item in source.items("train")])
    noise = np.random.default_rng(0).standard_normal(reference.shape) * 1.5
    blurred = gaussian_filter(reference + noise, (0, 0, size / 85, size / 85))
    logits, labels = torch.from_numpy(blurred).float() * 10 - 5, torch.from_numpy(reference).long()
    repeats = -(-count // len(reference))
    return logits.repeat(repeats, 1, 1, 1)[:count], labels.repeat(repeats, 1, 1, 1)[:count]


def mmtk_metric(size: int, count: int) -> dict[str, Any]:
    """Seconds and values of mmtk's metric, in batches of the size of evaluation."""
    from mmtk.components.metric.segmentation import Segmentation

    logits, labels = masks(size, count)
    ids = [f"{i:06d}" for i in range(count)]
    Segmentation(("lung",), False, {}).update(logits[:2], labels[:2], ids[:2])
    metric = Segmentation(("lung",), False, {})
    start_time = time.perf_counter()
    for start in range(0, count, 50):
        part = slice(start, start + 50)
        metric.update(logits[part], labels[part], ids[part])
    metric.compute()
    seconds = time.perf_counter() - start_time
    cases, scored = metric.per_image(), ("dice", "average-hausdorff", "hd95", "ssim")
    return {"seconds": seconds, "values": {key: cases[key] for key in scored}}


def libraries(size: int, count: int) -> dict[str, Any]:
    """Seconds and values of MONAI (Dice, distances) and torchmetrics (SSIM), image by image."""
    import warnings

    import torch
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance
    from monai.metrics.meandice import compute_dice
    from monai.metrics.surface_distance import compute_average_surface_distance
    from torchmetrics.functional.image import structural_similarity_index_measure

    warnings.simplefilter("ignore")
    logits, labels = masks(size, count)
    values: dict[str, list[float]] = {"dice": [], "average-hausdorff": [], "hd95": [], "ssim": []}

    def score(logit: torch.Tensor, target: torch.Tensor) -> None:
        p, r = (logit.sigmoid() >= 0.5).float(), target.float()
        values["dice"].append(float(compute_dice(p, r)))
        distance = compute_average_surface_distance(p, r, include_background=True)
        back = compute_average_surface_distance(r, p, include_background=True)
        values["average-hausdorff"].append(float(distance + back) / 2)
        values["hd95"].append(float(compute_hausdorff_distance(p, r, include_background=True, percentile=95)))
        # Their mean over the whole mirrored image needs the full image; double precision as ours.
        _, pixels = structural_similarity_index_measure(
            p.double(), r.double(), sigma=1.5, kernel_size=11, data_range=1.0, return_full_image=True
        )
        values["ssim"].append(float(pixels.mean()))

    score(logits[:1], labels[:1])
    for scores in values.values():
        scores.clear()
    start_time = time.perf_counter()
    for i in range(count):
        score(logits[i : i + 1], labels[i : i + 1])
    return {"seconds": time.perf_counter() - start_time, "values": values}
