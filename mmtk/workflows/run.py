"""A whole run: folder, data, training, evaluation, pictures, tracking."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmtk.data import locations
from mmtk.data.dataset import Data, prepare
from mmtk.data.start_overlap import start_facts
from mmtk.errors import NotFinite
from mmtk.io import distributed, status_line
from mmtk.io.end_signals import ended_by_signals
from mmtk.io.files import read_json, write_json
from mmtk.io.memory import peak_memory
from mmtk.io.outputs import refuse_inside
from mmtk.model import weight_files
from mmtk.model.device import deterministic_kernels, readable_errors
from mmtk.model.device_choice import choose_device, choose_precision
from mmtk.model.evaluate import add_builtin_metrics, calibration_metrics, evaluate, write_cases
from mmtk.model.examples import describe, write_ranked, write_samples
from mmtk.model.layers import write_layers
from mmtk.model.sketch import sketch_network
from mmtk.recipe.recipe import Recipe, need_recipe
from mmtk.registry import local_file
from mmtk.report.matching import write_matched
from mmtk.report.run import draw_run
from mmtk.runs.display import Display, duration
from mmtk.runs.failures import failure_noted
from mmtk.runs.folder import RunDir
from mmtk.runs.provenance import add_facts, check_versions, note_continuation, write_provenance
from mmtk.runs.result import Result
from mmtk.runs.score_names import current, read_declarations, write_declarations
from mmtk.runs.versions import expected_versions, listed, version_changes
from mmtk.tasks import DOMAINS
from mmtk.training.groups import group_facts, sentence
from mmtk.training.trainer import Interrupted, Trainer, make_trainer
from mmtk.workflows.signals import stopped_by_signals


def run(
    recipe: Recipe,
    out: str | Path | None = None,
    *,
    data: str | Path | None = None,
    device: str = "auto",
    devices: int | None = None,
    deterministic: bool = False,
    pictures: bool = True,
    quiet: bool = True,
) -> Result:
    """Train, evaluate and draw a recipe; continue an unfinished run in ``out``, return a finished one.

    recipe: what ``mmtk.load_recipe`` gives
    out: the run directory (default ``runs/NAME-DIGEST-sSEED``)
    data: the folder of the data sets (default: the environment variable MMTK_DATA)
    device: auto, cpu or cuda
    devices: processes that divide every batch; started by torchrun, as many as it started
    deterministic: refuse GPU kernels whose sums differ from call to call; a run begun so goes on so
    pictures: draw the pictures of the run; ``mmtk.report(RUN)`` draws them later, too
    quiet: print nothing

    Raises MmtkError; RunFailed where training fails.
    """
    recipe = need_recipe(recipe, "run")
    display = Display(quiet)
    device = choose_device(device)
    precision = choose_precision(recipe.train.precision, device)
    recipe = recipe.with_values({"train.precision": precision})
    devices = distributed.check(devices, device, recipe.train.batch)
    folder = RunDir(Path(out) if out is not None else Path("runs") / recipe.run_name)
    if not folder.recipe_file.is_file():
        refuse_inside(folder.path, locations.data_paths(recipe, locations.data_root(data)))
    request = RunRequest(recipe, folder, data, device, deterministic, pictures, display)
    rank, world = distributed.rank_and_world_size()
    if devices > world:
        if not folder.finished:
            distributed.check_batch_norm(sketch_network(recipe), device)
        return _spawn(request, devices)
    with distributed.process_group(device):
        return _worker(request) if rank else _main(request)


@dataclass(frozen=True)
class RunRequest:
    """Request of one run: recipe, folder, data, device, kernels and pictures."""

    recipe: Recipe
    folder: RunDir
    data: str | Path | None
    device: str
    deterministic: bool
    pictures: bool
    display: Display

    @property
    def root(self) -> Path | None:
        """Data folder: as requested, else the one that this run used before."""
        return data_root(self.data, self.folder)

    def result(self) -> Result:
        """The result in the folder."""
        return Result(self.folder.path, current(read_json(self.folder.results_file)))


def _spawn(request: RunRequest, devices: int) -> Result:
    """Start ``devices`` ranks of this run and wait for them."""
    folder, recipe = request.folder, request.recipe
    with folder.locked():
        folder.claim(recipe)
        if folder.finished:
            return _reuse(request)
    argv = [sys.executable, "-m", "mmtk", "run", str(folder.path), "--device", request.device]
    argv += ["--data", str(request.data)] if request.data is not None else []
    argv += ["--code", str(code.path)] if (code := local_file.used_by([recipe])) else []
    argv += ["--deterministic"] if request.deterministic else []
    argv += [] if request.pictures else ["--no-pictures"]
    argv += ["--json"] if request.display.console.quiet else []
    status_line.end()  # rank 0 writes to the terminal
    distributed.launch(argv, devices, folder.path)
    return request.result()


def _worker(request: RunRequest) -> Result:
    """Load the data that rank 0 prepared, then train; for every rank but the first."""
    distributed.barrier()
    if not request.folder.finished:
        with _kernels(request):
            with distributed.rank_zero_first():
                run_data = prepare(request.recipe, request.root)
            trainer = make_trainer(request.recipe, run_data, request.folder, request.device, Display(quiet=True))
            with stopped_by_signals(trainer):
                trainer.fit()
            distributed.barrier()
    return request.result()


def _main(request: RunRequest) -> Result:
    """Run in the process that writes."""
    folder = request.folder
    with folder.locked(), failure_noted(folder, request.recipe, Interrupted), ended_by_signals():
        folder.claim(request.recipe)
        check_versions(folder, request.recipe)
        distributed.barrier()
        if folder.finished:
            return _reuse(request)
        with _kernels(request) as deterministic:
            return _train(request, deterministic)


@contextmanager
def _kernels(request: RunRequest) -> Iterator[bool]:
    """Set deterministic kernels if requested or if the run began with them; yield whether they are set."""
    folder = request.folder
    begun_so = folder.provenance_file.is_file() and bool(folder.provenance.get("deterministic"))
    deterministic = request.deterministic or begun_so
    with deterministic_kernels(deterministic), readable_errors(folder.path):
        yield deterministic


def _train(request: RunRequest, deterministic: bool) -> Result:
    """Train and finish a run in its locked and claimed folder; ``deterministic``: kind of kernels."""
    recipe, folder, device, display = request.recipe, request.folder, request.device, request.display
    start = time.time()
    run_data = _prepared(request, deterministic)
    where = f"{device} × {world}" if (world := distributed.rank_and_world_size()[1]) > 1 else device
    display.note(
        f"{recipe.name} on {recipe.profile or 'its own data'}: {folder.path}  "
        f"({where}, {recipe['train.precision']})"
    )
    display.stage("building the network")
    training = make_trainer(recipe, run_data, folder, device, display)
    if training.steps_done:
        display.note(f"Continuing after step {training.steps_done} of {training.total}.")
        note_continuation(folder, recipe, training.steps_done, display.warn)
    elif training.rank == 0:
        _note_start(folder, training, display)
    mirror = _mirror(folder, recipe, display)
    try:
        diverged = _fit(training, mirror)
        if recipe.evaluate.test:
            results = _finish(request, run_data, training, start)
        else:
            results = _finish_trial(request, training, start, diverged)
        distributed.barrier()
    except BaseException as error:
        if isinstance(error, OSError):
            error.filename = error.filename or str(folder.path)
        mirror("KILLED" if isinstance(error, Interrupted | KeyboardInterrupt | SystemExit) else "FAILED")
        raise
    finally:
        training.close()
        display.close()
    mirror()
    whole = duration(_seconds(training, start)["seconds"])
    display.note(f"Finished in {whole}, {duration(training.seconds)} of them training.")
    return Result(folder.path, results)


def _prepared(request: RunRequest, deterministic: bool) -> Data:
    """Data of the run, with its provenance and splits written, and what it starts from looked at for leaks."""
    recipe, folder, root = request.recipe, request.folder, request.root
    with distributed.rank_zero_first():
        run_data = prepare(recipe, root, request.display.reading)
        start_weights = start_facts(recipe, run_data)
        write_provenance(folder, recipe, run_data, root, request.device, deterministic)
        write_json(folder.splits_file, run_data.splits())
        if start_weights:
            add_facts(folder, {"start": start_weights})
    for note in run_data.notes:
        request.display.warn(note)
    return run_data


def _note_start(folder: RunDir, training: Trainer, display: Display) -> None:
    """Print and keep in the provenance what a run starts from, and the groups that it trains."""
    if start_weights := training.net.encoder_start:
        display.note(start_weights.sentence)
        add_facts(folder, {"encoder_weights": start_weights.facts})
    if training.recipe.get("train.groups"):
        facts = group_facts(training.optimizer, training.objective)
        display.note(sentence(facts))
        add_facts(folder, {"groups": facts})


def data_root(data: str | Path | None, folder: RunDir) -> Path | None:
    """Data folder: as requested, else the one that this run used before."""
    root = locations.data_root(data)
    if root is None and folder.provenance_file.is_file():
        recorded_root = folder.provenance.get("data_root")
        return Path(recorded_root) if recorded_root else None
    return root


def _reuse(request: RunRequest) -> Result:
    """The results of a finished run, with a warning where it was made by other versions than those of here."""
    folder, recipe = request.folder, request.recipe
    before = {"mmtk": folder.provenance["mmtk"], **folder.provenance["components"]}
    if changed := version_changes(before, expected_versions(recipe)):
        versions = listed(changed, "then", "now")
        request.display.warn(
            f"{folder.path} was made with other versions ({versions}). To run it again, choose another --out."
        )
    result = request.result()
    request.display.note(f"{folder.path} is finished; nothing to do.")
    request.display.results(result.scores, recipe, read_declarations(folder, folder.provenance))
    return result


def _mirror(folder: RunDir, recipe: Recipe, display: Display) -> Callable[..., object]:
    """Make a function that sends new values, and the end of the run, to MLflow; it warns instead of failing."""
    if not recipe.tracking.enabled:
        return lambda status="": None
    from mmtk.tracking.run import Mirror

    return Mirror(folder, display.warn).sync


def _fit(training: Trainer, mirror: Callable[..., object]) -> str:
    """Train to the last step; "", or why it diverged, which is an error in a run that scores test sets."""
    try:
        with stopped_by_signals(training):
            training.fit(mirror)
    except NotFinite as error:
        if training.recipe.evaluate.test:
            raise
        return error.message
    return ""


def _seconds(training: Trainer, start: float) -> dict[str, float]:
    """Return seconds of training, and of the run from ``start`` on with the training before a stop."""
    whole = time.time() - start + training.seconds_before
    return {"training_seconds": round(training.seconds, 3), "seconds": round(whole, 3)}


def _finish_trial(request: RunRequest, training: Trainer, start: float, diverged: str) -> dict[str, Any]:
    """Write the validation score of a run that scores no test set, and mark it as done; its weights go.

    request: of the run, with its training
    training: after its last step
    start: the time at which the run began, in seconds
    diverged: why it ended before; such a run has no score
    """
    folder = request.folder
    selected = {
        "step": training.best_step,
        "score": None if diverged else training.best_score,
        "steps": training.total,
    }
    warnings = [*training.data.notes, *training.warnings, *filter(None, [diverged])]
    results = {**{domain: {} for domain in DOMAINS}, "selected": selected, "warnings": warnings}
    write_json(folder.results_file, results)
    folder.finish({"steps": training.steps_done, **_seconds(training, start)})
    end = f"Diverged, so it has no score: {diverged}" if diverged else f"Validation {training.best_score:.3f}."
    request.display.note(f"{end} No test set is scored (evaluate.test = false).")
    return results


def _finish(request: RunRequest, data: Data, training: Trainer, start: float) -> dict[str, Any]:
    """Score the best weights on every test set, write results, draw what was asked for, and mark the run as done.

    data, training: of this run, trained; ``start``: the time at which the run began, in seconds
    """
    folder, recipe, display = request.folder, request.recipe, request.display
    net, device = training.eval_net.float(), training.device
    memory = peak_memory(device.type)  # of training: what scoring takes is no price of a component
    weight_files.load_weights(net, folder.best)
    display.close()
    display.stage("scoring")
    validation = calibration_metrics(net, recipe, data.validation(), device)
    scores = evaluate(net, recipe, data.tests(), validation, device)
    results: dict[str, Any] = {
        **scores.results,
        "selected": {"step": training.best_step, "score": training.best_score, "steps": training.total},
        "warnings": [*data.notes, *training.warnings],
    }
    add_builtin_metrics(scores, net, recipe, data.tests(), device)
    write_cases(folder.cases_file, scores)
    write_json(folder.results_file, results)
    write_declarations(folder, scores.declared)
    write_json(folder.data_file, describe(data))
    write_samples(folder.samples_file, recipe, net, data.tests(), device)
    write_ranked(folder.ranked_file, recipe, net, data.tests(), folder.cases_file, device)
    write_layers(folder.layers_file, recipe, net, device)
    if request.pictures:
        draw_run(folder, recipe, folder.provenance["targets"])
    times = _seconds(training, start)
    folder.finish({"steps": training.total, **times, "peak_memory_gb": memory and round(memory, 4)})
    display.results(results, recipe, scores.declared)
    write_matched(folder.cases_file, recipe.data.match, display.note)
    return results
