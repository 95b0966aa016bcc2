"""The pictures of one run, drawn from its network and its test sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmtk import api
from mmtk.components.metric.classification import Classification
from mmtk.components.metric.segmentation import Segmentation
from mmtk.counts import share
from mmtk.data.batches import network_input, pixels
from mmtk.data.dataset import TestSet, file_name
from mmtk.io import status_line
from mmtk.model.evaluate import Scores, fill
from mmtk.model.examples import class_maps, foreground, reference
from mmtk.model.network import MultiTaskNet
from mmtk.recipe.recipe import Recipe
from mmtk.report.figures import classes, curves
from mmtk.report.figures import run as run_figures

OURS = (Classification, Segmentation)  # the metrics whose values per image the pictures show


def draw_run(
    out: Path,
    recipe: Recipe,
    net: MultiTaskNet,
    tests: Sequence[TestSet],
    targets: Mapping[str, api.LabelSpec],
    scores: Scores,
    device: torch.device,
    metrics_file: Path | None = None,
) -> list[Path]:
    """Every picture that the recipe's tasks allow, into the folder ``out``; returns the files."""
    status_line.stage("drawing")
    out.mkdir(parents=True, exist_ok=True)
    painter = _Painter(out, recipe, net.eval(), targets, device)
    if metrics_file is not None:
        painter.keep(curves.curves(metrics_file, out / "curves.png", f"{recipe.name}: training", scores.declared))
    for test in tests:
        metric: Any = scores.metrics[test.domain, test.task][test.task]
        if not isinstance(metric, OURS):
            metric = painter.measured(test)
        if test.task == "segmentation":
            painter.segmentation(test, metric.per_image())
        else:
            painter.classification(test, metric)
    painter.summaries()
    return painter.files


def spread(values: Any, count: int) -> list[int]:
    """Indices of ``count`` values evenly from the worst to the best, so that a picture hides neither."""
    order = np.argsort(np.asarray(values), kind="stable")
    places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return [int(order[position]) for position in places]


