"""A search: the settings that trials of tuning try."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from mmtk.api import Draw, Field, Search, Settings, Space, Trial


class Example(Search):
    """Try settings near the best ones so far, and now and then any others.

    explore: share of trials that are drawn from the whole space, from 0 to 1.
    """

    sequential = True

    def __init__(self, *, explore: Annotated[float, Field(ge=0, le=1)] = 0.5) -> None:
        self.explore = explore

    def propose(self, space: Space, history: Sequence[Trial], draw: Draw) -> Settings:
        """Change one key of the best settings; else draw every key by itself."""
        drawn = {key: values.at(draw(key).random()) for key, values in space.items()}
        finished = [trial for trial in history if trial.value is not None]
        if not finished or draw("explore").random() < self.explore:
            return drawn
        best = max(finished, key=lambda trial: trial.value or 0.0)
        changed = draw("changed key").choice(sorted(space))
        settings = {key: value for key, value in best.settings.items() if value in space[key]}
        return drawn | settings | {changed: drawn[changed]}
