"""The MLflow mirror of a study: one parent run, and a child for every run; the study's process alone writes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmtk.errors import MmtkError
from mmtk.io import status_line
from mmtk.recipe import tables
from mmtk.recipe.toml import leaves
from mmtk.report.analysis import Analysis
from mmtk.report.answer import summary_lines
from mmtk.report.claims import claims
from mmtk.runs.score_names import read_declarations
from mmtk.scores import Scores, leading
from mmtk.study.folder import PlannedRun, StudyDir
from mmtk.tasks import DOMAINS, TASKS
from mmtk.tracking import client as mlflow_client
from mmtk.tracking import payload
from mmtk.tracking.metric_names import allowed_name
from mmtk.tracking.run import Mirror, experiment_name, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient


def _member(about: dict[str, Any]) -> str:
    """The tag of all runs of a study."""
    return f"mmtk.study.{about['digest']}"


class StudyMirror:
    """Sends a study and its finished runs to MLflow; a failure is told once by ``warn`` and stops nothing.

    With ``aside``, finished runs are sent by a thread, and no run waits for them. That is for runs that are
    processes of their own: a process that trains or forks itself has no thread beside.
    """

    def __init__(self, study: StudyDir, warn: Callable[[str], None], aside: bool = False) -> None:
        self.study, self.warn, self.uri = study, warn, tracking_uri()
        self._thread = ThreadPoolExecutor(1, "mlflow") if aside else None
        self.page = ""  # how to see the study on MLflow's page, once it has been sent
        self._parent = ""
        self._unsent: PlannedRun | None = None  # a run whose sending has begun
        self._sent: set[Path] = set()  # folders of runs that later rounds of the study come across again
        self._down = False

    def run(self, run: PlannedRun) -> None:
        """Send a finished run as a child of the study; trials of tuning, which have no results, stay here."""
        if run.cell.folder or not run.recipe.tracking.enabled or run.folder.path in self._sent:
            return
        self._sent.add(run.folder.path)
        if self._thread is None:
            self._unsent = run
            self._try(lambda: self._send(run))
            self._unsent = None
        else:
            self._thread.submit(self._try, lambda: self._send(run))

    def study_itself(self, stopped: bool = False) -> None:
        """Send the study's own files, its plan and its failures; ``stopped``: before all had run.

        A run whose sending was interrupted is sent first: MLflow would show it as running for ever.
        """
        status_line.stage("sending to MLflow")
        if self._thread is not None:  # its runs come first
            self._thread.shutdown()
            self._thread = None
        if self._unsent is not None:
            self._sent.discard(self._unsent.folder.path)
            self.run(self._unsent)
        if self._parent:
            self._try(lambda: self._send_files(stopped))

    def report(self, analysis: Analysis) -> None:
        """Send what the study found: the summary as the description of its run, effects as metrics."""
        if self._parent:
            self._try(lambda: self._send_effects(analysis))

    def _try(self, send: Callable[[], Any]) -> None:
        if self._down:
            return
        try:
            with mlflow_client.calm():
                mlflow_client.send_again(send)
        # MLflow, SQLAlchemy, requests and the disk fail in their own ways, and none of them may end a study.
        except Exception as error:
            self._down = True
            if not isinstance(error, MmtkError):
                error = mlflow_client.failure(self.uri, error)
            what = MmtkError(error.message, error.where)
            self.warn(f"{what} The study goes on; continuing it later sends what is missing.")

    def _send(self, run: PlannedRun) -> None:
        if not self._parent:
            self._parent = self._make_parent(run)
        about = self.study.about
        tags = {"mlflow.parentRunId": self._parent, "mmtk.study": about["title"], "mmtk.cell": run.cell.title}
        tags[_member(about)] = about["title"]
        tags |= {allowed_name(f"mmtk.axis.{key}"): label or "own" for key, label in run.cell.levels.items()}
        tags |= {f"mmtk.labels.{task}": str(label) for task, label in run.cell.labels.items()}
        # Two studies that share a run may come to it at the same time.
        Mirror(run.folder, tags=tags, wait=True).sync()

    def _make_parent(self, first: PlannedRun) -> str:
        experiment = experiment_name(first.recipe)
        about = self.study.about
        client = mlflow_client.open_client(self.uri)
        experiment_id = mlflow_client.experiment(client, self.uri, experiment)
        self._share_view(client, experiment_id, read_declarations(first.folder, {}))
        name = f"{about['digest']} {self.study.path.absolute().name} {about['created']}"
        key = hashlib.sha256(name.encode()).hexdigest()[:32]
        runs = client.search_runs([experiment_id], f"tags.`mmtk.key` = '{key}'", max_results=1)
        if runs:
            client.update_run(runs[0].info.run_id, "RUNNING")
            return str(runs[0].info.run_id)
        tags = {
            "mmtk.key": key,
            "mmtk.study": about["title"],
            "mmtk.kind": "study",
            "mmtk.digest": about["digest"],
            "mlflow.user": payload.user(),
            "mlflow.source.type": "LOCAL",
            "mlflow.source.name": about["command"] or "mmtk ablate",
        }
        run = client.create_run(experiment_id, round(1000 * time.time()), tags, about["title"])
        facts = {"design": about["design"], "seeds": about["seeds"], "command": about["command"]}
        facts |= {f"axis.{key}": "+".join(levels) for key, levels in about["axes"].items()}
        for name, value in facts.items():
            client.log_param(run.info.run_id, allowed_name(name), str(value)[: payload.LONGEST_PARAM])
        return str(run.info.run_id)

    def _share_view(self, client: MlflowClient, experiment_id: str, declared: Mapping[str, Scores]) -> None:
        """Give MLflow's page a shared view: the study's runs by components, budgets and leading scores.

        experiment_id: the experiment of the runs
        declared: the scores of the first finished run, by task
        """
        plan, about = self.study.plan(), self.study.about
        values = [dict(leaves(cell.recipe.values)) for cell in plan.cells]
        parts = [f"{key}.use" if key in tables.PLACES else key for key in plan.axes]
        parts += [key for key in values[0] if key.endswith(".use") and len({str(v.get(key)) for v in values}) > 1]
        tasks = [task for task in TASKS if any(task in cell.recipe.tasks for cell in plan.cells)]
        leads = {task: leading(scores) for task, scores in declared.items() if task in tasks and scores}
        scores = [f"metrics.`{domain}/{task}/{name}`" for domain in DOMAINS for task, name in leads.items()]
        state = {
            "searchFilter": f"tags.`{_member(about)}` != ''",
            "orderByKey": scores[0],
            "orderByAsc": declared[tasks[0]][leads[tasks[0]]].better == "lower",
            "selectedColumns": [
                *(f"params.`{part}`" for part in dict.fromkeys(parts)),
                *(f"tags.`mmtk.labels.{task}`" for task in tasks),
                "params.`seed`",
                *scores,
            ],
        }
        key = f"mmtk-{about['digest']}"
        client.set_experiment_tag(experiment_id, f"mlflow.sharedViewState.{key}", json.dumps(state))
        server = self.uri.startswith("http")
        address = (
            f"{self.uri.rstrip('/') if server else 'http://127.0.0.1:5000'}/#/experiments/{experiment_id}/runs"
        )
        how = "" if server else f"{mlflow_client.page_command(self.uri)}, then "
        self.page = mlflow_client.masked(f"{how}{address}?viewStateShareKey={key}")

    def _send_effects(self, analysis: Analysis) -> None:
        client = mlflow_client.open_client(self.uri)
        text = "\n".join(summary_lines(analysis))
        client.set_tag(self._parent, "mlflow.note.content", f"```\n{text}\n```"[: payload.LONGEST_TAG])
        metrics = client.get_run(self._parent).data.metrics
        effects = {f"effect/{claim.what}/{claim.where}": claim.value for claim in claims(analysis)}
        new_metrics = payload.metrics(effects, 0, round(1000 * time.time()))
        if new := [metric for metric in new_metrics if metrics.get(metric.key) != metric.value]:
            client.log_batch(self._parent, new, synchronous=True)

    def _send_files(self, stopped: bool) -> None:
        client = mlflow_client.open_client(self.uri)
        paths: list[Path] = [self.study.file, self.study.failures_file]
        for path in filter(Path.is_file, paths):
            client.log_artifact(self._parent, str(path))
        complete = all(run.folder.finished for run in self.study.runs())
        client.set_terminated(self._parent, "FINISHED" if complete else "KILLED" if stopped else "FAILED")
