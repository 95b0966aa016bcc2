from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import fork_server
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from safetensors import safe_open
from tiny import shallow, tiny
from typer.testing import CliRunner

import mmtk
from mmtk.cli.main import app
from mmtk.errors import MmtkError, RunFailed
from mmtk.io.files import read_lines
from mmtk.io.outputs import MANIFEST
from mmtk.report.run import redraw
from mmtk.runs.finished import read_run
from mmtk.runs.folder import RunDir
from mmtk.workflows.evaluate import evaluate
from mmtk.workflows.run import run


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "multimix"
    run(tiny(), out)
    return out


def test_a_run_leaves_what_scripts_rely_on(finished: Path) -> None:
    results = json.loads((finished / "results.json").read_text())
    for domain in ("in-domain", "cross-domain"):
        assert 0 <= results[domain]["classification"]["accuracy"] <= 1
        assert 0 <= results[domain]["classification"]["majority-accuracy"] <= 1
        assert 0 <= results[domain]["segmentation"]["dice"] <= 1
    rows = read_lines(finished / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 2, 3, 4, 4]
    assert not any("time" in key or "second" in key for row in rows for key in row)
    assert len(read_lines(finished / "timing.jsonl")) == len(rows)
    assert 0.1 < json.loads((finished / "done.json").read_text())["peak_memory_gb"] < 100
    terms = {"cross-entropy", "confidence", "mask-rate", "pseudo-label-accuracy"}
    assert {f"train/classification/{name}" for name in terms} < set(rows[0])
    assert {"train/segmentation/dice", "train/segmentation/kl", "train/loss"} < set(rows[0])
    for name in ("last", "best"):
        with safe_open(finished / "checkpoints" / f"{name}.safetensors", "pt") as file:
            assert any(key.startswith("net.encoder.") for key in list(file.keys()))
    pictures = {path.stem for path in (finished / "figures").glob("*.png")}
    assert {"curves", "roc", "dice", "boundaries-in-domain", "saliency-classification-in-domain"} <= pictures
    cases = pq.read_table(finished / "cases.parquet").to_pandas()
    assert len(cases) == 40
    assert [*cases.columns[:4]] == ["domain", "task", "id", "patient"]
    for _, rows in cases.groupby(["domain", "task"]):  # every fifth film of the phantom is a second of a patient
        number = rows.id.str[-6:].astype(int)
        assert (rows.groupby(number // 5 * 4 + np.minimum(number % 5, 3)).patient.nunique() == 1).all()
        assert rows.patient.nunique() == 8
    in_domain = cases[(cases.task == "segmentation") & (cases.domain == "in-domain")]
    assert in_domain.dice.mean() == pytest.approx(results["in-domain"]["segmentation"]["dice"], abs=1e-9)


@pytest.mark.long
def test_a_report_says_that_a_run_takes_no_pictures(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(copy / "figures")
    (copy / "figures").touch()
    monkeypatch.chdir(tmp_path)
    lines = CliRunner().invoke(app, ["report", "run"]).output.splitlines()
    assert "Pictures  of the run not drawn: run/figures: is a file, not a folder." in lines
    assert (tmp_path / "report" / "index.html").is_file()


@pytest.mark.long
def test_the_pictures_of_a_run_are_drawn_again_from_its_files(finished: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(finished, tmp_path / "run")
    before = {path.name: digest(path) for path in (copy / "figures").iterdir()}
    shutil.rmtree(copy / "figures")
    shutil.rmtree(copy / "checkpoints")
    redraw(read_run(copy))
    assert {path.name: digest(path) for path in (copy / "figures").iterdir()} == before
    (copy / "ranked.npz").unlink()  # a run of mmtk 0.1 has none: its samples are shown
    run = replace(read_run(finished), folder=RunDir(copy))
    assert {path.name for path in redraw(run)} == before.keys()


def test_the_command_names_the_pictures_that_there_are(finished: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(finished, tmp_path / "run", ignore=shutil.ignore_patterns("figures"))
    said = [
        subprocess.run(
            [fork_server.python(), "-m", "mmtk", "run", str(folder)], capture_output=True, text=True, check=True
        ).stdout
        for folder in (finished, bare)
    ]
    assert [f"Pictures  {finished}/figures/" in text for text in said] == [True, False]
    assert [f"mmtk report {bare}" in text for text in said] == [False, True]


def test_ranked_images_go_from_the_worst_to_the_best_dice(finished: Path) -> None:
    cases = pq.read_table(finished / "cases.parquet").to_pandas()
    with np.load(finished / "ranked.npz") as arrays:
        for domain in ("in-domain", "cross-domain"):
            rows = cases[(cases.task == "segmentation") & (cases.domain == domain)].set_index("id")
            dice = rows.dice[arrays[f"{domain}/segmentation/ids"].tolist()]
            assert dice.tolist() == [rows.dice.min(), rows.dice.max()]


def test_splits_are_disjoint_and_as_large_as_asked_for(finished: Path) -> None:
    splits = json.loads((finished / "splits.json").read_text())
    parts = splits["classification"]
    assert len(parts["labelled"]) == 8
    assert len(parts["unlabelled"]) == 16
    everything = [name for part in ("labelled", "unlabelled", "val", "test") for name in parts[part]]
    assert len(everything) == len(set(everything))


@pytest.mark.long
def test_the_resolved_recipe_runs_again_to_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    recipe = mmtk.load_recipe(finished / "recipe.toml")
    assert recipe.digest == mmtk.load_recipe(finished).digest
    run(recipe, tmp_path / "again", pictures=False)
    assert digest(tmp_path / "again" / "metrics.jsonl") == digest(finished / "metrics.jsonl")
    for name in ("last", "best"):
        file = Path("checkpoints") / f"{name}.safetensors"
        with safe_open(finished / file, "pt") as one, safe_open(tmp_path / "again" / file, "pt") as two:
            assert all((one.get_tensor(k) == two.get_tensor(k)).all() for k in list(one.keys()))


def test_a_finished_run_is_a_no_op(finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.name != "run.lock"}
    result = run(tiny(), finished)
    assert result.scores["in-domain"]["segmentation"]["dice"] >= 0
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_another_recipe_is_refused(finished: Path) -> None:
    with pytest.raises(MmtkError, match=r"belongs to another recipe: multimix-.*-s0, not multimix-.*-s1"):
        run(tiny(seed=1), finished, pictures=False)


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(MmtkError, match="not empty and holds no run"):
        run(tiny(), tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_file_as_output_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(MmtkError, match="is a file, not a folder"):
        run(tiny(), tmp_path / "out")


@pytest.mark.parametrize(
    "changes",
    [
        {"train__optimizer": "sgd", "train__schedule": "cosine", "train__warmup": 0.5, "train__clip": 1.0},
        {"train__optimizer": "adamw", "train__weight_decay": 0.01, "train__ema": 0.5, "train__balance": "sample"},
        {"train__balance": "weight", "train__ratio": 2, "data__classification__include_labelled": True},
        {"data__classification__labels": "full", "data__segmentation__labels": "full", "train__schedule": "step"},
        {"data__channels": 3, "augment__segmentation__use": "weak", "augment__strong__n": "any"},
    ],
    ids=["sgd", "adamw-ema", "weights", "full", "colour"],
)
def test_every_option_of_the_budget_trains(changes: dict[str, object], tmp_path: Path) -> None:
    result = run(shallow(**changes, train__steps=2), tmp_path / "run", pictures=False)
    assert np.isfinite(result.scores["in-domain"]["segmentation"]["dice"])


@pytest.mark.parametrize("name", ["multimix", "enc-mm"])
def test_an_interrupted_run_ends_as_if_it_had_not_been(name: str, tmp_path: Path) -> None:
    changes = {"train__steps": 5, "train__ema": 0.9} if name == "multimix" else {"train__steps": 5}
    run(shallow(name, **changes), tmp_path / "whole", pictures=False)
    code = (
        "import sys, os, signal; sys.path.insert(0, sys.argv[1])\n"
        "from tiny import shallow; from mmtk.training import trainer as train\n"
        "from mmtk.workflows import run as session\n"
        "kind = train.Trainer; plain = kind.train_step\n"
        "def step(self, index):\n"
        "    done = plain(self, index)\n"
        "    if index == 2: os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return done\n"
        "kind.train_step = step\n"
        "try: session.run(shallow(sys.argv[2], **eval(sys.argv[4])), sys.argv[3])\n"
        "except train.Interrupted as error: sys.exit(error.exit_code)\n"
    )
    call = [
        fork_server.python(),
        "-c",
        code,
        str(Path(__file__).parents[1]),
        name,
        str(tmp_path / "cut"),
        repr(changes),
    ]
    assert subprocess.run(call, check=False).returncode == 128 + signal.SIGTERM
    assert not RunDir(tmp_path / "cut").finished
    assert len(read_lines(tmp_path / "cut" / "metrics.jsonl")) == 4
    with open(tmp_path / "cut" / "metrics.jsonl", "a") as file:
        file.write('{"step": 4, "half a row')  # what a crash after the checkpoint leaves behind
    timing = tmp_path / "cut" / "timing.jsonl"
    timing.write_text("".join(json.dumps({**row, "seconds": 100.0}) + "\n" for row in read_lines(timing)))
    run(mmtk.load_recipe(tmp_path / "cut"), tmp_path / "cut", pictures=False)
    facts = json.loads((tmp_path / "cut" / "done.json").read_text())
    assert 300 < facts["training_seconds"] < facts["seconds"]  # of both sittings
    checkpoints = ["checkpoints/last.safetensors", "checkpoints/best.safetensors"]
    for file in ("metrics.jsonl", "results.json", "cases.parquet", *checkpoints):
        assert digest(tmp_path / "cut" / file) == digest(tmp_path / "whole" / file), file


def test_nan_stops_the_run_and_names_step_term_and_images(tmp_path: Path) -> None:
    with pytest.raises(RunFailed) as caught:
        run(
            tiny(train__lr=1e30, train__steps=40, train__optimizer="sgd", train__schedule="constant"),
            tmp_path / "r",
        )
    assert "the loss is not finite in step" in str(caught.value)
    assert "Labelled images of this step: classification: phantom-" in str(caught.value)
    assert not RunDir(tmp_path / "r").finished


def test_a_second_process_is_refused_by_name(tmp_path: Path) -> None:
    folder = RunDir(tmp_path / "r")
    code = (
        "import sys; from pathlib import Path; from mmtk.runs.folder import RunDir\n"
        "with RunDir(Path(sys.argv[1])).locked(): pass"
    )
    call = [fork_server.python(), "-c", code, str(folder.path)]
    with folder.locked():
        done = subprocess.run(call, capture_output=True, text=True)
    assert f"mmtk process {os.getpid()} is running in this folder" in done.stderr
    assert subprocess.run(call, capture_output=True).returncode == 0


def test_changed_data_of_an_unfinished_run_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "r"
    run(tiny("unet"), out, pictures=False)
    (out / "done.json").unlink()
    provenance = json.loads((out / "provenance.json").read_text())
    provenance["data"]["segmentation/in-domain"] = "0" * 64
    (out / "provenance.json").write_text(json.dumps(provenance))
    with pytest.raises(MmtkError, match="data of this unfinished run has changed: segmentation/in-domain"):
        run(tiny("unet"), out, pictures=False)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    out = tmp_path / "r"
    run(tiny("unet"), out, pictures=False)
    (out / "done.json").unlink()
    last = out / "checkpoints" / "last.safetensors"
    last.write_bytes(last.read_bytes()[:100])
    with pytest.raises(
        MmtkError, match=r"last\.safetensors: cannot be read: .*\n  Remove it to start from the beginning"
    ):
        run(tiny("unet"), out, pictures=False)


def test_evaluate_on_another_domain(finished: Path, tmp_path: Path) -> None:
    changes = {"data.segmentation.source.domain": "mcu", "data.classification.source.domain": "nihx"}
    result = evaluate(finished, overrides=changes, out=tmp_path / "e", pictures=False)
    own = json.loads((finished / "results.json").read_text())
    assert result.scores["phantom mcu"]["segmentation"]["dice"] != own["in-domain"]["segmentation"]["dice"]
    same = evaluate(finished, out=tmp_path / "same", pictures=False).scores
    assert same["in-domain"]["segmentation"] == pytest.approx(own["in-domain"]["segmentation"])
    assert same["cross-domain"]["classification"]["auroc"] == own["cross-domain"]["classification"]["auroc"]


def test_evaluate_writes_through_no_link(finished: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("kept")
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "results.json").symlink_to(mine)
    with pytest.raises(MmtkError, match=r"results\.json: is a symbolic link in a folder for output"):
        evaluate(finished, out=tmp_path / "e")
    assert mine.read_text() == "kept"


def test_a_predictor_takes_any_size(finished: Path) -> None:
    predictor = mmtk.load(finished, device="cpu")
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((50, 70), (32, 32), (200, 120))]
    cases = predictor(images)
    for case, image in zip(cases, images, strict=True):
        assert case.mask is not None
        assert case.mask.shape == (1, *image.shape)
        assert case.saliency is not None
        assert case.saliency.shape == image.shape
        assert case.classes is not None
        assert sum(case.classes.values()) == pytest.approx(1, abs=1e-6)
    assert predictor([]) == []


def test_predict_writes_pictures_and_names_a_bad_image(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    pixels = np.random.default_rng(1).integers(0, 256, (60, 40), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    Image.fromarray(pixels).save(folder / "c.jpg")
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:60])
    out = tmp_path / "out"
    call = [fork_server.python(), "-m", "mmtk", "predict", str(finished), str(folder), "--out", str(out)]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 1
    assert "b.png" in done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name for path in out.iterdir()} == {
        f"{stem}-{kind}.png" for stem in "ac" for kind in ("mask", "overlay", "saliency")
    } | {"predictions.csv", MANIFEST}
    assert Image.open(out / "a-mask.png").size == (40, 60)
    lines = (out / "predictions.csv").read_text().splitlines()
    areas = ",".join(f"area-{kind}-lung" for kind in ("px", "share", "mm2"))
    assert lines[0] == f"image,class,p-normal,p-pneumonia,{areas},mask-lung,overlay,saliency,error"
    assert len(lines) == 4


def test_weights_of_a_run_start_another_one(finished: Path, tmp_path: Path) -> None:
    built = mmtk.build_model(tiny(init=str(finished)))
    with safe_open(finished / "checkpoints" / "best.safetensors", "pt") as file:
        state = built.state_dict()
        assert all((state[k.removeprefix("net.")] == file.get_tensor(k)).all() for k in list(file.keys()))
    with pytest.raises(MmtkError, match="does not fit this network"):
        mmtk.build_model(tiny(encoder__weights=str(finished), encoder__width=8))
