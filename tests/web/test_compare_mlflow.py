"""Runs that plain MLflow code has logged to a real server, compared."""

from __future__ import annotations

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from report_files import report_files

import mmtk
from mmtk.errors import MmtkError

pytestmark = pytest.mark.web


def log_runs(client: MlflowClient, experiment: str) -> dict[str, list[float]]:
    """Two SSL methods with four seeds, a failed run, and one of another data set."""
    rng = np.random.default_rng(4)
    values: dict[str, list[float]] = {}
    for ssl, gain in (("none", 0.0), ("mixmatch", 0.05)):
        for seed in range(4):
            run = client.create_run(experiment, run_name=f"{ssl}-{seed}", tags={"team": "a"})
            auroc = 0.8 + gain + float(rng.normal(0, 0.004))
            for key, value in {"ssl": ssl, "seed": seed, "data": "chex"}.items():
                client.log_param(run.info.run_id, key, value)
            client.log_metric(run.info.run_id, "auroc", auroc - 0.1, step=0)
            client.log_metric(run.info.run_id, "auroc", auroc, step=1)
            client.log_metric(run.info.run_id, "cls_loss", 1 - auroc, step=1)
            client.log_metric(run.info.run_id, "dice", auroc - 0.02, step=1)
            client.set_terminated(run.info.run_id)
            values.setdefault(ssl, []).append(auroc)
    other = client.create_run(experiment, run_name="other")
    for key, value in {"ssl": "none", "seed": 0, "data": "nihx"}.items():
        client.log_param(other.info.run_id, key, value)
    client.log_metric(other.info.run_id, "auroc", 0.5)
    client.set_terminated(other.info.run_id)
    parent = client.create_run(experiment, run_name="study", tags={"mmtk.kind": "study"})
    client.log_batch(parent.info.run_id, [Metric("effect/ssl", 0.01, 0, 0)], [Param("data", "chex")])
    client.set_terminated(parent.info.run_id)
    failed = client.create_run(experiment, run_name="failed")
    client.log_param(failed.info.run_id, "data", "chex")
    client.set_terminated(failed.info.run_id, status="FAILED")
    return values


def second_experiment(client: MlflowClient) -> str:
    """Two more seeds of both methods in another experiment; the source that reads it."""
    experiment = client.create_experiment("more-films")
    for ssl, seed in (("none", 8), ("none", 9), ("mixmatch", 8), ("mixmatch", 9)):
        run = client.create_run(experiment, tags={"team": "a"}).info.run_id
        params = [Param("ssl", ssl), Param("seed", str(seed))]
        client.log_batch(run, [Metric("auroc", 0.8 + seed / 1000, 0, 0)], params)
        client.set_terminated(run)
    return "mlflow:more-films"


def test_runs_of_a_server_by_params(server, tmp_path) -> None:
    mlflow.set_tracking_uri(server.uri)
    client = MlflowClient()
    values = log_runs(client, client.create_experiment("films"))
    source = "mlflow:films?params.data = 'chex'"
    comparison = mmtk.compare(source, tmp_path / "report", by=["params.ssl"], system="mixmatch")
    frame = comparison.frame().set_index(["system", "metric", "seed"])["value"]
    for ssl, expected in values.items():
        assert frame[ssl, "auroc"].sort_index().to_list() == pytest.approx(expected)
    assert comparison.study.declared["classification"]["cls_loss"].better == "lower"
    verdicts = comparison.verdicts()[["difference", "score", "verdict"]].to_numpy().tolist()
    assert verdicts == [["mixmatch − none", f"{score} test", "helps"] for score in ("AUROC", "Dice")]
    assert "tasks: auroc, cls_loss (classification); dice (segmentation)" in comparison.mapping
    page = (tmp_path / "report/index.html").read_text()
    assert "1 run unfinished or without metrics: left out" in page
    assert "1 parent run of others: left out" in page
    assert "nothing can be said of new patients" in page
    files = report_files(tmp_path / "report")
    mmtk.compare(tmp_path / "report/compare.toml").report()
    assert report_files(tmp_path / "report") == files
    several = mmtk.compare([source, second_experiment(client)], by=["params.ssl", "tags.team"], seed="params.seed")
    assert {cell.name: sorted(cell.runs) for cell in several.study.cells} == {
        "none a": [0, 1, 2, 3, 8, 9],
        "mixmatch a": [0, 1, 2, 3, 8, 9],
    }
    with pytest.raises(MmtkError, match="are both system 'none', seed 0"):
        mmtk.compare("mlflow:films", by=["params.ssl"])
    with pytest.raises(MmtkError, match="what names a system") as error:
        mmtk.compare(source)
    assert "params.ssl" in str(error.value.hint)
    with pytest.raises(MmtkError, match=r"no such experiment\. There are .*films"):
        mmtk.compare("mlflow:film", by=["params.ssl"])
    with pytest.raises(MmtkError, match="no metric iou"):
        mmtk.compare(source, by=["params.ssl"], metrics=["iou"])
