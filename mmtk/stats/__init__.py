"""Statistics of ablation studies: intervals, paired tests, and effects of components.

A study has cells (a system at a label budget), each run with several seeds. Runs of one seed share splits, batch
order and initial weights, and every run sees the same test images, so cells are paired by seed and by case.
``two_way`` speaks of new trainings on new patients; tests over seeds speak of new trainings on these patients.
"""

from mmtk.stats.comparisons import Test, holm, paired, paired_cases, student
from mmtk.stats.designs import Effect, factorial, shapley
from mmtk.stats.intervals import Summary, bootstrap, summary
from mmtk.stats.jackknife import Jackknife, combine, difference, jackknife
from mmtk.stats.two_way import Interval, two_way

__all__ = [
    "Effect",
    "Interval",
    "Jackknife",
    "Summary",
    "Test",
    "bootstrap",
    "combine",
    "difference",
    "factorial",
    "holm",
    "jackknife",
    "paired",
    "paired_cases",
    "shapley",
    "student",
    "summary",
    "two_way",
]
