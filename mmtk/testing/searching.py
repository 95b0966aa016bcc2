"""Checks of searches."""

from __future__ import annotations

from mmtk.search import Choice, Range, Search, Settings, Space, Trial, draws
from mmtk.testing.check import Subject, expect

SPACE: Space = {
    "train.lr": Range(1e-5, 1e-2, log=True),
    "ssl.threshold": Range(0.5, 0.9),
    "ssl.views": Range(1, 4, integer=True),
    "train.optimizer": Choice(("adam", "sgd")),
}
TRIALS = 12


def _history(search: Search, space: Space, count: int) -> list[Trial]:
    """Trials as a study asks for them: the recipe's own settings, which lie outside the space, then proposals.

    One of them diverged; the others are the better, the nearer ``train.lr`` is to 0.001.
    """
    history = [Trial({"train.lr": 0.1}, 0.1)]
    for index in range(1, count):
        settings = search.propose(space, history if search.sequential else (), draws(0, index))
        value = None if index == 2 else 1 - abs(float(settings["train.lr"]) - 1e-3)
        history.append(Trial(settings, value))
    return history


def _outside(settings: Settings) -> list[str]:
    """Keys of the space that settings have not, or with a value outside it, and keys that the space has not."""
    wrong = [key for key, values in SPACE.items() if key not in settings or settings[key] not in values]
    return [*wrong, *sorted({*settings} - {*SPACE})]


def proposals_lie_in_the_space(subject: Subject) -> None:
    """Every proposal has a value for every key of the space, inside its list or range, and no other key.

    It gets along with a trial that diverged and with settings of the recipe that lie outside the space.
    """
    history = _history(subject.make(), SPACE, TRIALS)
    wrong = {key: trial.settings.get(key) for trial in history[1:] for key in _outside(trial.settings)}
    expect(
        not wrong, f"values of {', '.join(SPACE)} in their ranges", f"{wrong}", "return one value for each key."
    )


def equal_trials_get_equal_proposals(subject: Subject) -> None:
    """A proposal depends on the space, the history and the draws alone: a study that goes on proposes the same."""
    first, second = (_history(subject.make(), SPACE, TRIALS) for _ in range(2))
    expect(
        first == second,
        "the same proposals from a new instance with the same draws",
        next(f"{a.settings}, then {b.settings}" for a, b in zip(first, second, strict=True) if a != b)
        if first != second
        else "",
        "take all randomness from draw(word), and keep no state.",
    )


def trials_differ(subject: Subject) -> None:
    """Not all trials have the same settings."""
    history = _history(subject.make(), SPACE, TRIALS)
    different = {
        tuple(sorted((key, str(value)) for key, value in trial.settings.items())) for trial in history[1:]
    }
    expect(len(different) > 1, "different settings", f"{history[1].settings} in all trials", "use the draws.")


def shared_keys_are_shared_draws(subject: Subject) -> None:
    """A search that is not sequential gives a key the same value in a system that has fewer keys."""
    search = subject.make()
    if search.sequential:
        return
    fewer = {key: values for key, values in SPACE.items() if not key.startswith("ssl.")}
    for index in range(1, TRIALS):
        whole, part = (search.propose(space, (), draws(0, index)) for space in (SPACE, fewer))
        wrong = [key for key in fewer if whole[key] != part[key]]
        expect(
            not wrong,
            f"the same {', '.join(wrong)} in all systems",
            f"{whole} and {part}",
            "draw each key from draw(key), not one after the other from one generator.",
        )


SEARCH = (
    proposals_lie_in_the_space,
    equal_trials_get_equal_proposals,
    trials_differ,
    shared_keys_are_shared_draws,
)
