"""The pictures of one run or evaluation, drawn from its files: a study of one system, and what only a run has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mmtk.counts import share
from mmtk.io import status_line
from mmtk.io.files import read_facts
from mmtk.recipe.recipe import Recipe
from mmtk.report.figures import curves, examples, saliency
from mmtk.report.figures import run as run_figures
from mmtk.report.figures.distributions import dice_distribution
from mmtk.report.figures.study_classes import calibration, roc
from mmtk.report.figures.systems import class_names, domains, samples
from mmtk.runs.finished import Run, read_arrays
from mmtk.runs.folder import RunDir
from mmtk.runs.score_names import current
from mmtk.study.results import Cell, Study
from mmtk.tasks import CLASSIFICATION, SEGMENTATION, file_name


class RankedRun(Run):
    """A run whose example images with masks are those from the worst to the best Dice, where it has them."""

    @cached_property
    def samples(self) -> dict[str, np.ndarray]:
        """Arrays of ``samples.npz``, and over them those of ``ranked.npz``, which a run of mmtk 0.1 has not."""
        files = (self.folder.samples_file, self.folder.ranked_file)
        return {name: values for file in files if file.is_file() for name, values in read_arrays(file).items()}


def draw_run(folder: RunDir, recipe: Recipe, targets: Mapping[str, Mapping[str, Any]]) -> list[Path]:
    """Draw every picture that the files of a run or an evaluation allow into its ``figures``; return their paths.

    folder: with ``results.json`` and whatever else the run or evaluation left
    recipe: of the run
    targets: names of classes and mask channels by task, as in ``provenance.json``
    """
    status_line.stage("drawing")
    folder.figures.mkdir(parents=True, exist_ok=True)
    scores = current(read_facts(folder.results_file))
    run = RankedRun(folder, recipe.digest, recipe.seed, scores, {"targets": targets})
    labels: dict[str, int | str] = {task: recipe.task_data(task).labels for task in recipe.tasks}
    cell = Cell(recipe.name, {}, labels, run.digest, reference=True, runs={run.seed: run})
    return [path for path in _pictures(cell, run, folder.figures) if path is not None]


def redraw(run: Run) -> list[Path]:
    """Draw the pictures of a finished run again."""
    return draw_run(run.folder, run.folder.recipe, run.provenance["targets"])


def _pictures(cell: Cell, run: Run, out: Path) -> Iterator[Path | None]:
    """The paths of the pictures, as they are drawn; None for one without data."""
    study = Study(cell.name, [cell], [run.seed])
    yield curves.curves(run.folder.metrics_file, out / "curves.png", f"{cell.name}: training", run.declared)
    for name, draw in (("roc", roc), ("calibration", calibration), ("dice", dice_distribution)):
        figure = draw(study, cell.labels, out / f"{name}.png", vector=False)
        yield figure.path if figure else None
    for domain in domains([cell]):
        kinds: dict[str, Any] = {
            "boundaries": examples.boundaries,
            "saliency-classification": saliency.saliency_classification,
            "saliency-segmentation": saliency.saliency_segmentation,
        }
        for name, draw in kinds.items():
            path = out / f"{name}-{file_name(domain)}.png"
            figure = draw(study, cell.labels, path, domain=domain, vector=False)
            yield figure.path if figure else None
        yield _confusion(cell, run, domain, out / f"confusion-{file_name(domain)}.png")
        yield _overview(cell, run, domain, out / f"overview-{file_name(domain)}.png")


def _confusion(cell: Cell, run: Run, domain: str, path: Path) -> Path | None:
    """The confusion counts of the classes in a domain."""
    table = cell.cases.get((domain, CLASSIFICATION.name), {})
    if not {"target", "predicted"} <= table.keys():
        return None
    names = class_names(run)
    target, predicted = (table[name][0] for name in ("target", "predicted"))
    classes = range(len(names))
    counts = np.array([[((target == a) & (predicted == b)).sum() for b in classes] for a in classes])
    return run_figures.confusion(counts, names, path, f"{cell.name}: {domain} test images")


def _overview(cell: Cell, run: Run, domain: str, path: Path) -> Path | None:
    """Images of a domain with all that the network says of them."""
    arrays = samples(run, domain, SEGMENTATION.name)
    if not arrays:
        return None
    scores = examples.dice_of(cell, domain)
    dice = [scores.get(name) for name in arrays["ids"].tolist()]
    names = class_names(run) if "probabilities" in arrays else []
    note = f"{share(len(dice), max(len(scores), len(dice)), 'image')}, worst to best Dice"
    title = f"{cell.name}: {domain} test images"
    return run_figures.overview(arrays, dice, names, path, title, note)
