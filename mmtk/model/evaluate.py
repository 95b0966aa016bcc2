"""Scores on validation and test sets, in-domain and cross-domain, with values per image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from mmtk import api
from mmtk.data.dataset import TestSet
from mmtk.data.image_attributes import image_attributes
from mmtk.errors import NotFinite, RunFailed, listing
from mmtk.io import status_line
from mmtk.io.files import atomic
from mmtk.model.ensemble import Net, disagreement
from mmtk.model.passes import MaskAreas, add_areas, batches, batches_with_areas, eval_mode, no_areas, same_input
from mmtk.recipe.recipe import Recipe
from mmtk.registry import catalog
from mmtk.registry.declared import declared_scores
from mmtk.registry.factory import component
from mmtk.registry.per_image import case_columns
from mmtk.runs.attributes import IMAGE, METADATA, Attributes, attribute_columns
from mmtk.scores import ScoreInfo, selecting
from mmtk.seeding import seeded


@dataclass
class Scores:
    """``results[domain][task][metric]``, the metrics themselves, and the declared scores by task.

    ``patients`` holds the patient of every image of a test set by id (``TestSet.patients``), ``attributes``
    what its source knows and its pixels show of the image, by column of ``cases.parquet``.
    """

    results: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    metrics: dict[tuple[str, str], dict[str, api.Metric]] = field(default_factory=dict)
    declared: dict[str, dict[str, ScoreInfo]] = field(default_factory=dict)
    patients: dict[tuple[str, str], dict[str, str | None]] = field(default_factory=dict)
    attributes: dict[tuple[str, str], dict[str, Attributes]] = field(default_factory=dict)


def fill(
    net: Net, recipe: Recipe, test: TestSet, device: torch.device | str, areas: MaskAreas | None = None
) -> dict[str, api.Metric]:
    """The task's metrics over a test set; the network's mode is restored.

    net: on ``device``
    recipe: of the network
    test: the set
    device: that computes the logits
    areas: of images of classes, which get masks from the same pass through the encoder
    """
    store, rows = test.store, test.known_rows
    metrics = make_metrics(recipe, test.task, store.labels, store.spacing)
    draws = seeded(recipe.seed, "evaluate", test.task, test.domain)
    one_task = batches(net, recipe, test.task, store, rows, device)
    passes = one_task if areas is None else batches_with_areas(net, recipe, test, device, areas)
    with eval_mode(net, recipe.evaluate.dropout), draws, torch.no_grad():
        for logits, target, ids in passes:
            if not bool(torch.isfinite(logits).all()):
                more_bits = "" if recipe.train.precision in ("fp32", "fp64") else ', or train.precision = "fp32"'
                raise NotFinite(
                    f"the model gives NaN or infinity for {test.domain} images {', '.join(ids)}.",
                    hint=f"Train it again with a lower train.lr{more_bits}.",
                )
            for metric in metrics.values():
                metric.update(logits, target, ids)
    return metrics


def compute(task: str, metrics: Mapping[str, api.Metric]) -> dict[str, float]:
    """All scores of a task; those of further metric tables carry the table's name in front."""
    scores: dict[str, float] = {}
    for name, metric in metrics.items():
        prefix = "" if name == task else f"{name}/"
        scores |= {f"{prefix}{key}": value for key, value in metric.compute().items()}
    return scores


def selection_score(task: str, numbers: Mapping[str, float], declared: Mapping[str, ScoreInfo]) -> float:
    """The validation score that selects the best weights: the larger, the better.

    Raises RunFailed where the metric has not given it, or as no finite number.
    """
    name = selecting(declared)
    value = numbers.get(name, math.nan)
    if not math.isfinite(value):
        raise RunFailed(
            f"metric.{task} gives no {name or 'declared score'} of the validation images, by which the best "
            "weights are chosen.",
            hint=f"compute() has to give a finite number under this name; it gave {listing(numbers)}.",
        )
    return value if declared[name].better == "higher" else -value


def calibration_metrics(
    net: Net, recipe: Recipe, tests: Sequence[TestSet], device: torch.device | str
) -> dict[str, dict[str, api.Metric]]:
    """Metrics by task that have seen the validation images, for tasks with a metric that learns from them.

    net: on ``device``
    recipe: of the network
    tests: validation sets
    device: that computes the logits
    """

    def learns(test: TestSet) -> bool:
        metrics = make_metrics(recipe, test.task, test.store.labels, test.store.spacing)
        return any(type(metric).calibrate is not api.Metric.calibrate for metric in metrics.values())

    return {test.task: fill(net, recipe, test, device) for test in tests if learns(test)}


