"""The training loop: every step a pure function of (state, seed, step)."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mmtk.api import StepContext, Term
from mmtk.data.batches import BatchLoader
from mmtk.data.dataset import Data
from mmtk.errors import MmtkError, RunFailed
from mmtk.io import distributed
from mmtk.io.files import lines_end
from mmtk.model import build, checkpoint
from mmtk.model.evaluate import compute, fill
from mmtk.model.network import MultiTaskNet
from mmtk.recipe import tables
from mmtk.recipe.recipe import Recipe
from mmtk.registry import factory
from mmtk.runs.display import Display
from mmtk.runs.folder import Log, RunDir
from mmtk.runs.pace import Pace
from mmtk.tasks import TASK_OF_STRATEGY, TASKS
from mmtk.training import strategies
from mmtk.training.dead_terms import Alarm
from mmtk.training.fabric import Shown, make_fabric
from mmtk.training.objective import Objective, Step

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
SELECT = tables.SELECT


class Interrupted(MmtkError):
    """The run was told to stop; its checkpoint is written. Exit code 130 (Ctrl-C) or 143 (SIGTERM)."""

    def __init__(self, message: str, code: int, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = code


class NotFinite(RunFailed):
    """The loss of a step is NaN or infinite."""


def epoch_steps(recipe: Recipe, data: Data) -> int:
    """⌈images / batch⌉, with the images of the classification training part unless the profile says more."""
    part = next(data.parts[task] for task in TASKS if task in data.parts)
    images = recipe.train.epoch_images or len({*part.labelled, *part.unlabelled})
    return math.ceil(images / recipe.train.batch)


def rate(recipe: Recipe, step: int, total: int) -> float:
    """The learning rate of a step; schedules stretch with the number of steps."""
    progress = step / total
    factor = 1.0
    if recipe.train.schedule == "cosine":
        factor = 0.5 * (1 + math.cos(math.pi * progress))
    elif recipe.train.schedule == "step":
        # The tiny term keeps a boundary such as 8/24 · 3 on the right side of rounding.
        passed = math.floor(progress * recipe.train.epochs / recipe.train.decay_every + 1e-9)
        factor = recipe.train.decay**passed
    if step < recipe.train.warmup * total:
        factor *= (step + 1) / (recipe.train.warmup * total)
    learning_rate: float = recipe.train.lr * factor
    return learning_rate


def make_optimizer(recipe: Recipe, objective: nn.Module) -> Optimizer:
    """The recipe's optimiser over every trained parameter, strategies' own networks included."""
    keys: dict[str, Any] = {"lr": recipe.train.lr, "weight_decay": recipe.train.weight_decay, "fused": True}
    if recipe.train.optimizer == "sgd":
        keys |= {"momentum": 0.9, "nesterov": True}
    trained = [p for p in objective.parameters() if p.requires_grad]
    return OPTIMIZERS[recipe.train.optimizer](trained, **keys)


class Training:
    """A run's live state: objective, optimiser, averaged weights, logs, and the step it has reached."""

    def __init__(self, recipe: Recipe, data: Data, folder: RunDir, device: str, display: Display) -> None:
        self.recipe, self.data, self.folder, self.display = recipe, data, folder, display
        self.rank, self.world = distributed.place()
        self.fabric = make_fabric(device, recipe.train.precision)
        self.net = build.network(recipe, data.targets)
        objective = Objective(self.net, self._strategy("ssl"), self._strategy("consistency"))
        distributed.share_batch_norm(objective, device)
        self.objective: Objective = objective.to(self.fabric.device)
        self.optimizer = make_optimizer(recipe, self.objective)
        self.forward, self._stepper = self.fabric.setup(Shown(self.objective), self.optimizer)
        self.epoch = epoch_steps(recipe, data)
        self.streams = self._streams()
        self.ema = None
        if recipe.train.ema:
            self.ema = AveragedModel(self.net, multi_avg_fn=self._average, use_buffers=True)
        self.total: int = recipe.train.steps or self.epoch * recipe.train.epochs
        self.interval: int = min(self.total, recipe.train.validate_every or self.epoch)
        self.done, self.best_score, self.best_step = 0, -math.inf, 0
        self.warnings: list[str] = []
        self.alarm = Alarm() if recipe.train.alarm else None
        self.pace = Pace()
        self.asked: int | None = None  # the signal that this rank got
        self.stop: int | None = None  # the one that all ranks know of
        with distributed.first_alone():
            note = self._load()
        self._restore(note)
        self.seconds = 0.0
        if self.rank == 0:
            self._open_logs(note)

    # --- set-up ----------------------------------------------------------------------------------------------

    def _open_logs(self, note: dict[str, Any]) -> None:
        folder = self.folder
        self.metrics_log = Log(folder.metrics_file, note.get("metrics_bytes", 0))
        rows = self.metrics_log.rows()
        self.timing_log = Log(folder.timing_file, lines_end(folder.timing_file, len(rows)))
        pairs = zip(rows, self.timing_log.rows(), strict=False)
        self.seconds = sum(time["seconds"] for row, time in pairs if "train/loss" in row)

    def _strategy(self, kind: str) -> Any:
        task = TASK_OF_STRATEGY[kind].name
        if task not in self.recipe.tasks:
            return None
        weights = None if TASKS[task].has_masks else self._class_weights(task)
        unlabelled = len(self.data.parts[task].unlabelled)
        return strategies.strategy(self.recipe, kind, self.net, self.data.targets, unlabelled, weights)

    def _class_weights(self, task: str) -> Tensor | None:
        if self.recipe.train.balance != "weight":
            return None
        store, part = self.data.stores[task], self.data.parts[task]
        labels = torch.from_numpy(store.targets[part.labelled])
        counts = torch.bincount(labels, minlength=len(store.labels.names)).clamp_min(1)
        return (len(labels) / (len(counts) * counts)).float().to(self.fabric.device)

    def _streams(self) -> BatchLoader:
        strategies = self.objective.strategies
        views = {task: factory.views(strategies[task]) for task in self.recipe.tasks}
        needs = {
            task: bool(views[task]) or bool(getattr(strategies[task], "unlabelled_stream", False))
            for task in self.recipe.tasks
        }
        return BatchLoader(self.recipe, self.data.stores, self.data.parts, views, needs, self.epoch)

    def _modules(self) -> dict[str, nn.Module]:
        modules: dict[str, nn.Module] = {"": self.objective}
        return modules | ({"ema.": self.ema} if self.ema is not None else {})

    def _load(self) -> dict[str, Any]:
        """The note of the last checkpoint that is whole, its state restored; empty where there is none yet."""
        paths = [path for path in (self.folder.last, self.folder.previous) if path.is_file()]
        for path in paths:
            try:
                note = checkpoint.load(path, self._modules(), self.optimizer)
            except MmtkError as error:
                if path is paths[-1]:
                    raise
                self.display.warn(f"{error.where} {error.message} Going on from the checkpoint before it.")
                path.unlink()  # or it would take the place of the good one when the next is written
            else:
                return note
        return {}

    def _restore(self, note: dict[str, Any]) -> None:
        self.done = note.get("step", 0)
        self.best_score, self.best_step = note.get("best_score", -math.inf), note.get("best_step", 0)
        self.warnings = note.get("warnings", [])

    @property
    def judged(self) -> MultiTaskNet:
        """The network that is evaluated: the averaged one where the recipe asks for it."""
        return cast(MultiTaskNet, self.ema.module) if self.ema is not None else self.net

    # --- the loop --------------------------------------------------------------------------------------------

    def fit(self, after_validation: Callable[[], object] = lambda: None) -> None:
        """Train to the last step, with validation and checkpoints on the way; raises Interrupted when told to."""
        with self._signals():
            self.display.stage("training, first step")
            self.objective.train()
            while self.done < self.total:
                self._step(self.done)
                # Rank 0 judges and writes; the others wait for it in the next step.
                if self.rank == 0 and (self.done % self.interval == 0 or self.done == self.total):
                    self._validate()
                    self.display.stage("sending to MLflow")
                    after_validation()
                if self.stop is not None:
                    distributed.first_speaks()
                    self.save()
                    raise Interrupted(
                        f"stopped after step {self.done} of {self.total}; the checkpoint is written.",
                        128 + self.stop,
                        f"Continue with: {self.folder.command('run')}",
                    )

    def close(self) -> None:
        """Close the logs."""
        if self.rank:
            return
        self.metrics_log.close()
        self.timing_log.close()

    def _step(self, index: int) -> None:
        start = time.perf_counter()
        step = self.train_step(index)
        seconds = time.perf_counter() - start
        self.seconds += seconds
        row = {"step": self.done, "epoch": index // self.epoch + 1, "train/loss": float(step.loss)}
        logged_terms = {name: term for name, term in step.terms.items() if term.weight or float(term.active)}
        row |= {f"train/{name}": float(term.value) for name, term in logged_terms.items()}
        row["train/lr"] = rate(self.recipe, index, self.total)
        if self.rank == 0:
            self._log(row, seconds)
            self.display.step(row, self.done, self.total)
        for sentence in self.alarm.verdict(index, self.total) if self.alarm is not None else []:
            self.warnings.append(sentence)
            if self.rank == 0:
                self.display.warn(sentence)
        if self.rank == 0 and (sentence := self.pace.verdict(seconds, torch.get_num_threads())):
            self.display.warn(sentence)

    def train_step(self, index: int) -> Step:
        """One update of every weight: batch, objective, gradient, optimiser, averaged copies.

        Gives the step with the values of the whole batch, on the CPU: read once, when all work of the step is on
        its way, so that a GPU never waits for the CPU in between.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.recipe, index, self.total)
        now = StepContext(self.recipe.seed, index, self.total, self.rank, self.world)
        _, step = self.forward(self.streams.batch(now, self.fabric.device))
        if self.alarm is not None:
            self.alarm.look(index, step)
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(step.loss)
        if clip := self.recipe.train.clip:
            nn.utils.clip_grad_norm_(self.objective.parameters(), clip)
        self._stepper.step()
        self.done = index + 1
        self._after_step()
        mean_step = self._read(step)
        self._refuse_nan(index, mean_step)
        return mean_step

    def _read(self, step: Step) -> Step:
        """The loss and the terms as means over the ranks; a rank that was told to stop stops all in this step."""
        terms, device = step.terms.items(), step.loss.device
        scalars = {"loss": step.loss} | {name: term.value for name, term in terms}
        scalars |= {f"active {name}": torch.as_tensor(term.active) for name, term in terms}
        values = torch.stack(
            [scalar.detach().to(device, torch.float64, non_blocking=True) for scalar in scalars.values()]
        )
        rank_values = distributed.share((dict(zip(scalars, values.tolist(), strict=True)), self.asked))
        if self.world > 1:  # of several ranks none may leave alone
            self.stop = max((stop for _, stop in rank_values if stop is not None), default=None)

        def mean(name: str) -> Tensor:
            numbers = [values[name] for values, _ in rank_values if name in values]
            return torch.tensor(sum(numbers) / len(numbers), dtype=torch.float64)

        means = {name: Term(mean(name), term.weight, mean(f"active {name}")) for name, term in terms}
        return Step(mean("loss"), means, [])

    def _after_step(self) -> None:
        for module in self.objective.modules():
            if isinstance(module, strategies.TwinNet):
                module.update(self.done)
        if self.ema is not None:
            self.ema.update_parameters(self.net)

    def _average(self, averaged: Any, current: Any, number: Any) -> None:
        # The mean of all steps at first: with the decay alone, a thousand steps would remember the random start.
        decay = self.recipe.train.ema or 0.0
        get_ema_multi_avg_fn(min(1 - 1 / self.done, decay))(averaged, current, number)

    def _log(self, row: dict[str, Any], seconds: float) -> None:
        self.metrics_log.write(row)
        self.timing_log.write({"step": self.done, "time": time.time(), "seconds": round(seconds, 6)})

    def _refuse_nan(self, index: int, step: Step) -> None:
        if math.isfinite(float(step.loss)):
            return
        distributed.first_speaks()
        bad = [name for name, term in step.terms.items() if not math.isfinite(float(term.value))]
        ids = "; ".join(f"{task}: {', '.join(names)}" for task, names in self.streams.ids(index).items())
        raise NotFinite(
            f"the loss is not finite in step {index + 1}: {', '.join(bad) or 'the weighted total'}. "
            f"Labelled images of this step: {ids}.",
            str(self.folder.path),
            'Lower train.lr, set train.clip, or use train.precision = "fp32"; the last checkpoint is kept.',
        )

    def _validate(self) -> None:
        start = time.perf_counter()
        rounds = [math.ceil(steps / self.interval) for steps in (self.done, self.total)]
        self.display.stage(f"validating {rounds[0]}/{rounds[1]}")
        row: dict[str, Any] = {"step": self.done, "epoch": (self.done - 1) // self.epoch + 1}
        selection_scores = []
        for test in self.data.validation():
            with self.fabric.autocast():
                scores = compute(test.task, fill(self.judged, self.recipe, test, self.fabric.device))
            row |= {f"val/{test.task}/{name}": value for name, value in scores.items()}
            selection_scores.append(scores[SELECT[test.task]])
        row["val/score"] = sum(selection_scores) / len(selection_scores)
        improved = row["val/score"] > self.best_score
        if improved:
            self.best_score, self.best_step = row["val/score"], self.done
        self._log(row, time.perf_counter() - start)
        if improved:
            note = {"step": self.done, "score": self.best_score}
            checkpoint.save(self.folder.best, {"net.": self.judged}, None, note)
        self.save()
        self.display.validation(row, improved, [SELECT[test.task] for test in self.data.validation()])

    def save(self) -> None:
        """Write ``last``: all that the next step depends on, and how long the log is; the one before is kept."""
        note = {
            "step": self.done,
            "best_score": self.best_score,
            "best_step": self.best_step,
            "warnings": self.warnings,
            "metrics_bytes": self.metrics_log.size,
        }
        if not math.isfinite(self.best_score):
            del note["best_score"]
        if self.folder.last.is_file():
            self.folder.last.replace(self.folder.previous)
        checkpoint.save(self.folder.last, self._modules(), self.optimizer, note)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM end the run after the step that is under way; a second one ends it at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: FrameType | None) -> None:
            if self.stop is not None and self.world == 1:
                raise KeyboardInterrupt
            self.asked = number
            if self.world == 1:
                self.stop = number
            if self.rank == 0:
                self.display.note("Stopping after this step …")

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
