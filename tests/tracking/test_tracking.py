from __future__ import annotations

import filecmp
import json
import math
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import fork_server
import pytest
from run_folder import RESULTS, begin, cut, finish, points, train

import mmtk
from mmtk.cli.runs import track
from mmtk.errors import MmtkError
from mmtk.runs.folder import RunDir
from mmtk.tracking.metric_names import allowed_names
from mmtk.tracking.run import Mirror, tracking_uri


@pytest.fixture(scope="module")
def blank(tmp_path_factory) -> Path:
    """A database with MLflow's tables; making them takes seconds."""
    from mmtk.tracking.client import calm, open_client

    path = tmp_path_factory.mktemp("blank") / "mlflow.db"
    with calm():
        open_client(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def store(blank, tmp_path, monkeypatch) -> Path:
    """A folder with an MLflow store, named to mmtk."""
    folder = tmp_path / "store"
    folder.mkdir()
    shutil.copy(blank, folder / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Path:
    return begin(tmp_path_factory.mktemp("begun") / "run").path


@pytest.fixture
def folder(begun, tmp_path) -> RunDir:
    """A run directory before its first step."""
    return RunDir(Path(shutil.copytree(begun, tmp_path / "run")))


def rows(store: Path, table: str, what: str = "count(*)", where: str = "1") -> list:
    with sqlite3.connect(store / "mlflow.db") as database:
        return database.execute(f"SELECT {what} FROM {table} WHERE {where}").fetchall()


def number(store: Path, table: str) -> int:
    return rows(store, table)[0][0]


TABLES = ("runs", "experiments", "metrics", "params", "tags", "datasets", "inputs", "input_tags", "logged_models")


def content(store: Path) -> dict:
    """All that MLflow holds, read without MLflow: numbers of rows, and files with their sizes."""
    files = {str(p.relative_to(store)): p.stat().st_size for p in (store / "mlruns").rglob("*") if p.is_file()}
    return {table: number(store, table) for table in TABLES} | files


def test_uri_is_the_environments_else_sqlite_here(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri() == "sqlite:///mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking_uri() == "http://127.0.0.1:5000"


@pytest.mark.long
def test_a_new_database_is_a_copy_of_an_empty_one_and_what_mlflow_makes(blank, tmp_path):
    """MLflow's migrations run once per cache; ``Default`` is the new database's own, beside where it is used."""
    from mlflow import MlflowClient

    def schema(path: Path) -> list:
        with sqlite3.connect(path) as database:
            sql = "SELECT type, name, tbl_name, length(sql) FROM sqlite_master"
            return sorted(database.execute(sql).fetchall())

    def locations(path: Path) -> list:
        with sqlite3.connect(path) as database:
            return database.execute("SELECT name, artifact_location FROM experiments").fetchall()

    MlflowClient(f"sqlite:///{tmp_path}/plain.db").search_experiments()
    (empty,) = Path(os.environ["MMTK_CACHE"]).glob("mlflow-*/empty.db")
    assert locations(empty) == []
    assert schema(blank) == schema(empty) == schema(tmp_path / "plain.db")
    assert locations(blank) == locations(tmp_path / "plain.db")


def test_a_whole_run_arrives_once(store, folder, tmp_path, capfd):
    train(folder, 1, 10)
    finish(folder)
    told = Mirror(folder).sync()
    run_id = json.loads(folder.tracking_file.read_text())["run_id"]
    assert told == (f"12 metric rows, 7 results, 6 files, the model to sqlite:///{store}/mlflow.db, run {run_id}")
    before = content(store)
    assert before["runs"] == 1
    assert before["metrics"] == points(10, 2) + RESULTS
    assert before["logged_models"] == 1
    assert before["datasets"] == 4
    assert Mirror(folder).sync() == f"nothing new to sqlite:///{store}/mlflow.db, run {run_id}"
    folder.tracking_file.unlink()
    Mirror(folder).sync()
    moved = RunDir(Path(shutil.move(folder.path, tmp_path / "elsewhere" / "run")))
    moved.tracking_file.unlink()
    Mirror(moved).sync()
    assert content(store) == before
    assert json.loads(moved.tracking_file.read_text())["run_id"] == run_id
    assert capfd.readouterr() == ("", "")
    assert not (tmp_path / "mlruns").exists()


def test_values_are_the_folders(store, folder):
    train(folder, 1, 10)
    finish(folder)
    Mirror(folder).sync()
    for line, at in zip(
        folder.metrics_file.read_text().splitlines(), folder.timing_file.read_text().splitlines(), strict=True
    ):
        row, moment = json.loads(line), round(1000 * json.loads(at)["time"])
        sent = rows(store, "metrics", "key, value", f"step = {row['step']} AND timestamp = {moment}")
        expected = {key: value for key, value in row.items() if "/" in key} | (
            {"epoch": row["epoch"]} if "val/score" in row else {}
        )
        if row["step"] == 10 and "val/score" in row:
            domain = {"classification/accuracy": 0.75, "segmentation/dice": 0.5}
            for name in ("in-domain", "cross-domain"):
                expected |= {f"{name}/{key}": value for key, value in domain.items()}
            expected |= {"selected/step": 5, "selected/score": 0.5, "selected/steps": 10}
        assert dict(sent) == expected
    assert rows(store, "runs", "name, status, start_time, end_time") == [
        (f"MultiMix-{folder.recipe.digest}-s0", "FINISHED", 1760000000000, moment)
    ]
    params = dict(rows(store, "params", "key, value"))
    assert params["ssl.threshold"] == "0.7"
    assert params["data.classification.source.use"] == "phantom"
    assert json.loads(params["tasks"]) == ["classification", "segmentation"]
    tags = dict(rows(store, "tags", "key, value"))
    recipe = folder.recipe
    assert tags["mmtk.digest"] == recipe.digest
    assert tags["mmtk.seed"] == "0"
    assert tags["mmtk.profile"] == "phantom"
    assert tags["mmtk.version.torch"] == "2.11.0"
    assert "mmtk.component.encoder" not in tags  # a plugin's component would be named
    assert tags["mlflow.source.git.commit"].startswith("c0ffee")
    assert tags["mlflow.source.name"] == "mmtk run multimix"
    assert tags["mlflow.user"]
    assert f"digest `{recipe.digest}`, seed 0" in tags["mlflow.note.content"]
    assert "| in-domain | segmentation | dice | 0.500 |" in tags["mlflow.note.content"]
    assert len(tags) < 20
    sets = rows(store, "datasets", "name, digest, dataset_source, dataset_profile")
    name, digest, source, profile = next(row for row in sets if row[0] == "segmentation/cross-domain")
    assert digest == f"{3:064x}"[:36]
    assert json.loads(source)["domain"] == "mcu"
    assert json.loads(profile) == {"cross-domain": 1}
    contexts = sorted(value for (value,) in rows(store, "input_tags", "value", "name = 'mlflow.data.context'"))
    assert contexts == ["testing", "testing", "training", "training"]
    artifacts = store / "mlruns" / json.loads(folder.tracking_file.read_text())["run_id"] / "artifacts"
    for name in ("recipe.toml", "provenance.json", "splits.json", "results.json", "cases.parquet"):
        assert filecmp.cmp(artifacts / name, folder.path / name, shallow=False)
    assert filecmp.cmp(artifacts / "figures/curves.png", folder.figures / "curves.png", shallow=False)
    assert (artifacts / "counts.csv").read_text().splitlines() == [
        "set,task,name,value",
        "in-domain,classification,n,4",
        "cross-domain,classification,n,4",
    ]


def test_a_growing_run_is_sent_piece_by_piece(store, folder):
    mirror = Mirror(folder, pytest.fail)
    train(folder, 1, 5)
    assert mirror.sync().startswith("6 metric rows, 3 files to")
    assert rows(store, "runs", "status") == [("RUNNING",)]
    assert mirror.sync().startswith("nothing new")
    train(folder, 6, 12)
    assert mirror.sync().startswith("8 metric rows to")
    assert number(store, "metrics") == points(12, 2)
    train(folder, 13, 15)
    finish(folder)
    assert mirror.sync().startswith("4 metric rows, 7 results, 3 files, the model to")
    assert number(store, "metrics") == points(15, 3) + RESULTS
    assert rows(store, "runs", "status") == [("FINISHED",)]
    assert number(store, "runs") == 1


@pytest.mark.parametrize("remembered", [True, False])
def test_steps_done_again_after_a_resume_are_not_doubled(store, folder, remembered):
    train(folder, 1, 13)
    Mirror(folder).sync()
    if not remembered:
        folder.tracking_file.unlink()
    cut(folder, 10)
    resumed = Mirror(folder)
    assert "metric row" not in resumed.sync()
    train(folder, 11, 12, begun=1_770_000_000)  # later in time, equal in value
    assert "metric row" not in resumed.sync()
    train(folder, 13, 15, begun=1_770_000_000)
    assert resumed.sync().startswith("3 metric rows to")  # steps 14 and 15, and the validation
    assert number(store, "metrics") == points(15, 3)


def test_a_crash_before_remembering_doubles_nothing(store, folder):
    train(folder, 1, 5)
    Mirror(folder).sync()
    stale = folder.tracking_file.read_text()
    train(folder, 6, 10)
    finish(folder)
    Mirror(folder).sync()
    before = content(store)
    folder.tracking_file.write_text(stale)
    Mirror(folder).sync()
    assert content(store) == before
    with sqlite3.connect(store / "mlflow.db") as database:  # as if it had died while the model was sent
        database.execute("UPDATE logged_models SET status = 1")
        database.execute("UPDATE runs SET status = 'RUNNING', end_time = NULL")
    folder.tracking_file.write_text(stale)
    assert "the model" in Mirror(folder).sync()
    assert content(store) == before
    assert rows(store, "logged_models", "status") == [(2,)]


def test_the_store_drops_points_that_it_has(store, folder):
    """What the mirror relies on when it dies before it remembers: equal points are one point."""
    from mlflow import MlflowClient

    from mmtk.tracking import payload

    train(folder, 1, 10)
    client = MlflowClient(tracking_uri())
    run_id = client.create_run("0").info.run_id
    for _ in range(2):
        for batch in payload.batches(payload.rows(folder)):
            client.log_batch(run_id, batch)
        assert number(store, "metrics") == points(10, 2)


def test_a_run_that_studies_share_is_a_child_of_the_first_and_a_member_of_all(store, folder):
    for parent, member in (("p" * 32, "one"), ("q" * 32, "two")):
        Mirror(folder, tags={"mlflow.parentRunId": parent, f"mmtk.study.{member}": member}).sync()
    found = dict(rows(store, "tags", "key, value", "key LIKE 'mmtk.study.%' OR key = 'mlflow.parentRunId'"))
    assert found == {"mlflow.parentRunId": "p" * 32, "mmtk.study.one": "one", "mmtk.study.two": "two"}
    assert number(store, "runs") == 1


def test_another_store_gets_its_own_copy(store, folder, blank, tmp_path, monkeypatch):
    train(folder, 1, 5)
    Mirror(folder).sync()
    first = content(store)
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(blank, other)
    for place in (other, store, other):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/mlflow.db")
        Mirror(folder).sync()
    assert content(store) == first
    assert {table: number(other, table) for table in TABLES} == {table: first[table] for table in TABLES}


def test_a_run_that_was_deleted_in_mlflow_is_sent_anew(store, folder):
    train(folder, 1, 5)
    Mirror(folder).sync()
    with sqlite3.connect(store / "mlflow.db") as database:
        database.execute("UPDATE runs SET lifecycle_stage = 'deleted'")
    assert Mirror(folder).sync().startswith("6 metric rows, 3 files to")
    assert number(store, "metrics") == 2 * points(5, 1)


def test_long_values_nan_and_strange_names_are_sent(store, tmp_path):
    folder = begin(tmp_path / "run", description="x" * 9000, **{"tracking.experiment": "chest 'X' ü/1"})
    folder.metrics_file.write_text('{"step": 1, "epoch": 1, "train/loss": 1.0, "train/p(a=b)": NaN}\n')
    folder.timing_file.write_text('{"step": 1, "time": 1760000000.5, "seconds": 1.0}\n')
    Mirror(folder).sync()
    assert len(dict(rows(store, "params", "key, value"))["description"]) == 6000
    assert rows(store, "metrics", "key, value, is_nan, timestamp", "key != 'train/loss'") == [
        ("train/p_a_b_", 0.0, 1, 1760000000500)
    ]
    assert rows(store, "experiments", "name", "experiment_id > 0") == [("chest 'X' ü/1",)]


@pytest.mark.parametrize(
    "label", ["w/", "w/o", "/", "//", ".", "..", "a/../b", "a//b", "x" * 400, "Röntgen / 肺炎", "p(a=b)", "", " "]
)
def test_a_run_is_tracked_whatever_its_classes_are_called(store, folder, label):
    row = {"step": 1, "epoch": 1, "val/score": 0.5, f"val/classification/f1-{label}": 0.25}
    row |= {f"val/classification/{label}": 0.125}
    folder.metrics_file.write_text(json.dumps(row) + "\n")
    folder.timing_file.write_text('{"step": 1, "time": 1760000000.5, "seconds": 1.0}\n')
    assert Mirror(folder).sync().startswith("1 metric row")
    sent = dict(rows(store, "metrics", "key, value", "key LIKE 'val/classification/%'"))
    assert sorted(sent.values()) == [0.125, 0.25]
    assert all(name.count("/") == 2 and len(name) <= 250 for name in sent)


def test_labels_that_one_name_would_stand_for_are_numbered():
    keys = ["val/classification/f1-w/", "val/classification/f1-w_", "val/classification/f1-w(", "train/loss"]
    assert list(allowed_names(keys).values()) == [
        "val/classification/f1-w_",
        "val/classification/f1-w_-2",
        "val/classification/f1-w_-3",
        "train/loss",
    ]
    long = [f"val/classification/{'x' * 300}{i}" for i in range(3)]
    assert len(set(allowed_names(long).values())) == 3


def status_of(store: Path) -> str:
    return rows(store, "runs", "status")[0][0]


def test_a_run_that_ended_early_is_killed_or_failed_until_it_goes_on(store, folder):
    live = Mirror(folder, pytest.fail)
    assert live.sync("KILLED") == ""  # MLflow has not heard of it
    assert number(store, "runs") == 0
    train(folder, 1, 5)
    live.sync()
    assert status_of(store) == "RUNNING"
    for ended in ("KILLED", "FAILED"):
        live.sync(ended)
        assert status_of(store) == ended
        live.sync()
        assert status_of(store) == "RUNNING"


def test_a_run_that_was_left_running_is_put_right_by_track(store, folder):
    train(folder, 1, 5)
    Mirror(folder, pytest.fail).sync()
    with folder.locked():  # by the process that trains it
        Mirror(folder).sync()
    assert status_of(store) == "RUNNING"
    Mirror(folder).sync()
    assert status_of(store) == "KILLED"
    folder.failure_file.write_text('{"reason": "the loss is not finite"}')
    Mirror(folder).sync()
    assert status_of(store) == "FAILED"


@pytest.mark.long
def test_a_deleted_experiment_is_told_with_cures_that_help(store, folder, monkeypatch):
    from mlflow import MlflowClient

    train(folder, 1, 5)
    Mirror(folder).sync()
    MlflowClient(f"sqlite:///{store}/mlflow.db").delete_experiment("1")
    warnings = []
    assert Mirror(folder, warnings.append).sync() == ""
    with pytest.raises(MmtkError, match="was deleted") as told:
        Mirror(folder).sync()
    assert told.value.hint in warnings[0]
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "another")
    assert Mirror(folder).sync().startswith("6 metric rows")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    folder.tracking_file.unlink()
    cure = re.search(r"MLFLOW_TRACKING_URI=.*", told.value.hint)[0]
    assert "mlflow experiments restore --experiment-id 1" in cure
    restore = cure.replace("mlflow experiments", f"{fork_server.python()} -m mlflow experiments")
    subprocess.run(restore, shell=True, check=True, capture_output=True)
    assert "run" in Mirror(folder).sync()


def test_models_are_ranked_by_their_scores(store, folder):
    from mlflow import MlflowClient

    train(folder, 1, 5)
    finish(folder)
    Mirror(folder).sync()
    client = MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    order = [{"field_name": "metrics.in-domain/segmentation/dice", "ascending": False}]
    (model,) = client.search_logged_models(["1"], order_by=order)
    scores = {metric.key: metric.value for metric in model.metrics}
    assert scores["in-domain/segmentation/dice"] == 0.5
    assert client.search_logged_models(["1"], "metrics.`in-domain/segmentation/dice` > 0.6") == []
    assert number(store, "metrics") == points(5, 1) + RESULTS  # nothing twice


def test_more_rows_than_one_call_takes(store, folder):
    train(folder, 1, 400)
    assert Mirror(folder).sync().startswith("480 metric rows")
    assert number(store, "metrics") == points(400, 80) > 1000


# --- failures -----------------------------------------------------------------------------------------------


def test_an_address_without_its_scheme_is_told(folder, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "127.0.0.1:5000")
    train(folder, 1, 5)
    with pytest.raises(MmtkError, match=r"'127\.0\.0\.1:5000' lacks its scheme.*\n.*http://127\.0\.0\.1:5000"):
        Mirror(folder).sync()
    warnings = []
    assert Mirror(folder, warnings.append).sync() == ""
    assert len(warnings) == 1


def test_what_is_no_run_is_left_out_of_several(folder, store, capsys):
    train(folder, 1, 5)
    (folder.path.parent / "refused").mkdir()
    track([folder.path.parent / "refused", folder.path])
    said = capsys.readouterr()
    assert "refused: left out: it is no run that began." in said.err
    assert "metric rows" in said.out


def test_an_unreachable_server_costs_one_quick_warning(folder, monkeypatch, capfd):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    train(folder, 1, 5)
    warnings = []
    mirror = Mirror(folder, warnings.append)
    begun = time.monotonic()
    assert mirror.sync() == ""
    assert mirror.sync() == ""
    assert time.monotonic() - begun < 8
    finish(folder)
    assert mirror.sync() == ""
    (warning,) = warnings
    assert f"mmtk track {folder.path}" in warning
    assert "Connection refused" in warning
    assert "secret" not in warning
    with pytest.raises(MmtkError, match=r"127\.0\.0\.1:9 fails") as caught:
        Mirror(folder).sync()
    assert "secret" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ


@pytest.mark.long
def test_a_server_that_never_answers_is_given_up(folder, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")  # the user's own value is obeyed
        warnings = []
        begun = time.monotonic()
        Mirror(folder, warnings.append).sync()
        assert time.monotonic() - begun < 8
    assert len(warnings) == 1


def test_after_a_failure_the_next_attempt_waits(store, folder, monkeypatch):
    database = store / "mlflow.db"
    database.rename(store / "away.db")
    database.mkdir()
    warnings = []
    train(folder, 1, 5)
    mirror = Mirror(folder, warnings.append)
    assert mirror.sync() == ""
    database.rmdir()
    (store / "away.db").rename(database)
    assert mirror.sync() == ""  # too early
    monkeypatch.setattr("mmtk.tracking.run.time.monotonic", lambda real=time.monotonic: real() + 3600)
    assert mirror.sync().startswith("6 metric rows")
    assert len(warnings) == 1
    assert number(store, "metrics") == points(5, 1)


def test_a_finished_run_does_not_wait(store, folder):
    database = store / "mlflow.db"
    database.rename(store / "away.db")
    database.write_bytes(b"this is no database" * 1000)
    warnings = []
    mirror = Mirror(folder, warnings.append)
    train(folder, 1, 5)
    begun = time.monotonic()
    mirror.sync()
    assert time.monotonic() - begun < 10
    assert "not a database" in warnings[0]
    (store / "away.db").replace(database)
    finish(folder)
    assert mirror.sync().startswith("6 metric rows")
    assert content(store)["logged_models"] == 1


def test_a_finished_run_without_its_log_is_named(store, folder):
    train(folder, 1, 5)
    finish(folder)
    folder.timing_file.unlink()
    with pytest.raises(MmtkError, match=r"metrics\.jsonl or timing\.jsonl is empty or gone"):
        Mirror(folder).sync()


def test_a_damaged_log_is_named(store, folder):
    train(folder, 1, 5)
    with open(folder.metrics_file, "a") as file:
        file.write('{"step": 6, "tra')
    with pytest.raises(MmtkError, match=r"metrics\.jsonl or timing\.jsonl is damaged"):
        Mirror(folder).sync()


def test_a_folder_without_a_run_is_named(store, tmp_path):
    with pytest.raises(MmtkError, match=r"not a run directory"):
        Mirror(RunDir(tmp_path)).sync()


def test_two_mirrors_of_one_run_do_not_meet(store, folder):
    from mmtk.tracking.client import locked

    train(folder, 1, 5)
    with locked(folder.recipe_file), pytest.raises(MmtkError, match=r"another process"):
        Mirror(folder).sync()
    assert number(store, "runs") == 0
    assert Mirror(folder).sync().startswith("6 metric rows")


# --- the model ----------------------------------------------------------------------------------------------


def test_a_model_is_logged_without_a_look_at_every_installed_package(store, folder, monkeypatch):
    import importlib_metadata
    from mlflow.utils import requirements_utils

    monkeypatch.setattr(requirements_utils, "_MODULES_TO_PACKAGES", None)
    scans = []
    scan = importlib_metadata.packages_distributions
    monkeypatch.setattr(importlib_metadata, "packages_distributions", lambda: scans.append(1) or scan())
    train(folder, 1, 5)
    finish(folder)
    Mirror(folder).sync()
    (file,) = store.glob("mlruns/models/*/artifacts/conda.yaml")
    assert f"mmtk=={mmtk.__version__}" in file.read_text()
    assert (scans, requirements_utils._MODULES_TO_PACKAGES) == ([], None)
    requirements_utils._init_modules_to_packages_map()  # what others ask of MLflow is answered as ever
    assert "torch" in requirements_utils._MODULES_TO_PACKAGES
    assert scans == [1]


def test_the_model_says_what_the_run_says(store, folder, monkeypatch):
    import mlflow
    import numpy as np

    from mmtk.model.predictor import load

    train(folder, 1, 5)
    finish(folder)
    Mirror(folder).sync()
    model_id = json.loads(folder.tracking_file.read_text())["model_id"]
    place = store / "mlruns" / "models" / model_id / "artifacts"
    requirements = (place / "requirements.txt").read_text().split()
    assert f"mmtk=={mmtk.__version__}" in requirements
    assert all(line.startswith(("mmtk==", "mlflow==")) for line in requirements)
    assert not list(place.rglob("*.pkl"))
    model = mlflow.pyfunc.load_model(str(place))
    image = np.random.default_rng(0).integers(0, 256, (40, 48), dtype=np.uint8)
    (row,) = model.predict(image[None].astype(np.float32))
    (case,) = load(folder.path, "cpu")([image])
    assert row["class"] == max(case.classes, key=case.classes.get)
    assert math.isclose(row["p-pneumonia"], case.classes["pneumonia"])
    assert np.array_equal(np.array(row["mask-lung"], dtype=bool), case.mask[0])
    named = {column.name for column in model.metadata.signature.outputs}
    assert named == {"class", "p-normal", "p-pneumonia", "mask-lung"} == set(row)
    with pytest.raises(MmtkError, match=r"outside 0…255"):
        model.predict(np.full((1, 8, 8), np.nan, np.float32))
    with pytest.raises(mlflow.MlflowException):
        model.predict(np.zeros((8, 8), np.float32))


def test_nothing_imports_mlflow_before_a_sync():
    code = "import sys, mmtk.tracking.run; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("uri", "command"),
    [
        ("sqlite:///mlflow.db", "mlflow ui --backend-store-uri sqlite:///mlflow.db"),
        ("sqlite:////data/ml ü.db", "mlflow ui --backend-store-uri 'sqlite:////data/ml ü.db'"),
        ("postgresql://me:secret@db/x", "mlflow ui --backend-store-uri 'postgresql://me:***@db/x'"),
        ("https://me:secret@lab", "https://me:***@lab"),
    ],
)
def test_the_command_that_shows_runs_can_be_pasted_and_has_no_password(uri: str, command: str) -> None:
    from mmtk.tracking.client import page_command

    assert page_command(uri) == command
