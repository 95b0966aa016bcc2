"""The MLflow mirror of a run directory: what the folder has and MLflow has not is sent, nothing twice."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mmtk.counts import counted
from mmtk.errors import MmtkError
from mmtk.io import status_line
from mmtk.io.files import holder, read_json, write_json
from mmtk.recipe.recipe import Recipe
from mmtk.runs.folder import LOCK, RunDir
from mmtk.runs.score_names import read_declarations
from mmtk.tracking import client, payload

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

T = TypeVar("T")

MOST_ITEMS = 100  # MLflow's limit on parameters or tags in one call
PAUSE = 60.0  # seconds without a new attempt after a failed one


def tracking_uri() -> str:
    """``MLFLOW_TRACKING_URI``, else ``sqlite:///mlflow.db`` in the current folder.

    A new experiment of an SQLite store keeps its artifacts in the folder ``mlruns`` beside the database.
    """
    return os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"


def experiment_name(recipe: Recipe) -> str:
    """``MLFLOW_EXPERIMENT_NAME``, else what the recipe says."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or str(recipe.tracking.experiment)


class Mirror:
    """One run directory's run in MLflow; ``tracking.json`` remembers which one.

    With ``warn``, as during a run, a failure is told once and tried again later; without, it is an MmtkError.
    While another process sends the same run, it is refused, or waits with ``wait``.
    """

    def __init__(
        self,
        folder: RunDir,
        warn: Callable[[str], None] | None = None,
        tags: Mapping[str, str] | None = None,
        wait: bool = False,
    ) -> None:
        self.folder, self.warn, self.uri = folder, warn, tracking_uri()
        self.tags = dict(tags or {})  # further ones, such as the study that the run belongs to
        self._wait, self._status = wait, ""
        self.shown = client.masked(self.uri)
        self._note: dict[str, Any] = {}
        self._reached: dict[str, int] | None = None
        self._warned, self._next_try = False, 0.0

    def sync(self, status: str = "") -> str:
        """Send what is new and say what it was; an empty string after a failure with ``warn``.

        ``status`` (KILLED or FAILED) is how the run that calls this ended. Else a run that is not finished is
        RUNNING with ``warn`` or while a process holds its folder; what was left is FAILED or KILLED.
        """
        self._status = status
        if status and not self.folder.tracking_file.is_file():  # MLflow has not heard of it
            return ""
        if not self._wait:  # else it is a study that sends, and shows its own stages
            status_line.stage("sending to MLflow")
        if self.warn is None:
            return self._sync()
        start = time.monotonic()
        if start < self._next_try and not self.folder.finished:
            return ""
        try:
            return self._sync()
        except MmtkError as error:
            now = time.monotonic()
            self._next_try = now + max(PAUSE, 10 * (now - start))
            if not self._warned:
                self._warned = True
                what = MmtkError(error.message, error.where)
                cure = f"\n  {error.hint}" if error.hint and "Try again" not in error.hint else ""
                again = f"send it later with: {self.folder.command('track')}"
                self.warn(f"{what} The run goes on; {again}{cure}")
            return ""

    def _sync(self) -> str:
        if re.fullmatch(r"[\w.-]+:\d+(/.*)?", self.uri):
            raise MmtkError(
                f"MLFLOW_TRACKING_URI: '{self.shown}' lacks its scheme.", hint=f"Write http://{self.shown}"
            )
        try:
            recipe, provenance = self.folder.recipe, self.folder.provenance
            with client.locked(self.folder.recipe_file, self._wait), client.calm():
                return client.send_again(lambda: self._send(recipe, provenance))
        except MmtkError:
            raise
        # MLflow, SQLAlchemy, requests and the disk fail in their own ways, and none of them may end a run.
        except Exception as error:
            raise client.failure(self.uri, error, f"Try again: {self.folder.command('track')}") from error

    def _send(self, recipe: Recipe, provenance: dict[str, Any]) -> str:
        finished = self.folder.finished  # asked before the rows are read: then they are all there
        rows = payload.rows(self.folder)
        if finished and not rows:
            cure = "Restore the original, or remove done.json and run it again."
            raise MmtkError("metrics.jsonl or timing.jsonl is empty or gone.", str(self.folder.path), cure)
        run = self._run(recipe, provenance)
        self._describe(run, recipe, provenance)
        counts = {"metric row": self._send_rows(run, rows)}
        if finished:
            results = read_json(self.folder.results_file)
            last, at = rows[-1]
            counts["result"] = self._send_results(run, results, last["step"], at)
        counts["file"] = self._send_files(run)
        model = self._send_model(run, provenance, results, last["step"], at) if finished else ""
        self._set_status(run, "FINISHED" if finished else self._state(), rows[-1][1] if rows else None)
        parts = [counted(number, what) for what, number in counts.items() if number] + [model] * bool(model)
        summary = ", ".join(parts) or "nothing new"
        return f"{summary} to {self.shown}, run {run.info.run_id}"

    def _state(self) -> str:
        """State of an unfinished run, in MLflow's words."""
        if self._status:
            return self._status
        if self.warn is not None or holder(self.folder.path, LOCK):
            return "RUNNING"
        return "FAILED" if self.folder.failure_file.is_file() else "KILLED"

    def _set_status(self, run: Run, status: str, at: int | None) -> None:
        if status == run.info.status:
            return
        if status == "RUNNING":
            self._client.update_run(run.info.run_id, status)
        else:
            self._client.set_terminated(run.info.run_id, status, at)

    # --- the run in MLflow ---------------------------------------------------------------------------------

    @cached_property
    def _client(self) -> MlflowClient:
        return client.open_client(self.uri)

    def _remember(self, **changes: Any) -> None:
        self._note = self._note | changes
        write_json(self.folder.tracking_file, self._note)

    def _run(self, recipe: Recipe, provenance: dict[str, Any]) -> Run:
        """The run that tracking.json names, else the one with this folder's key, else a new one."""
        from mlflow.exceptions import MlflowException

        note = read_json(self.folder.tracking_file) if self.folder.tracking_file.is_file() else {}
        if note.get("uri") == self.shown:
            try:
                run = self._client.get_run(note["run_id"])
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
            else:
                if run.info.lifecycle_stage == "active":
                    self._note = note
                    return run
        experiment = client.experiment(self._client, self.uri, experiment_name(recipe))
        key = payload.run_key(self.folder, recipe, provenance)
        runs = self._client.search_runs([experiment], f"tags.`mmtk.key` = '{key}'", max_results=1)
        run = runs[0] if runs else self._create(experiment, key, recipe, provenance)
        self._note, self._reached = {}, None
        ids = {"uri": self.shown, "experiment_id": experiment, "run_id": run.info.run_id}
        self._remember(**ids, rows_sent=0, files={}, model_id="")
        return run

    def _create(self, experiment: str, key: str, recipe: Recipe, provenance: dict[str, Any]) -> Run:
        started = round(1000 * datetime.fromisoformat(provenance["started"]).timestamp())
        name = f"{recipe.name}-{recipe.digest}-s{recipe.seed}"
        return self._client.create_run(experiment, started, {"mmtk.key": key}, name)

    # --- what is sent --------------------------------------------------------------------------------------

    def _describe(self, run: Run, recipe: Recipe, provenance: dict[str, Any]) -> None:
        """Parameters, tags and data sets that the run has not yet."""
        from mlflow.entities import Param, RunTag

        run_id, data = run.info.run_id, run.data
        params = [Param(k, v) for k, v in payload.params(recipe).items() if k not in data.params]
        for some in _chunks(params):
            self._client.log_batch(run_id, params=some, synchronous=True)
        # A run that studies share stays the child of the first, and is marked as a member of all.
        further = {key: value for key, value in self.tags.items() if key not in data.tags}
        results = read_json(self.folder.results_file) if self.folder.finished else {}
        run_tags = payload.tags(recipe, provenance, results, read_declarations(self.folder, provenance)) | further
        tags = [RunTag(k, v) for k, v in run_tags.items() if data.tags.get(k) != v]
        for few in _chunks(tags):
            self._client.log_batch(run_id, tags=few, synchronous=True)
        dataset_names = (
            {dataset_input.dataset.name for dataset_input in run.inputs.dataset_inputs} if run.inputs else set()
        )
        dataset_input = payload.data_sets(self.folder, recipe, provenance)
        if new := [one for one in dataset_input if one.dataset.name not in dataset_names]:
            self._client.log_inputs(run_id, new)

    def _send_rows(self, run: Run, rows: list[payload.Row]) -> int:
        """Rows of steps that MLflow has not reached: steps done again after a resume are the same."""
        run_id = run.info.run_id
        if len(rows) <= self._note["rows_sent"]:
            return 0
        if self._reached is None:
            self._reached = {
                mark: max((point.step for point in self._client.get_metric_history(run_id, mark)), default=0)
                for mark in (payload.TRAIN, payload.VAL)
            }
        new = [(row, at) for row, at in rows if row["step"] > self._reached[payload.mark(row)]]
        for batch in payload.batches(new):
            self._client.log_batch(run_id, batch, synchronous=True)
        self._reached |= {payload.mark(row): row["step"] for row, _ in new}
        self._remember(rows_sent=len(rows))
        return len(new)

    def _send_results(self, run: Run, results: dict[str, Any], step: int, at: int) -> int:
        """The final scores, at the last step; the counts behind them as a table."""
        metrics = payload.metrics(payload.scores(results), step, at)
        if payload.COUNTS not in self._note["files"]:
            self._client.log_text(run.info.run_id, payload.counts(results), payload.COUNTS)
            self._remember(files=self._note["files"] | {payload.COUNTS: ""})
        new = [metric for metric in metrics if run.data.metrics.get(metric.key) != metric.value]
        for few in _chunks(new):
            self._client.log_batch(run.info.run_id, few, synchronous=True)
        return len(new)

    def _send_files(self, run: Run) -> int:
        uploaded_files, new = self._note["files"], {}
        for path in payload.files(self.folder):
            name = path.relative_to(self.folder.path)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if uploaded_files.get(str(name)) != digest:
                inside = None if name.parent == Path() else str(name.parent)
                self._client.log_artifact(run.info.run_id, str(path), inside)
                new[str(name)] = digest
        if new:
            self._remember(files=uploaded_files | new)
        return len(new)

    def _send_model(
        self, run: Run, provenance: dict[str, Any], results: dict[str, Any], step: int, at: int
    ) -> str:
        """Log the best weights once, as the model called ``model``, with the scores by which models are ranked."""
        from mlflow.entities import LoggedModelOutput
        from mlflow.models import Model

        if self._note["model_id"]:
            return ""
        run_id, experiment = run.info.run_id, run.info.experiment_id
        models = self._client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
        model = models[0] if models else self._client.create_logged_model(experiment, "model", run_id)
        if model.status != "READY":
            with tempfile.TemporaryDirectory() as temporary:
                path = Path(temporary, "model")
                model_id = model.model_id
                head = Model(model.artifact_location, run_id, model_uuid=model_id, model_id=model_id)
                payload.save_model(self.folder, provenance, path, head)
                self._client.log_model_artifacts(model.model_id, str(path))
            model_ids = {one.model_id for one in run.outputs.model_outputs} if run.outputs else set()
            if model.model_id not in model_ids:
                self._client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
            # The run has these points already, and MLflow keeps one of two that are equal.
            for few in _chunks(payload.metrics(payload.scores(results), step, at, model.model_id)):
                self._client.log_batch(run_id, few, synchronous=True)
            self._client.finalize_logged_model(model.model_id, "READY")
        self._remember(model_id=model.model_id)
        return "the model"


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), MOST_ITEMS):
        yield items[start : start + MOST_ITEMS]
