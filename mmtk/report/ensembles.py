"""Ensembles beside single runs: what averaging gains, and whether the gain of a system survives it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mmtk.counts import counted
from mmtk.report.analysis import Analysis
from mmtk.report.headlines import at
from mmtk.report.intervals import bounded
from mmtk.report.tables.table import Entry, Table, count_entry, headings, interval_entry, value_entry
from mmtk.scores import ScoreInfo, leading
from mmtk.stats import Interval
from mmtk.study.ensembles import SEED, as_study
from mmtk.study.results import Cell
from mmtk.tasks import DOMAINS, budget


@dataclass(frozen=True)
class Row:
    """Score of a cell by single runs and by their ensemble, and the reference's lead in both.

    cell, domain, task, info: what was scored
    single: mean of the runs
    ensemble: score of the runs together
    lead: of the reference over the cell, mean of single runs; None for the reference itself
    interval: of the lead of the ensembles, for new patients
    """

    cell: Cell
    domain: str
    task: str
    info: ScoreInfo
    single: float
    ensemble: float
    lead: float | None = None
    interval: Interval | None = None

    @property
    def answer(self) -> str:
        """Whether the lead survives the ensemble, in a word or two; empty for the reference."""
        if self.lead is None or self.interval is None:
            return ""
        low, high = self.interval.low, self.interval.high
        if low is None or high is None or low <= 0 <= high:
            return "open"
        return "survives" if (low > 0) == (self.lead > 0) else "turns round"


def rows_of(analysis: Analysis) -> list[Row]:
    """Leading scores of every cell with an ensemble; none where the study has no ensembles."""
    if not analysis.study.ensembles:
        return []
    if "ensembles" not in analysis.memory:
        analysis.memory["ensembles"] = list(_rows(analysis))
    rows: list[Row] = analysis.memory["ensembles"]
    return rows


def _rows(analysis: Analysis) -> Iterator[Row]:
    study = analysis.study
    together = as_study(study, study.ensembles)
    cells = {cell.digest: cell for cell in study.cells}
    for one in together.cells:
        reference = next((cell for cell in at(together, one.labels) if cell.reference and cell is not one), None)
        for domain in DOMAINS:
            for task in one.tasks:
                metric = leading(study.declared[task])
                info, key = study.declared[task][metric], (domain, task, metric)
                single = cells[one.digest].values(*key)
                if not single or SEED not in one.values(*key):
                    continue
                mean, ensemble = sum(single.values()) / len(single), one.values(*key)[SEED]
                if reference is None or not (other := cells[reference.digest].values(*key)):
                    yield Row(one, domain, task, info, mean, ensemble)
                    continue
                interval = together.jackknives.contrast([(1.0, reference), (-1.0, one)], *key)
                lead = sum(other.values()) / len(other) - mean
                cut = None if interval is None else bounded(interval, info)
                yield Row(one, domain, task, info, mean, ensemble, lead, cut)


def ensemble_table(analysis: Analysis) -> Table:
    """Single runs and ensembles side by side."""
    counts = {cell.digest: len(cell.runs) for cell in analysis.study.cells}
    rows = [
        [
            Entry(one.cell.name),
            Entry(budget(one.cell.labels)),
            Entry(one.domain),
            Entry(one.info.heading),
            count_entry(counts[one.cell.digest]),
            value_entry(one.single),
            value_entry(one.ensemble),
            value_entry(one.lead, sign=True),
            value_entry(one.interval.est if one.interval else None, sign=True),
            interval_entry(*((one.interval.low, one.interval.high) if one.interval else (None, None))),
            Entry(one.answer),
        ]
        for one in rows_of(analysis)
    ]
    caption = (
        "The probabilities of a system's runs averaged, beside the mean of its single runs. The lead is the "
        "reference's value minus the system's; its interval is for new patients with these ensembles, and says "
        "nothing of new trainings. A lead survives where the interval of the ensembles is on its side of 0."
    )
    columns = headings(
        "System",
        "Labels",
        "Test set",
        "Metric",
        "*Runs",
        "*Single run",
        "*Ensemble",
        "*Lead, single runs",
        "*Lead, ensembles",
        "*95 % interval",
        "Lead",
    )
    return Table("ensembles", "Ensembles", caption, columns, rows)


def sentences(analysis: Analysis) -> list[str]:
    """Whether the leads of the reference survive the ensemble, in a sentence."""
    compared = [one for one in rows_of(analysis) if one.answer]
    if not compared:
        return []
    counts = {word: sum(one.answer == word for one in compared) for word in ("survives", "open", "turns round")}
    return [
        f"With the runs of each system averaged, the reference's lead survives in {counts['survives']} of "
        f"{counted(len(compared), 'comparison')}, is open in {counts['open']} and turns round in "
        f"{counts['turns round']}."
    ]
