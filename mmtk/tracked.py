"""What MLflow is told of a run directory: parameters, tags, data sets, metrics, files and the model."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmtk.errors import MmtkError
from mmtk.recipe import Recipe
from mmtk.runs import RunDir, read_json, read_lines
from mmtk.scores import current_name

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Metric
    from mlflow.models import Model, ModelSignature

Row = tuple[dict[str, Any], int]  # a row of metrics.jsonl and its time in ms

LONGEST_PARAM, LONGEST_TAG, LONGEST_DIGEST, MOST_METRICS = 6000, 8000, 36, 1000  # MLflow's limits
TRAIN, VAL = "train/loss", "val/score"  # every row of metrics.jsonl has one of them
CROSS_DOMAIN = "cross-domain"


def run_key(folder: RunDir, recipe: Recipe, provenance: Mapping[str, Any]) -> str:
    """What tells this run from all others, wherever its folder lies."""
    parts = [recipe.digest, recipe.seed, folder.path.absolute().name, provenance["started"]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def params(recipe: Recipe) -> dict[str, str]:
    """The resolved recipe under dotted keys; values longer than MLflow's limit are cut."""
    flat = flatten(recipe.values, ".").items()
    return {mlflow_name(k): (v if isinstance(v, str) else json.dumps(v))[:LONGEST_PARAM] for k, v in flat}


def tags(recipe: Recipe, provenance: Mapping[str, Any]) -> dict[str, str]:
    """What the run was made of: digest, seed, versions, data digests, hardware, git commit."""
    found = {
        "mmtk.digest": recipe.digest,
        "mmtk.profile": recipe.profile,
        "mmtk.seed": recipe.seed,
        "mmtk.system": recipe.name,
        "mmtk.tasks": ", ".join(recipe.tasks),
        "mmtk.device": provenance["device"],
        "mmtk.hardware": provenance["hardware"],
        "mmtk.version.mmtk": provenance["mmtk"],
        "mmtk.version.python": provenance["python"],
    }
    found |= {f"mmtk.version.{name}": version for name, version in provenance["libraries"].items()}
    for word, origin in provenance["components"].items():
        place, _, component = word.partition("=")
        found[f"mmtk.component.{place}"] = f"{component}, {origin}"
    found |= {f"mmtk.data.{name}": digest for name, digest in provenance["data"].items()}
    if provenance["git"]:
        found["mlflow.source.git.commit"] = provenance["git"]["commit"]
        found["mmtk.git.dirty"] = provenance["git"]["dirty"]
    return {mlflow_name(key): str(value)[:LONGEST_TAG] for key, value in found.items() if value != ""}


