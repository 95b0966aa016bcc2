"""The mirror against a real MLflow server on loopback, and MLflow's own commands on what it sent."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

import fork_server
import pytest

from mmtk.errors import MmtkError
from mmtk.runs.folder import RunDir
from mmtk.tracking.run import Mirror

pytestmark = pytest.mark.web


@pytest.fixture
def runs(monkeypatch):
    """The maker of run directories."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    import run_folder

    return run_folder


def test_a_server_that_dies_and_comes_back_has_everything_once(server, runs, tmp_path, capfd):
    folder = runs.begin(tmp_path / "run")
    runs.train(folder, 1, 5)
    warnings = []
    mirror = Mirror(folder, warnings.append)
    assert mirror.sync().startswith("6 metric rows, 3 files to http://127.0.0.1")

    # It dies while the rows are being sent.
    runs.train(folder, 6, 4000)
    before = server.number("metrics")

    def kill_midway() -> None:
        while server.number("metrics") == before:
            time.sleep(0.01)
        server.kill()

    killer = threading.Thread(target=kill_midway)
    killer.start()
    assert mirror.sync() == ""
    killer.join()
    assert before < server.number("metrics") < runs.points(4000, 800)
    with pytest.raises(MmtkError, match=r"fails"):
        Mirror(folder).sync()
    (warning,) = warnings
    assert f"mmtk track {folder.path}" in warning

    server.start()
    runs.finish(folder)
    assert "the model" in mirror.sync(), (server.folder / "server.log").read_text()[-3000:]
    assert len(warnings) == 1
    whole = server.content()
    assert whole["runs"] == 1
    assert whole["metrics"] == runs.points(4000, 800) + runs.RESULTS
    assert whole["logged_models"] == 1
    assert Mirror(folder).sync().startswith("nothing new")
    folder.tracking_file.unlink()
    Mirror(folder).sync()
    assert server.content() == whole
    assert capfd.readouterr() == ("", "")


def test_mlflow_models_predict_says_what_the_run_says(server, runs, tmp_path):
    import numpy as np

    from mmtk.model.predictor import load

    folder = runs.begin(tmp_path / "run")
    runs.train(folder, 1, 5)
    runs.finish(folder)
    Mirror(folder).sync()
    image = np.random.default_rng(0).integers(0, 256, (40, 48), dtype=np.uint8)
    (tmp_path / "input.json").write_text(json.dumps({"inputs": image[None].tolist()}))
    run_id = json.loads(folder.tracking_file.read_text())["run_id"]
    command = [
        fork_server.python(),
        "-m",
        "mlflow",
        "models",
        "predict",
        "--env-manager",
        "local",
        "-t",
        "json",
        "-m",
        f"runs:/{run_id}/model",
        "-i",
        "input.json",
        "-o",
        "output.json",
    ]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (row,) = json.loads((tmp_path / "output.json").read_text())["predictions"]
    (case,) = load(folder.path, "cpu")([image])
    assert row["class"] == max(case.classes, key=case.classes.get)
    assert row["p-normal"] == pytest.approx(case.classes["normal"], rel=1e-5)
    assert np.array_equal(np.array(row["mask-lung"], dtype=bool), case.mask[0])


def test_runs_may_make_one_store_at_once(runs, tmp_path):
    """Real processes on an SQLite database that does not exist yet."""
    first = runs.begin(tmp_path / "run0")
    runs.train(first, 1, 5)
    folders = [first, RunDir(Path(shutil.copytree(first.path, tmp_path / "run1")))]
    code = (
        "import sys, pathlib; from mmtk.runs.folder import RunDir; from mmtk.tracking.run import Mirror;"
        "Mirror(RunDir(pathlib.Path(sys.argv[1]))).sync()"
    )
    environment = os.environ | {"MLFLOW_TRACKING_URI": "sqlite:///new/mlflow.db"}
    processes = [
        subprocess.Popen(
            [fork_server.python(), "-c", code, str(each.path)],
            cwd=tmp_path,
            env=environment,
            stderr=subprocess.PIPE,
        )
        for each in folders
    ]
    for process in processes:
        _, said = process.communicate(timeout=600)
        assert (process.returncode, said) == (0, b"")
    with sqlite3.connect(tmp_path / "new" / "mlflow.db") as database:
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (2,)
        assert database.execute("SELECT count(*) FROM metrics").fetchone() == (2 * runs.points(5, 1),)
    assert (tmp_path / "new" / "mlruns").is_dir()
    assert not (tmp_path / "mlruns").exists()


def test_the_page_shows_the_run_in_a_real_browser(server, runs, tmp_path):
    folder = runs.begin(tmp_path / "run")
    runs.train(folder, 1, 5)
    runs.finish(folder)
    Mirror(folder).sync()
    note = json.loads(folder.tracking_file.read_text())
    command = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--virtual-time-budget=60000",
        f"--user-data-dir={tmp_path / 'browser'}",
        "--dump-dom",
        f"{server.uri}/#/experiments/{note['experiment_id']}/runs/{note['run_id']}",
    ]
    page = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    for shown in (f"MultiMix-{folder.recipe.digest}-s0", "mmtk.digest", "encoder.use"):
        assert shown in page, shown