class _Painter:
    def __init__(
        self,
        out: Path,
        recipe: Recipe,
        net: MultiTaskNet,
        targets: Mapping[str, api.LabelSpec],
        device: torch.device,
    ) -> None:
        self.out, self.recipe, self.net, self.device = out, recipe, net, device
        self.targets = targets
        self.count = recipe.evaluate.cases
        self.files: list[Path] = []
        self.rankings: dict[str, classes.Ranking] = {}
        self.confidences: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.dice: dict[str, np.ndarray] = {}

    def keep(self, path: Path | None) -> None:
        """Remember a file that was drawn."""
        if path is not None:
            self.files.append(path)

    def _path(self, kind: str, domain: str) -> Path:
        return self.out / f"{kind}-{file_name(domain)}.png"

    def _images(self, test: TestSet, rows: list[int]) -> torch.Tensor:
        return network_input(pixels(test.store, rows), self.recipe, test.task).to(self.device)

    def measured(self, test: TestSet) -> api.Metric:
        """mmtk's own metric on a test set, where the recipe's is another author's and may lack what is drawn."""
        plain = self.recipe.with_values({f"metric.{test.task}": {"use": test.task}})
        return fill(self.net, plain, test, self.device)[test.task]

    def classification(self, test: TestSet, metric: Classification) -> None:
        """Confusion counts, and class-specific saliency of the classification images (Fig. 9)."""
        self._ranked(test.domain, metric)
        labelled = [row for row in test.rows if test.store.targets[row] >= 0]
        # The classes in turn, so that every class is seen.
        groups = [[r for r in labelled if test.store.targets[r] == k] for k in range(len(test.store.labels.names))]
        rows = [group[i] for i in range(self.count) for group in groups if i < len(group)][: self.count]
        if not rows:
            return
        names = test.store.labels.names
        ids = [names[int(test.store.targets[row])] for row in rows]
        title = f"{self.recipe.name}: class-specific saliency, {test.domain} classification images"
        path = self._path("saliency-classification", test.domain)
        images = np.asarray(test.store.images[rows])[:, 0]
        self.keep(
            run_figures.saliency(images, class_maps(self.net, self._images(test, rows)), names, ids, path, title)
        )

    def segmentation(self, test: TestSet, cases: Mapping[str, list[Any]]) -> None:
        """Boundaries (Fig. 4), class-specific saliency (Fig. 10) and the overview of segmentation images."""
        self.dice[test.domain] = np.asarray(cases["dice"])
        if not test.rows or not self.count:
            return
        places = {name: index for index, name in enumerate(cases["id"])}
        dice = [cases["dice"][places[test.store.ids[row]]] for row in test.rows]
        sample_indices = spread(dice, self.count)
        rows, sample_dice = [test.rows[i] for i in sample_indices], [dice[i] for i in sample_indices]
        images = np.asarray(test.store.images[rows])[:, 0]
        with torch.no_grad():
            prediction = self.net(self._images(test, rows))
        predicted, reference_masks = foreground(prediction.segmentation, test), reference(test, rows)
        ids = [test.store.ids[row] for row in rows]
        note = f"{share(len(rows), len(dice), 'image')}, worst to best Dice"
        title = f"{self.recipe.name}: {test.domain} test images"
        path = self._path("boundaries", test.domain)
        self.keep(run_figures.boundaries(images, reference_masks, predicted, ids, sample_dice, path, title, note))
        names: tuple[str, ...] = ()
        probabilities = None
        if prediction.classification is not None:
            names = self.targets["classification"].names
            probabilities = prediction.classification.float().softmax(1).cpu().numpy()
            title = f"{self.recipe.name}: class-specific saliency, {test.domain} segmentation images"
            path = self._path("saliency-segmentation", test.domain)
            self.keep(
                run_figures.saliency(
                    images, class_maps(self.net, self._images(test, rows)), names, ids, path, title
                )
            )
        saliency = None if prediction.saliency is None else prediction.saliency[:, 0].cpu().numpy()
        path = self._path("overview", test.domain)
        title = f"{self.recipe.name}: {test.domain} test images"
        arguments = (
            images,
            reference_masks,
            predicted,
            saliency,
            probabilities,
            names,
            sample_dice,
            path,
            title,
            note,
        )
        self.keep(run_figures.overview(*arguments))

    def _ranked(self, domain: str, metric: Classification) -> None:
        """Draw the confusion counts of a test set and keep what ROC and calibration show."""
        target, predicted, probabilities = _columns(metric.per_image(), metric.names)
        self.confidences[domain] = probabilities.max(1), predicted == target
        self.rankings[domain] = classes.Ranking(target, probabilities, metric.threshold)
        places = range(len(metric.names))
        table = np.array([[((target == a) & (predicted == b)).sum() for b in places] for a in places])
        title = f"{self.recipe.name}: {domain} test images"
        self.keep(run_figures.confusion(table, metric.names, self._path("confusion", domain), title))

    def summaries(self) -> None:
        """ROC (Fig. 7), calibration and Dice (Fig. 3) of the test sets that were drawn."""
        name = self.recipe.name
        self.keep(classes.roc(self.rankings, self.out / "roc.png", f"{name}: classification"))
        title = f"{name}: calibration of the classes"
        self.keep(classes.calibration(self.confidences, self.out / "calibration.png", title))
        self.keep(
            run_figures.dice_distribution(self.dice, self.out / "dice.png", f"{name}: Dice of each test image")
        )


def _columns(cases: Mapping[str, list[Any]], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Target [N], predicted class [N] and probabilities [N,C] of the images of a test set."""
    probabilities = np.array([cases[f"p-{name}"] for name in names], float).T
    return np.array(cases["target"]), np.array(cases["predicted"]), probabilities
