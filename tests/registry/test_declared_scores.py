"""Metrics that share no score with the built-in ones take their place: a run, a study and its report are whole."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from tiny import tiny

import mmtk
from mmtk import builtin_scores
from mmtk.api import ScoreInfo
from mmtk.errors import MmtkError
from mmtk.export.card import model_card
from mmtk.registry import catalog, local_file
from mmtk.report.analysis import analyse
from mmtk.report.page import write_report
from mmtk.runs.finished import read_run
from mmtk.runs.folder import RunDir
from mmtk.scores import from_json, leading, selecting, shown, to_json
from mmtk.workflows import run as run_workflow

CODE = '''
from mmtk.api import Metric, ScoreInfo

class Surprise(Metric):
    """Mean surprise at the right class in bits, and the share of images below one bit."""
    task = "classification"
    scores = {
        "surprise": ScoreInfo(
            "mean surprise", unit="bit", better="lower", chance=1.0, low=0.0, leads=True, selects=True
        ),
        "calm": ScoreInfo("calm images", low=0.0, high=1.0, chance="calm-by-luck"),
        "calm-by-luck": ScoreInfo("a coin", shown=("summary",)),
    }
    def __init__(self, names):
        self.bits = {}
    def update(self, logits, target, ids):
        picked = logits.double().log_softmax(1).gather(1, target[:, None])[:, 0]
        self.bits |= dict(zip(ids, (-picked / 0.6931471805599453).tolist()))
    def merge(self, other):
        self.bits |= other.bits
    def compute(self):
        bits = list(self.bits.values())
        calm = sum(b < 1 for b in bits) / len(bits)
        return {"surprise": sum(bits) / len(bits), "calm": calm, "calm-by-luck": 0.5, "images-seen": len(bits)}
    def per_image(self):
        return {"id": list(self.bits), "surprise": list(self.bits.values())}

class Area(Metric):
    """How far the predicted area is from the true one."""
    task = "segmentation"
    scores = {"area-error": ScoreInfo("area error", unit="%", better="lower", low=0.0)}
    def __init__(self):
        self.errors = {}
    def update(self, logits, target, ids):
        areas = [(m > t).flatten(1).float().mean(1) for m, t in ((logits, 0), (target, 0))]
        self.errors |= dict(zip(ids, (100 * (areas[0] - areas[1]).abs()).tolist()))
    def merge(self, other):
        self.errors |= other.errors
    def compute(self):
        return {"area-error": sum(self.errors.values()) / len(self.errors)}
    def per_image(self):
        return {"id": list(self.errors), "area-error": list(self.errors.values())}

class Silent(Metric):
    """A score that no place knows."""
    task = "segmentation"
    def update(self, logits, target, ids): ...
    def merge(self, other): ...
    def compute(self):
        return {"unheard-of": 1.0}

class Empty(Area):
    """Declares a score that it does not give."""
    scores = {"volume": ScoreInfo("volume")}
'''
METRICS = {"metric__classification": {"use": "code/Surprise"}, "metric__segmentation": {"use": "code/Area"}}


@pytest.fixture(scope="module", autouse=True)
def code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = catalog.code()
    path = tmp_path_factory.mktemp("code") / "strange.py"
    path.write_text(CODE)
    local_file.use(path)
    yield
    catalog.offer(before)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    out = tmp_path_factory.mktemp("strange")
    paths = []
    for name in ("multimix", "umtl"):
        for seed in (0, 1, 2):
            recipe = tiny(name, seed=seed, train__steps=4, **METRICS)
            paths.append(mmtk.run(recipe, out=out / f"{name}-{seed}", pictures=False).path)
    return paths


@pytest.mark.long
def test_the_best_weights_are_those_of_the_lowest_score(runs: list[Path]) -> None:
    rows = [json.loads(line) for line in RunDir(runs[0]).metrics_file.read_text().splitlines()]
    validations = {row["step"]: row for row in rows if "val/score" in row}
    assert len(validations) == 2
    for row in validations.values():
        parts = row["val/classification/surprise"], row["val/segmentation/area-error"]
        assert row["val/score"] == pytest.approx(-sum(parts) / 2)
    selected = json.loads(RunDir(runs[0]).results_file.read_text())["selected"]
    assert selected["step"] == max(validations, key=lambda step: validations[step]["val/score"])


@pytest.mark.long
def test_a_run_keeps_what_its_metrics_declare(runs: list[Path]) -> None:
    declared = read_run(runs[0]).declared
    assert [*declared] == ["classification", "segmentation"]
    assert declared["classification"]["surprise"].heading == "mean surprise (bit)"
    assert (leading(declared["classification"]), selecting(declared["segmentation"])) == ("surprise", "area-error")
    (RunDir(runs[-1]).scores_file).write_text('{"classification": {"surprise": {"better": "sideways"}}}')
    with pytest.raises(MmtkError, match=r"scores\.json"):
        read_run(runs[-1])
    (RunDir(runs[-1]).scores_file).write_bytes(RunDir(runs[0]).scores_file.read_bytes())


def test_progress_and_the_last_table_show_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()

    class Loud(run_workflow.Display):
        def __init__(self, quiet: bool = False) -> None:
            super().__init__(quiet)
            self.console = Console(file=text, width=120)

    monkeypatch.setattr(run_workflow, "Display", Loud)
    mmtk.run(tiny("multimix", train__steps=2, **METRICS), out=tmp_path / "run", quiet=False, pictures=False)
    said = " ".join(text.getvalue().split())
    assert "score: the mean of −surprise and −area-error on the validation images" in said
    assert re.search(r"validation 2 score −?-?[\d.]+ \* surprise [\d.]+ area-error [\d.]+ calm [\d.]+", said)
    assert "mean surprise (bit)" in said
    assert "area error (%)" in said
    assert "a coin" in said


@pytest.mark.long
def test_a_study_is_analysed_drawn_and_written(runs: list[Path], tmp_path: Path) -> None:
    study = mmtk.read_study(runs)
    analysis = analyse(study)
    assert {(s.task, s.metric) for s in analysis.scores} == {
        ("classification", "surprise"),
        ("classification", "calm"),
        ("classification", "images-seen"),
        ("segmentation", "area-error"),
    }
    assert {one.metric for one in analysis.comparisons} == {"surprise", "calm", "area-error"}
    assert all(s.chance == 0.5 for s in analysis.scores if s.metric == "calm")
    page = write_report(analysis, tmp_path / "report").read_text(encoding="utf-8")
    for words in ("mean surprise (bit)", "calm images", "area error (%)", "a coin for calm images"):
        assert words in page, words
    names = {path.stem for path in (tmp_path / "report").rglob("*.png")}
    assert {"scores", "validation"} <= names
    (results,) = (path.read_text(encoding="utf-8") for path in tmp_path.rglob("results-in-domain.csv"))
    assert "area error (%)" in results


@pytest.mark.long
def test_the_card_of_a_shared_model_has_them(runs: list[Path]) -> None:
    card = model_card(read_run(runs[0]))
    assert "mean surprise (bit)" in card
    assert "From its own data to those of another origin" in card
    assert "area error goes from" in card


def test_a_metric_without_a_score_to_select_by_is_refused_before_the_run() -> None:
    with pytest.raises(MmtkError, match=r"gives no dice, by which the best weights are chosen"):
        tiny("multimix", metric__segmentation={"use": "code/Silent"})
    with pytest.raises(MmtkError, match=r"gives no volume, by which the best weights are chosen"):
        tiny("multimix", metric__segmentation={"use": "code/Empty"})


def test_declarations_survive_a_file() -> None:
    for scores in (builtin_scores.classification(("a", "b")), builtin_scores.segmentation(("lung",))):
        assert from_json(json.loads(json.dumps(to_json(scores)))) == scores
        assert [*from_json(to_json(scores))] == [*scores]


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"better": "sideways"}, "better"),
        ({"shown": ("everywhere",)}, "shown"),
        ({"chance": float("nan")}, "chance"),
        ({"margin": "small"}, "margin"),
    ],
)
def test_a_wrong_declaration_is_refused_by_its_field(wrong: dict[str, object], name: str) -> None:
    with pytest.raises(MmtkError, match=f"declared with a wrong {name}"):
        ScoreInfo("mine", **wrong)  # type: ignore[arg-type]


def test_the_built_in_scores_lead_select_and_stand_in_the_order_of_the_paper() -> None:
    classes, masks = builtin_scores.classification(("normal", "pneumonia")), builtin_scores.segmentation(("lung",))
    assert (leading(classes), selecting(classes), leading(masks), selecting(masks)) == (
        "balanced-accuracy",
        "macro-f1",
        "dice",
        "dice",
    )
    assert shown(classes, "tests") == ["accuracy", "balanced-accuracy", "macro-f1", "auroc"]
    assert shown(masks, "tests") == ["dice", "average-hausdorff"]
