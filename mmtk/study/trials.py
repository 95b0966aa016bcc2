"""Trials of a study on disk: their validation scores, and nothing else of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmtk.counts import counted
from mmtk.errors import MmtkError
from mmtk.io.files import read_facts
from mmtk.runs.folder import RunDir
from mmtk.study.cells import PlannedCell
from mmtk.study.plan import Plan
from mmtk.study.tuned_systems import FinishedTrial, TunedSystem
from mmtk.study.tuning import Tuning, Values, own_settings

if TYPE_CHECKING:
    from mmtk.study.folder import PlannedRun


@dataclass(frozen=True)
class _TrialRun:
    """A finished run of a trial; ``value``: None where it diverged."""

    value: float | None
    steps: int
    seconds: float


def _read(folder: RunDir) -> _TrialRun:
    """Read a finished run of a trial; MmtkError where its files are not as it left them."""
    seal = read_facts(folder.done_file, files=dict, steps=int, training_seconds=(int, float))
    if changed := folder.altered(seal):
        cure = f"Remove {folder.path}, and it is run again."
        raise MmtkError(f"{', '.join(changed)} changed after the trial ended.", str(folder.path), cure)
    selected = read_facts(folder.results_file, selected=dict)["selected"]
    return _TrialRun(selected["score"], seal["steps"], float(seal["training_seconds"]))


def read_values(plan: Plan, runs: Iterable[PlannedRun]) -> Values:
    """Validation scores of the trials of every cell, all of which have run, by digest of the cell.

    This is all that tuning chooses by: a trial has no other score.
    """
    if plan.tuning is None:
        return {}
    trial_runs = _by_trial(runs)
    return {
        cell.recipe.digest: [_mean(trial_runs[trial.recipe.digest]) for trial in plan.tuning.numbered(cell)]
        for cell in plan.cells
    }


def _by_trial(runs: Iterable[PlannedRun]) -> Mapping[str, list[_TrialRun]]:
    """Finished runs of trials, by digest of the trial."""
    by_trial: dict[str, list[_TrialRun]] = {}
    for run in runs:
        if run.cell.folder and run.folder.finished:
            by_trial.setdefault(run.cell.recipe.digest, []).append(_read(run.folder))
    return by_trial


def _mean(runs: Iterable[_TrialRun]) -> float | None:
    """Mean validation score of the runs of a trial; None where one diverged."""
    values = [run.value for run in runs]
    numbers = [value for value in values if value is not None]
    return sum(numbers) / len(numbers) if len(numbers) == len(values) else None


def read_trials(plan: Plan, runs: Iterable[PlannedRun]) -> list[TunedSystem]:
    """The finished trials of every cell of a study; none of one without tuning."""
    if plan.tuning is None:
        return []
    trial_runs = _by_trial(runs)
    return [_system(cell, plan.tuning, trial_runs) for cell in plan.cells]


def _system(cell: PlannedCell, tuning: Tuning, runs: Mapping[str, list[_TrialRun]]) -> TunedSystem:
    digest = cell.recipe.digest
    trials: list[FinishedTrial] = []
    first: dict[str, int] = {}
    for number, trial in enumerate(tuning.numbered(cell)):
        trial_runs = runs.get(trial.recipe.digest, [])
        if len(trial_runs) < len(tuning.seeds):
            continue
        same = first.setdefault(trial.recipe.digest, number)
        is_new = same == number
        settings = own_settings(trial.recipe, tuning.spaces[digest])
        spent = sum(run.steps for run in trial_runs) if is_new else 0
        seconds = sum(run.seconds for run in trial_runs) if is_new else 0.0
        trials.append(FinishedTrial(number, settings, _mean(trial_runs), spent, seconds, None if is_new else same))
    return TunedSystem(cell.name, cell.budget, trials, tuning.best.get(digest))


def unfinished(plan: Plan) -> list[str]:
    """A sentence where tuning has not come to its end: what is reported then."""
    if plan.tuning is None or plan.tuning.best:
        return []
    trials = counted(plan.tuning.trials, "trial")
    return [f"Tuning is not finished ({trials} of every system): these are the systems with their own settings."]
