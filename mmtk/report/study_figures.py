"""All pictures of a study, each as PNG and SVG."""

from __future__ import annotations

from pathlib import Path

from mmtk.report.study_distributions import bland_altman, dice_distribution, intensities
from mmtk.report.study_effects import effects, waterfall
from mmtk.report.study_roc import roc
from mmtk.report.study_samples import boundaries, masks, saliency_classification, saliency_segmentation
from mmtk.report.study_scores import budgets, scores
from mmtk.report.study_systems import Figure
from mmtk.report.study_training import losses, validation
from mmtk.results import Study

__all__ = ["Figure", "draw_study", "effects", "waterfall"]

OF_STUDY = {"intensities": intensities, "budgets": budgets, "validation": validation}
AT_BUDGET = {
    "scores": scores,
    "roc": roc,
    "dice-distribution": dice_distribution,
    "bland-altman": bland_altman,
    "boundaries": boundaries,
    "masks": masks,
    "saliency-classification": saliency_classification,
    "saliency-segmentation": saliency_segmentation,
    "losses": losses,
}
SECTIONS = ("scores", "classification", "segmentation", "saliency", "training", "data")


def draw_study(study: Study, out: Path) -> list[Figure]:
    """Every picture that the study has data for, by section, into the folder ``out``.

    Pictures of one label budget show the smallest. A picture without data is left out.
    """
    if not study.budgets:
        return []
    smallest = study.budgets[0]
    drawn = [draw(study, out / f"{name}.png") for name, draw in OF_STUDY.items()]
    drawn += [draw(study, smallest, out / f"{name}.png") for name, draw in AT_BUDGET.items()]
    return sorted((f for f in drawn if f is not None), key=lambda figure: SECTIONS.index(figure.section))
