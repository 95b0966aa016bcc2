"""Progress of a run by its log: steps, their time, and the time left, read incrementally."""

from __future__ import annotations

import json
import math
from functools import cached_property

from mmtk.errors import MmtkError
from mmtk.io.files import read_json
from mmtk.recipe.recipe import Recipe
from mmtk.runs.folder import RunDir
from mmtk.tasks import TASKS


class Progress:
    """Steps and seconds of an unfinished run; each reading continues where the last one ended."""

    def __init__(self, folder: RunDir, recipe: Recipe) -> None:
        self._folder, self._recipe = folder, recipe
        self._forget()

    def _forget(self) -> None:
        self._end = 0
        self.step, self.seconds = 0, 0.0
        self._first: tuple[int, float] | None = None
        self._last = 0.0

    def read(self) -> None:
        """Read the rows that were written since; none where there is no log yet."""
        try:
            with open(self._folder.timing_file, "rb") as log:
                if log.seek(0, 2) < self._end:  # a run that goes on drops the steps after its checkpoint
                    self._forget()
                log.seek(self._end)
                text = log.read()
        except OSError:
            return
        whole = text[: text.rfind(b"\n") + 1]  # a row may be half written
        self._end += len(whole)
        for line in whole.splitlines():
            row = json.loads(line)
            self.step, self._last = row["step"], row["time"]
            self.seconds += row["seconds"]
            self._first = self._first or (self.step, self._last)

    @cached_property
    def _known_total(self) -> int:
        recipe = self._recipe
        if steps := recipe.train.steps:
            return int(steps)
        if not (images := recipe.train.epoch_images):
            parts = read_json(self._folder.splits_file)
            part = next(parts[task] for task in TASKS if task in parts)
            images = len({*part["labelled"], *part["unlabelled"]})
        return math.ceil(images / recipe.train.batch) * int(recipe.train.epochs)

    @property
    def total(self) -> int:
        """The steps of the whole run; 0 where its recipe counts epochs and its data are not read yet."""
        try:
            return self._known_total
        except MmtkError:
            return 0

    @property
    def left(self) -> float | None:
        """Seconds of the steps and validations to come, at the pace of those before; None if not known."""
        if self._first is None or self.step <= self._first[0] or not self.total:
            return None
        pace = (self._last - self._first[1]) / (self.step - self._first[0])
        return pace * (self.total - self.step)

    @property
    def steps(self) -> str:
        """Steps done of all, as ``20/60``."""
        return f"{self.step}/{self.total}" if self.total else str(self.step)
