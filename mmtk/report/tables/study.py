"""Tables beyond the paper's: tests, effects, Shapley shares, all scores, runs and gaps."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmtk.counts import counted
from mmtk.report.analysis import Analysis
from mmtk.report.effects import Effects
from mmtk.report.headlines import where_folded
from mmtk.report.intervals import FOLDS, QUESTIONS, TWO_WAY
from mmtk.report.places import places
from mmtk.report.tables.table import (
    Entry,
    Table,
    count_entry,
    headings,
    interval_entry,
    number,
    p_entry,
    value_entry,
)
from mmtk.scores import ScoreInfo
from mmtk.stats import Effect, Interval, Summary
from mmtk.study.results import Study
from mmtk.tasks import budget

OF_PATIENTS = (TWO_WAY, FOLDS)
LOOKS = (
    " In-domain effects on the leading scores, for which seeds were added, have the interval and p (Holm) of "
    "their looks: the interval is wider than that of a fixed number of seeds."
)
NO_VALUES = "no values per image: Student's t over seeds, for new trainings on these patients"


def _test_set(labels: Mapping[str, int | str], domain: str, info: ScoreInfo) -> list[Entry]:
    return [Entry(budget(labels)), Entry(domain), Entry(info.heading)]


TEST_HEADS = (
    "Difference of",
    "Labels",
    "Test set",
    "Metric",
    "*Difference",
    "*95 % interval",
    "Test",
    "Speaks of",
    "*Seeds",
    "*Patients",
    "*p",
    "*p (Holm)",
    "*Effect size",
    "Note",
)


def tests(analysis: Analysis) -> Table:
    """The reference against every other system, by every test; the leading one first."""
    rows = [
        [
            Entry(f"{one.reference.name} − {one.other.name}"),
            *_test_set(one.labels, one.domain, one.info),
            value_entry(test.difference, sign=True),
            interval_entry(test.low, test.high),
            Entry(test.name),
            Entry(QUESTIONS[kind] if kind != TWO_WAY or test.n > 1 else "new patients for these networks"),
            Entry(counted(test.n, one.reference.unit), {"": test.n}),
            count_entry(one.interval.patients) if one.interval and kind in OF_PATIENTS else value_entry(None),
            p_entry(test.p),
            p_entry(test.adjusted),
            value_entry(None)
            if test.effect is None
            else Entry(number(test.effect, 2, sign=True), {"": test.effect}, note=test.effect_name),
            Entry(test.note),
        ]
        for one in analysis.comparisons
        for kind, test in one.tests.items()
    ]
    caption = (
        "Differences of the reference and every other system. The first test of each leads: two-way, which asks "
        "whether a difference would show with new trainings and new patients. The others ask about new trainings "
        "on these patients alone; they lead where a score has no values per image. p (Holm) is adjusted over all "
        "comparisons in this table on the same metric, for the leading tests and for every other kind of test."
    )
    if analysis.study.stopping is not None:
        caption += " Seeds were added: the verdicts, not these tests, hold the levels of their looks."
    if analysis.study.folds:
        alone = f"{where_folded(analysis.study)}the corrected t over folds stands alone"
        caption += f" {alone.capitalize()}: the others take folds as independent."
    return Table("tests", "Tests of the reference", caption, headings(*TEST_HEADS), rows)


def effects(study: Study, effects_list: Sequence[Effects]) -> Table:
    """Table of the effect of every component, and of combinations beyond the sum of their parts."""
    rows = [
        [
            Entry(" × ".join(effect.factors)),
            *_effect(one, effect),
            p_entry(effect.p),
            p_entry(adjusted),
            interval_entry(training.low, training.high),
            p_entry(training.p),
            count_entry(effect.n),
            *_patients(interval),
        ]
        for one in effects_list
        for effect, adjusted, training, interval in zip(
            one.effects, one.adjusted, one.trainings, one.intervals, strict=True
        )
    ]
    caption = (
        "Difference between the systems with and without a component, averaged over the other components, within "
        "each seed; of two components, half of how much one changes the effect of the other. Interval and p speak "
        "of new trainings and new patients (two-way); p (Holm) is adjusted over all effects on the same metric. "
        "The columns on new trainings are Student's t over seeds, for these patients alone."
    )
    if study.stopping is not None:
        caption += LOOKS
    columns = headings(
        "Effect of",
        "Labels",
        "Test set",
        "Metric",
        "*Effect",
        "*95 % interval",
        "*p",
        "*p (Holm)",
        "*Interval (new trainings)",
        "*p (new trainings)",
        "*Seeds",
        "*Patients",
        "Note",
    )
    return Table("effects", "Effects of the components", caption, columns, rows)


def _effect(one: Effects, effect: Effect) -> list[Entry]:
    entries = _test_set(one.labels, one.domain, one.info)
    return [*entries, value_entry(effect.value, sign=True), interval_entry(effect.low, effect.high)]


def _patients(interval: Interval | None) -> list[Entry]:
    """Number of patients behind an interval, and what has to be said of it."""
    if interval is None:
        return [value_entry(None), Entry(NO_VALUES)]
    return [count_entry(interval.patients), Entry(interval.note)]


def shapley(analysis: Analysis) -> Table:
    """The share of every component in the gain from no component to all of them."""
    rows = [
        [
            Entry(share.factors[0]),
            *_effect(one, share),
            interval_entry(training.low, training.high),
            value_entry(one.start),
            value_entry(one.full),
            count_entry(share.n),
        ]
        for one in analysis.effects
        for share, training in zip(one.shares, one.share_trainings, strict=True)
    ]
    caption = (
        "Shapley values: what a component adds, averaged over all orders of adding the components. The shares of "
        "one metric sum to the way from none of them to all of them. The first interval speaks of new trainings "
        "and new patients (two-way), the second of new trainings on these patients (Student's t)."
    )
    columns = headings(
        "Share of",
        "Labels",
        "Test set",
        "Metric",
        "*Share",
        "*95 % interval",
        "*Interval (new trainings)",
        "*None",
        "*All",
        "*Seeds",
    )
    return Table("shapley", "Shapley shares", caption, columns, rows)


def _ends(one: Interval | Summary | None) -> tuple[float | None, float | None]:
    """Both ends of an interval; None where there is none."""
    return (None, None) if one is None else (one.low, one.high)


def scores(analysis: Analysis) -> Table:
    """Every score with both intervals and its chance level."""
    spreads: dict[tuple[str, str], list[float | None]] = {}
    for one in analysis.scores:
        spreads.setdefault((one.task, one.metric), []).append(one.seeds.sd)
    digits = [places(spreads[one.task, one.metric], one.info.digits) for one in analysis.scores]
    rows = [
        [
            Entry(one.cell.name),
            *_test_set(one.cell.labels, one.domain, one.info),
            value_entry(one.seeds.mean, count),
            value_entry(one.seeds.sd, count),
            *(interval_entry(*ends, count) for ends in (_ends(one.interval), _ends(one.seeds))),
            value_entry(one.chance),
            count_entry(one.seeds.n),
            count_entry(one.images),
            *_patients(one.interval),
        ]
        for one, count in zip(analysis.scores, digits, strict=True)
    ]
    caption = (
        "Mean and sd over seeds; 95 % interval for new trainings and new patients (two-way), and for new "
        "trainings on these patients (Student's t over seeds). Chance needs no look at the image: the majority "
        "class for accuracy, one in the number of classes for balanced accuracy, 0.5 for AUROC."
    )
    columns = headings(
        "System",
        "Labels",
        "Test set",
        "Metric",
        "*Mean",
        "*sd",
        "*95 % interval",
        "*Interval (new trainings)",
        "*Chance",
        "*Seeds",
        "*Images",
        "*Patients",
        "Note",
    )
    return Table("scores", "All scores", caption, columns, rows)


def runs(analysis: Analysis, base: Path) -> Table:
    """Every run with its folder as seen from ``base``."""
    folds = analysis.study.folds
    rows = [
        [
            Entry(cell.name),
            Entry(budget(cell.labels)),
            count_entry(seed),
            *([count_entry(seed % folds), count_entry(seed // folds)] if folds else []),
            Entry(run.digest),
            count_entry(run.scores["selected"]["steps"]),
            count_entry(run.scores["selected"]["step"]),
            value_entry(run.seconds, 1),
            Entry(Path(os.path.relpath(run.path, base)).as_posix()),
        ]
        for cell in analysis.study.cells
        for seed, run in sorted(cell.runs.items())
    ]
    caption = (
        "Steps trained, the step that validation selected, seconds of training, folder as seen from this page."
    )
    of_fold = ["*Fold", "*Repeat"] if folds else []
    columns = headings(
        "System", "Labels", "*Seed", *of_fold, "Digest", "*Steps", "*Selected", "*Seconds", "Folder"
    )
    return Table("runs", "Runs", caption, columns, rows)


def gaps(sentences: Sequence[str]) -> Table:
    """Table of what is missing or left out, with reasons."""
    rows = [[Entry(sentence)] for sentence in sentences]
    return Table("gaps", "Gaps", "What is missing or cannot be said, and why.", headings("Gap"), rows)
