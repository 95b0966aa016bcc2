"""Table of scores on matched test images."""

from __future__ import annotations

from collections.abc import Sequence

from mmtk.report.matching import MatchedScore
from mmtk.report.tables.strata import interval_entry
from mmtk.report.tables.table import Entry, Table, count_entry, headings, p_entry, value_entry


def matched_scores(rows: Sequence[MatchedScore]) -> Table:
    """Scores of all images beside those of the matched ones, a row per system, test set and score."""
    by = " and ".join(rows[0].by) if rows else ""
    caption = (
        f"Test images matched by {by}: in every stratum of these attributes all classes weigh the same, and a "
        "stratum weighs its images; so the attributes tell nothing of the class. Numbers are cut at their thirds. "
        "Strata that lack a class, and images whose attributes are not known, do not count. Effective images: "
        "(Σ w)² / Σ w² (Kish 1965). Intervals are 95 %, for new trainings on new patients; without a patient the "
        "weights are computed anew. Difference: matched less all images."
    )
    names = ("System", "Labels", "Test set", "Metric", "*All images", "*Matched", "*Difference", "*p")
    counts = ("*Effective images", "*Strata", "*Images in strata of one class", "*Unknown")
    body = [
        [
            Entry(row.system),
            Entry(row.labels),
            Entry(row.test_set),
            Entry(row.score),
            interval_entry(row.pooled),
            interval_entry(row.matched),
            interval_entry(row.difference, sign=True),
            p_entry(row.difference.p),
            value_entry(row.weighting.effective, 0),
            count_entry(row.weighting.strata),
            count_entry(row.weighting.lone[1]),
            count_entry(row.unknown),
        ]
        for row in rows
    ]
    return Table("matched", "Scores on matched images", caption, headings(*names, *counts), body)
