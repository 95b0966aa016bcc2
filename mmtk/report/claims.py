"""Claims of a report: every component, or comparison, on every leading score, each with its verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from mmtk.counts import counted
from mmtk.report.analysis import Analysis, Comparison, Score
from mmtk.report.effects import Effects
from mmtk.report.headlines import ALPHA
from mmtk.report.margins import margin_of
from mmtk.report.standings import standings
from mmtk.report.tables.table import interval, number, probability
from mmtk.scores import leading
from mmtk.stats import Effect, Interval, Test
from mmtk.stats.looks import Outcome, State
from mmtk.stats.two_way import from_variances
from mmtk.stats.verdicts import Verdict, more_seeds, verdict
from mmtk.study.jackknives import Weights
from mmtk.tasks import IN_DOMAIN, budget, labels_text

Remedy = Literal["seeds", "patients", "unknown"]
EARLY = "stopped early"
GUESSING = "none of its systems is shown to be better than chance"
AT_CHANCE = f"{GUESSING}, so it says nothing of what they differ in"
NOMINAL_PATIENTS = 2  # of an interval over seeds alone, where V_P = 0 and their number does not count
NO_INTERVAL = Verdict("open", False, None, "no interval")


@dataclass(frozen=True)
class Claim:
    """A difference on a leading score, and its verdict.

    what: the component, or the two systems
    where: the score with its test set, and the labels where there are several budgets
    score: with its test set
    label: of the score alone
    labels: the budget
    estimate: the difference with the interval and the p that lead
    adjusted: p after Holm's adjustment
    interval: the two-way interval, else that over seeds; None without one
    margin: the largest difference that does not matter; None where none is declared
    verdict: the four words
    weights: of the systems that it is the difference of
    component: whether it is the effect of a component, and not a comparison
    question: name of what seeds are added for, in a study that adds them; "" for another claim
    state: of that question after its looks
    at_chance: whether none of the systems is shown to be better than chance
    """

    what: str
    where: str
    score: str
    label: str
    labels: str
    estimate: Effect
    adjusted: float | None
    interval: Interval | None
    margin: float | None
    verdict: Verdict
    weights: Weights
    component: bool
    question: str = ""
    state: State | None = None
    at_chance: bool = False

    @property
    def value(self) -> float:
        """The difference."""
        return self.estimate.value

    @property
    def low(self) -> float | None:
        """Lower end of its interval."""
        return self.estimate.low

    @property
    def high(self) -> float | None:
        """Upper end of its interval."""
        return self.estimate.high

    @property
    def text(self) -> str:
        """The verdict as a reader sees it: of two systems, which one is better."""
        return self.verdict.text if self.component else self.verdict.between(*(c.name for _, c in self.weights))

    @property
    def is_equality_of_chance(self) -> bool:
        """Whether no difference matters because all of its systems may be guessing."""
        return self.at_chance and self.verdict.word == "no difference that matters"

    @property
    def is_difference_of_chance(self) -> bool:
        """Whether it helps or harms, and all of its systems may be guessing."""
        return self.at_chance and self.verdict.decides

    @property
    def note(self) -> str:
        """Reservations beside the verdict; "" where there are none."""
        guessing = AT_CHANCE if self.is_equality_of_chance else GUESSING if self.is_difference_of_chance else ""
        return "; ".join(filter(None, (self.verdict.note, guessing)))

    @property
    def interaction(self) -> bool:
        """Whether it is an effect of several components together."""
        return len(self.estimate.factors) > 1

    @property
    def speaks_of_patients(self) -> bool:
        """Whether the interval holds for new patients, too; one over seeds alone has two in name only."""
        return self.interval is not None and (
            self.interval.patients > NOMINAL_PATIENTS or self.interval.overlap > 0
        )

    @property
    def shows(self) -> bool:
        """p < 0.05 after Holm's adjustment."""
        return self.adjusted is not None and self.adjusted < ALPHA

    @property
    def more_seeds(self) -> int | None:
        """Seeds that would settle an open one if the difference stayed as it is; None where no number does."""
        if self.interval is None or self.state == "more patients":
            return None
        return more_seeds(self.interval, self.margin)

    @property
    def remedy(self) -> Remedy:
        """Remedy of an open one: more seeds, else more patients; unknown where nothing tells, as equal values."""
        if self.interval is None or "no variation" in self.interval.flags:
            return "unknown"
        return "patients" if self.more_seeds is None else "seeds"

    @property
    def sentence(self) -> str:
        """The difference with its interval and p."""
        amount = f"{self.what} {number(self.value, sign=True)} on {self.where}"
        seeds = counted(self.estimate.n, self.weights[0][1].unit)
        if self.low is None:
            p = "" if self.adjusted is None else f"p = {probability(self.adjusted)} after Holm, "
            return f"{amount} ({p}{seeds}, no interval)".replace("= <", "<")
        p = f"p {'' if probability(self.adjusted)[0] == '<' else '= '}{probability(self.adjusted)}"
        return f"{amount} (95 % interval {interval(self.low, self.high)}; {p} after Holm, {seeds})"


def claims(analysis: Analysis) -> list[Claim]:
    """Effects on the leading scores; where there are none, the reference against the others on them.

    In a study that adds seeds, the questions that its seeds were added for have the verdicts of its looks.
    Computed once for an analysis.
    """
    if "claims" not in analysis.memory:
        analysis.memory["claims"] = _claims(analysis)
    return list(analysis.memory["claims"])


def _claims(analysis: Analysis) -> list[Claim]:
    results = list(_effects(analysis)) or list(_comparisons(analysis))
    looks = {one.question.name: one.outcome for one in standings(analysis.study, analysis.effects) if one.outcome}
    return [_after_looks(claim, looks.get(claim.question)) for claim in results]


