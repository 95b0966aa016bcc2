"""Statistics of ablation studies: intervals, paired tests, and effects of components.

A study has cells (a system at a label budget), each run with several seeds. Runs of one seed share splits, batch
order and initial weights, and every run sees the same test images, so cells are paired by seed and by case. Tests
over seeds speak of training again; tests over cases speak of new images for the networks that are already trained.
"""

from mmtk.stats.comparisons import Test, holm, paired, paired_cases, student
from mmtk.stats.designs import Effect, factorial, shapley
from mmtk.stats.intervals import Summary, bootstrap, summary

__all__ = [
    "Effect",
    "Summary",
    "Test",
    "bootstrap",
    "factorial",
    "holm",
    "paired",
    "paired_cases",
    "shapley",
    "student",
    "summary",
]
