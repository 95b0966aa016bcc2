"""Content of a run directory for MLflow: parameters, tags, data sets, metrics, files and the model."""

from __future__ import annotations

import csv
import getpass
import hashlib
import io
import json
import shlex
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmtk.errors import MmtkError
from mmtk.io.files import read_json, read_lines
from mmtk.recipe.recipe import Recipe
from mmtk.registry import catalog
from mmtk.runs.folder import RunDir
from mmtk.runs.score_names import current_name
from mmtk.scores import Scores, shown
from mmtk.tasks import CROSS_DOMAIN, DOMAINS
from mmtk.tracking.metric_names import allowed_name, allowed_names

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Metric
    from mlflow.models import Model, ModelSignature

Row = tuple[dict[str, Any], int]  # a row of metrics.jsonl and its time in ms

LONGEST_PARAM, LONGEST_TAG, LONGEST_DIGEST, MOST_METRICS = 6000, 8000, 36, 1000  # MLflow's limits
TRAIN, VAL = "train/loss", "val/score"  # every row of metrics.jsonl has one of them
COUNTS = "counts.csv"


def run_key(folder: RunDir, recipe: Recipe, provenance: Mapping[str, Any]) -> str:
    """Key that tells this run from all others, wherever its folder lies."""
    parts = [recipe.digest, recipe.seed, folder.path.absolute().name, provenance["started"]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def params(recipe: Recipe) -> dict[str, str]:
    """The resolved recipe under dotted keys; values longer than MLflow's limit are cut."""
    flat = flatten(recipe.values, ".").items()
    return {allowed_name(k): (v if isinstance(v, str) else json.dumps(v))[:LONGEST_PARAM] for k, v in flat}


def tags(
    recipe: Recipe, provenance: Mapping[str, Any], results: Mapping[str, Any], declared: Mapping[str, Scores]
) -> dict[str, str]:
    """Tags to search runs by, and those that MLflow's page shows; provenance.json has every version.

    recipe: of the run
    provenance: content of provenance.json
    results: content of results.json
    declared: declared scores by task
    """
    values = {
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
    values |= {"mmtk.version.torch": provenance["libraries"].get("torch", "")}
    for word, origin in provenance["components"].items():
        path, _, component = word.partition("=")
        if origin.partition(" ")[0] != "mmtk":  # a plugin's
            values[f"mmtk.component.{path}"] = f"{component}, {origin}"
    values |= {"mlflow.user": user(), "mlflow.source.type": "LOCAL"}
    values["mlflow.source.name"] = shlex.join(provenance["command"])
    values["mlflow.note.content"] = note(recipe, provenance, results, declared)
    mmtk_git = provenance["git"]
    if mmtk_git:
        values["mlflow.source.git.commit"], values["mmtk.git.dirty"] = mmtk_git["commit"], mmtk_git["dirty"]
    # The user's repository is what they look for; that of mmtk has a tag of its own then.
    if user_git := provenance.get("git_here"):
        values["mlflow.source.git.commit"], values["mmtk.source.git.dirty"] = user_git["commit"], user_git["dirty"]
        if mmtk_git:
            values["mmtk.git.commit"] = mmtk_git["commit"]
    return {allowed_name(key): str(value)[:LONGEST_TAG] for key, value in values.items() if value != ""}


def user() -> str:
    """Name of the user; "" if neither the environment nor the system has one."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""


def note(
    recipe: Recipe, provenance: Mapping[str, Any], results: Mapping[str, Any], declared: Mapping[str, Scores]
) -> str:
    """The description of a run on MLflow's page, in Markdown.

    provenance: its ``provenance.json``
    results: its ``results.json``, empty before the run has ended
    declared: its declared scores by task; the table holds those that are tested
    """
    lines = [
        recipe.description or f"{recipe.name}, a recipe for {' and '.join(recipe.tasks)}.",
        f"Profile {recipe.profile or 'of its own'}, digest `{recipe.digest}`, seed {recipe.seed}.",
        f"`{shlex.join(provenance['command'])}`",
    ]
    if results:
        rows = [
            f"| {domain} | {task} | {name} | {tasks[task][name]:.3f} |"
            for domain, tasks in results.items()
            if domain in DOMAINS
            for task in tasks
            for name in shown(declared.get(task, {}), "tests")
            if name in tasks[task]
        ]
        lines.append("\n".join(["| test set | task | metric | score |", "|---|---|---|---|", *rows]))
    return "\n\n".join(lines)


def scores(results: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of results.json that are worth a chart, under joined keys: no counts and thresholds."""
    return {key: value for key, value in flatten(results, "/").items() if not _is_count(key)}


def counts(results: Mapping[str, Any]) -> str:
    """The other numbers as a table in CSV: set, task, name, value."""
    lines = io.StringIO()
    table = csv.writer(lines, lineterminator="\n")
    table.writerow(["set", "task", "name", "value"])
    table.writerows([*key.split("/", 2), value] for key, value in flatten(results, "/").items() if _is_count(key))
    return lines.getvalue()


def _is_count(key: str) -> bool:
    name = key.split("/", 2)[-1]
    return key.count("/") >= 2 and (name in ("n", "threshold") or name.startswith(("n-", "count-", "threshold-")))


def data_sets(folder: RunDir, recipe: Recipe, provenance: Mapping[str, Any]) -> list[DatasetInput]:
    """The data sets as MLflow inputs, with the numbers of images of every part; no image is read."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    splits = read_json(folder.splits_file)
    inputs = []
    for name, digest in provenance["data"].items():
        task, _, domain = name.partition("/")
        cross = domain == CROSS_DOMAIN
        table = recipe.source(task, "cross" if cross else "source")
        counts_by_part = {part: len(ids) for part, ids in splits[task].items() if (part == CROSS_DOMAIN) == cross}
        where = json.dumps({**table, "root": provenance["data_root"]})
        dataset = Dataset(name, digest[:LONGEST_DIGEST], table["use"], where, profile=json.dumps(counts_by_part))
        inputs.append(DatasetInput(dataset, [InputTag("mlflow.data.context", "testing" if cross else "training")]))
    return inputs


def rows(folder: RunDir) -> list[Row]:
    """The rows of metrics.jsonl with their time in timing.jsonl: the same whenever they are sent."""
    try:
        metrics, timing = read_lines(folder.metrics_file), read_lines(folder.timing_file)
    except ValueError as error:
        path, cure = str(folder.path), f"Continue the run, which repairs it: {folder.command('run')}"
        raise MmtkError(f"metrics.jsonl or timing.jsonl is damaged: {error}.", path, cure) from error
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


def metrics(values: Mapping[str, Any], step: int, at: int, model_id: str | None = None) -> list[Metric]:
    """The numbers among ``values`` as MLflow metrics.

    step, at: the training ``step`` of all of them, and their time (``at``) in ms
    model_id: of the logged model whose scores these are
    """
    from mlflow.entities import Metric

    numbers = {
        current_name(key): float(value)
        for key, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    names = allowed_names(numbers)
    return [Metric(names[key], value, at, step, model_id=model_id) for key, value in numbers.items()]


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


def save_model(folder: RunDir, provenance: Mapping[str, Any], out: Path, head: Model) -> None:
    """Write the best weights to the folder ``out`` as a pyfunc: mmtk/tracking/model.py and what it reads.

    folder: the run directory, with its ``provenance``
    head: the model's entry in MLflow
    """
    from mlflow.pyfunc import save_model

    with tempfile.TemporaryDirectory() as temporary:
        part = RunDir(Path(temporary, "run"))
        part.best.parent.mkdir(parents=True)
        for source_file, copy in (
            (folder.recipe_file, part.recipe_file),
            (folder.provenance_file, part.provenance_file),
            (folder.best, part.best),
            (folder.code_file, part.code_file),
        ):
            if source_file.is_file():
                shutil.copyfile(source_file, copy)
        with _no_package_scan():
            save_model(
                str(out),
                python_model=str(Path(__file__).with_name("model.py")),
                artifacts={"run": str(part.path)},
                signature=_signature(provenance),
                pip_requirements=_requirements(provenance),
                mlflow_model=head,
            )


@contextmanager
def _no_package_scan() -> Iterator[None]:
    """Spare MLflow a look at the files of every installed package: a second, for a warning that nobody sees.

    It would compare the requirements of a model, which are versions that are installed, with those versions.
    """
    from mlflow.utils import requirements_utils

    name = "_MODULES_TO_PACKAGES"  # a cache: filled at the first use, where a later MLflow has it still
    if getattr(requirements_utils, name, "") is not None:
        yield
        return
    setattr(requirements_utils, name, {})
    try:
        yield
    finally:
        setattr(requirements_utils, name, None)


def _requirements(provenance: Mapping[str, Any]) -> list[str]:
    """Requirements of the model: this mmtk, whose code is logged, and the plugins of its components.

    Of a plugin it is the version that is installed here, which may be newer than the run's; else that of the run.
    """
    made_with = dict(origin.split() for origin in provenance["components"].values())
    names = {*made_with, catalog.OURS} - {catalog.CODE}
    here = {entry.dist: entry.version for entry in catalog.entries(everything=True)}
    return sorted(f"{name}=={here.get(name) or made_with[name]}" for name in names)


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
