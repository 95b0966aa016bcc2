"""Real runs whose MLflow server dies: they end as if nothing had happened, and nothing is missing later."""

from __future__ import annotations

from pathlib import Path

import pytest
from moments import begin, mmtk, same, sets

from mmtk.io.files import read_json, read_lines
from mmtk.runs.folder import RunDir
from mmtk.tracking import payload

pytestmark = pytest.mark.web
RUN = ["run", "multimix", "--profile", "phantom", *sets(tracking__enabled=True)]


def arrived(folder: RunDir, uri: str) -> None:
    """Everything that stands in the folder stands in MLflow, once."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    run = client.get_run(read_json(folder.tracking_file)["run_id"])
    assert run.info.status == "FINISHED"
    rows = read_lines(folder.metrics_file)
    for key in {key for row in rows for key in row} - {"step", "epoch"}:
        points = client.get_metric_history(run.info.run_id, key)
        wanted = [(row["step"], row[key]) for row in rows if key in row]
        assert sorted((point.step, point.value) for point in points) == wanted, key
    scores = payload.scores(read_json(folder.results_file))
    wanted = {metric.key: metric.value for metric in payload.metrics(scores, 0, 0)}
    assert wanted == {key: run.data.metrics.get(key) for key in wanted}
    assert {key: str(value) for key, value in run.data.params.items()} == payload.params(folder.recipe)
    there = {each.path for each in client.list_artifacts(run.info.run_id)}
    there |= {each.path for each in client.list_artifacts(run.info.run_id, "figures")} - {"figures"}
    assert {str(file.relative_to(folder.path)) for file in payload.files(folder)} <= there
    (model,) = run.outputs.model_outputs
    assert client.get_logged_model(model.model_id).status == "READY"


def test_a_server_that_is_down_at_the_start_or_killed_in_the_middle(server, tmp_path: Path, tried) -> None:
    tried("MLflow server killed in the middle of a run", "the run goes on; nothing missing after mmtk track")
    tried("MLflow server down at the start of a run", "the run goes on; nothing missing after mmtk track")
    alone = mmtk(*RUN, "--set", "tracking.enabled=false", "--no-pictures", "--out", "alone", cwd=tmp_path)
    assert alone.returncode == 0, alone.stderr
    # At the second validation, when the rows up to the first have been sent.
    act = f"os.killpg({server.process.pid}, signal.SIGKILL)"
    child = begin("validation", 3, *RUN, "--out", "killed", cwd=tmp_path, act=act)
    _, said = child.communicate()
    assert child.returncode == 0, said
    server.process.wait()
    half = server.number("metrics")
    down = mmtk(*RUN, "--out", "down", cwd=tmp_path)
    assert down.returncode == 0, down.stderr
    for name, text in (("killed", said), ("down", down.stderr)):
        assert text.count("Warning: ") == 1, text
        assert f"The run goes on; send it later with: mmtk track {name}" in text
        assert "Traceback" not in text
        same(tmp_path / name, tmp_path / "alone")
    assert server.number("runs") == 1
    assert half > 0
    with pytest.raises(AssertionError):
        arrived(RunDir(tmp_path / "killed"), f"sqlite:///{server.folder}/mlflow.db")

    server.start()
    sent = mmtk("track", "killed", "down", cwd=tmp_path)
    assert sent.returncode == 0, sent.stderr
    for name in ("killed", "down"):
        arrived(RunDir(tmp_path / name), server.uri)
    again = mmtk("track", "killed", "down", cwd=tmp_path)
    assert again.stdout.count("nothing new") == 2
