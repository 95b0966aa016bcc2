"""Claims of the paper, and whether they hold here: the differences between systems behind its text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from mmtk import stats
from mmtk.counts import share
from mmtk.report.analysis import Analysis
from mmtk.report.headlines import ALPHA, Labels, at
from mmtk.report.intervals import bounded, independent, sensible, two_way_test
from mmtk.report.tables.paper import published_score
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
from mmtk.scores import info
from mmtk.stats import Test
from mmtk.study.results import Cell
from mmtk.tasks import DOMAINS, budget

METRIC = {"classification": "accuracy", "segmentation": "dice"}  # what the paper states its claims in
LABEL = {"classification": "accuracy", "segmentation": "Dice"}

# Systems with and without a part, and the score that the part is said to raise (MELBA 2021, sections 2 to 4).
CLAIMS = (
    ("SSL", "Enc-SSL", "Enc", "classification"),
    ("SSL, two tasks", "UMTL-SSL", "UMTL", "classification"),
    ("confidence, not MixMatch", "Enc-SSL", "Enc-MM", "classification"),
    ("second task", "UMTL", "Enc", "classification"),
    ("second task", "UMTL", "U-Net", "segmentation"),
    ("saliency", "UMTL-S", "UMTL", "segmentation"),
    ("saliency", "UMTL-S", "UMTL", "classification"),
    ("saliency beside SSL", "UMTL-SSL-S", "UMTL-SSL", "segmentation"),
    ("consistency", "U-Net-SSL", "U-Net", "segmentation"),
    ("consistency, two tasks", "MultiMix", "UMTL-SSL-S", "segmentation"),
    ("all parts", "MultiMix", "Enc", "classification"),
    ("all parts", "MultiMix", "Enc-SSL", "classification"),
    ("all parts", "MultiMix", "UMTL", "classification"),
    ("all parts", "MultiMix", "U-Net", "segmentation"),
    ("all parts", "MultiMix", "UMTL", "segmentation"),
    ("all parts", "MultiMix", "UMTL-S", "segmentation"),
)


@dataclass(frozen=True)
class Claimed:
    """A difference that the paper takes to be positive: its published value (None: none) and our tests.

    ``test`` leads: two-way, or the paired t over seeds where the score has no values per image. ``trainings`` is
    the paired t.
    """

    what: str
    systems: tuple[Cell, Cell]
    labels: Labels
    domain: str
    task: str
    published: float | None
    test: Test
    trainings: Test

    @property
    def verdict(self) -> str:
        """Whether the difference shows, at p < 0.05 after Holm's adjustment over all of them on the metric."""
        if self.test.adjusted is None:
            return self.trainings.note or self.test.note
        if self.test.adjusted >= ALPHA:
            return "does not show"
        return "shows" if self.test.difference > 0 else "shows the opposite"


def claimed(analysis: Analysis) -> list[Claimed]:
    """Every such difference that the paper published and the study has both systems of."""
    statements = [one for one in _claimed(analysis) if one.published is not None]
    for task in METRIC:
        indices = [i for i, one in enumerate(statements) if one.task == task]
        for i, test in zip(indices, stats.holm([statements[i].test for i in indices]), strict=True):
            statements[i] = replace(statements[i], test=test)
    return statements


def _claimed(analysis: Analysis) -> Iterator[Claimed]:
    seen_pairs = set()
    for labels in analysis.study.budgets:
        present = {cell.name: cell for cell in at(analysis.study, labels)}
        for what, first, second, task in CLAIMS:
            if first not in present or second not in present:
                continue
            pair = present[first], present[second]
            for domain in DOMAINS:
                # Systems with one task stand at several budgets of the other one.
                key = (pair[0].digest, pair[1].digest, task, domain)
                values = [cell.values(domain, task, METRIC[task]) for cell in pair]
                shared = sorted(values[0].keys() & values[1].keys())
                if key in seen_pairs or not shared:
                    continue
                seen_pairs.add(key)
                declared = info(analysis.study.declared[task], METRIC[task])
                paired = stats.paired(*([one[seed] for seed in shared] for one in values))
                trainings = sensible(paired, declared)
                weights = [(1.0, pair[0]), (-1.0, pair[1])]
                interval = analysis.study.jackknives.contrast(weights, domain, task, METRIC[task])
                test = trainings if interval is None else two_way_test(bounded(interval, declared))
                trainings = independent(trainings, interval)
                published = _published(analysis, pair, domain, task)
                yield Claimed(what, pair, labels, domain, task, published, test, trainings)