def data_sets(folder: RunDir, recipe: Recipe, provenance: Mapping[str, Any]) -> list[DatasetInput]:
    """The data sets as MLflow inputs, with the numbers of images of every part; no image is read."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    splits = read_json(folder.splits_file)
    found = []
    for name, digest in provenance["data"].items():
        task, _, domain = name.partition("/")
        cross = domain == CROSS_DOMAIN
        table = recipe[f"data.{task}.{'cross' if cross else 'source'}"]
        own = {part: len(ids) for part, ids in splits[task].items() if (part == CROSS_DOMAIN) == cross}
        where = json.dumps({**table, "root": provenance["data_root"]})
        given = Dataset(name, digest[:LONGEST_DIGEST], table["use"], where, profile=json.dumps(own))
        found.append(DatasetInput(given, [InputTag("mlflow.data.context", "testing" if cross else "training")]))
    return found


def rows(folder: RunDir) -> list[Row]:
    """The rows of metrics.jsonl with their time in timing.jsonl: the same whenever they are sent."""
    try:
        metrics, timing = read_lines(folder.metrics_file), read_lines(folder.timing_file)
    except ValueError as error:
        place, cure = str(folder.path), f"Continue the run, which repairs it: {folder.command('run')}"
        raise MmtkError(f"metrics.jsonl or timing.jsonl is damaged: {error}.", place, cure) from error
    # A row without its time is still being written.
    return [(row, round(1000 * at["time"])) for row, at in zip(metrics, timing, strict=False)]


def mark(row: Mapping[str, Any]) -> str:
    """The metric that shows whether MLflow has a row."""
    return VAL if VAL in row else TRAIN


def batches(rows: Iterable[Row]) -> Iterator[list[Metric]]:
    """Metrics of whole rows, as many as one call takes: what breaks off leaves no half of a row."""
    batch: list[Metric] = []
    for row, at in rows:
        # The epoch stands with the validation alone: one point each.
        left_out = {"step"} if VAL in row else {"step", "epoch"}
        points = metrics({k: v for k, v in row.items() if k not in left_out}, row["step"], at)
        if len(batch) + len(points) > MOST_METRICS:
            yield batch
            batch = []
        batch += points
    if batch:
        yield batch


def metrics(values: Mapping[str, Any], step: int, at: int) -> list[Metric]:
    """The numbers among ``values`` as MLflow metrics of one step and one time (ms)."""
    from mlflow.entities import Metric

    numbers = {k: v for k, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return [Metric(mlflow_name(current_name(key)), float(value), at, step) for key, value in numbers.items()]


def files(folder: RunDir) -> list[Path]:
    """The files that become artifacts, figures last."""
    texts = (folder.recipe_file, folder.provenance_file, folder.splits_file, folder.results_file)
    present = [path for path in (*texts, folder.cases_file) if path.is_file()]
    return [*present, *sorted(folder.figures.glob("*.png"))]


def flatten(tables: Mapping[str, Any], joint: str) -> dict[str, Any]:
    """Nested tables as one, their keys joined."""
    return dict(_leaves(tables, "", joint))


def _leaves(tables: Mapping[str, Any], prefix: str, joint: str) -> Iterator[tuple[str, Any]]:
    for key, value in tables.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}{joint}", joint)
        else:
            yield f"{prefix}{key}", value


def mlflow_name(key: str) -> str:
    """A key as MLflow allows it."""
    return re.sub(r"[^/\w.\- :]", "_", key)[:250]


def save_model(folder: RunDir, provenance: Mapping[str, Any], place: Path, head: Model) -> None:
    """Write the best weights to the folder ``place`` as a pyfunc: mmtk/pyfunc.py and what it reads."""
    from mlflow.pyfunc import save_model

    # A plugin's components load only where the plugin is installed.
    origins = {*provenance["components"].values(), f"mmtk {provenance['mmtk']}"}
    with tempfile.TemporaryDirectory() as temporary:
        part = RunDir(Path(temporary, "run"))
        part.best.parent.mkdir(parents=True)
        for own, copy in (
            (folder.recipe_file, part.recipe_file),
            (folder.provenance_file, part.provenance_file),
            (folder.best, part.best),
        ):
            shutil.copyfile(own, copy)
        save_model(
            str(place),
            python_model=str(Path(__file__).with_name("pyfunc.py")),
            artifacts={"run": str(part.path)},
            signature=_signature(provenance),
            pip_requirements=sorted("==".join(origin.split()) for origin in origins),
            mlflow_model=head,
        )


def _signature(provenance: Mapping[str, Any]) -> ModelSignature:
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import Array

    targets = provenance["targets"]
    outputs: list[ColSpec | TensorSpec] = []
    if "classification" in targets:
        outputs += [ColSpec(DataType.string, "class")]
        outputs += [ColSpec(DataType.double, f"p-{name}") for name in targets["classification"]["names"]]
    if "segmentation" in targets:
        rows = Array(Array(DataType.long))
        outputs += [ColSpec(rows, f"mask-{name}") for name in targets["segmentation"]["names"]]
    images = TensorSpec(np.dtype(np.float32), (-1, -1, -1))
    return ModelSignature(Schema([images]), Schema(outputs))
