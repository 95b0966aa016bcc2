"""The answer of a study at a glance: a verdict on every component, what it costs, and what is open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import get_args

from mmtk.counts import counted, share
from mmtk.report import tuning
from mmtk.report.analysis import Analysis
from mmtk.report.claims import AT_CHANCE, EARLY, GUESSING, Claim, Remedy, claims
from mmtk.report.headlines import ALPHA, where_folded, worded
from mmtk.report.prices import price
from mmtk.report.summary import chance, summary
from mmtk.report.tables.strata import warnings
from mmtk.report.tables.table import Column, Entry, Table, headings, interval, number, without_empty_columns
from mmtk.report.verdicts import NO_BREAK, memory_entry, parameters_entry, percent, seconds_entry, verdict_entry
from mmtk.report.worth import worth_sentences
from mmtk.stats.verdicts import Word

MANY = 6  # differences that a sentence can name
WORDS: tuple[Word, ...] = ("helps", "harms", "no difference that matters")


def answer(analysis: Analysis) -> Table:
    """Components (or differences of the reference) in rows; verdicts on the leading scores, and the price."""
    single = _single(analysis)
    rows = list(dict.fromkeys((claim.what, claim.labels) for claim in single))
    scores = list(dict.fromkeys(claim.score for claim in single))
    claims_by_key = {(claim.what, claim.labels, claim.score): claim for claim in single}
    prices = {(claim.what, claim.labels): price(claim.weights) for claim in single}
    several = len({labels for _, labels in rows}) > 1
    first = "Effect of" if single and single[0].component else "Difference of"
    columns = [
        *headings(first, *["Labels"] * several),
        *(Column(score, numeric=True) for score in scores),
        *headings("*Seconds per step", "*Memory", "*Parameters"),
    ]
    entries = [
        [
            Entry(what),
            *[Entry(labels)] * several,
            *(verdict_entry(claims_by_key.get((what, labels, score))) for score in scores),
            seconds_entry(prices[what, labels]),
            memory_entry(prices[what, labels]),
            parameters_entry(prices[what, labels]),
        ]
        for what, labels in rows
    ]
    caption = worded(_caption(analysis, single), analysis.study)
    table = Table("answer", "What differs" if analysis.study.origin else "What helps", caption, columns, entries)
    return without_empty_columns(table) if analysis.study.origin else table


def _single(analysis: Analysis) -> list[Claim]:
    return [claim for claim in claims(analysis) if not claim.interaction]


def _speaks(intervals: Sequence[Claim]) -> str:
    """Name what the intervals of several seeds hold for."""
    of_patients = [claim.speaks_of_patients for claim in intervals]
    if all(of_patients):
        return "new trainings and new patients"
    if any(of_patients):
        return "new trainings and, where a score has values per image, new patients"
    return "new trainings on these patients"


def _caption(analysis: Analysis, single: Sequence[Claim]) -> str:
    """Meaning of the words and numbers of the table."""
    folds = analysis.study.folds
    several_seeds = all(len(cell.runs) > 1 for cell in analysis.study.cells if cell.runs)
    intervals = [claim for claim in single if claim.low is not None]
    speaks = _speaks(intervals) if several_seeds else "new patients for these networks"
    ends = f", its 95 % interval for {speaks}" if intervals else ""
    family: dict[str, int] = {}
    for claim in claims(analysis):
        family[claim.label] = family.get(claim.label, 0) + (claim.adjusted is not None)
    margins = {claim.label: claim.margin for claim in single if claim.margin is not None}
    tests = " and ".join(f"{count} on {label}" for label, count in family.items() if count)
    words = "Helps, harms" if any(claim.component for claim in single) else "Better"
    change = (
        "change of the score"
        if words != "Better"
        else "difference of the score, the first system minus the second"
    )
    caption = (
        f"Verdict, {change}{ends}, and in brackets the probability that the order is the other way "
        f"round. {words}: p < {ALPHA} after Holm's adjustment{f' (family: {tests})' if tests else ''}. "
    )
    if margins:
        within = ", ".join(f"{label} {value:g}" for label, value in margins.items())
        caption += f"No difference that matters: the 90 % interval lies within the margin ({within}). "
    if analysis.study.stopping is not None:
        caption += (
            "Seeds were added until the in-domain verdicts were settled: those hold the levels of their looks, "
            "verdicts on other test sets do not. "
        )
    if folds:
        caption += (
            f"Every image is tested once in a repeat of {folds} folds; the {where_folded(analysis.study)}"
            "intervals are corrected for training sets that overlap. "
        )
    prices = (
        " Seconds, memory and parameters: what it adds, measured in the same runs. Memory: the most that the "
        "process has had when training ends, of the GPU where one is used."
    )
    return f"{caption}Open: neither is shown.{'' if analysis.study.origin else prices}"


def sentences(analysis: Analysis) -> list[str]:
    """Sentences for the table, no stronger than its numbers: what is settled, and what would settle the rest."""
    lines = [worded(sentence, analysis.study) for sentence in _sentences(analysis)]
    return [*lines, *worth_sentences(analysis.worths)]


def _sentences(analysis: Analysis) -> list[str]:
    claim_list = _single(analysis)
    fewest = min(len(cell.runs) for cell in analysis.study.cells if cell.runs)
    if fewest < 2:
        return ["One seed: nothing can be concluded, since a difference between two systems may be luck."]
    if not claim_list:
        return ["Nothing was compared, so nothing can be said about what helps."]
    early = [claim for claim in claim_list if claim.verdict.decides and claim.verdict.note.startswith(EARLY)]
    places = ", ".join(f"{claim.what} on {claim.where}" for claim in early)
    stopped = [f"Stopped early, so the change is too large on average: {places}."] if early else []
    guesses = ", ".join(f"{claim.what} on {claim.where}" for claim in claim_list if claim.is_equality_of_chance)
    guessing = [f"No difference, but {AT_CHANCE}: {guesses}."] if guesses else []
    useless = ", ".join(f"{claim.what} on {claim.where}" for claim in claim_list if claim.is_difference_of_chance)
    guessing += [f"Settled, but {GUESSING}: {useless}."] if useless else []
    return [*_settled(claim_list), *guessing, *_without_interval(claim_list), *stopped, *_open(claim_list)]


def _settled(claim_list: Sequence[Claim]) -> Iterator[str]:
    settled = [claim for claim in claim_list if claim.verdict.word != "open"]
    if not settled:
        none = "" if any(claim.low is not None for claim in claim_list) else ": no interval"
        yield f"Nothing is settled, which does not mean that there is no effect{none or ': see the intervals'}."
    elif len(settled) > MANY:
        counts = Counter(claim.verdict.word for claim in settled)
        sides = {} if settled[0].component else {"helps": "for the reference", "harms": "against it"}
        words = ", ".join(f"{counts[word]} {sides.get(word, word)}" for word in WORDS if counts[word])
        yield f"Settled: {share(len(settled), len(claim_list), 'difference')}, in bold in the table ({words})."
    elif settled[0].component:
        by_text: dict[str, dict[str, list[str]]] = {}
        for claim in sorted(
            settled, key=lambda claim: (WORDS.index(claim.verdict.word), claim.verdict.within_margin)
        ):
            by_text.setdefault(claim.text, {}).setdefault(claim.what, []).append(claim.where)
        for text, by_what in by_text.items():
            names = "; ".join(f"{what} ({', '.join(places)})" for what, places in by_what.items())
            yield f"{text[:1].upper() + text[1:]}: {names}."
    else:
        by_pair: dict[str, list[str]] = {}
        for claim in settled:
            by_pair.setdefault(_pair(claim), []).append(_amount(claim))
        yield from (f"{pair} {'; '.join(amounts)}." for pair, amounts in by_pair.items())


def _without_interval(claim_list: Iterable[Claim]) -> Iterator[str]:
    """Sentences on differences without an interval: why there is none; too few patients are among the gaps."""
    by_reason: dict[str, list[str]] = {}
    for claim in claim_list:
        if claim.low is None and claim.interval is not None and "too few patients" not in claim.interval.flags:
            by_reason.setdefault(claim.interval.note, []).append(f"{claim.what} on {claim.where}")
    for reason, names in by_reason.items():
        subject = ", ".join(names) if len(names) <= MANY else counted(len(names), "difference")
        yield f"No interval of {subject}: {reason.removesuffix(', so no interval')}."


def _pair(claim: Claim) -> str:
    """Name the better of two systems, in words."""
    first, second = (cell.name for _, cell in claim.weights)
    if not claim.verdict.decides:
        return f"No difference that matters between {first} and {second}:"
    better, worse = (first, second) if claim.verdict.word == "helps" else (second, first)
    return f"{better} is better than {worse}"


def _amount(claim: Claim) -> str:
    """Say by how much one of two systems is better, without a sign, and on which score."""
    if not claim.verdict.decides:
        return claim.where
    ends = "" if claim.low is None or claim.high is None else f" ({interval(*_unsigned(claim))})"
    less = ", by less than the margin" * claim.verdict.within_margin
    return f"by {number(abs(claim.value))}{ends} on {claim.where}{less}"


def _unsigned(claim: Claim) -> tuple[float, float]:
    """The interval of a difference, seen from the side on which it is positive."""
    low, high = claim.low or 0.0, claim.high or 0.0
    return (low, high) if claim.value >= 0 else (-high, -low)


def _open(claim_list: Sequence[Claim]) -> Iterator[str]:
    """Sentences on what is open, each difference with what would close it: seeds, or patients."""
    unsettled = [claim for claim in claim_list if claim.verdict.word == "open"]
    by_remedy = {remedy: [one for one in unsettled if one.remedy == remedy] for remedy in get_args(Remedy)}
    if len(unsettled) > MANY:
        groups = ", ".join(_group(remedy, group) for remedy, group in by_remedy.items() if group)
        yield f"Open: {share(len(unsettled), len(claim_list), 'difference')}: {groups}."
        return
    heads = {
        "seeds": "Open, with the seeds that would close it before Holm's adjustment if the change stayed",
        "patients": "Open, and no number of seeds closes it, but more patients can",
        "unknown": "Open, without an interval that tells what would close it",
    }
    for remedy, group in by_remedy.items():
        names = ", ".join(
            f"{claim.what} on {claim.where}"
            + (f" ({counted(claim.more_seeds, 'more seed')})" if claim.more_seeds is not None else "")
            for claim in group
        )
        if names:
            yield f"{heads[remedy]}: {names}."


def _group(remedy: Remedy, group: Sequence[Claim]) -> str:
    """Count the open differences that one remedy would close."""
    count = len(group)
    if remedy == "patients":
        return f"{count} that no number of seeds closes, but more patients can"
    if remedy == "unknown":
        return f"{count} without an interval that tells what would close {'it' if count == 1 else 'them'}"
    seeds = sorted(claim.more_seeds for claim in group if claim.more_seeds is not None)
    number_of_seeds = (
        f"{seeds[0]:,} to {seeds[-1]:,} more seeds" if seeds[-1] > seeds[0] else counted(seeds[0], "more seed")
    )
    return f"{count} that {number_of_seeds} would close if nothing else changed"


def summary_lines(analysis: Analysis) -> list[str]:
    """The verdicts on every component, and the sentences on them, for a terminal."""
    lines = [summary(analysis)[0], *_blocks(_single(analysis)), *sentences(analysis), *chance(analysis)]
    lines += warnings(analysis.readings)
    lines += [*tuning.sentences(analysis), *tuning.lines(analysis)]
    return [*lines, *(f"Gap: {sentence}" for sentence in (*analysis.study.gaps, *analysis.notes))]


def _blocks(single: Sequence[Claim]) -> Iterator[str]:
    """A line for every component with its price, and below it one for every score."""
    if not single:
        return
    rows = [
        (
            claim.text.removesuffix(" that matters"),
            claim.where,
            number(claim.value, sign=True),
            interval(claim.low, claim.high),
            percent(claim.verdict.reversal).replace(NO_BREAK, " "),
        )
        for claim in single
    ]
    heads = ("verdict", "score", "change", "95 % interval", "reversed")
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        left = [text.ljust(width) for text, width in zip(cells[:2], widths[:2], strict=True)]
        right = [text.rjust(width) for text, width in zip(cells[2:], widths[2:], strict=True)]
        return "  ".join([*left, *right])

    yield line(heads)
    for what in dict.fromkeys(claim.what for claim in single):
        group = [row for row, claim in enumerate(single) if claim.what == what]
        cost = price(single[group[0]].weights)
        entries = (
            (seconds_entry(cost), "per step"),
            (memory_entry(cost), "memory"),
            (parameters_entry(cost), "parameters"),
        )
        costs = [f"{entry.text} {unit}".replace(NO_BREAK, " ") for entry, unit in entries if entry.text != "–"]
        yield f"{what}{': ' * bool(costs)}{', '.join(costs)}"
        yield from (line(rows[row]) for row in group)
