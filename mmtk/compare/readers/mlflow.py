"""Runs that any program has logged to MLflow: metrics by name, systems and replicates by params or tags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmtk.compare.records import TEST_SET, Records, empty_cases
from mmtk.compare.request import Request
from mmtk.compare.score_names import score_name
from mmtk.compare.score_tasks import task_lines, tasks_of
from mmtk.counts import counted
from mmtk.errors import MmtkError, listing

ADDRESS = "mlflow:"
MOST = 50_000  # runs of a search
CURE = f"Sources: {ADDRESS}EXPERIMENT, or {ADDRESS}EXPERIMENT?FILTER; the server is that of MLFLOW_TRACKING_URI."


def read_mlflow(request: Request) -> tuple[Records, list[str]]:
    """Records of logged runs, and how they were read in words."""
    from pandas import DataFrame

    logged = [run for source in request.sources for run in _search(source)]
    runs = _without_parents(logged)
    done = [run for run in runs if run.info.status == "FINISHED" and run.data.metrics]
    if not done:
        raise MmtkError("no finished run has metrics.", ", ".join(request.sources), CURE)
    by = list(request.by)
    if not by:
        names = [f"params.{key}" for key in _varying(done)]
        keys = listing([name for name in names if name != (request.seed or "params.seed")]) or "none"
        raise MmtkError("what names a system?", hint=f"--by KEY; params that differ between the runs: {keys}.")
    seed = request.seed or ("params.seed" if all("seed" in run.data.params for run in done) else "")
    if not seed:
        raise MmtkError("what names the replicate?", hint="--seed KEY, such as --seed params.seed.")
    metrics = _metrics(done, request.metrics)
    tasks = tasks_of(metrics)
    rows: list[dict[str, object]] = []
    twice: dict[tuple[str, str], str] = {}
    for run in done:
        system = " ".join(_value(run, key) for key in by)
        replicate = _value(run, seed)
        if (other := twice.setdefault((system, replicate), run.info.run_name)) != run.info.run_name:
            message = f"runs {other} and {run.info.run_name} are both system '{system}', seed {replicate}."
            raise MmtkError(message, hint="Say what tells them apart: --by KEY,KEY.")
        key = {"system": system, "seed": replicate, "domain": TEST_SET}
        rows += [
            {**key, "task": tasks[name], "metric": score_name(name), "value": float(run.data.metrics[name])}
            for name in metrics
            if name in run.data.metrics
        ]
    notes = ["MLflow holds one number for each run: nothing can be said of new patients, nor of single cases"]
    partial = [name for run in done for name in run.data.metrics if name not in metrics]
    if partial and not request.metrics:
        notes.append(f"metrics that some run lacks are left out: {listing(dict.fromkeys(partial), 8)}")
    if parents := len(logged) - len(runs):
        notes.append(f"{counted(parents, 'parent run')} of others: left out")
    if len(done) < len(runs):
        notes.append(f"{counted(len(runs) - len(done), 'run')} unfinished or without metrics: left out")
    lines = [f"system = {', '.join(by)}", f"seed = {seed}", f"scores: {listing(metrics, 12)}"]
    return Records(empty_cases(), DataFrame(rows), notes=notes), [*lines, *task_lines(tasks)]


def _without_parents(runs: Sequence[Any]) -> list[Any]:
    """Runs without those that gather others, as the run of a study does."""
    parents = {run.data.tags.get("mlflow.parentRunId") for run in runs}
    return [run for run in runs if run.info.run_id not in parents and run.data.tags.get("mmtk.kind") != "study"]


def _search(source: str) -> list[Any]:
    """Runs of an experiment that fit the filter behind the question mark."""
    import mlflow
    from mlflow.exceptions import MlflowException

    name, _, query = source.removeprefix(ADDRESS).partition("?")
    client = mlflow.MlflowClient()
    try:
        experiment = client.get_experiment_by_name(name) or (
            client.get_experiment(name) if name.isdigit() else None
        )
        if experiment is None:
            names = [one.name for one in client.search_experiments()]
            raise MmtkError(f"no such experiment. There are {listing(names, 12)}.", source, CURE)
        order = ["start_time"]
        return list(client.search_runs([experiment.experiment_id], query, order_by=order, max_results=MOST))
    except MlflowException as error:
        raise MmtkError(f"MLflow says: {str(error).splitlines()[0]}", source, CURE) from error


def _value(run: Any, key: str) -> str:
    """Value of ``params.KEY`` or ``tags.KEY`` of a run; without a prefix of either."""
    kind, dot, name = key.partition(".")
    tables = {"params": run.data.params, "tags": run.data.tags}
    table, bare = (tables[kind], name) if dot and kind in tables else ({**run.data.tags, **run.data.params}, key)
    if bare not in table:
        known_names = [f"params.{one}" for one in run.data.params]
        raise MmtkError(f"run {run.info.run_name} has no {key}.", hint=f"It has {listing(known_names, 12)}.")
    return str(table[bare])


def _varying(runs: Sequence[Any]) -> list[str]:
    """Params that differ between the runs."""
    names = dict.fromkeys(name for run in runs for name in run.data.params)
    return [name for name in names if len({run.data.params.get(name) for run in runs}) > 1]


def _metrics(runs: Sequence[Any], metrics: Sequence[str]) -> list[str]:
    """Names of the metrics to read: those that the user names, else all that every run has."""
    present = dict.fromkeys(name for run in runs for name in run.data.metrics)
    if missing := [name for name in metrics if name not in present]:
        raise MmtkError(f"--metric: no metric {listing(missing)}.", hint=f"There are {listing(present, 12)}.")
    shared = [name for name in present if all(name in run.data.metrics for run in runs)]
    if not metrics and not shared:
        raise MmtkError(
            "no metric is in all runs.", hint=f"Name some: --metric NAME. There are {listing(present, 12)}."
        )
    return list(metrics) or shared
