"""Rounds of a study that tunes its systems first, or adds seeds until its verdicts are settled."""

from __future__ import annotations

from collections.abc import Iterable

from mmtk.counts import counted
from mmtk.report.effects import factorial_effects
from mmtk.report.standings import Standing, standings
from mmtk.runs.display import Display
from mmtk.study.folder import StudyDir
from mmtk.study.plan import Plan
from mmtk.study.stopping import Stopping
from mmtk.study.trials import read_trials, read_values
from mmtk.study.tuned_systems import TunedSystem, shown_value
from mmtk.study.tuning import Tuning


def next_round(study: StudyDir, plan: Plan, display: Display) -> Plan | None:
    """Look at the trials, or at the verdicts, and ask for what follows: trials, or seeds where verdicts are open.

    study: whose runs of the last round have finished
    plan: with the seeds asked for so far
    display: says where every question stands

    The plan of the next round; None where there is none.
    """
    if plan.tuning is not None and not plan.tuning.best:
        return _next_trials(study, plan, plan.tuning, display)
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


def _next_trials(study: StudyDir, plan: Plan, tuning: Tuning, display: Display) -> Plan:
    """Ask for the next trial of every system, or for the runs with the best settings.

    study: whose trials so far have finished
    plan: with those trials
    tuning: of the plan
    display: says which trial is the best
    """
    runs = study.runs(plan)
    after = study.tune(tuning.advanced(plan.cells, read_values(plan, runs)))
    if after.tuned:
        for system in read_trials(after, runs):
            display.note(best_line(system))
        for run in (run for run in runs if run.cell.folder):  # nobody needs the weights of a trial any more
            run.folder.last.unlink(missing_ok=True)
            run.folder.best.unlink(missing_ok=True)
    return after


def best_line(system: TunedSystem) -> str:
    """The best trial of a system, in a line."""
    best, first = (system.trials[number] for number in (system.best or 0, 0))
    if best is first:
        trials = counted(len(system.trials), "trial")
        return f"{system.name} {system.budget}: its own settings are the best of {trials}"
    settings = ", ".join(f"{key} {shown_value(value)}" for key, value in best.settings.items())
    values = " → ".join("diverged" if one.value is None else f"{one.value:.3f}" for one in (first, best))
    return f"{system.name} {system.budget}: validation {values} with {settings} (trial {best.number})"


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
        systems = standing.question.systems
        word = outcome.verdict.between(*systems) if systems else outcome.verdict.text
        return f"{name}: {word}, settled at {counted(outcome.seeds, 'seed')}"
    why = {
        "more patients": "no number of seeds closes it, but more patients can",
        "no more seeds": "all seeds have run",
        "more seeds": "another seed",
    }[outcome.state]
    return f"{name}: open at {counted(outcome.seeds, 'seed')}; {why}"
