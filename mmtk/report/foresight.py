"""Foresight: the differences that a study can find, from the spread of runs that are there already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from mmtk import builtin_scores
from mmtk.counts import counted, replicates
from mmtk.errors import MmtkError
from mmtk.report.effects import factorial_effects
from mmtk.report.standings import questions
from mmtk.report.tables.table import number
from mmtk.scores import ScoreInfo, leading
from mmtk.stats.power import POWER, seeds_for, smallest_difference
from mmtk.study.results import Study
from mmtk.tasks import IN_DOMAIN

# Between seeds, of a difference of two systems, in-domain: near the medians of docs/results/real-64px (.04, .0015)
TYPICAL_SD = {"balanced accuracy": 0.03, "Dice": 0.002}
MANY = 1_000_000  # patients, where what they add is not known and left out


@dataclass(frozen=True)
class Spread:
    """Chance in the difference of two systems on one score.

    info: declaration of the score
    seed_variance: of the difference of one seed
    patient_variance: of the mean difference, for new patients
    patients: of the test set
    overlap: n_test / n_train of folds; 0 for seeds on one test set
    """

    info: ScoreInfo
    seed_variance: float
    patient_variance: float
    patients: int
    overlap: float = 0.0


def spreads_of(study: Study) -> list[Spread]:
    """The spread of every leading score in a study, the median over its questions.

    MmtkError where no question has two seeds.
    """
    study.comparable()
    study.read()
    by_score: dict[tuple[str, str], list[Spread]] = {}
    for question in questions(study, factorial_effects(study)):
        interval = study.jackknives.contrast(question.weights, IN_DOMAIN, question.task, question.metric)
        if interval is not None and interval.seeds > 1:
            one = Spread(
                question.info,
                interval.seed_variance * interval.seeds,
                interval.patient_variance,
                interval.patients,
                interval.overlap,
            )
            by_score.setdefault((question.task, question.metric), []).append(one)
    if not by_score:
        raise MmtkError(
            f"{study.title}: no question has two {study.unit}s, so nothing is known of their spread.",
            hint=f"Name a study with two {study.unit}s or more.",
        )
    return [
        Spread(
            ones[0].info,
            median(one.seed_variance for one in ones),
            median(one.patient_variance for one in ones),
            ones[0].patients,
            ones[0].overlap,
        )
        for ones in by_score.values()
    ]


def typical_spreads(tasks: Iterable[str]) -> list[Spread]:
    """The spread of the built-in leading scores on real films at 64 pixels, without that of patients."""
    declared = {
        "classification": builtin_scores.classification(()),
        "segmentation": builtin_scores.segmentation(()),
    }
    scores = [declared[task][leading(declared[task])] for task in tasks]
    return [Spread(score, TYPICAL_SD[score.label] ** 2, 0.0, MANY) for score in scores]


def power_lines(seeds: int, spreads: Sequence[Spread], source: str, folds: int = 0) -> list[str]:
    """Tell what a number of seeds would find: a heading, and a line for every score.

    seeds: of every cell, at most
    spreads: of the scores
    source: where they come from, as the heading says it
    folds: of a repeat, where the seeds count through folds
    """
    if seeds < 2:
        return ["One seed finds nothing: a difference may be luck."]
    words, unit = replicates(seeds, folds), "fold" if folds else "seed"
    if any(bool(one.overlap) != bool(folds) for one in spreads):
        other = "seeds on one test set" if folds else "folds"
        return [f"What {words} can find is not known: the spread is that of {other} ({source})."]
    lines = [f"What {words} can find, {POWER:.0%} of the time, of two systems ({source}):"]
    for one in (one for one in spreads if one.seed_variance + one.patient_variance > 0):
        parts = one.patients, one.seed_variance, one.patient_variance, POWER, one.overlap
        line = f"  {one.info.label}: a difference of {number(smallest_difference(seeds, *parts))} or more"
        if one.info.margin is not None:
            needed = seeds_for(one.info.margin, *parts)
            takes = "more patients" if needed is None else counted(needed, unit)
            line += f"; one of {number(one.info.margin)}, its margin, takes {takes}"
        lines.append(line)
    return lines
