"""Cells of a plan: systems at a label budget, their trials, and the same systems with tuned settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mmtk.recipe.recipe import Recipe
from mmtk.tasks import budget


@dataclass(frozen=True)
class PlannedCell:
    """One system at one label budget: its resolved recipe serves every seed.

    beside: the reference of a design that has no such cell
    tune: the table ``[tune]`` of its recipe, while a study is planned
    untuned: of a trial or a tuned system, the recipe with its own settings
    folder: of a trial, where its runs lie in the study; else they lie where all studies keep theirs
    """

    name: str
    levels: Mapping[str, str]
    recipe: Recipe
    reference: bool = False
    beside: bool = False
    tune: Mapping[str, Any] = field(default_factory=dict)
    untuned: Recipe | None = None
    folder: str = ""

    @property
    def labels(self) -> dict[str, int | str]:
        """The label budget of every task that it trains."""
        return {task: self.recipe.task_data(task).labels for task in self.recipe.tasks}

    @property
    def budget(self) -> str:
        """The labels of classes and masks, ``100-10``, or of its one task, ``10 masks``."""
        return budget(self.labels)

    @property
    def title(self) -> str:
        """Name and budget, as ``MultiMix 100-10``."""
        return f"{self.name} {self.budget}"

    @property
    def system(self) -> str:
        """Digest of the system before tuning, without label budgets: settings hardly change how long it takes."""
        return (self.untuned or self.recipe).system_digest

    def trial(self, number: int, settings: Mapping[str, Any]) -> PlannedCell:
        """A trial of tuning: other settings, scored on validation alone."""
        recipe = self.recipe.with_values({**settings, "evaluate.test": False})
        folder = f"tuning/{self.recipe.slug}-{self.recipe.digest}/trial-{number:02}"
        return replace(
            self, name=f"{self.name}, trial {number}", recipe=recipe, untuned=self.recipe, folder=folder
        )

    def tuned(self, settings: Mapping[str, Any]) -> PlannedCell:
        """The same system with the settings that tuning chose."""
        name, recipe = f"{self.name}, tuned", self.recipe.with_values(settings)
        return replace(self, name=name, recipe=recipe, untuned=self.recipe)
