"""The answer of a study at a glance: what every component does to the leading scores, and one sentence."""

from __future__ import annotations

from mmtk.counts import share
from mmtk.report.analysis import Analysis
from mmtk.report.headlines import ALPHA
from mmtk.report.summary import Claim, chance, claims, summary
from mmtk.report.tables.table import Column, Entry, Table, headings, interval, number, probability

MANY = 6  # differences that a sentence can name


def answer(analysis: Analysis) -> Table:
    """Components (or differences of the reference) in rows, leading scores of each test set in columns."""
    single = [claim for claim in claims(analysis) if not claim.interaction]
    rows = list(dict.fromkeys((claim.what, claim.labels) for claim in single))
    scores = list(dict.fromkeys(claim.score for claim in single))
    claims_by_key = {(claim.what, claim.labels, claim.score): claim for claim in single}
    several = len({labels for _, labels in rows}) > 1
    first = "Effect of" if single and single[0].component else "Difference of"
    columns = [*headings(first, *["Labels"] * several), *(Column(score, numeric=True) for score in scores)]
    entries = [
        [
            Entry(what),
            *[Entry(labels)] * several,
            *(_entry(claims_by_key.get((what, labels, score))) for score in scores),
        ]
        for what, labels in rows
    ]
    several_seeds = all(len(cell.runs) > 1 for cell in analysis.study.cells if cell.runs)
    speaks = "new trainings and new patients" if several_seeds else "new patients for these networks"
    ends = (
        f"its 95 % interval for {speaks} in brackets" if any(c.low is not None for c in single) else "no interval"
    )
    caption = f"Change of each score, {ends}, and whether it is shown at p < {ALPHA} after Holm's adjustment."
    return Table("answer", "What helps", caption, columns, entries)


def _entry(claim: Claim | None) -> Entry:
    if claim is None:
        return Entry("–", {"": None})
    numbers = {"": claim.value, "low": claim.low, "high": claim.high, "p (Holm)": claim.adjusted}
    ends = "" if claim.low is None else f" [{number(claim.low)},\N{NO-BREAK SPACE}{number(claim.high)}]"
    verdict = "" if claim.adjusted is None else " shown" if claim.shows else " not\N{NO-BREAK SPACE}shown"
    return Entry(f"{number(claim.value, sign=True)}{ends}{verdict}", numbers, best=claim.shows)


def sentence(analysis: Analysis) -> str:
    """Sentence for the table, no stronger than its numbers."""
    claim_list = claims(analysis)
    fewest = min(len(cell.runs) for cell in analysis.study.cells if cell.runs)
    if fewest < 2:
        return "One seed: nothing can be concluded, since a difference between two systems may be luck."
    if not claim_list:
        return "Nothing was compared, so nothing can be said about what helps."
    by_what: dict[str, list[str]] = {}
    for claim in claim_list:
        if claim.shows:
            by_what.setdefault(f"{claim.what} {'raises' if claim.value > 0 else 'lowers'}", []).append(claim.where)
    parts_text = "; ".join(f"{what} {', '.join(places)}" for what, places in by_what.items())
    few = "" if any(claim.low is not None for claim in claim_list) else "; no interval: the gaps say why"
    if not parts_text:
        return f"No effect is shown, which does not mean that there is none{few or ': see the intervals'}."
    supported = sum(claim.shows for claim in claim_list)
    if supported > MANY:
        return f"Shown: {share(supported, len(claim_list), 'difference')}, in bold in the table{few}."
    return f"Shown: {parts_text}{few}."


def summary_lines(analysis: Analysis) -> list[str]:
    """The summary, and the difference of every single component on the leading metrics, for a terminal."""
    from mmtk.report.answer import sentence

    lines = [summary(analysis)[0], sentence(analysis), *chance(analysis)]
    if single := [claim for claim in claims(analysis) if not claim.interaction]:
        order = list(dict.fromkeys(one.what for one in single))
        single.sort(key=lambda one: order.index(one.what))
        rows = [("effect", "95 % interval", "p (Holm)")]
        for one in single:
            amount, p = number(one.value, sign=True), probability(one.adjusted)
            rows.append((amount, interval(one.low, one.high), p))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        cells = ["  ".join(t.rjust(n) for t, n in zip(row, widths, strict=True)) for row in rows]
        names = [one.what for one in single]
        width = max(2 + max(len(one.where) for one in single), *map(len, names))
        lines.append(f"{'':{width}}  {cells[0]}")
        for one, previous, text in zip(single, ["", *names], cells[1:], strict=False):
            lines += [one.what] * (one.what != previous)  # below it the scores: they fit eighty columns
            lines.append(f"  {one.where:<{width - 2}}  {text}")
    return [*lines, *(f"Gap: {sentence}" for sentence in (*analysis.study.gaps, *analysis.notes))]
