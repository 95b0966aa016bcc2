"""Table of the verdicts: every component, or comparison, on every leading score; and entries of prices."""

from __future__ import annotations

from mmtk.report.analysis import Analysis
from mmtk.report.claims import Claim, claims
from mmtk.report.prices import Price
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

NO_BREAK = "\N{NO-BREAK SPACE}"


def percent(chance: float | None) -> str:
    """A probability for readers, not below 0.1 %."""
    if chance is None:
        return "–"
    return f"<{NO_BREAK}0.1{NO_BREAK}%" if chance < 0.001 else f"{100 * chance:.2g}{NO_BREAK}%"


def seconds_entry(one: Price | None) -> Entry:
    """Seconds that a step takes longer, and the share of a step."""
    if one is None:
        return value_entry(None)
    text = f"{number(one.seconds, sign=True)}{NO_BREAK}s ({number(100 * one.share, 0, sign=True)}{NO_BREAK}%)"
    return Entry(text, {"": one.seconds, "share": one.share})


def memory_entry(one: Price | None) -> Entry:
    """Peak memory that a run takes more, in MB (10⁶ bytes)."""
    if one is None or one.memory is None:
        return value_entry(None)
    return Entry(f"{number(1e3 * one.memory, 0, sign=True)}{NO_BREAK}MB", {"": one.memory})


def parameters_entry(one: Price | None) -> Entry:
    """Parameters that the network has more."""
    if one is None or one.parameters is None:
        return value_entry(None)
    text = f"{one.parameters:+,.0f}" if round(one.parameters) else "0"
    return Entry(text.replace("-", "−"), {"": one.parameters})


HEADS = (
    "Score",
    "Verdict",
    "*Change",
    "*95 % interval",
    "*Other way round",
    "*p (Holm)",
    "*Margin",
    "*Seeds",
    "*More seeds",
    "Note",
)


def verdicts(analysis: Analysis) -> Table:
    """One row for every verdict, with all that it rests on; labels where there are several budgets."""
    claim_list = claims(analysis)
    several = len({claim.labels for claim in claim_list}) > 1
    rows = [
        [
            Entry(claim.what),
            *[Entry(claim.labels)] * several,
            Entry(claim.score),
            Entry(claim.text, best=claim.verdict.decides),
            value_entry(claim.value, sign=True),
            interval_entry(claim.low, claim.high),
            Entry(percent(claim.verdict.reversal), {"": claim.verdict.reversal}),
            p_entry(claim.adjusted),
            value_entry(claim.margin),
            count_entry(claim.estimate.n),
            _more(claim),
            Entry(claim.note),
        ]
        for claim in claim_list
    ]
    of_components = any(claim.component for claim in claim_list)
    words, first = ("Helps, harms", "Effect of") if of_components else ("Better", "Difference of")
    caption = (
        f"Verdicts on the leading scores. {words}: p (Holm) is at most 0.05, adjusted over all effects, or "
        "comparisons, on the same score. No difference that matters: two one-sided tests at 5 % put the change "
        "within the margin. Open: neither. Other way round: the probability that the true order is the other "
        "one. More seeds: how many would settle it, before Holm's adjustment, if the change stayed as it is."
    )
    columns = headings(first, *["Labels"] * several, *HEADS)
    return Table("verdicts", "Verdicts", caption, columns, rows)


def _more(claim: Claim) -> Entry:
    """Seeds that would settle an open verdict."""
    if claim.verdict.word != "open":
        return value_entry(None)
    if claim.remedy == "patients":
        return Entry("more patients", {"": None})
    return value_entry(None) if claim.more_seeds is None else count_entry(claim.more_seeds)


def verdict_entry(claim: Claim | None) -> Entry:
    """A verdict with its change, interval and probability that the order is the other way round."""
    if claim is None:
        return Entry("–", {"": None})
    chance = claim.verdict.reversal
    numbers = {
        "": claim.value,
        "low": claim.low,
        "high": claim.high,
        "p (Holm)": claim.adjusted,
        "reversed": chance,
    }
    ends = "" if claim.low is None else f" [{number(claim.low)},{NO_BREAK}{number(claim.high)}]"
    reversed_text = "" if chance is None else f" ({percent(chance)})"
    settled = claim.verdict.word != "open"
    text = f"{claim.text}: {number(claim.value, sign=True)}{ends}{reversed_text}"
    return Entry(text, numbers, best=settled)
