"""The workflows as a Python user meets them: what they return, and what is said of beginners' mistakes."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import fork_server
import numpy as np
import pytest
from PIL import Image
from tiny import CLASSIFICATION, SEGMENTATION, SOURCES

import mmtk
from mmtk.errors import MmtkError

FIXTURES = Path(__file__).parents[1] / "fixtures"
FILMS = np.random.default_rng(0).integers(0, 256, (3, 40, 56), dtype=np.uint8)
SMALL = {
    "train.steps": 6,
    "train.validate_every": 3,
    "data.size": 32,
    "encoder.width": 4,
    "encoder.depth": 4,
    "tracking.enabled": False,
    **SOURCES,
    **CLASSIFICATION,
    **SEGMENTATION,
}


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study and runs of mmtk 0.1, one of them with its weights."""
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(FIXTURES / "v0.1.tar.xz") as tar:
        tar.extractall(folder, filter="data")
    return folder / "v0.1"


@pytest.fixture(scope="module")
def run(old: Path) -> Path:
    """The run that has its weights."""
    return next(path.parents[1] for path in sorted(old.glob("runs/*/checkpoints/best.safetensors")))


@pytest.mark.long
def test_a_study_from_planning_to_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study = mmtk.ablate("multimix", "saliency", seeds=1, overrides=SMALL, launcher="inline", out="s", device="cpu")
    assert not study.gaps
    assert (tmp_path / "s" / "report" / "index.html").is_file()
    assert list(study.frame()) == ["system", "digest", "budget", "seed", "domain", "task", "metric", "value"]
    images = study.cases()
    assert list(images)[:7] == ["system", "digest", "budget", "seed", "domain", "task", "id"]
    assert not images.duplicated(list(images)[:7]).any()
    assert images.system.nunique() == 3
    means = images[images.task == "segmentation"].groupby(["system", "domain"]).dice.mean()
    scores = study.frame().query("metric == 'dice'").set_index(["system", "domain"]).value
    assert means.sort_index().to_dict() == pytest.approx(scores.to_dict())
    again = mmtk.ablate("s", device="cpu")  # finished: read, not run
    assert again.frame().equals(study.frame())
    with pytest.raises(MmtkError, match=r"has its plan already.*\n.*--seeds, --set"):
        mmtk.ablate("s", seeds=2, overrides=SMALL)


def test_a_report_and_its_module_share_a_name(tmp_path: Path) -> None:
    code = (
        "import mmtk, mmtk.report.page\n"
        "from mmtk.report import analysis\n"
        "from mmtk.errors import MmtkError\n"
        "try: mmtk.report('nowhere')\n"
        "except MmtkError as error: print(analysis.__name__, error)"
    )
    done = subprocess.run([fork_server.python(), "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("mmtk.report.analysis nowhere")


def test_predictions_by_paths_as_text(run: Path, tmp_path: Path, capfd) -> None:
    for number, film in enumerate(FILMS):
        Image.fromarray(film).save(tmp_path / f"{number}.png")
    (row,) = mmtk.predict(str(run), str(tmp_path / "0.png"), str(tmp_path / "out"), "cpu")
    assert row.error == ""
    assert (tmp_path / "out" / "predictions.csv").is_file()
    assert capfd.readouterr() == ("", "")


@pytest.mark.long
def test_a_model_that_mmtk_0_1_logged_still_loads(run: Path, tmp_path: Path) -> None:
    import mlflow

    shutil.copy(FIXTURES / "pyfunc-0.1.py.txt", tmp_path / "pyfunc.py")
    mlflow.pyfunc.save_model(
        str(tmp_path / "model"), python_model=str(tmp_path / "pyfunc.py"), artifacts={"run": str(run)}
    )
    rows = mlflow.pyfunc.load_model(str(tmp_path / "model")).predict(FILMS.astype(np.float32))
    assert len(rows) == len(FILMS)
    assert callable(mmtk.predict)  # the module that the old code imports does not hide the function
    Image.fromarray(FILMS[0]).save(tmp_path / "film.png")
    (row,) = mmtk.predict(run, [tmp_path / "film.png"], tmp_path / "out", device="cpu")
    assert row.error == ""


def test_check_gives_the_recipe_or_all_that_is_wrong() -> None:
    assert mmtk.check("multimix", overrides=SMALL).train.steps == 6
    with pytest.raises(MmtkError, match="threshold"):
        mmtk.check("multimix", overrides={"ssl.threshold": "high"})


def test_inspection_of_a_loaded_recipe(tmp_path: Path) -> None:
    found = mmtk.inspect(
        mmtk.load_recipe("unet", overrides={"data.size": 32, **SOURCES, **SEGMENTATION}), out=tmp_path / "pictures"
    )
    assert found["sources"]
    assert (tmp_path / "pictures" / "samples.png").is_file()
    (in_domain, *_) = json.loads((tmp_path / "pictures" / "sets.json").read_text())["sets"]
    assert in_domain.startswith("segmentation source (phantom ")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda old, run: mmtk.run("multimix"),  # type: ignore[arg-type]
            r'takes a recipe, not \'multimix\'.*\n.*mmtk\.run\(mmtk\.load_recipe\("multimix"\)\)',
        ),
        (lambda old, run: mmtk.build_model("multimix"), r"mmtk\.build_model\(mmtk\.load_recipe"),  # type: ignore[arg-type]
        (lambda old, run: mmtk.run(None), r"takes a recipe, not a NoneType"),  # type: ignore[arg-type]
        (lambda old, run: mmtk.load_recipe("multimix", overrides="seed=1"), r'not the text .*\n.*overrides=\["'),
        (lambda old, run: mmtk.ablate("multimix", "ssl", overrides="seed=1"), r"not the text 'seed=1'"),
        (lambda old, run: mmtk.ablate("multimix"), r"say what to compare"),
        (lambda old, run: mmtk.load(old / "typo"), r"typo: no such folder"),
        (lambda old, run: mmtk.load(old / "studies" / "ssl"), r"is a study, not a run.*\n.*mmtk\.read_study"),
        (lambda old, run: mmtk.read_run(old / "studies" / "ssl"), r"is a study, not a run.*\n.*mmtk\.read_study"),
        (lambda old, run: mmtk.read_study(run), r"is a run directory, not a study.*\n.*mmtk\.read_run"),
        (lambda old, run: mmtk.read_study(old / "typo"), r"typo: no such folder"),
        (lambda old, run: mmtk.track(old / "studies" / "ssl"), r"is a study, not a run"),
        (lambda old, run: mmtk.evaluate(old / "typo"), r"typo: no such folder"),
    ],
)
def test_beginners_mistakes_come_with_the_cure(call, says, old: Path, run: Path, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MmtkError, match=says):
        call(old, run)
    assert list(tmp_path.iterdir()) == []