def _after_looks(claim: Claim, outcome: Outcome | None) -> Claim:
    """A claim with the verdict, the p and the interval of the looks at it."""
    if outcome is None or outcome.interval is None:
        return claim
    one = outcome.interval
    early = f"{EARLY}, with {one.seeds} seeds" if outcome.is_early else ""
    if early and outcome.verdict.decides:
        early += ": the change is too large on average"
    result = replace(outcome.verdict, note="; ".join(filter(None, (early, outcome.verdict.note))))
    estimate = Effect(claim.estimate.factors, one.est, one.low, one.high, one.p, one.seeds)
    return replace(claim, estimate=estimate, adjusted=outcome.p, interval=one, verdict=result, state=outcome.state)


def effects_after_looks(analysis: Analysis) -> list[Effects]:
    """All effects, those that seeds were added for with the interval and the p (Holm) of their verdicts."""
    if analysis.study.stopping is None:
        return list(analysis.effects)
    claim_list = iter(claims(analysis))
    return [
        _with_claims(one, [next(claim_list) for _ in one.effects])
        if one.metric == leading(analysis.study.declared[one.task])
        else one
        for one in analysis.effects
    ]


def _with_claims(one: Effects, claim_list: Sequence[Claim]) -> Effects:
    pairs = list(zip(claim_list, one.intervals, strict=True))
    return replace(
        one,
        effects=[claim.estimate for claim in claim_list],
        adjusted=[claim.adjusted for claim in claim_list],
        intervals=[claim.interval if claim.state else two_way for claim, two_way in pairs],
    )


def _effects(analysis: Analysis) -> Iterator[Claim]:
    for one in analysis.effects:
        if one.metric == leading(analysis.study.declared[one.task]):
            for k, effect in enumerate(one.effects):
                verdict_interval = one.intervals[k] or over_seeds(one.trainings[k])
                yield _claim(analysis, one, effect, one.adjusted[k], verdict_interval, one.weights[k])


def _comparisons(analysis: Analysis) -> Iterator[Claim]:
    for one in analysis.comparisons:
        if one.metric == leading(analysis.study.declared[one.task]):
            test, names = one.lead, (f"{one.reference.name} − {one.other.name}",)
            estimate = Effect(names, test.difference, test.low, test.high, test.p, test.n)
            weights = [(1.0, one.reference), (-1.0, one.other)]
            yield _claim(analysis, one, estimate, test.adjusted, one.interval or over_seeds(test), weights)


def _score(analysis: Analysis, one: Effects | Comparison) -> str:
    """A score with its test set; of other programs also with the task, where several tasks lead with it."""
    tasks = [task for task, infos in analysis.study.declared.items() if leading(infos) == one.metric]
    task = f" {one.task}" if analysis.study.origin and len(tasks) > 1 else ""
    return f"{one.info.label}{task} {one.domain}"


def _claim(
    analysis: Analysis,
    one: Effects | Comparison,
    estimate: Effect,
    adjusted: float | None,
    verdict_interval: Interval | None,
    weights: Weights,
) -> Claim:
    """The claim of an estimate.

    analysis: that it is part of
    one: the effects or the comparison that it is part of
    estimate: the leading one
    adjusted: p after Holm's adjustment
    verdict_interval: interval that the verdict rests on, where there is one
    weights: of the systems
    """
    score, labels = _score(analysis, one), budget(one.labels)
    where = score + (f" ({labels_text(one.labels)})" if len(analysis.study.budgets) > 1 else "")
    margin = margin_of(one.metric, one.info, analysis.margins)
    word = (
        NO_INTERVAL if verdict_interval is None else verdict(verdict_interval, margin, one.info.better, adjusted)
    )
    what = " × ".join(estimate.factors)
    component = isinstance(one, Effects)
    primary = one.domain == IN_DOMAIN and len(estimate.factors) == 1
    several = f", {labels_text(one.labels)}" if len(analysis.study.budgets) > 1 else ""
    question = f"{what}, {one.info.label}{several}" if primary else ""
    scores = [analysis.score(cell, one.domain, one.task, one.metric) for _, cell in weights]
    return Claim(
        what,
        where,
        score,
        one.info.label,
        labels,
        estimate,
        adjusted,
        verdict_interval,
        margin,
        word,
        weights,
        component,
        question,
        at_chance=all(_may_be_chance(score) for score in scores),
    )


def _may_be_chance(score: Score | None) -> bool:
    """Whether a score is not shown to be better than chance: its interval, or without one its mean, is not."""
    if score is None or score.chance is None:
        return False
    higher = score.info.better == "higher"
    end = None if score.interval is None else score.interval.low if higher else score.interval.high
    return not score.info.improves(score.seeds.mean if end is None else end, score.chance)


def over_seeds(one: Effect | Test) -> Interval | None:
    """The paired t as an interval of seeds alone, for a score without values per image; None without a p.

    Its squared error follows from p: √V_S = |est| / t(n − 1; 1 − p/2). With V_P = 0, df is n − 1.
    """
    from scipy.special import stdtrit

    est, seeds = (one.value, one.n) if isinstance(one, Effect) else (one.difference, one.n)
    if one.p is None or seeds < 2 or not est or (isinstance(one, Test) and one.name != "paired t-test"):
        return None
    error = abs(est) / -float(stdtrit(seeds - 1, max(one.p, 1e-300) / 2))
    note = "of new trainings on these patients: values per image do not give this score"
    return from_variances(est, (error**2, 0.0), (seeds, NOMINAL_PATIENTS), note=note)
