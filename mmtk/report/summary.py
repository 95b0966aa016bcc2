"""Sentences on the numbers of a study, never stronger than the numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from mmtk.counts import counted, replicates
from mmtk.report.analysis import Analysis
from mmtk.report.claims import Claim, claims
from mmtk.report.headlines import ALPHA
from mmtk.report.tables import claims as paper_claims
from mmtk.report.tables.table import number
from mmtk.scores import shown
from mmtk.study.results import Study
from mmtk.tasks import TASKS, budget


def summary(analysis: Analysis) -> list[str]:
    """Summarise the numbers in sentences that are never stronger than they are."""
    study = analysis.study
    runs = [len(cell.runs) for cell in study.cells if cell.runs]
    seeds = f"{min(runs)} to {max(runs)} {study.unit}s"
    if min(runs) == max(runs):
        seeds = f"one {study.unit}" if max(runs) == 1 else replicates(max(runs), study.folds)
    systems = f"{counted(len(runs), 'system')}{_budgets(study)}"
    sentences = [f"{systems} with {seeds} each: {counted(sum(runs), 'run')}."]
    if max(runs) < 2:
        sentences.append(
            f"With one {study.unit} nothing can be concluded: a difference between two systems may be luck."
        )
    else:
        sentences += _answers(claims(analysis))
        if paper_sentence := paper_claims.sentence(analysis):
            sentences.append(paper_sentence)
    return [*sentences, *chance(analysis)]


def _budgets(study: Study) -> str:
    """The label budgets in words; "" of runs of other programs."""
    if study.origin:
        return ""
    count = len(study.budgets)
    return f" at {count} label budgets" if count > 1 else f" at one label budget ({budget(study.budgets[0])})"


def _answers(claims: Sequence[Claim]) -> Iterator[str]:
    if not claims:
        yield "Nothing was compared, so nothing can be said about what helps."
        return
    supported = [claim for claim in claims if claim.shows]
    family = f"p < {ALPHA} after Holm's adjustment"
    noun = "effect of a component" if claims[0].component else "difference of the reference"
    if supported:
        yield f"What shows at {family}: {'; '.join(claim.sentence for claim in supported)}."
    hidden = [claim for claim in claims if not claim.shows and not claim.interaction]
    if not hidden:
        return
    by_what: dict[str, list[str]] = {}
    for claim in hidden:
        by_what.setdefault(claim.what, []).append(claim.where)
    if supported:
        names = "; ".join(f"{what} on {', '.join(places)}" for what, places in by_what.items())
        yield f"What does not show: {names}."
    else:
        places = ", ".join(dict.fromkeys(claim.where for claim in hidden))
        yield f"No {noun} shows at {family}: {', '.join(by_what)}, on {places}."
    ends = [end for claim in hidden for end in (claim.low, claim.high) if end is not None]
    if ends:
        yield (
            f"That does not mean that there is none: the 95 % intervals reach from {number(min(ends), sign=True)} "
            f"to {number(max(ends), sign=True)}."
        )


def chance(analysis: Analysis) -> Iterator[str]:
    """Number of systems no better than chance, by test set, in the first score with a chance level.

    Of the built-in metrics that is accuracy, whose level is the majority class.
    """
    for (task, declared), domain in itertools.product(analysis.study.declared.items(), analysis.study.domains):
        metric = next((n for n in shown(declared, "figures") if declared[n].chance is not None), "")
        scores = [s for s in analysis.scores if (s.domain, s.task, s.metric) == (domain, task, metric)]
        scores_with_chance = [s for s in scores if s.chance is not None]
        below = [
            s for s in scores_with_chance if s.chance is not None and not s.info.improves(s.seeds.mean, s.chance)
        ]
        if below:
            does, do = TASKS[task].verbs if task in TASKS else ("is scored", "are scored")
            verb = "is no" if len(below) == 1 else "are no"
            systems = f"{len(below)} of {counted(len(scores_with_chance), 'system')} that {do} {verb}"
            if len(below) == len(scores_with_chance):
                systems = f"none of {counted(len(scores_with_chance), 'system')} that {do} is"
            if len(scores_with_chance) == 1:
                systems = f"the one system that {does} is no"
            than = f"better than chance in {declared[metric].label}"
            if metric == "accuracy":
                than = "more accurate than always guessing the majority class"
            yield f"{domain.capitalize()}, {systems} {than} ({number(below[0].chance)})."
