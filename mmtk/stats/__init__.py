"""Statistics of ablation studies: intervals, tests, verdicts, and effects of components.

A study has cells (a system at a label budget), each run with several seeds. Runs of one seed share splits, batch
order and initial weights, and every run sees the same test images, so cells are paired by seed and by patient.
``two_way`` speaks of new trainings on new patients; tests over seeds speak of new trainings on these patients.
"""

from mmtk.stats.comparisons import Test, holm, paired, student
from mmtk.stats.designs import Effect, factorial, shapley
from mmtk.stats.intervals import Summary, summary
from mmtk.stats.jackknife import Jackknife, combine, difference, jackknife
from mmtk.stats.two_way import Interval, two_way

__all__ = [
    "Effect",
    "Interval",
    "Jackknife",
    "Summary",
    "Test",
    "combine",
    "difference",
    "factorial",
    "holm",
    "jackknife",
    "paired",
    "shapley",
    "student",
    "summary",
    "two_way",
]
