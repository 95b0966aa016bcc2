"""Margins: the largest differences that do not matter, as users or metrics say."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from mmtk import builtin_scores
from mmtk.errors import MmtkError, listing
from mmtk.scores import ScoreInfo
from mmtk.stats.verdicts import checked_margin
from mmtk.study.results import Study

Margins = Mapping[str, float]  # by the name of a score


def margin_of(metric: str, info: ScoreInfo, margins: Margins) -> float | None:
    """The largest difference that does not matter: as the user says, else as declared, else the built-in one.

    Runs of earlier releases declare none.
    """
    builtin = builtin_scores.classification(()) | builtin_scores.segmentation(())
    declared = info.margin or (builtin[metric].margin if metric in builtin else None)
    return margins.get(metric, declared)


def margins_of(study: Study, margins: Margins) -> Margins:
    """Margins of a report: the user's; of a study that adds seeds those of its plan.

    MmtkError for a margin of a score that the study does not test, for one that is not above 0, and for one that
    a study that adds seeds did not begin with: its levels hold for the margins of its plan alone.
    """
    if study.stopping is not None:
        plan = study.stopping.margins
        if any(plan.get(name) != value for name, value in margins.items()):
            plan_text = listing([f"{name}={value:g}" for name, value in plan.items()]) or "none"
            raise MmtkError(
                "--margin: this study adds seeds until its verdicts are settled, by margins that were written "
                f"down before its first run: {plan_text}.",
                hint="Report it without --margin.",
            )
        return plan
    for value in margins.values():
        checked_margin(value)
    return tested_margins(study, margins)


def tested_margins(study: Study, margins: Margins) -> Margins:
    """The margins; MmtkError for one of a score that the study does not test."""
    tested = {
        name for scores in study.declared.values() for name, score in scores.items() if "tests" in score.shown
    }
    if wrong := sorted({*margins} - tested):
        raise MmtkError(
            f"--margin: the study does not test {listing(wrong)}.", hint=f"It tests {listing(sorted(tested))}."
        )
    return margins


def parse_margins(texts: Iterable[str]) -> dict[str, float]:
    """SCORE=VALUE of a command line as numbers by score."""
    margins = {}
    for text in texts:
        name, sign, number = text.partition("=")
        try:
            value = float(number) if sign and name else math.nan
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value > 0):
            raise MmtkError(
                f"--margin {text}: a margin is a number above 0, in units of the score.",
                hint="Give the largest difference that would not matter to you, such as --margin dice=0.01.",
            )
        margins[name.strip()] = value
    return margins
