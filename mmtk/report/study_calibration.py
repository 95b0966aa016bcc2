"""Calibration of a study: how often every system is right against how confident it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmtk.report import style
from mmtk.report.classes import Reliability, draw_reliability, finish_reliability, reliability
from mmtk.report.study_systems import (
    Budget,
    Figure,
    class_names,
    first_run,
    images,
    labelled,
    looks,
    per_image,
    seeds,
    systems,
)
from mmtk.results import DOMAINS, Cell, Study

TASK = "classification"


def calibration(study: Study, budget: Budget, path: Path) -> Figure | None:
    """Reliability diagram of every system at a budget, the images of all its seeds together, by test set."""
    cells = systems(study, budget, TASK)
    found: dict[str, dict[str, Reliability]] = {}
    counts: dict[str, int] = {}
    for domain in DOMAINS:
        for system, cell in cells.items():
            if runs := _runs(cell, domain):
                confidence, right = np.concatenate(runs).T
                found.setdefault(domain, {})[system] = reliability(confidence, right)
                counts[domain] = max(counts.get(domain, 0), len(runs[0]))
    if not found:
        return None
    title = f"Calibration of the classes ({labelled(budget)})"
    tall = 0.35 + 0.18 * (1 + max(len(drawn) for drawn in found.values()))
    with style.chart(path, title, 0.4 + 4.5 * len(found), 5.3 + tall, vector=True) as fig:
        panels, below = fig.subplots(2, len(found), squeeze=False, height_ratios=[4.1, tall])
        shown = looks(study)
        for axes, legend, (domain, drawn) in zip(panels, below, found.items(), strict=True):
            for system, one in drawn.items():
                draw_reliability(axes, one, shown[system].line)
                axes.plot([], [], **shown[system].line, label=f"{cells[system].name}: {one.error:.3f}")
            finish_reliability(axes)
            axes.set_title(f"{domain} (n = {counts[domain]:,})")
            legend.set_axis_off()
            legend.legend(
                *axes.get_legend_handles_labels(), loc="upper center", title="calibration error", handlelength=3.2
            )
    caption = (
        f"Share of right answers against the confidence in the likeliest class on {images(counts)}, "
        f"{seeds(cells.values())} together: above the dotted line a system is more often right than confident."
    )
    return Figure(path.stem, title, caption, path, TASK)


def _runs(cell: Cell, domain: str) -> list[np.ndarray]:
    """Confidence and whether it was right, [images, 2] of every run."""
    columns = ["target", "predicted", *(f"p-{name}" for name in class_names(first_run(cell)))]
    return [
        np.column_stack([run[:, 2:].max(1), run[:, 0] == run[:, 1]])
        for run in per_image(cell, domain, TASK, columns)
    ]
