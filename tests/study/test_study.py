"""Studies through the real command, in real processes, at toy size."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import fork_server
import pytest
import torch
from tiny import CLASSIFICATION, SEGMENTATION, SOURCES, TINY, tiny

from mmtk.data.dataset import prepare
from mmtk.errors import MmtkError
from mmtk.io.files import read_json
from mmtk.jobs import Job, JobResult, Launcher
from mmtk.report.analysis import analyse
from mmtk.runs.display import Display
from mmtk.runs.folder import RunDir
from mmtk.study import launcher_settings, status
from mmtk.study.cells import PlannedCell
from mmtk.study.folder import StudyDir
from mmtk.study.launch import run_study
from mmtk.study.plan import Plan, plan_components
from mmtk.study.status import show
from mmtk.tracking.client import locked
from mmtk.tracking.study import StudyMirror
from mmtk.training.trainer import Trainer, make_trainer
from mmtk.workflows.report import report as write_report

# One worker runs them all, so that the study they look at is made once.
pytestmark = pytest.mark.xdist_group("study")

LITTLE = {"encoder.depth": 4, "train.steps": 2, "train.validate_every": 2}
SMALL = TINY | CLASSIFICATION | SEGMENTATION | SOURCES | LITTLE
SETS = [text for key, value in SMALL.items() for text in ("--set", f"{key}={json.dumps(value)}")]


def mmtk(*arguments: str, cwd: Path, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """The command in a process; ``limit`` is the largest file that it and its children may write."""

    def restrict() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [fork_server.python(), "-m", "mmtk", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "100"},
        check=False,
        preexec_fn=restrict,
    )


def at(folder: Path, ask: Callable[[], Any]) -> Any:
    """What is answered in a working folder."""
    with contextlib.chdir(folder):
        return ask()


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A finished study of UMTL, UMTL-S and MultiMix with two seeds, logged to MLflow."""
    folder = tmp_path_factory.mktemp("study")
    tracked = ["--set", "tracking.enabled=true"]
    done = mmtk(
        "ablate",
        "--components",
        "saliency",
        "--seeds",
        "2",
        *SETS,
        *tracked,
        "--out",
        "s",
        "--launch",
        "jobs=2",
        cwd=folder,
    )
    return folder, done


