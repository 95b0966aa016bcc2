"""Margins: the largest differences that do not matter, as users or metrics say."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from functools import cache

from mmtk import builtin_scores
from mmtk.errors import MmtkError, listing
from mmtk.scores import ScoreInfo
from mmtk.stats.verdicts import checked_margin
from mmtk.study.results import Study
from mmtk.study.stopping import Stopping

Margins = Mapping[str, float]  # by the name of a score


def margin_of(metric: str, info: ScoreInfo, margins: Margins) -> float | None:
    """The largest difference that does not matter: as the user says, else as declared, else the built-in one.

    Runs of earlier releases declare none.
    """
    return margins.get(metric, info.margin or _builtin_margins().get(metric))


@cache
def _builtin_margins() -> dict[str, float | None]:
    """Margins of the built-in scores, by name."""
    scores = builtin_scores.classification(()) | builtin_scores.segmentation(())
    return {name: info.margin for name, info in scores.items()}


def margins_of(study: Study, margins: Margins) -> Margins:
    """Margins of a report: the user's, checked; of a study that adds seeds those of its plan."""
    check_margins(margins, study.stopping, tested_scores(study))
    return margins if study.stopping is None else study.stopping.margins


def tested_scores(study: Study) -> set[str]:
    """Names of the scores that a study tests."""
    return {name for scores in study.declared.values() for name, score in scores.items() if "tests" in score.shown}


def check_margins(margins: Margins, stopping: Stopping | None, tested: Collection[str]) -> None:
    """Refuse margins that are not above 0, of scores that are not tested, or that are not those of the plan.

    margins: the user's
    stopping: the rule of a study that adds seeds, whose levels hold for the margins of its plan alone
    tested: names of the scores that the study tests
    """
    for value in margins.values():
        checked_margin(value)
    if wrong := sorted({*margins} - {*tested}):
        raise MmtkError(
            f"--margin: the study does not test {listing(wrong)}.", hint=f"It tests {listing(sorted(tested))}."
        )
    plan = stopping.margins if stopping else margins
    if any(plan.get(name) != value for name, value in margins.items()):
        plan_text = listing([f"{name}={value:g}" for name, value in plan.items()]) or "none"
        raise MmtkError(
            "--margin: this study adds seeds until its verdicts are settled, by margins that were written "
            f"down before its first run: {plan_text}.",
            hint="Report it without --margin.",
        )


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
