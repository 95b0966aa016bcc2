"""Worth of components in labels as a table, as the report of a study has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmtk.report.analysis import comparisons, differences
from mmtk.report.effects import factorial_effects
from mmtk.report.worth import Answer, answers
from mmtk.study.results import Study

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS = (
    *("component", "task", "domain", "score", "labels", "value"),
    *("worth", "low", "high", "smallest", "largest", "text", "note"),
)


def worth(study: Study) -> DataFrame:
    """Worth of every component, or of the reference beside another system, at every label budget of a study.

    The numbers of the report's section "Worth in labels". ``component`` has ``value`` (of ``score``) with
    ``labels``; systems without it need ``worth`` labels for that, with a 95 % interval from ``low`` to ``high``.
    They were trained with ``smallest`` to ``largest`` labels: 0 and infinity stand for fewer and for more than
    those. ``worth`` is empty where it cannot be said, and ``note`` says why. A study of one budget has no rows.
    """
    from pandas import DataFrame

    study.comparable()
    study.read()
    effects = factorial_effects(study)
    pairs = [] if effects else comparisons(study)
    rows = [_row(one) for one in answers(study.jackknives, differences(study, effects, pairs))]
    return DataFrame(rows, columns=list(COLUMNS))


def _row(one: Answer) -> tuple[object, ...]:
    """An answer under ``COLUMNS``."""
    value = one.worth
    system = one.what, one.task, one.domain, one.info.label, one.count, one.score
    return *system, value.labels, value.low, value.high, value.smallest, value.largest, value.text, value.note
