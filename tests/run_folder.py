"""Run directories written by hand in the format of mmtk's own, to test the mirror."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

BEGUN = 1_760_000_000.0  # 2025-10-09T08:53:20Z
EVERY = 5  # steps between validations
TERMS = ("train/loss", "train/classification/cross-entropy", "train/segmentation/dice", "train/lr")
SCORES = ("val/classification/macro-f1", "val/segmentation/dice", "val/score")


def begin(path: Path, **overrides):
    """A run directory before its first step."""
    from mmtk import load_recipe
    from mmtk.data import sources
    from mmtk.io.files import write_json
    from mmtk.model import build, checkpoint
    from mmtk.runs import versions
    from mmtk.runs.folder import RunDir

    small = {"encoder.width": 4, "encoder.depth": 4, "data.size": 32, "train.precision": "fp32"}
    recipe = load_recipe("multimix", overrides=small | overrides)
    folder = RunDir(path)
    with folder.locked():
        folder.claim(recipe)
    targets = sources.targets(recipe)
    domains = [f"{task}/{domain}" for task in recipe.tasks for domain in ("in-domain", "cross-domain")]
    provenance = {
        "mmtk": "0.1.0",
        "recipe": recipe.run_name,
        "digest": recipe.digest,
        "seed": recipe.seed,
        "profile": recipe.profile,
        "components": {version.word: f"{version.dist} {version.version}" for version in versions.versions(recipe)},
        "data": {name: f"{number:064x}" for number, name in enumerate(domains)},
        "data_root": "",
        "targets": {task: asdict(target) for task, target in targets.items()},
        "python": "3.12.1",
        "libraries": {"torch": "2.11.0", "timm": "1.0.15"},
        "device": "cpu",
        "hardware": "a processor, 2 cores",
        "threads": 1,
        "git": {"commit": "c0ffee" * 6 + "c0ff", "dirty": False},
        "command": ["mmtk", "run", "multimix"],
        "started": "2025-10-09T08:53:20Z",
    }
    write_json(folder.provenance_file, provenance)
    parts = {"labelled": ["a", "b"], "unlabelled": ["c"], "val": ["d"], "test": ["e", "f"], "cross-domain": ["g"]}
    write_json(folder.splits_file, dict.fromkeys(recipe.tasks, parts))
    net = build.network(recipe, targets)
    checkpoint.save(folder.best, {"net.": net}, None, {"step": EVERY, "score": 0.5})
    return folder


def train(folder, first: int, last: int, begun: float = BEGUN) -> None:
    """Rows of the steps first … last, each 1 s long, with validations; values depend on the step alone."""
    with open(folder.metrics_file, "a") as metrics, open(folder.timing_file, "a") as timing:
        for step in range(first, last + 1):
            rows = [{name: place + 1 / step for place, name in enumerate(TERMS)}]
            if step % EVERY == 0:
                rows.append({name: place / 4 + 1 / step for place, name in enumerate(SCORES)})
            for row in rows:
                row = {"step": step, "epoch": (step - 1) // EVERY + 1} | row
                metrics.write(json.dumps(row) + "\n")
                at = {"step": step, "time": begun + step + 0.25 * len(row), "seconds": 1.0}
                timing.write(json.dumps(at) + "\n")


def cut(folder, step: int) -> None:
    """Cut the logs back to a step, as a resume from its checkpoint does."""
    for path in (folder.metrics_file, folder.timing_file):
        kept = [line for line in path.read_text().splitlines() if json.loads(line)["step"] <= step]
        path.write_text("".join(f"{line}\n" for line in kept))


def finish(folder) -> None:
    """Results, values per image, a picture, and the mark of a finished run."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    from mmtk.io.files import write_json

    scores = {"classification": {"accuracy": 0.75, "n": 4}, "segmentation": {"dice": 0.5, "hd95": None}}
    selected = {"step": EVERY, "score": 0.5, "steps": 10}
    results = {"in-domain": scores, "cross-domain": scores, "selected": selected, "warnings": ["dead term"]}
    write_json(folder.results_file, results)
    pq.write_table(pa.table({"id": ["e", "f"], "dice": [0.25, 0.75]}), folder.cases_file)
    Image.new("L", (8, 8), 128).save(folder.figures / "curves.png")
    write_json(folder.done_file, {"steps": 10, "training_seconds": 10.0, "seconds": 12.0})


def points(rows: int, validations: int) -> int:
    """Metric points of so many steps and validations; a validation has the epoch besides its scores."""
    return rows * len(TERMS) + validations * (len(SCORES) + 1)


RESULTS = 2 * 2 + 3  # numbers of results.json without counts; None and texts are none
