"""Tuning of a study in a report: the settings of every system, all trials, and verdicts before and after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmtk.counts import counted, share
from mmtk.report.analysis import Analysis
from mmtk.report.claims import Claim, claims
from mmtk.report.tables.table import Entry, Table, count_entry, headings, number, value_entry
from mmtk.report.verdicts import verdict_entry
from mmtk.study.results import Study
from mmtk.study.tuned_systems import FinishedTrial, TunedSystem, shown_value

MANY = 6  # verdicts that a sentence can name


def _both(analysis: Analysis) -> list[tuple[Claim | None, Claim]]:
    """Every verdict before and after tuning; interactions are left out."""
    if analysis.before is None:
        return []
    before = {(one.what, one.labels, one.score): one for one in claims(analysis.before)}
    after = [one for one in claims(analysis) if not one.interaction]
    return [(before.get((one.what, one.labels, one.score)), one) for one in after]


def sentences(analysis: Analysis) -> list[str]:
    """Costs of tuning, and the verdicts that it changed, in sentences."""
    tuned = analysis.study.tuning
    if not tuned or analysis.before is None:
        return []
    steps = sum(one.steps for one in tuned)
    trials = counted(max(len(one.trials) for one in tuned), "trial")
    cost = (
        f"Every system was tuned with {trials}, chosen by validation alone ({counted(steps, 'step')} in all): "
        "the verdicts are those of the tuned systems."
    )
    both = _both(analysis)
    changed = [(old, new) for old, new in both if old is None or old.text != new.text]
    if not changed:
        return [cost, "Tuning changed no verdict."] if both else [cost]
    if len(changed) > MANY:
        return [cost, f"Tuning changed {share(len(changed), len(both), 'verdict')}."]
    names = "; ".join(
        f"{new.what} on {new.where} ({old.text if old else 'none'} → {new.text})" for old, new in changed
    )
    return [cost, f"Tuning changed {share(len(changed), len(both), 'verdict')}: {names}."]


def lines(analysis: Analysis) -> Iterator[str]:
    """Lines for a terminal: every verdict before and after tuning, and the best settings of every system."""
    for old, new in _both(analysis):
        before, after = (
            "–" if one is None else f"{one.text} {number(one.value, sign=True)}" for one in (old, new)
        )
        yield f"{new.what} on {new.where}, before → after tuning: {before} → {after}"
    for one in analysis.study.tuning if analysis.before else ():
        values = f"{_value(_trial(one, 0))} → {_value(_trial(one, one.best))}"
        settings = _settings(_trial(one, one.best)) if one.best else "its own settings"
        yield f"Tuned {one.name} {one.budget}: validation {values}, {settings}"


def _trial(system: TunedSystem, number: int | None) -> FinishedTrial | None:
    """A trial by its number; None where its folder is gone."""
    return next((trial for trial in system.trials if trial.number == number), None)


def _value(trial: FinishedTrial | None) -> str:
    if trial is None:
        return "–"
    return "diverged" if trial.value is None else number(trial.value)


def _validation(trial: FinishedTrial | None) -> Entry:
    return Entry(_value(trial), {"": None if trial is None else trial.value})


def _settings(trial: FinishedTrial | None) -> str:
    if trial is None:
        return "–"
    return ", ".join(f"{key} {shown_value(value)}" for key, value in trial.settings.items()) or "nothing to tune"


def verdicts(analysis: Analysis) -> Table:
    """Every verdict before and after tuning, side by side."""
    both = _both(analysis)
    rows = [
        [Entry(new.what), Entry(new.labels), Entry(new.score), verdict_entry(old), verdict_entry(new)]
        for old, new in both
    ]
    caption = (
        "Verdict, change of the score, its 95 % interval, and in brackets the probability that the order is the "
        "other way round. Before: every system with its own settings. After: with the settings that did best on "
        "validation. Same seeds, same test images. Holm's families before and after stand apart."
    )
    if analysis.study.stopping is not None:
        caption += " Seeds were added for the verdicts after; those before have as many, and the same levels."
    heads = headings("Effect of" if both and both[0][1].component else "Difference of", "Labels", "Score")
    return Table(
        "tuning-verdicts",
        "Verdicts before and after tuning",
        caption,
        [*heads, *headings("Before", "After")],
        rows,
    )


def systems(study: Study) -> Table:
    """The settings that were chosen for every system, and what they gain on validation."""
    rows = [
        [
            Entry(one.name),
            Entry(one.budget),
            Entry(_settings(_trial(one, one.best))),
            _validation(_trial(one, 0)),
            _validation(_trial(one, one.best)),
            count_entry(one.best or 0),
            count_entry(len(one.trials)),
            count_entry(one.steps),
        ]
        for one in study.tuning
    ]
    caption = (
        "Validation: the score that selects the weights of a run, mean over the tasks and over the runs of a "
        "trial. Trial 0 has the system's own settings, so the best is never worse on validation; on test images "
        "it may be. No trial was scored on test images. Steps: of all trials of the system; a trial with the "
        "settings of an earlier one is not run again."
    )
    names = (
        "System",
        "Labels",
        "Settings",
        "*Validation, own settings",
        "*Validation, best",
        "*Best trial",
        "*Trials",
        "*Steps",
    )
    return Table("tuning", "Settings that tuning chose", caption, headings(*names), rows)


def tables(analysis: Analysis) -> list[Table]:
    """All tables on tuning; while trials run, those trials alone."""
    study = analysis.study
    if not study.tuning:
        return []
    finished = [verdicts(analysis), systems(study)] if study.before else []
    return [*finished, trials(study)]


def trials(study: Study) -> Table:
    """Every trial of every system."""
    keys = list(dict.fromkeys(key for one in study.tuning for key in one.keys))
    rows = [_row(one, trial, keys) for one in study.tuning for trial in one.trials]
    caption = (
        "Trials of one number have the same values of the keys that systems share, where the search is random. "
        "The best of a system in bold. –: no such key."
    )
    heads = headings("System", "Labels", "*Trial", *keys, "*Validation", "*Steps", "*Seconds", "Note")
    return Table("trials", "All trials", caption, heads, rows)


def _row(system: TunedSystem, trial: FinishedTrial, keys: Sequence[str]) -> list[Entry]:
    is_best = trial.number == system.best
    note = "own settings" if trial.number == 0 else ""
    note = f"settings of trial {trial.same}" if trial.same is not None else note
    return [
        Entry(system.name),
        Entry(system.budget),
        count_entry(trial.number),
        *(Entry(shown_value(trial.settings[key]) if key in trial.settings else "–") for key in keys),
        Entry(_value(trial), {"": trial.value}, best=is_best),
        count_entry(trial.steps),
        value_entry(trial.seconds, digits=1),
        Entry("diverged" if trial.value is None else note),
    ]
