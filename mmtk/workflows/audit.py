"""Audit of a published table, as a data frame and in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmtk.compare.audit import Audit, audit_table


def audit(table: str | Path, cases: Mapping[str, int] | int | None = None) -> Audit:
    """Judge every "A is better than B" of a published table by the size of its test set.

    table: a CSV with ``system, metric, mean, n`` and optional ``sd``, or with a column for every score
    cases: of the test set, where no column says it; by score, or one number for all
    """
    return audit_table(Path(table), {"": cases} if isinstance(cases, int) else cases)