def _published(analysis: Analysis, pair: Sequence[Cell], domain: str, task: str) -> float | None:
    scores = (analysis.score(cell, domain, task, METRIC[task]) for cell in pair)
    first, second = (published_score(score) if score else None for score in scores)
    return None if first is None or second is None else first - second


HEADS = (
    "What is added",
    "Difference of",
    "Verdict",
    "Labels",
    "Test set",
    "Metric",
    "*Paper",
    "*Here",
    "*95 % interval",
    "*p",
    "*p (Holm)",
    "*Interval (new trainings)",
    "*p (new trainings)",
    "*Seeds",
)


def table(analysis: Analysis) -> Table:
    """The paper's differences beside ours."""
    rows = [
        [
            Entry(one.what),
            Entry(" − ".join(cell.name for cell in one.systems)),
            Entry(one.verdict),
            Entry(budget(one.labels)),
            Entry(one.domain),
            Entry(LABEL[one.task]),
            value_entry(one.published, sign=True),
            value_entry(one.test.difference, sign=True),
            interval_entry(one.test.low, one.test.high),
            p_entry(one.test.p),
            p_entry(one.test.adjusted),
            interval_entry(one.trainings.low, one.trainings.high),
            p_entry(one.trainings.p),
            count_entry(one.test.n),
        ]
        for one in claimed(analysis)
    ]
    caption = (
        "Differences that the paper takes to be gains. Paper: its published means of five runs, without a spread, "
        "by other code at 256 pixels. Here: mean over seeds of the difference within a seed, with interval and p "
        "for new trainings and new patients (two-way); p (Holm) is adjusted over all differences of this table on "
        "the same metric. The columns on new trainings are the paired t over seeds, for these patients alone. A "
        "difference that does not show may still be there: see its interval."
    )
    return Table("claims", "The paper's effects", caption, headings(*HEADS), rows)


def sentence(analysis: Analysis) -> str:
    """Number and names of the paper's effects that show; "" without its pairs, or with one seed."""
    tested = [one for one in claimed(analysis) if one.test.adjusted is not None]
    if not tested:
        return ""
    supported = [one for one in tested if one.verdict == "shows"]
    opposite = [one for one in tested if one.verdict == "shows the opposite"]
    level = f"here at p < {ALPHA} after Holm's adjustment"
    if len(tested) == 1:
        verb = "shows" if supported else "shows the opposite" if opposite else "does not show"
        return f"The one difference that the paper takes to be a gain {verb} {level}{_named(tested)}."
    gains = share(len(supported), len(tested), "difference", "that the paper takes to be gains")
    sentences = [f"{gains[0].upper()}{gains[1:]} {_verb(supported)} {level}{_named(supported)}"]
    if opposite:
        sentences.append(f"{len(opposite)} {_verb(opposite)} the opposite{_named(opposite)}")
    positive = sum(one.test.difference > 0 for one in tested)
    sentences.append(f"{share(positive, len(tested), 'mean')} above zero")
    return "; ".join(sentences) + "."


def _verb(statements: Sequence[Claimed]) -> str:
    return "shows" if len(statements) == 1 else "show"


def _named(statements: Sequence[Claimed]) -> str:
    if not statements:
        return ""
    names = (
        f"{one.systems[0].name} − {one.systems[1].name} {number(one.test.difference, sign=True)} on "
        f"{LABEL[one.task]} {one.domain} ({budget(one.labels)})"
        for one in statements
    )
    return f" ({', '.join(names)})"
