"""Rounds of a study that adds seeds until its verdicts are settled."""

from __future__ import annotations

from collections.abc import Iterable

from mmtk.counts import counted
from mmtk.report.effects import factorial_effects
from mmtk.report.standings import Standing, standings
from mmtk.runs.display import Display
from mmtk.study.folder import StudyDir
from mmtk.study.plan import Plan
from mmtk.study.stopping import Stopping


def next_round(study: StudyDir, plan: Plan, display: Display) -> Plan | None:
    """Look at the verdicts, and ask for another seed where they are open.

    study: whose runs of the last round have finished
    plan: with the seeds asked for so far
    display: says where every question stands

    The plan of the next round; None where there is none.
    """
    if plan.stopping is None:
        return None
    results = study.collect()
    results.comparable()
    results.read()
    after_look = standings(results, factorial_effects(results))
    for standing in after_look:
        display.note(line(standing))
    digests = short_of_seeds(after_look, plan.stopping)
    return study.ask(plan.stopping.one_more(digests)) if digests else None


def short_of_seeds(after_look: Iterable[Standing], rule: Stopping) -> list[str]:
    """Digests of the cells whose next seed an open question waits for."""
    digests: dict[str, None] = {}
    for standing in after_look:
        if standing.outcome is None or standing.outcome.state != "more seeds":
            continue
        cells = [cell.digest for _, cell in standing.question.weights]
        fewest = min(map(rule.seeds_of, cells))
        if fewest < rule.max_seeds:
            digests |= dict.fromkeys(digest for digest in cells if rule.seeds_of(digest) == fewest)
    return [*digests]


def line(standing: Standing) -> str:
    """Standing of a question, in a line."""
    name, outcome = standing.question.name, standing.outcome
    if outcome is None:
        return f"{name}: no values per image, so it adds no seeds"
    if outcome.state == "settled":
        return f"{name}: {outcome.verdict.text}, settled at {counted(outcome.seeds, 'seed')}"
    why = {
        "more patients": "more seeds cannot settle it; more patients can",
        "no more seeds": "all seeds have run",
        "more seeds": "another seed",
    }[outcome.state]
    return f"{name}: open at {counted(outcome.seeds, 'seed')}; {why}"
