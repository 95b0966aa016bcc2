"""The training loop: every step a pure function of (state, seed, step)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mmtk.api import StepContext
from mmtk.data.dataset import Data
from mmtk.errors import MmtkError
from mmtk.io import distributed
from mmtk.model import checkpoint
from mmtk.model.device import in_precision
from mmtk.model.evaluate import compute, fill, selection_score
from mmtk.model.network import MultiTaskNet
from mmtk.recipe.recipe import Recipe
from mmtk.registry.declared import declared_scores
from mmtk.runs.display import Display
from mmtk.runs.folder import RunDir
from mmtk.runs.pace import Pace
from mmtk.training import strategies
from mmtk.training.assembly import Assembly, assemble
from mmtk.training.dead_terms import Alarm, not_finite
from mmtk.training.objective import Step, mean_over_ranks
from mmtk.training.record import Logs, load_newest, save_newest
from mmtk.training.schedule import rate


class Interrupted(MmtkError):
    """A signal stopped the run after its checkpoint was written. Exit code 130 (Ctrl-C), 143 or 129."""

    def __init__(self, message: str, code: int, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = code


class Trainer:
    """State of a run: trained weights, averaged weights, logs, and number of finished steps."""

    def __init__(self, recipe: Recipe, data: Data, assembly: Assembly, folder: RunDir, display: Display) -> None:
        self.recipe, self.data, self.folder, self.display = recipe, data, folder, display
        self.rank, self.world = distributed.rank_and_world_size()
        self.net, self.objective, self.forward = assembly.net, assembly.objective, assembly.forward
        self.optimizer, self.freezing, self.loader = assembly.optimizer, assembly.freezing, assembly.loader
        self.epoch, self.device = assembly.epoch, assembly.device
        self.ema = None
        if recipe.train.ema:
            self.ema = AveragedModel(self.net, multi_avg_fn=self._average, use_buffers=True)
        self.total: int = recipe.train.steps or self.epoch * recipe.train.epochs
        self.interval: int = min(self.total, recipe.train.validate_every or self.epoch)
        self.steps_done, self.best_score, self.best_step = 0, -math.inf, 0
        self.warnings: list[str] = []
        self.alarm = Alarm() if recipe.train.alarm else None
        self.pace = Pace()
        self.signal: int | None = None  # the signal that this rank got
        self.stop: int | None = None  # the one that all ranks know of
        with distributed.rank_zero_first():
            note = load_newest(folder, self._modules(), self.optimizer, display.warn)
        self._restore(note)
        self.seconds = 0.0
        if self.rank == 0:
            self.logs = Logs(folder, note.get("metrics_bytes", 0))
            self.seconds = self.logs.training_seconds
        self.seconds_before = self.seconds  # of what was trained before a pause

    def _modules(self) -> dict[str, nn.Module]:
        modules: dict[str, nn.Module] = {"": self.objective}
        return modules | ({"ema.": self.ema} if self.ema is not None else {})

    def _restore(self, note: dict[str, Any]) -> None:
        self.steps_done = note.get("step", 0)
        self.best_score, self.best_step = note.get("best_score", -math.inf), note.get("best_step", 0)
        self.warnings = note.get("warnings", [])

    @property
    def eval_net(self) -> MultiTaskNet:
        """The network that is evaluated: the averaged one where the recipe asks for it."""
        return cast(MultiTaskNet, self.ema.module) if self.ema is not None else self.net

    # --- the loop --------------------------------------------------------------------------------------------

    def fit(self, after_validation: Callable[[], object] = lambda: None) -> None:
        """Train to the last step, with validation and checkpoints on the way; raises Interrupted when told to."""
        self.display.stage("training, first step")
        self.objective.train()
        while self.steps_done < self.total:
            self._step(self.steps_done)
            # Rank 0 validates and writes; the others wait for it in the next step.
            if self.rank == 0 and (self.steps_done % self.interval == 0 or self.steps_done == self.total):
                self._validate()
                self.display.stage("sending to MLflow")
                after_validation()
            if self.stop is not None:
                distributed.rank_zero_reports()
                self.save()
                raise Interrupted(
                    f"stopped after step {self.steps_done} of {self.total}; the checkpoint is written.",
                    128 + self.stop,
                    f"Continue with: {self.folder.command('run')}",
                )

    def request_stop(self, number: int) -> None:
        """Stop after the current step; ``number``: of the signal.

        Of several ranks none may leave alone: they agree in the step.
        """
        self.signal = number
        if self.world == 1:
            self.stop = number

    def close(self) -> None:
        """Close the logs."""
        if self.rank == 0:
            self.logs.close()

    def _step(self, index: int) -> None:
        start = time.perf_counter()
        step = self.train_step(index)
        seconds = time.perf_counter() - start
        self.seconds += seconds
        row = {"step": self.steps_done, "epoch": index // self.epoch + 1, "train/loss": float(step.loss)}
        logged_terms = {name: term for name, term in step.terms.items() if term.weight or float(term.active)}
        row |= {f"train/{name}": float(term.value) for name, term in logged_terms.items()}
        row["train/lr"] = rate(self.recipe, index, self.total)
        if self.rank == 0:
            self.logs.write(row, seconds)
            self.display.step(row, self.steps_done, self.total)
        for sentence in self.alarm.verdict(index, self.total) if self.alarm is not None else []:
            self.warnings.append(sentence)
            if self.rank == 0:
                self.display.warn(sentence)
        if self.rank == 0 and (sentence := self.pace.verdict(seconds, torch.get_num_threads())):
            self.display.warn(sentence)

    def train_step(self, index: int) -> Step:
        """Update every weight once: batch, objective, gradient, optimiser, averaged copies.

        Gives the step with the values of the whole batch, on the CPU: read once, when all work of the step is on
        its way, so that a GPU never waits for the CPU in between.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.recipe, index, self.total) * group["lr_factor"]
        self.freezing.set_modes(index)
        now = StepContext(self.recipe.seed, index, self.total, self.rank, self.world)
        step = self.forward(self.loader.batch(now, self.device))
        if self.alarm is not None:
            self.alarm.look(index, step)
        self.optimizer.zero_grad(set_to_none=True)
        step.loss.backward()
        self.freezing.drop_gradients(index)
        if clip := self.recipe.train.clip:
            nn.utils.clip_grad_norm_(self.objective.parameters(), clip)
        self.optimizer.step()
        self.steps_done = index + 1
        self._after_step()
        mean, signals = mean_over_ranks(step, self.signal)
        if self.world > 1:
            self.stop = max((number for number in signals if number is not None), default=None)
        if not math.isfinite(float(mean.loss)):
            distributed.rank_zero_reports()
            ids = self.loader.ids(index)
            raise not_finite(mean, index, ids, self.folder.path, self.recipe.values["train"])
        return mean

    def _after_step(self) -> None:
        for module in self.objective.modules():
            if isinstance(module, strategies.TwinNet):
                module.update(self.steps_done)
        if self.ema is not None:
            self.ema.update_parameters(self.net)

    def _average(self, averaged: Any, current: Any, number: Any) -> None:
        # The mean of all steps at first: with the decay alone, a thousand steps would remember the random start.
        decay = self.recipe.train.ema or 0.0
        get_ema_multi_avg_fn(min(1 - 1 / self.steps_done, decay))(averaged, current, number)

    def _validate(self) -> None:
        start = time.perf_counter()
        rounds = [math.ceil(steps / self.interval) for steps in (self.steps_done, self.total)]
        self.display.stage(f"validating {rounds[0]}/{rounds[1]}")
        row: dict[str, Any] = {"step": self.steps_done, "epoch": (self.steps_done - 1) // self.epoch + 1}
        selection_scores = []
        declared = {}
        for test in self.data.validation():
            with in_precision(self.recipe.train.precision, self.device):
                metrics = fill(self.eval_net, self.recipe, test, self.device)
            scores = compute(test.task, metrics)
            row |= {f"val/{test.task}/{name}": value for name, value in scores.items()}
            declared[test.task] = declared_scores(test.task, metrics, test.store.labels)
            selection_scores.append(selection_score(test.task, scores, declared[test.task]))
        row["val/score"] = sum(selection_scores) / len(selection_scores)
        improved = row["val/score"] > self.best_score
        if improved:
            self.best_score, self.best_step = row["val/score"], self.steps_done
        self.logs.write(row, time.perf_counter() - start)
        if improved:
            note = {"step": self.steps_done, "score": self.best_score}
            checkpoint.save(self.folder.best, {"net.": self.eval_net}, None, note)
        self.save()
        self.display.validation(row, improved, declared)

    def save(self) -> None:
        """Write ``last``: the state that the next step depends on, and the length of the log."""
        note = {
            "step": self.steps_done,
            "best_score": self.best_score,
            "best_step": self.best_step,
            "warnings": self.warnings,
            "metrics_bytes": self.logs.size,
        }
        if not math.isfinite(self.best_score):
            del note["best_score"]
        save_newest(self.folder, self._modules(), self.optimizer, note)


def make_trainer(recipe: Recipe, data: Data, folder: RunDir, device: str, display: Display) -> Trainer:
    """Assemble a run, and restore its last checkpoint if there is one.

    recipe: with a precision other than ``auto``
    data: stores and split rows of every task
    folder: run directory, with the folder ``checkpoints``
    device: ``cpu`` or ``cuda``
    display: of the progress
    """
    return Trainer(recipe, data, assemble(recipe, data, device), folder, display)
