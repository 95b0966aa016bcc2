"""All pictures of a study, each as PNG and SVG."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from mmtk.report.effects import Effects
from mmtk.report.figures.distributions import bland_altman, dice_distribution, intensities
from mmtk.report.figures.effects import effects as forest
from mmtk.report.figures.effects import waterfall
from mmtk.report.figures.examples import boundaries, masks
from mmtk.report.figures.saliency import saliency_classification, saliency_segmentation
from mmtk.report.figures.scores import budgets, scores
from mmtk.report.figures.study_classes import calibration, roc
from mmtk.report.figures.systems import Figure
from mmtk.report.figures.training import losses, validation
from mmtk.scores import leading
from mmtk.study.results import Study
from mmtk.tasks import IN_DOMAIN, TASKS, labels_text

OF_STUDY = {"intensities": intensities, "budgets": budgets, "validation": validation}
AT_BUDGET = {
    "scores": scores,
    "roc": roc,
    "calibration": calibration,
    "dice-distribution": dice_distribution,
    "bland-altman": bland_altman,
    "boundaries": boundaries,
    "masks": masks,
    "saliency-classification": saliency_classification,
    "saliency-segmentation": saliency_segmentation,
    "losses": losses,
}
OF_TABLES = ("scores", "roc", "calibration", "dice-distribution", "bland-altman")  # drawn from values alone
OF_LOOKS = "95 % interval, of single components that of their look, which is wider"
SECTIONS = ("effects", "worth", "saliency maps", "scores", *TASKS, "saliency", "training", "data")


Drawing = Callable[[], Figure | None]


def drawings(study: Study, out: Path, effects: Sequence[Effects] = ()) -> list[Drawing]:
    """Every picture that a study may have, to be drawn into the folder ``out``; None for one without data.

    Pictures of one label budget show the smallest.
    """
    jobs = [job for one in effects for job in _of_effects(study, one, out)]
    if study.origin:
        jobs += [partial(AT_BUDGET[name], study, {}, out / f"{name}.png") for name in OF_TABLES]
    elif study.budgets:
        smallest = study.budgets[0]
        jobs += [partial(draw, study, out / f"{name}.png") for name, draw in OF_STUDY.items()]
        jobs += [partial(draw, study, smallest, out / f"{name}.png") for name, draw in AT_BUDGET.items()]
    return jobs


def by_section(figures_or_none: Iterable[Figure | None]) -> list[Figure]:
    """The pictures that there are, section by section."""
    figures = [figure for figure in figures_or_none if figure is not None]
    return sorted(figures, key=lambda figure: SECTIONS.index(figure.section))


def _of_effects(study: Study, one: Effects, out: Path) -> list[Drawing]:
    """A forest plot and a waterfall of a leading metric."""
    if one.metric != leading(study.declared[one.task]) or not one.effects:
        return []
    labels = "-".join(str(one.labels.get(task, "x")) for task in TASKS)
    name, metric = f"{one.metric}-{one.domain}-{labels}", one.info.label
    title = f"{metric}, {one.domain}, {labels_text(one.labels)}"
    path = out / f"effects-{name}.png"
    added = study.stopping is not None and one.domain == IN_DOMAIN
    whiskers = OF_LOOKS if added else "95 % interval"
    jobs: list[Drawing] = [partial(forest, one.effects, path, f"Effects on {title}", metric, whiskers)]
    if one.start is not None:
        path = out / f"shapley-{name}.png"
        jobs.append(partial(waterfall, one.start, one.shares, path, f"Shapley shares of {title}", metric))
    return jobs
