"""A whole run: folder, data, training, evaluation, pictures, tracking."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mmtk.data import sources
from mmtk.data.dataset import Data, prepare
from mmtk.errors import MmtkError
from mmtk.io import distributed, status_line
from mmtk.io.files import read_json, write_json
from mmtk.io.outputs import refuse_inside
from mmtk.model import weight_files
from mmtk.model.device import choose_device, choose_precision, deterministic_kernels, explained
from mmtk.model.evaluate import evaluate, fill, write_cases
from mmtk.model.examples import describe, write_samples
from mmtk.model.layers import write_layers
from mmtk.model.sketch import sketch_network
from mmtk.recipe.recipe import Recipe
from mmtk.registry import local_file
from mmtk.report.run import draw_run
from mmtk.runs.display import Display, duration
from mmtk.runs.folder import RunDir
from mmtk.runs.provenance import check_versions, component_versions, note_continuation, write_provenance
from mmtk.runs.result import Result
from mmtk.runs.score_names import current
from mmtk.training.trainer import Interrupted, Training


def run(
    recipe: Recipe,
    out: str | Path | None = None,
    *,
    data: str | Path | None = None,
    device: str = "auto",
    devices: int | None = None,
    deterministic: bool = False,
    quiet: bool = True,
) -> Result:
    """Train, evaluate and draw a recipe in the folder ``out`` (default ``runs/NAME-DIGEST-sSEED``).

    Continues what lies unfinished there, and returns at once what is finished. ``data`` is the folder of the
    data sets (default: the environment variable MMTK_DATA). ``devices`` processes divide every batch; started by
    torchrun, as many as it started. ``deterministic`` refuses GPU kernels whose sums differ from call to call; a
    run that was begun with it goes on with it. Raises MmtkError; RunFailed where training fails.
    """
    display = Display(quiet)
    device = choose_device(device)
    precision = choose_precision(recipe.train.precision, device)
    recipe = recipe.with_values({"train.precision": precision})
    devices = distributed.check(devices, device, recipe.train.batch)
    folder = RunDir(Path(out) if out is not None else Path("runs") / recipe.run_name)
    if not folder.recipe_file.is_file():
        refuse_inside(folder.path, sources.data_paths(recipe, sources.data_root(data)))
    rank, world = distributed.place()
    if devices > world:
        if not folder.finished:
            distributed.check_batch_norm(sketch_network(recipe), device)
        return _divided(recipe, folder, data, device, devices, deterministic, display)
    with distributed.joined(device):
        if rank:
            return _help(recipe, folder, data, device, deterministic)
        return _run(recipe, folder, data, device, deterministic, display)


def _divided(
    recipe: Recipe,
    folder: RunDir,
    data: str | Path | None,
    device: str,
    devices: int,
    deterministic: bool,
    display: Display,
) -> Result:
    """Start ``devices`` ranks of this run and wait for them."""
    with folder.locked():
        folder.claim(recipe)
        if folder.finished:
            return _reuse(folder, recipe, data_root(data, folder), display)
    argv = [sys.executable, "-m", "mmtk", "run", str(folder.path), "--device", device]
    argv += ["--data", str(data)] if data is not None else []
    argv += ["--code", str(code.path)] if (code := local_file.used_by([recipe])) else []
    argv += ["--deterministic"] if deterministic else []
    argv += ["--json"] if display.console.quiet else []
    status_line.end()  # rank 0 writes to the terminal
    distributed.launch(argv, devices, folder.path)
    return Result(folder.path, current(read_json(folder.results_file)))


def _help(recipe: Recipe, folder: RunDir, data: str | Path | None, device: str, deterministic: bool) -> Result:
    """The part of every rank but the first: it reads what rank 0 made, and trains."""
    distributed.barrier()
    if not folder.finished:
        with _kernels(folder, deterministic):
            with distributed.first_alone():
                run_data = prepare(recipe, data_root(data, folder))
            Training(recipe, run_data, folder, device, Display(quiet=True)).fit()
            distributed.barrier()
    return Result(folder.path, current(read_json(folder.results_file)))


def _run(
    recipe: Recipe, folder: RunDir, data: str | Path | None, device: str, deterministic: bool, display: Display
) -> Result:
    """The run itself, in the one process that writes."""
    with folder.locked(), _failure_noted(folder):
        folder.claim(recipe)
        check_versions(folder, recipe)
        root = data_root(data, folder)
        distributed.barrier()
        if folder.finished:
            return _reuse(folder, recipe, root, display)
        with _kernels(folder, deterministic) as deterministic:
            return _train(folder, recipe, root, device, deterministic, display)


@contextmanager
def _kernels(folder: RunDir, deterministic: bool) -> Iterator[bool]:
    """Deterministic kernels where they are asked for or the run was begun with them; gives whether they are."""
    deterministic = deterministic or _begun_deterministic(folder)
    with deterministic_kernels(deterministic), explained(folder.path):
        yield deterministic


def _train(
    folder: RunDir, recipe: Recipe, root: Path | None, device: str, deterministic: bool, display: Display
) -> Result:
    """Train and finish a run in its folder, which is locked and claimed."""
    start = time.time()
    with distributed.first_alone():
        run_data = prepare(recipe, root, display.reading)
        write_provenance(folder, recipe, run_data, root, device, deterministic)
        write_json(folder.splits_file, run_data.splits())
    for note in run_data.notes:
        display.warn(note)
    where = f"{device} × {world}" if (world := distributed.place()[1]) > 1 else device
    display.note(
        f"{recipe.name} on {recipe.profile or 'its own data'}: {folder.path}  "
        f"({where}, {recipe['train.precision']})"
    )
    display.stage("building the network")
    training = Training(recipe, run_data, folder, device, display)
    if training.done:
        display.note(f"Continuing after step {training.done} of {training.total}.")
        note_continuation(folder, recipe, training.done, display.warn)
    mirror = _mirror(folder, recipe, display)
    try:
        training.fit(mirror)
        results = _finish(folder, recipe, run_data, training, display, start)
        distributed.barrier()
    except BaseException as error:
        if isinstance(error, OSError):
            error.filename = error.filename or str(folder.path)
        mirror("KILLED" if isinstance(error, Interrupted | KeyboardInterrupt) else "FAILED")
        raise
    finally:
        training.close()
        display.close()
    mirror()
    display.note(f"Finished in {duration(time.time() - start)}, {duration(training.seconds)} of them training.")
    return Result(folder.path, results)


@contextmanager
def _failure_noted(folder: RunDir) -> Iterator[None]:
    """Leave the reason in the folder if the run fails, for a study that does not wait for it (``--detach``)."""
    folder.failure_file.unlink(missing_ok=True)
    try:
        yield
    except Interrupted:
        raise
    except MmtkError as error:
        with suppress(OSError):  # what failed may be the disk
            write_json(folder.failure_file, {"reason": str(error)})
        raise


def data_root(data: str | Path | None, folder: RunDir) -> Path | None:
    """The data folder: as asked for, else where this run found it before."""
    root = sources.data_root(data)
    if root is None and folder.provenance_file.is_file():
        recorded_root = folder.provenance.get("data_root")
        return Path(recorded_root) if recorded_root else None
    return root


def _begun_deterministic(folder: RunDir) -> bool:
    return folder.provenance_file.is_file() and bool(folder.provenance.get("deterministic"))


def _reuse(folder: RunDir, recipe: Recipe, root: Path | None, display: Display) -> Result:
    """The results of a finished run, if its component versions still agree."""
    before, now = folder.provenance["components"], component_versions(recipe)
    if before != now:
        changed = ", ".join(f"{k}: {before.get(k)} then, {v} now" for k, v in now.items() if before.get(k) != v)
        raise MmtkError(
            f"this finished run was made with other versions ({changed}).",
            str(folder.path),
            "Choose another --out to run it again.",
        )
    results = current(read_json(folder.results_file))
    display.note(f"{folder.path} is finished; nothing to do.")
    display.results(results, recipe.name)
    return Result(folder.path, results)


def _mirror(folder: RunDir, recipe: Recipe, display: Display) -> Callable[..., object]:
    """A function that sends what is new, and how the run ended, to MLflow; it warns instead of failing."""
    if not recipe.tracking.enabled:
        return lambda status="": None
    from mmtk.tracking.run import Mirror

    return Mirror(folder, display.warn).sync


def _finish(
    folder: RunDir, recipe: Recipe, data: Data, training: Training, display: Display, start: float
) -> dict[str, Any]:
    """Score the best weights on every test set, write results and pictures, and mark the run as done."""
    net, device = training.judged.float(), training.fabric.device
    weight_files.load_weights(net, folder.best)
    display.close()
    display.stage("scoring")
    validation = {test.task: fill(net, recipe, test, device) for test in data.validation()}
    scores = evaluate(net, recipe, data.tests(), validation, device)
    results: dict[str, Any] = {
        **scores.results,
        "selected": {"step": training.best_step, "score": training.best_score, "steps": training.total},
        "warnings": [*data.notes, *training.warnings],
    }
    write_cases(folder.cases_file, scores)
    write_json(folder.results_file, results)
    write_json(folder.data_file, describe(data))
    write_samples(folder.samples_file, recipe, net, data, device)
    write_layers(folder.layers_file, recipe, net, device)
    draw_run(folder.figures, recipe, net, data.tests(), data.targets, scores, device, folder.metrics_file)
    seconds = {"training_seconds": round(training.seconds, 3), "seconds": round(time.time() - start, 3)}
    folder.finish({"steps": training.total, **seconds})
    display.results(results, recipe.name)
    return results