def test_a_study_runs_from_one_command(studied: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = studied
    assert done.returncode == 0, done.stderr
    assert "3 cells × 2 seeds = 6 runs, 6 to do; about" in done.stdout
    assert "[6/6]" in done.stderr
    runs = sorted(path.name for path in (folder / "runs").iterdir())
    assert len(runs) == 6
    assert all((folder / "runs" / name / "done.json").is_file() for name in runs)
    assert (folder / "s" / "report" / "index.html").is_file()
    assert (folder / "s" / "report" / "figures" / "roc.png").is_file()
    assert not [*(folder / "runs").rglob("*.png")]  # the report draws, its runs do not


class Asleep(Launcher):
    """A launcher that must not be woken."""

    def run(self, jobs: Sequence[Job]) -> Iterator[JobResult]:
        raise AssertionError("a cluster is started for no job")


@pytest.mark.long
def test_a_finished_study_runs_nothing_again_and_another_one_takes_what_it_shares(
    studied: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, _ = studied
    before = {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("done.json")}
    assert StudyDir(folder / "s").launcher == {"use": "process", "jobs": 2}
    again = mmtk("ablate", "s", cwd=folder)
    assert again.returncode == 0, again.stderr
    assert "6 runs, 0 to do." in again.stdout
    assert StudyDir(folder / "s").launcher == {"use": "process", "jobs": 2}  # not lost by going on
    assert at(folder, lambda: run_study(StudyDir(folder / "s"), Asleep())) == []
    other = StudyDir(folder / "t")
    wider = plan_components("multimix", "saliency,ssl", overrides=SMALL, seeds=[0])
    states = at(folder, lambda: [other.state(run, {}) for run in other.runs(wider)])
    assert sorted(states) == ["done"] * 3 + ["waiting"] * 2
    assert before == {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("done.json")}


def test_mlflow_has_a_parent_with_a_child_for_every_run_and_nothing_twice(
    studied: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, _ = studied

    def count(where: str) -> int:
        with sqlite3.connect(folder / "mlflow.db") as database:
            sql = f"SELECT count(DISTINCT run_uuid) FROM tags WHERE {where}"
            return int(database.execute(sql).fetchone()[0])

    # The test above has sent the whole study a second time.
    assert count("key = 'mmtk.kind' AND value = 'study'") == 1
    assert count("key = 'mlflow.parentRunId'") == 6
    assert count("key = 'mmtk.axis.bridge' AND value = 'saliency'") == 4
    with sqlite3.connect(folder / "mlflow.db") as database:
        assert database.execute("SELECT count(*) FROM runs").fetchone()[0] == 7


def parent(folder: Path) -> tuple[str, str, dict[str, float]]:
    """Status, description and metrics of the one parent run in a folder's MLflow store."""
    with sqlite3.connect(folder / "mlflow.db") as database:
        sql = "SELECT run_uuid FROM tags WHERE key = 'mmtk.kind' AND value = 'study'"
        ((run,),) = database.execute(sql).fetchall()
        (state,) = database.execute("SELECT status FROM runs WHERE run_uuid = ?", (run,)).fetchone()
        sql = "SELECT value FROM tags WHERE run_uuid = ? AND key = 'mlflow.note.content'"
        note = database.execute(sql, (run,)).fetchone()
        sql = "SELECT key, value FROM latest_metrics WHERE run_uuid = ?"
        metrics = dict(database.execute(sql, (run,)).fetchall())
    return state, note[0] if note else "", metrics


def test_mlflow_s_parent_run_says_what_the_study_found(
    studied: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, done = studied
    state, note, _ = parent(folder)
    assert state == "FINISHED"
    assert "3 systems at one label budget (8-4) with 2 seeds each: 6 runs." in note
    assert note.strip("`\n").splitlines()[0] in done.stdout


def test_mlflow_s_parent_run_of_a_study_with_a_failure_has_failed(
    study: StudyDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = study.path.parent
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    runs = study.runs()
    warnings: list[str] = []
    mirror = StudyMirror(study, warnings.append)
    mirror.run(runs[0])
    runs[1].folder.done_file.unlink()
    study.note_failure(runs[1], "the loss is not finite")
    mirror.study_itself()
    assert (warnings, parent(folder)[0]) == ([], "FAILED")
    mirror.study_itself(stopped=True)
    assert parent(folder)[0] == "KILLED"
    mirror.report(analyse(study.collect()))
    _, note, metrics = parent(folder)
    assert "the loss is not finite" in note
    assert any(name.startswith("effect/") for name in metrics)


def test_no_run_of_a_study_waits_for_mlflow(study: StudyDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(study.path.parent)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///aside.db")
    first, second = study.runs()[:2]
    warnings: list[str] = []
    mirror = StudyMirror(study, warnings.append, aside=True)
    with locked(first.folder.recipe_file):  # as by another process that sends it: a mirror waits for that
        mirror.run(first)
        mirror.run(second)
        assert read_json(second.folder.tracking_file)["uri"] != "sqlite:///aside.db"
    mirror.study_itself()
    assert not warnings
    assert read_json(second.folder.tracking_file)["uri"] == "sqlite:///aside.db"
    assert mirror.page.startswith("mlflow ui --backend-store-uri sqlite:///aside.db")


def test_mlflow_has_a_view_of_the_study_by_components_budgets_and_metrics(
    studied: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, done = studied
    digest = read_json(folder / "s" / "study.json")["digest"]
    assert "mlflow ui --backend-store-uri sqlite:///mlflow.db, then http://127.0.0.1:5000/#/exp" in done.stderr
    assert f"/runs?viewStateShareKey=mmtk-{digest}" in done.stderr
    with sqlite3.connect(folder / "mlflow.db") as database:
        sql = "SELECT value FROM experiment_tags WHERE key = ?"
        (text,) = database.execute(sql, (f"mlflow.sharedViewState.mmtk-{digest}",)).fetchone()
        assert database.execute(sql, ("mlflow.experimentKind",)).fetchone() == ("custom_model_development",)
        known = {
            f"{table}.`{key}`"
            for table, source in (("params", "params"), ("tags", "tags"), ("metrics", "latest_metrics"))
            for (key,) in database.execute(f"SELECT DISTINCT key FROM {source}")
        }
        members = database.execute("SELECT count(*) FROM tags WHERE key = ?", (f"mmtk.study.{digest}",)).fetchone()
    state = json.loads(text)
    assert set(state["selectedColumns"]) <= known
    assert {"params.`bridge.use`", "params.`seed`", "tags.`mmtk.labels.segmentation`"} < set(
        state["selectedColumns"]
    )
    assert members == (6,)


@pytest.mark.long
def test_status_and_report_speak_from_the_files_alone(
    studied: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, _ = studied
    assert "6 done" in mmtk("status", "s", cwd=folder).stdout
    page = (folder / "s" / "report" / "index.html").read_bytes()
    (folder / "s" / "report" / "index.html").unlink()
    built = mmtk("report", "s", cwd=folder)
    assert built.returncode == 0, built.stderr
    same = (folder / "s" / "report" / "index.html").read_bytes() == page  # not a line of pages if it fails
    assert same


@pytest.mark.long
def test_neither_status_nor_the_reading_of_a_report_waits_for_torch(
    studied: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, _ = studied
    code = """
import sys
from pathlib import Path
from mmtk.registry import memo
memo.begin()
from mmtk.jobs import Job, JobResult, Launcher
from mmtk.report.analysis import analyse
from mmtk.study.status import show
from mmtk.study.folder import StudyDir
show(StudyDir(Path("s")))
analyse(StudyDir(Path("s")).collect())
print("with" if "torch" in sys.modules else "without")
"""
    command = [sys.executable, "-c", code]
    # The first command remembers what the components said of the study's recipes, should none have done so.
    said = [subprocess.run(command, cwd=folder, capture_output=True, text=True) for _ in range(2)]
    assert said[1].stdout.splitlines()[-1] == "without", said[1].stderr


def test_status_of_many_runs_has_a_row_for_every_system_and_one_for_every_failure(
    study: StudyDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(status, "MOST_ROWS", 5)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(study.path.parent)
    whole, failed = study.runs()[:2]
    failed.folder.done_file.unlink()
    study.note_failure(failed, "the loss is not finite")
    show(study)
    told = capsys.readouterr().out
    assert re.search(rf"{re.escape(failed.cell.title)} .* 1 done, 1 failed", told)
    assert re.search(rf"{re.escape(whole.cell.title)} .* 2 done", told)
    assert "failed: the loss is not finite" in told
    assert "5 done, 1 failed" in told
    assert told.count("the loss is not finite") == 1


@pytest.fixture
def study(studied: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path) -> StudyDir:
    """A copy of the finished study, to spoil."""
    for name in ("s", "runs"):
        shutil.copytree(studied[0] / name, tmp_path / name)
    return StudyDir(tmp_path / "s")


def test_a_run_whose_files_were_changed_is_named_and_not_averaged(
    study: StudyDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    bad, cut = study.runs()[0], study.runs()[1]
    results = read_json(bad.folder.results_file)
    results["in-domain"]["classification"]["accuracy"] = 1.0
    bad.folder.results_file.write_text(json.dumps(results))
    os.truncate(cut.folder.cases_file, 100)
    found = study.collect()
    assert [len(cell.runs) for cell in found.cells].count(1) == 2
    assert any(f"{bad.title}: results.json was changed or cut" in gap for gap in found.gaps)
    assert any(f"{cut.title}: cases.parquet was changed or cut" in gap for gap in found.gaps)
    show(study)
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "4 done, 2 changed" in said
    assert "changed: results.json" in said
    assert f"remove done.json there and run it again: mmtk ablate {study.path}" in said


def test_what_is_missing_is_a_gap(study: StudyDir) -> None:
    gone, failed = study.runs()[0], study.runs()[2]
    for run in (gone, failed):
        run.folder.done_file.unlink()
    study.note_failure(failed, "the disk is full")
    assert study.collect().gaps == [
        f"{failed.title} failed: the disk is full",
        f"{gone.cell.title}: seed {gone.seed} waiting",
    ]


def test_runs_on_other_data_are_refused_by_name(study: StudyDir) -> None:
    odd = study.runs()[0].folder
    provenance = odd.provenance
    provenance["data"]["segmentation/in-domain"] = "0" * 64
    odd.provenance_file.write_text(json.dumps(provenance))
    odd.finish({"training_seconds": 1.0})
    with pytest.raises(MmtkError, match="have other data in segmentation/in-domain") as caught:
        study.collect().comparable()
    assert odd.path.name in str(caught.value)


@pytest.mark.long
def test_a_failing_run_stops_nobody_and_is_run_again(tmp_path: Path, tried: Any) -> None:
    tried("one run of a study fails", "the others finish; it is named and tried again")
    """One cell diverges: the others finish, the failure is reported, and continuing tries it alone."""
    command = ["ablate", "enc", "--components", "train.lr=0.001+1e30", "--design", "one-at-a-time", *SETS]
    command += ["--set", "train.optimizer=sgd", "--set", "train.steps=30", "--out", "s"]
    done = mmtk(*command, cwd=tmp_path)
    assert done.returncode == 1
    assert "the loss is not finite in step" in done.stderr
    assert "By hand:\n  Enc (train.lr=1e30) 8 class labels seed 0: mmtk run runs/" in done.stderr
    states = [StudyDir(tmp_path / "s").state(run, {}) for run in StudyDir(tmp_path / "s").runs()]
    assert sorted(states) == ["done", "waiting"]
    shown = mmtk("status", "s", cwd=tmp_path)
    assert "1 done, 1 failed" in shown.stdout
    again = mmtk("ablate", "s", cwd=tmp_path)
    assert again.returncode == 1
    assert "2 runs, 1 to do" in again.stdout


@pytest.mark.long
def test_a_full_disk_in_mid_study_loses_nothing(tmp_path: Path, tried: Any) -> None:
    tried("full disk in mid-study", "both runs named; continued without loss")
    command = ["ablate", "enc-ssl", "--components", "ssl", *SETS, "--out", "s"]
    full = mmtk(*command, cwd=tmp_path, limit=150_000)  # the first checkpoint of a run is larger
    assert full.returncode == 1
    assert "Traceback" not in full.stderr
    study = StudyDir(tmp_path / "s")
    reasons = [reason for run in study.runs() for reason in (study.failures(study.runs())[run.folder.path.name],)]
    assert len(reasons) == 2
    assert all("the disk is full; what was written before is kept" in reason for reason in reasons)
    later = mmtk("ablate", "s", cwd=tmp_path)
    assert later.returncode == 0, later.stderr
    assert study.failures(study.runs()) == {}
    assert all(run.folder.finished for run in study.runs())


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "killed"])
def test_stopping_a_study_ends_its_children_and_it_can_go_on(number: int, tmp_path: Path, tried: Any) -> None:
    tried("Ctrl-C or SIGKILL of a study", "no child lives on; the study goes on")
    command = [
        "ablate",
        "--components",
        "saliency",
        *SETS,
        "--set",
        "train.steps=4000",
        "--out",
        "s",
        "--jobs",
        "2",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "mmtk", *command],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # as under a terminal
    )
    running: list[int] = []
    deadline = time.monotonic() + 180
    while len(running) < 2 and time.monotonic() < deadline:
        locks = [path.read_text() for path in tmp_path.glob("runs/*/run.lock")]
        running = [int(text.rpartition(" ")[2]) for text in locks if text]
        running = running if len(list(tmp_path.glob("runs/*/metrics.jsonl"))) == 2 else []
        time.sleep(0.2)
    assert len(running) == 2
    (server,) = {Path(f"/proc/{pid}/stat").read_text().split()[3] for pid in running}  # they are forks
    assert b"mmtk.io.fork_server" in Path(f"/proc/{server}/cmdline").read_bytes()
    process.send_signal(number)
    assert process.wait(120) == (130 if number == signal.SIGINT else -signal.SIGKILL)
    deadline = time.monotonic() + 60
    while any(map(alive, [*running, int(server)])) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(map(alive, [*running, int(server)]))
    study = StudyDir(tmp_path / "s")
    assert {study.state(run, study.failures(study.runs())) for run in study.runs()} <= {"waiting", "failed"}
    assert not list(tmp_path.glob("runs/*/done.json"))
    started = [run.folder for run in study.runs() if run.folder.last.is_file()]
    assert len(started) == 2  # their checkpoints were written
    with started[0].locked():  # nobody holds them any more
        pass


def test_budgets_that_the_data_cannot_fill_are_refused_before_anything_runs(tmp_path: Path) -> None:
    done = mmtk(
        "ablate",
        "enc-ssl",
        "--components",
        "ssl",
        "--labels",
        "classification=8,25",
        *SETS,
        "--out",
        "s",
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert "data.classification.labels: 25 labels asked for, but the training part has 24." in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_two_processes_cannot_run_the_same_study(tmp_path: Path) -> None:
    one, two = StudyDir(tmp_path / "s"), StudyDir(tmp_path / "s")
    refused = pytest.raises(MmtkError, match=f"mmtk process {os.getpid()} is running in this folder")
    with one.locked(), refused, two.locked():
        pass


def plan(*recipes: str) -> Plan:
    cells = [PlannedCell(name, {}, tiny(name, train__steps=2)) for name in recipes]
    return Plan("a plan", cells, [0])


def test_a_folder_with_another_study_or_something_else_is_refused(tmp_path: Path) -> None:
    study = StudyDir(tmp_path / "s")
    with study.locked():
        study.write(plan("umtl", "enc"), {})
        study.write(plan("umtl", "enc"), {})
        with pytest.raises(MmtkError, match="this folder holds another study"):
            study.write(plan("umtl", "umtl-s"), {})
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "thesis.txt").write_text("mine")
    assert study.holds(plan("umtl", "enc"))
    assert not StudyDir(tmp_path / "new").holds(plan("umtl"))
    wrong = {"t": "not empty and holds no study", "s": "holds another study", "t/thesis.txt": "is a file, not a"}
    for name, words in wrong.items():  # as a plan alone says it, too
        with pytest.raises(MmtkError, match=words):
            StudyDir(tmp_path / name).holds(plan("umtl"))
    with pytest.raises(MmtkError, match="not empty and holds no study"), StudyDir(tmp_path / "t").locked():
        pytest.fail("nothing is written before the folder is looked at")
    with pytest.raises(MmtkError, match=r"has no study\.json"):
        _ = StudyDir(tmp_path / "t").about


def test_an_edited_recipe_of_a_study_is_refused(tmp_path: Path) -> None:
    study = StudyDir(tmp_path)
    study.write(plan("umtl", "enc"), {})
    file = next((tmp_path / "recipes").glob("*.toml"))
    file.write_text(file.read_text().replace("steps = 2", "steps = 3"))
    with pytest.raises(MmtkError, match="this recipe was changed"):
        study.plan()


def test_a_copied_study_says_that_its_runs_are_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lab/studies/s").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "lab")
    StudyDir(Path("studies/s")).write(plan("umtl"), {"data": ""})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a/b/c").mkdir(parents=True)
    study = StudyDir(Path(shutil.copytree("lab/studies/s", "a/b/c/s")))
    show(study)
    printed = " ".join(capsys.readouterr().out.split())
    assert "1 waiting None of its runs lies in a/b/runs." in printed
    assert "put its runs into a/b/c/s/runs, or write where they lie as 'runs' into study.json" in printed
    with pytest.raises(MmtkError) as refused:
        write_report(study.path)
    assert "None of its runs lies in a/b/runs" in str(refused.value.hint)
    moved = tmp_path / "a/b/c/s/runs" / study.runs()[0].folder.path.name
    moved.mkdir(parents=True)
    show(study)
    assert "None of its runs" not in capsys.readouterr().out


def test_the_inline_launcher_runs_in_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study = StudyDir(tmp_path / "s")
    with study.locked():
        study.write(plan("enc", "unet"), {})
    told: list[str] = []
    failed = run_study(
        study,
        launcher_settings.make({"use": "inline"}),
        report=lambda run, what, done, of: told.append(f"{what} {done}/{of}"),
    )
    assert (failed, told) == ([], ["done 1/2", "done 2/2"])


# --- pairing ----------------------------------------------------------------------------------------------------


def live(name: str, folder: Path) -> Trainer:
    recipe = tiny(name, train__steps=2)
    (folder / "checkpoints").mkdir(parents=True)
    return make_trainer(recipe, prepare(recipe, None), RunDir(folder), "cpu", Display(quiet=True))


@pytest.mark.parametrize("name", ["umtl", "umtl-s", "umtl-ssl", "umtl-ssl-s", "enc", "enc-ssl", "unet"])
def test_switching_a_component_off_changes_no_split_batch_or_initial_weight(name: str, tmp_path: Path) -> None:
    whole, less = live("multimix", tmp_path / "whole"), live(name, tmp_path / "less")
    ours, theirs = whole.data.splits(), less.data.splits()
    assert theirs == {task: ours[task] for task in theirs}
    own = dict(whole.net.named_parameters())
    for key, parameter in less.net.named_parameters():
        shared = tuple(slice(0, n) for n in parameter.shape)  # a bridge makes one convolution wider
        assert torch.equal(parameter, own[key][shared]), key
    for index in (0, 1):
        one, two = (each.loader.batch(_now(each, index)) for each in (whole, less))
        for task in less.recipe.tasks:
            (ours_labelled, ours_free), (labelled, free) = getattr(one, task), getattr(two, task)
            assert torch.equal(labelled.image, ours_labelled.image)
            assert torch.equal(labelled.target, ours_labelled.target)
            if len(free.image):
                assert torch.equal(free.index, ours_free.index)
                assert all(
                    torch.equal(a, b)
                    for view in free.views
                    for a, b in zip(free[view], ours_free[view], strict=True)
                )


def _now(training: Trainer, index: int):
    from mmtk.api import StepContext

    return StepContext(training.recipe.seed, index, training.total)
