"""Augmented images per second against a PIL pipeline on the same files, the cache, and memory over many images."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from mmtk.bench.measure import Options, Row, cores, fresh, spread
from mmtk.counts import counted
from mmtk.io.memory import memory

BATCH = 10
FILES = 100
MANY = 112_000  # images of ChestX-ray14
HERE = "mmtk.bench.data"


def rows(options: Options) -> list[Row]:
    """Rows of the table: pipelines on files of four times the run size and of run size, the cache, memory."""
    folder = Path(tempfile.mkdtemp(prefix="mmtk-bench-"))
    try:
        table = []
        for scale, suffix in ((4, "jpeg"), (4, "png"), (1, "jpeg")):
            side = scale * options.size
            what, files = f"{suffix.upper()} of {side} px", str(folder / f"{side}-{suffix}")
            fresh(f"{HERE}:draw", folder=files, side=side, suffix=suffix)
            table += _throughput(files, what, options)
            table += _building(files, what, options.size, options.rounds)
        for count in (MANY // 100, MANY // 10, MANY):
            table.append(_streamed(count, folder))
        return table
    finally:
        shutil.rmtree(folder)


def _throughput(files: str, what: str, options: Options) -> list[Row]:
    table = []
    keys: dict[str, Any] = {"folder": files, "size": options.size}
    for name, target in (("PIL pipeline", "mmtk.bench.pil_pipeline:batches"), ("mmtk streams", f"{HERE}:streams")):
        results = [fresh(target, **keys) for _ in range(options.rounds)]
        seconds = spread([duration for result in results for duration in result["seconds"]])
        row: Row = {"name": f"{name}, {what}", "seconds": seconds}
        row["images/s"] = results[0]["images"] / seconds["median"]
        table.append(row)
    table[1]["× PIL"] = table[1]["images/s"] / table[0]["images/s"]
    return table


def _building(files: str, what: str, size: int, rounds: int) -> list[Row]:
    table = []
    for used in sorted({1, cores()}):
        results = [fresh(f"{HERE}:build", folder=files, size=size, used=used) for _ in range(rounds)]
        seconds = spread([duration for result in results for duration in result])
        row: Row = {"name": f"building the cache, {what}, {used} cores", "seconds": seconds}
        table.append(row | {"images/s": FILES / seconds["median"]})
    return table


def _streamed(count: int, folder: Path) -> Row:
    measured = fresh(f"{HERE}:many", count=count, cache=str(folder))
    row: Row = {
        "name": f"{counted(count, 'image')} of 32 px, streamed once",
        "seconds": spread(measured["seconds"]),
    }
    row["images/s"] = count / row["seconds"]["median"]
    row |= {f"MB at the {when}": measured[when] for when in ("start", "middle", "end")}
    return row | {"MB of mapped files": measured["mapped"]}


# What runs in processes of its own.


def draw(folder: str, side: int, suffix: str) -> None:
    """Draw ``FILES`` synthetic films (JPEG as in CheXpert and CheX, PNG as in NIH) and their table of labels."""
    import numpy as np
    from PIL import Image

    from mmtk.components.source.phantom import Phantom

    path = Path(folder)
    (path / "images").mkdir(parents=True)
    # Films of at most 256 px, enlarged, with fine grain: what counts is the size of the files.
    source = Phantom("classification", train=FILES, val=0, test=0, size=min(side, 256))
    lines = ["image,label,split"]
    noise = np.random.default_rng(0)
    for i, item in enumerate(source.items("train")):
        film = Image.fromarray(source.image(item)).resize((side, side), Image.Resampling.BICUBIC)
        grain = np.asarray(film) + noise.normal(0, 2, (side, side))
        name = f"{item.id}.{suffix}"
        Image.fromarray(grain.clip(0, 255).astype(np.uint8)).save(path / "images" / name, quality=90)
        part = "test" if i % 10 == 0 else "val" if i % 10 == 1 else "train"
        lines.append(f"{name},{source.labels.names[item.target]},{part}")
    (path / "labels.csv").write_text("\n".join(lines) + "\n")


def _changes(size: int) -> dict[str, Any]:
    return {
        "data.size": size,
        "data.leaks": "allow",
        "data.classification.labels": 20,
        "train.batch": BATCH,
        "data.classification.source": {"use": "folder", "images": "images", "labels": "labels.csv"},
    }


def streams(folder: str, size: int, passes: int = 3) -> dict[str, Any]:
    """Time batches from a warm cache: labelled weak, unlabelled weak and strong views."""
    from mmtk import load_recipe
    from mmtk.api import StepContext, View
    from mmtk.data.batches import BatchLoader
    from mmtk.data.dataset import prepare
    from mmtk.model.device import tune_malloc

    tune_malloc()  # as every run on a CPU does
    recipe = load_recipe("enc-ssl", None, _changes(size))
    data = prepare(recipe, Path(folder))
    views = {"classification": {"weak": View(1), "strong": View(1)}}
    batches = BatchLoader(recipe, data.stores, data.parts, views, {"classification": True})
    steps = passes * FILES // BATCH
    batches.batch(StepContext(0, steps, steps + 1))
    seconds = []
    for index in range(steps):
        start_time = time.perf_counter()
        batches.batch(StepContext(0, index, steps + 1))
        seconds.append(time.perf_counter() - start_time)
    return {"seconds": seconds, "images": 3 * BATCH}


def build(folder: str, size: int, used: int, times: int = 3) -> list[float]:
    """Time the building of a folder's cache.

    folder: made by ``draw``
    size: pixels a side of the stored images
    used: CPU cores that the process may run on
    times: builds that are timed, after one more that imports the libraries

    Returns the seconds of each build.
    """
    from mmtk.components.source.folder import Folder
    from mmtk.data.store import open_store

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:used])
    source = Folder(Path(folder), "classification", images="images", labels="labels.csv")
    seconds = []
    for _ in range(1 + times):
        with tempfile.TemporaryDirectory() as cache:
            start_time = time.perf_counter()
            open_store(source, size, cache=Path(cache))
            seconds.append(time.perf_counter() - start_time)
    return seconds[1:]


def many(count: int, cache: str) -> dict[str, Any]:
    """Build a cache of ``count`` generated images and stream all of them once; return the MB of this process."""
    import numpy as np

    from mmtk import load_recipe
    from mmtk.api import Item, LabelSpec, Source, Split, StepContext, View
    from mmtk.data.batches import BatchLoader
    from mmtk.data.label_budget import SplitRows
    from mmtk.data.store import open_store

    class Generated(Source):
        labels = LabelSpec("classification", ("dark", "bright"))

        def items(self, split: Split) -> list[Item]:
            return [Item(f"{i:06d}", i, i % 2, f"{i:06d}", None) for i in range(count)]

        def image(self, item: Item) -> np.ndarray:
            return np.random.default_rng(item.image).integers(0, 256, (32, 32), np.uint8)

        def digest(self) -> str:
            return hashlib.sha256(f"generated {count}".encode()).hexdigest()

    store = open_store(Generated(), 32, cache=Path(cache))
    recipe = load_recipe("enc-ssl", None, _changes(32) | {"train.batch": 100})
    every = list(range(count))
    part = {"classification": SplitRows(every[:100], every, [], [])}
    views = {"classification": {"weak": View(1), "strong": View(1)}}
    batches = BatchLoader(recipe, {"classification": store}, part, views, {"classification": True})
    steps = count // 100
    usage: dict[str, Any] = {}
    start_time = 0.0
    for index in range(steps):
        batches.batch(StepContext(0, index, steps))
        # A hundredth in, what is held once is there: the orders of the epoch, the code, the allocator's reserve.
        if index == steps // 100:
            usage["start"], start_time = (memory("RssAnon") or 0.0), time.perf_counter()
        elif index == steps // 2:
            usage["middle"] = memory("RssAnon") or 0.0
    seconds = (time.perf_counter() - start_time) * steps / (steps - 1 - steps // 100)
    return usage | {"end": (memory("RssAnon") or 0.0), "mapped": (memory("RssFile") or 0.0), "seconds": [seconds]}
