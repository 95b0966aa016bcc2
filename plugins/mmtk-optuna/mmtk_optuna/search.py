"""Optuna's samplers behind mmtk's contract of a search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import optuna
from mmtk.api import Choice, Draw, Field, Range, Search, Settings, Space, Trial
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Optuna(Search):
    """Draw the first trials at random, then ask Optuna's tree-structured Parzen estimator (Bergstra et al. 2011).

    startup: trials after the recipe's own settings that are drawn at random, the same in every system.
    """

    sequential = True

    def __init__(self, *, startup: Annotated[int, Field(ge=1)] = 5) -> None:
        self.startup = startup

    def propose(self, space: Space, history: Sequence[Trial], draw: Draw) -> Settings:
        """Draw every key by itself in the first trials; later what the estimator samples, given all trials."""
        if len(history) <= self.startup:
            return {key: values.at(draw(key).random()) for key, values in space.items()}
        sampler = optuna.samplers.TPESampler(seed=draw("sampler").getrandbits(32), n_startup_trials=1)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        distributions = {key: _distribution(values) for key, values in space.items()}
        for trial in history:
            study.add_trial(_frozen(trial, space, distributions))
        asked = study.ask(distributions)
        return {key: _value(asked.params[key], values) for key, values in space.items()}


def _distribution(values: Choice | Range) -> BaseDistribution:
    """Optuna's distribution of a list or range; of a list the places, as Optuna takes no lists as values."""
    if isinstance(values, Choice):
        return CategoricalDistribution(range(len(values.values)))
    if values.integer:
        return IntDistribution(int(values.low), int(values.high), log=values.log)
    return FloatDistribution(float(values.low), float(values.high), log=values.log)


def _frozen(trial: Trial, space: Space, distributions: dict[str, BaseDistribution]) -> optuna.trial.FrozenTrial:
    """A finished trial, with those of its settings that lie in the space; one that diverged has failed."""
    params = {
        key: space[key].values.index(value) if isinstance(space[key], Choice) else value
        for key, value in trial.settings.items()
        if value in space[key]
    }
    return create_trial(
        state=TrialState.FAIL if trial.value is None else TrialState.COMPLETE,
        value=trial.value,
        params=params,
        distributions={key: distributions[key] for key in params},
    )


def _value(param: Any, values: Choice | Range) -> Any:
    return values.values[param] if isinstance(values, Choice) else param