def evaluate(
    net: Net,
    recipe: Recipe,
    tests: list[TestSet],
    validation: Mapping[str, Mapping[str, api.Metric]],
    device: torch.device | str = "cpu",
) -> Scores:
    """Score every test set; thresholds come from the metrics that have seen validation.

    net: on ``device``
    recipe: of the network
    tests: the sets, each of one task and domain
    validation: metrics by task and name that have seen the validation images
    device: that computes the logits
    """
    status_line.stage("scoring")
    scores = Scores()
    for test in tests:
        areas = no_areas(test, tests)
        shared = areas is not None and not recipe.evaluate.dropout and same_input(recipe)
        metrics = fill(net, recipe, test, device, areas if shared else None)
        for name, metric in metrics.items():
            if name in validation.get(test.task, {}):
                metric.calibrate(validation[test.task][name])
        task_scores = compute(test.task, metrics)
        task_scores.setdefault("n", len(test.known_rows))  # another author's metric may not say it
        scores.results.setdefault(test.domain, {})[test.task] = task_scores
        scores.metrics[test.domain, test.task] = metrics
        scores.patients[test.domain, test.task] = test.patients
        scores.attributes[test.domain, test.task] = attributes = _attributes(test)
        scores.declared[test.task] = declared_scores(test.task, metrics, test.store.labels)
        if areas is not None and not shared:
            add_areas(net, recipe, test, device, areas)
        for name, area in areas.values.items() if areas is not None else ():
            attributes[name] = {**attributes[name], f"{IMAGE}predicted mask area": area}
    return scores


def _attributes(test: TestSet) -> dict[str, Attributes]:
    """Metadata and image attributes of every scored image, by id."""
    of_pixels = image_attributes(test.store, test.known_rows)
    return {
        name: {f"{METADATA}{key}": value for key, value in facts.items()}
        | {f"{IMAGE}{key}": value for key, value in of_pixels[name].items()}
        for name, facts in test.metadata.items()
    }


def add_disagreement(
    scores: Scores, net: Net, recipe: Recipe, tests: Sequence[TestSet], device: torch.device | str
) -> None:
    """Add to every image how far the networks of an ensemble disagree; of several organs the mean.

    scores: of the tests
    net: on ``device``; a single network disagrees with none
    recipe: of the evaluation
    tests: the sets that are scored
    device: that computes the logits
    """
    for test in tests if len(net.members) > 1 else ():
        attributes = scores.attributes[test.domain, test.task]
        with eval_mode(net, False), torch.no_grad():
            runs = [
                batches(member, recipe, test.task, test.store, test.known_rows, device) for member in net.members
            ]
            for several in zip(*runs, strict=True):
                distances = disagreement([logits for logits, _, _ in several], test.store.labels)
                means = distances.reshape(len(distances), -1).mean(1).tolist()
                for name, value in zip(several[0][2], means, strict=True):
                    attributes[name] = {**attributes[name], f"{IMAGE}disagreement": value}


def add_builtin_metrics(
    scores: Scores, net: Net, recipe: Recipe, tests: Sequence[TestSet], device: torch.device | str
) -> None:
    """Add mmtk's own metric to ``scores`` as the table ``mmtk`` where the recipe has another: pictures need it.

    net: on ``device``
    recipe: of the network
    tests: the sets that are scored
    device: that computes the logits
    """
    for test in tests:
        metrics = scores.metrics[test.domain, test.task]
        builtin = catalog.load(catalog.find("metric", test.task))
        if not any(isinstance(metric, builtin) for metric in metrics.values()):
            plain = recipe.with_values({f"metric.{test.task}": {"use": test.task}})
            metrics["mmtk"] = fill(net, plain, test, device)[test.task]


def write_cases(path: Path, scores: Scores) -> None:
    """Values per image as one Parquet table: domain, task, id, patient, attributes, and a column per value.

    A patient is a number of its source, null where the source names none. Attributes are in columns
    ``metadata:NAME`` and ``image:NAME``.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    values = {part: case_columns(metrics) for part, metrics in scores.metrics.items()}
    ids_of = {part: columns.pop("id") for part, columns in values.items()}
    rows = [[scores.attributes.get(part, {}).get(name, {}) for name in ids] for part, ids in ids_of.items()]
    for ((domain, task), columns), attributes in zip(values.items(), attribute_columns(rows), strict=True):
        ids = ids_of[domain, task]
        patients = scores.patients.get((domain, task), {})
        patient_column = pa.array([patients.get(name) for name in ids], pa.string())
        keys = {"domain": [domain] * len(ids), "task": [task] * len(ids), "id": ids, "patient": patient_column}
        if ids:
            tables.append(pa.table(keys | attributes | columns | keys))
    if tables:
        with atomic(path) as temporary, open(temporary, "wb") as file:  # pyarrow takes paths in UTF-8 only
            pq.write_table(pa.concat_tables(tables, promote_options="permissive"), file)


def make_metrics(
    recipe: Recipe, task: str, target: api.LabelSpec, spacing: Mapping[str, tuple[float, float]]
) -> dict[str, api.Metric]:
    """The metrics of one task, empty.

    recipe: with the tables of the metrics
    task: that they score
    target: classes or organs of the set
    spacing: mm per pixel (row, column) by image id, of images that have it
    """
    wires = {"names": target.names, "exclusive": target.exclusive, "spacing": spacing}
    metrics = {name: component("metric", table, wires) for name, table in recipe.metrics.items()}
    return {name: metric for name, metric in metrics.items() if metric.task == task}
