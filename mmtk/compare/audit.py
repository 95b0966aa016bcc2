"""Audit of a published table: which of its "A is better than B" its test set can support."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mmtk import builtin_scores
from mmtk.compare.columns import Sheet, read_sheet
from mmtk.compare.layout import ROLES
from mmtk.compare.score_names import declare, is_score_name, is_spread, plain, score_name
from mmtk.counts import counted
from mmtk.errors import MmtkError, listing, nearest
from mmtk.stats.outperformance import (
    accuracy_of_f1,
    false_mean_claim,
    false_share_claim,
    smallest_mean_claim,
    smallest_share_claim,
)

SHARES = frozenset(["accuracy", "sensitivity", "specificity"])  # shares of cases: right or wrong
ALIKE = 0.9  # correlation over cases of systems that err alike
# Scores of a test set as a whole, of which a case has no value: a spread beside one is not that of cases.
WHOLE = ({*builtin_scores.classification(())} - SHARES) | {"mcc", "kappa", "map"}
OF_ALL_CASES = "a score of all cases together needs values per case"
NO_CASES = "no number of cases (name it: a column n, or --cases NUMBER)"
SPREAD_NOTE = "what stands behind ± or in brackets is not read: it is over cases (as a column sd), seeds or folds"
NO_SPREAD = "no standard deviation over cases (a column sd)"
APART = 0.03  # difference of accuracies that rounding and means over a few runs do not explain
COLUMNS = {
    "system": f"{ROLES['system']} name",
    "metric": ROLES["metric"],
    "mean": f"mean mittelwert moyenne media {ROLES['value']}",
    "n": "n cases ncases images testcases size falle bilder anzahl nombre casos",
    "sd": "sd std standarddeviation standardabweichung stabw ecarttype",
}


@dataclass(frozen=True)
class Claim:
    """One "A is better than B" of a table.

    better, worse: the systems
    where: the score with its setting
    difference: of the means, in the direction in which the score improves
    cases: of the test set
    alike, independent: probability that the claim is false where both systems err alike, and independently; None
        where it cannot be said
    smallest: difference that the test set supports, in the same two cases
    note: why it cannot be said
    """

    better: str
    worse: str
    where: str
    difference: float
    cases: int
    alike: float | None = None
    independent: float | None = None
    smallest: tuple[float, float] = (math.nan, math.nan)
    note: str = ""


@dataclass(frozen=True)
class Audit:
    """Claims of a table, the best system of each score first; contradictions, and what was changed, in words."""

    claims: list[Claim]
    contradictions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Cell:
    """One number of a table: the mean of a score over cases, with what is known beside it."""

    system: str
    setting: str
    metric: str
    mean: float
    cases: int
    sd: float | None


def audit_table(path: Path, cases: Mapping[str, int] | None = None) -> Audit:
    """Audit a table of means.

    path: of the table; a row for each system, score and setting, or a column for each score
    cases: of the test set, by score or for all under ""; for tables without a column of them
    """
    sheet = read_sheet(path)
    notes = sheet.notes
    if sheet.has_spreads():
        sheet = sheet.without_spreads()
        notes = [*notes, SPREAD_NOTE]
    cells, percent = _as_shares(list(_cells(sheet, cases or {})))
    _check_cases(cases or {}, {cell.metric for cell in cells}, sheet.where)
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.metric, cell.setting), []).append(cell)
    claims = [claim for members in groups.values() for claim in _claims(members)]
    return Audit(claims, list(_contradictions(cells)), [*notes, *percent])


def _check_cases(cases: Mapping[str, int], metrics: Collection[str], where: str) -> None:
    """Refuse a number of cases for a score that the table does not have."""
    for name in cases:
        if name and name not in metrics:
            message = f"--cases {name}: the table has no such score.{nearest(name, metrics)}"
            raise MmtkError(message, where, f"It has {listing(sorted(metrics))}.")


def _as_shares(cells: list[Cell]) -> tuple[list[Cell], list[str]]:
    """Means of scores between 0 and 1 as shares where the table has them in percent, and a sentence on each."""
    notes = []
    for name in dict.fromkeys(cell.metric for cell in cells):
        info, _ = declare(name)
        means = [cell.mean for cell in cells if cell.metric == name]
        if info.high != 1.0 or (min(means) >= 0 and max(means) <= 1.0):
            continue
        if min(means) < 0 or not 1.5 < max(means) <= 100:
            wrong = max(means) if min(means) >= 0 else min(means)
            raise MmtkError(
                f"{name}: {wrong:g} is no mean of it.", hint="It lies between 0 and 1, or 0 and 100 %."
            )
        notes.append(f"{name} is in percent: divided by 100")
        cells = [_hundredth(cell) if cell.metric == name else cell for cell in cells]
    return cells, notes


def _hundredth(cell: Cell) -> Cell:
    return replace(cell, mean=cell.mean / 100, sd=None if cell.sd is None else cell.sd / 100)


def _without_mean(name: str) -> str:
    """The name of a column without the word mean: ``acc`` of ``acc_mean``."""
    words = _words(name)
    return " ".join(word for word in words if word != "mean") if "mean" in words[1:] else name


def _is_measured(sheet: Sheet, name: str) -> bool:
    """Whether a column is numbers with fractions, another in every row: no setting of systems."""
    numbers = sheet.numbers(name) if sheet.is_numeric(name) else np.zeros(0)
    return len(numbers) > 2 and len(np.unique(numbers)) == len(numbers) and bool((numbers % 1 > 0).any())


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[\s_\-./()]+", name.casefold()) if word]


def _columns(sheet: Sheet) -> dict[str, str]:
    by_name = {plain(column): column for column in sheet.columns}
    return {
        role: next(by_name[name] for name in names.split() if name in by_name)
        for role, names in COLUMNS.items()
        if any(name in by_name for name in names.split())
    }


def _cells(sheet: Sheet, cases: Mapping[str, int]) -> Iterator[Cell]:
    """The numbers of a table, those of wide tables column by column."""
    columns = _columns(sheet)
    if "system" not in columns:
        message = f"no column names the systems. Its columns: {listing(sheet.columns)}."
        raise MmtkError(message, sheet.where, "Name one of them system.")
    if {"metric", "mean"} <= columns.keys():
        scores = {columns["mean"]: ""}
    else:
        free = [name for name in sheet.columns if name not in columns.values()]
        numeric = [name for name in free if sheet.is_numeric(name) and not is_spread(name)]
        named = {name: score_name(_without_mean(name)) for name in numeric}
        scores = {name: score for name, score in named.items() if is_score_name(score) or declare(score)[1]}
    if not scores:
        message = f"no column holds means of a score. Its columns: {listing(sheet.columns)}."
        raise MmtkError(message, sheet.where, "Name them system, metric, mean, n and sd.")
    others = [name for name in sheet.columns if name not in columns.values() and name not in scores]
    settings = [name for name in others if not is_spread(name) and not _is_measured(sheet, name)]
    texts = {name: sheet.texts(name) for name in (*columns.values(), *settings)}
    for (column, metric), row in itertools.product(scores.items(), range(len(sheet.frame))):
        mean = float(sheet.numbers(column)[row])
        if not math.isfinite(mean):
            continue
        name = metric or score_name(texts[columns["metric"]].iloc[row])
        count = float(sheet.numbers(columns["n"])[row]) if "n" in columns else math.nan
        count = cases.get(name, cases.get("", 0)) if math.isnan(count) else count
        sd = float(sheet.numbers(columns["sd"])[row]) if "sd" in columns else math.nan
        setting = ", ".join(texts[key].iloc[row] for key in settings if texts[key].iloc[row])
        yield Cell(texts[columns["system"]].iloc[row], setting, name, mean, int(count), sd if sd >= 0 else None)


def _claims(cells: list[Cell]) -> Iterator[Claim]:
    """Every pair of systems of one score and setting, the better one first."""
    info, _ = declare(cells[0].metric)
    sign = -1 if info.better == "lower" else 1
    ordered = sorted(cells, key=lambda cell: -sign * cell.mean)
    for a, b in itertools.combinations(ordered, 2):
        if a.mean != b.mean and a.system != b.system:
            where = f"{a.metric} ({a.setting})" if a.setting else a.metric
            claim = Claim(a.system, b.system, where, sign * (a.mean - b.mean), min(a.cases, b.cases))
            yield _judged(claim, a, b)


def _judged(claim: Claim, a: Cell, b: Cell) -> Claim:
    """A claim with its probabilities, where they can be said."""
    head = (claim.better, claim.worse, claim.where, claim.difference, claim.cases)
    if a.metric.casefold() in WHOLE or re.match(r"f1(?![a-z])", a.metric, re.IGNORECASE):
        return Claim(*head, note=OF_ALL_CASES)
    if claim.cases < 2:
        return Claim(*head, note=NO_CASES)
    if a.metric in SHARES:
        p, q, n = a.mean, b.mean, claim.cases
        chances = false_share_claim(p, q, n, q), false_share_claim(p, q, n, p * q)
        return Claim(*head, *chances, (smallest_share_claim(q, n, True), smallest_share_claim(q, n, False)))
    if a.sd is None or b.sd is None:
        return Claim(*head, note=NO_SPREAD)
    spreads = (a.sd, b.sd)
    alike, independent = (false_mean_claim(claim.difference, spreads, claim.cases, r) for r in (ALIKE, 0.0))
    smallest = smallest_mean_claim(spreads, claim.cases, ALIKE), smallest_mean_claim(spreads, claim.cases, 0.0)
    return Claim(*head, alike, independent, smallest)


def _contradictions(cells: list[Cell]) -> Iterator[str]:
    """Accuracies that F1 of both of two classes rule out."""
    rows: dict[tuple[str, str], dict[str, float]] = {}
    for cell in cells:
        rows.setdefault((cell.system, cell.setting), {})[cell.metric] = cell.mean
    for (system, setting), scores in rows.items():
        f1 = {name: value for name, value in scores.items() if name.lower().startswith("f1") and len(name) > 2}
        if len(f1) != 2 or "accuracy" not in scores:
            continue
        accuracy = accuracy_of_f1(*f1.values())
        if abs(accuracy - scores["accuracy"]) > APART and np.isfinite(accuracy):
            where = f"{system} ({setting})" if setting else system
            values = " and ".join(f"{name} {value:.3f}" for name, value in f1.items())
            yield f"{where}: {values} give an accuracy of {accuracy:.3f}, the table says {scores['accuracy']:.3f}"


def parse_cases(texts: list[str]) -> dict[str, int]:
    """N or SCORE=N of a command line as numbers of cases by score; "" for all."""
    cases = {}
    for text in texts:
        name, sign, number = text.rpartition("=")
        if not number.isdigit() or int(number) < 2:
            raise MmtkError(f"--cases {text}: should be a number of cases, or SCORE=NUMBER.", hint="Such as 624.")
        cases[score_name(name) if sign else ""] = int(number)
    return cases


def sentence(audit: Audit) -> str:
    """Number of claims that the test set supports, in words."""
    judged_claims = [claim for claim in audit.claims if claim.independent is not None]
    if not audit.claims:
        return "No claim: no two systems have another mean of one score in one setting."
    if not judged_claims:
        notes = "; ".join(dict.fromkeys(claim.note for claim in audit.claims))
        return f"No claim can be judged: {notes}."
    sure = sum(max(claim.alike or 0, claim.independent or 0) <= 0.05 for claim in judged_claims)
    never = sum(min(claim.alike or 0, claim.independent or 0) > 0.05 for claim in judged_claims)
    some = len(judged_claims) - sure - never
    others = len(audit.claims) - len(judged_claims)
    kinds = (
        f"{sure} supported (false with at most 5 %, however alike the systems err)",
        f"{never} not supported (more than 5 % in any case)",
        f"{some} by how alike they are",
    )
    return (
        f"{counted(len(judged_claims), 'claim')} can be judged: {', '.join(kinds)}. "
        f"{counted(others, 'claim')} cannot be judged."
    )
