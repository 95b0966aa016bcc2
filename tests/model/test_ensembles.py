"""Several runs as one: means of probabilities, disagreement, views of an image, and runs that are no ensemble."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import shallow, tiny
from torch import Tensor, nn

import mmtk
from mmtk.api import LabelSpec, Prediction
from mmtk.cli.main import main
from mmtk.components.metric.classification import best_threshold
from mmtk.components.source.phantom import Phantom
from mmtk.data.dataset import prepare
from mmtk.errors import MmtkError
from mmtk.export.card import model_card
from mmtk.io.files import read_json
from mmtk.model.ensemble import disagreement, mean_logits
from mmtk.model.predictor import load
from mmtk.model.views import VIEWS, Viewed
from mmtk.report.intervals import bounded
from mmtk.report.tables.table import interval
from mmtk.runs.arrays import read_cases
from mmtk.runs.finished import read_run
from mmtk.study.results import from_runs
from mmtk.workflows.evaluate import evaluate
from mmtk.workflows.predict import predict

CLASSES = LabelSpec("classification", ("well", "ill"))
LUNGS = LabelSpec("segmentation", ("left", "right"), False, ((0, 1),))
LAYERS = LabelSpec("segmentation", ("background", "lung", "heart"), True)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three seeds of one system, which differ enough to disagree."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in range(3):
        recipe = shallow(seed=seed, train__lr=0.01, data__classification__cross__test=24)
        mmtk.run(recipe, folder / f"s{seed}", pictures=False)
    return [folder / f"s{seed}" for seed in range(3)]


@pytest.fixture
def films() -> list[np.ndarray]:
    source = Phantom("segmentation", test=3, size=48)
    return [source.image(item) for item in source.items("test")]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities along axis 1."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


# --- the mean ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [CLASSES, LUNGS, LAYERS], ids=lambda labels: ",".join(labels.names))
def test_mean_logits_have_the_mean_of_the_probabilities(labels: LabelSpec) -> None:
    shape = (4, len(labels.names)) if labels is CLASSES else (4, len(labels.names), 5, 6)
    several = [3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    function = sigmoid if labels is LUNGS else softmax
    expected = np.mean([function(one.double().numpy()) for one in several], axis=0)
    mean = mean_logits(several, labels)
    np.testing.assert_allclose(labels.probabilities(mean).numpy(), expected, atol=1e-6)
    certain = mean_logits([torch.full(shape, 300.0), torch.full(shape, -300.0)], labels)
    assert bool(torch.isfinite(certain).all())


@pytest.mark.long
def test_an_ensemble_predicts_the_mean_of_its_runs(runs: list[Path], films: list[np.ndarray]) -> None:
    singles, together = [load(run, "cpu") for run in runs], load(runs, "cpu")
    cases = [predictor(films) for predictor in singles]
    masks = np.mean([sigmoid(one.logits(films).segmentation.numpy()) for one in singles], axis=0)
    np.testing.assert_allclose(together.logits(films).segmentation.sigmoid().numpy(), masks, atol=1e-6)
    for index, case in enumerate(together(films)):
        for name, value in case.classes.items():
            assert value == pytest.approx(np.mean([members[index].classes[name] for members in cases]), abs=1e-6)
        saliency = np.mean([members[index].saliency for members in cases], axis=0)
        np.testing.assert_allclose(case.saliency, saliency, atol=1e-6)
        pairs = itertools.combinations([members[index].classes["normal"] for members in cases], 2)
        assert case.disagreement["class"] == pytest.approx(np.mean([abs(a - b) for a, b in pairs]), abs=1e-6)
        assert set(case.disagreement) == {"class", "lung"}
    assert cases[0][0].disagreement == {}
    assert repr(together).startswith("Predictor(3 runs, the first MultiMix")


def test_disagreement_is_the_mean_distance_of_pairs() -> None:
    same, other = torch.tensor([[9.0, -9.0]]), torch.tensor([[-9.0, 9.0]])
    assert disagreement([same, same], CLASSES).item() == 0
    assert disagreement([same, other], CLASSES).item() == pytest.approx(1, abs=1e-6)
    assert disagreement([same, same, other], CLASSES).item() == pytest.approx(2 / 3, abs=1e-6)
    left = torch.full((1, 2, 2, 2), -1.0)
    right, both = left.clone(), left.clone()
    left[0, 0, 0], right[0, 0, 1], both[0, 0] = 1.0, 1.0, 1.0
    assert disagreement([left, right], LUNGS).tolist() == [[1.0, 0.0]]  # the second organ is empty in both
    assert disagreement([left, both], LUNGS)[0, 0].item() == pytest.approx(1 - 2 * 2 / (2 + 4))


@pytest.mark.long
def test_an_ensemble_is_scored_as_the_mean_of_the_runs_own_cases(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate([runs[1], runs[0], runs[2]], out=tmp_path / "out", device="cpu", pictures=False, quiet=False)
    printed = capsys.readouterr().err
    assert printed.index("mean of 3 seeds, on in-domain") < printed.index("3 runs averaged, on in-domain")
    assert "newly trained, on new patients (two-way)" in printed
    mean, singles = (
        read_cases([tmp_path / "out" / "cases.parquet"]),
        read_cases([r / "cases.parquet" for r in runs]),
    )
    for domain in ("in-domain", "cross-domain"):
        table, of_runs = mean[domain, "classification"], singles[domain, "classification"]
        for column in ("p-normal", "p-pneumonia"):
            np.testing.assert_allclose(table[column][0], of_runs[column].mean(0), atol=1e-6)
        pairs = itertools.combinations(of_runs["p-normal"], 2)
        expected = np.mean([np.abs(a - b) for a, b in pairs], axis=0)
        np.testing.assert_allclose(table["image:disagreement"][0], expected, atol=1e-6)
        assert mean[domain, "segmentation"]["image:disagreement"].max() > 0
    facts = read_json(tmp_path / "out" / "evaluation.json")
    assert facts["runs"] == [str(runs[k].absolute()) for k in (1, 0, 2)]
    assert {one["name"] for one in facts["sets"]} == {"in-domain", "cross-domain"}

    singles, of_study, with_ends = facts["single_runs"], from_runs(runs), 0
    (cell,) = of_study.cells
    assert singles["seeds"] == [0, 1, 2]
    for domain, by_task in singles["results"].items():
        for task, scores in by_task.items():
            for name, value in scores.items():
                assert value == pytest.approx(np.mean([*cell.values(domain, task, name).values()]), abs=1e-6), name
                contrast = of_study.jackknives.contrast([(1.0, cell)], domain, task, name)
                one = singles["intervals"][domain][task].get(name)
                if contrast is None or one is None:
                    assert one is contrast, name
                    continue
                expected = bounded(contrast, of_study.declared[task][name], difference=False)
                with_ends += expected.low is not None
                for end in ("low", "high"):
                    assert one[end] == pytest.approx(getattr(expected, end), abs=1e-5), name
    assert with_ends >= 4


def test_a_model_card_gives_the_two_way_interval_of_all_seeds(runs: list[Path]) -> None:
    card = model_card(read_run(runs[0]), [read_run(run) for run in runs[1:]])
    assert "the 95 % interval (two-way) speaks of new trainings and new patients" in card
    study, key = from_runs(runs), ("cross-domain", "classification", "auroc")
    (cell,) = study.cells
    expected = study.jackknives.contrast([(1.0, cell)], *key)
    assert expected is not None
    assert expected.patients > 10
    cut = bounded(expected, study.declared["classification"]["auroc"], difference=False)
    (row,) = [line for line in card.splitlines() if "cross-domain" in line and "| AUROC |" in line]
    assert f"| {interval(cut.low, cut.high)} |" in row


@pytest.mark.long
def test_the_threshold_is_chosen_on_the_validation_part_by_the_ensemble(runs: list[Path], tmp_path: Path) -> None:
    """Of one run it is the run's own; of several, that of their mean probabilities."""
    single = evaluate(runs[0], out=tmp_path / "one", device="cpu", pictures=False).scores
    expected = read_json(runs[0] / "results.json")
    for domain in ("in-domain", "cross-domain"):
        assert single[domain]["classification"] == pytest.approx(expected[domain]["classification"])

    recipe = load(runs[0], "cpu").recipe
    part = prepare(recipe, None).validation()[0]
    cases = load(runs, "cpu")([part.store.images[row, 0] for row in part.rows])
    p = np.array([case.classes["pneumonia"] for case in cases])
    is_ill = torch.tensor(part.store.targets[part.rows]) == 1
    together = evaluate(runs, out=tmp_path / "all", device="cpu", pictures=False).scores
    threshold = together["cross-domain"]["classification"]["threshold"]
    assert threshold == pytest.approx(best_threshold(torch.tensor(p), is_ill), abs=1e-6)

    elsewhere = {"data.classification.source.domain": "nihx", "data.segmentation.source.domain": "mcu"}
    other = evaluate(runs, overrides=elsewhere, out=tmp_path / "other", device="cpu", pictures=False).scores
    assert {scores["classification"]["threshold"] for scores in other.values() if "classification" in scores} == {
        0.5
    }


def test_the_table_of_predictions_has_the_disagreement(
    runs: list[Path], films: list[np.ndarray], tmp_path: Path
) -> None:
    (tmp_path / "films").mkdir()
    for number, film in enumerate(films):
        Image.fromarray(film).save(tmp_path / "films" / f"{number}.png")
    predict(runs, tmp_path / "films", tmp_path / "out", "cpu")
    predict(runs[0], tmp_path / "films", tmp_path / "single", "cpu")
    tables = [list(csv.DictReader((tmp_path / name / "predictions.csv").open())) for name in ("out", "single")]
    assert {*tables[0][0]} - {*tables[1][0]} == {"disagreement-class", "disagreement-lung"}
    assert all(0 <= float(row["disagreement-lung"]) <= 1 for row in tables[0])


# --- views of an image -------------------------------------------------------------------------------------------


class Sum(nn.Module):
    """Class logits from weighted pixels, mask logits from each pixel and the one to its left: not symmetric."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = torch.linspace(-1, 1, 64).view(1, 1, 1, 64)

    def classify(self, x: Tensor) -> Tensor:
        score = (x * self.weights).mean((1, 2, 3))
        return torch.stack([score, -score], 1)

    def segment(self, x: Tensor) -> Tensor:
        return torch.cat([x, x.roll(1, -1) - 0.5], 1)

    def forward(self, x: Tensor) -> Prediction:
        return Prediction(self.classify(x), self.segment(x), x)


def moved(images: np.ndarray, right: int, down: int, beyond: float | None) -> np.ndarray:
    """Images whose pixel (y, x) is that at (y + down, x + right); beyond the border it, or ``beyond``."""
    padded = np.pad(
        images,
        ((0, 0), (0, 0), (2, 2), (2, 2)),
        **({"mode": "edge"} if beyond is None else {"mode": "constant", "constant_values": beyond}),
    )
    return padded[:, :, 2 + down : 66 + down, 2 + right : 66 + right]


def test_views_are_averaged_at_the_pixels_where_they_belong() -> None:
    net = Sum()
    x = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    targets = {"classification": CLASSES, "segmentation": LUNGS}
    seen = Viewed(net, [*VIEWS["flip"], *VIEWS["shift"]], targets)(x)  # type: ignore[arg-type]
    classes = [softmax(net.classify(x).numpy()), softmax(net.classify(x.flip(-1)).numpy())]
    masks = [sigmoid(net.segment(x).numpy()), sigmoid(net.segment(x.flip(-1)).numpy())[:, ::-1, :, ::-1]]
    for right, down in ((2, 0), (-2, 0), (0, 2), (0, -2)):
        view = torch.from_numpy(moved(x.numpy(), right, down, None).copy())
        classes.append(softmax(net.classify(view).numpy()))
        masks.append(moved(sigmoid(net.segment(view).numpy()), -right, -down, np.nan))
    np.testing.assert_allclose(seen.classification.softmax(1).numpy(), np.mean(classes, axis=0), atol=1e-5)
    np.testing.assert_allclose(seen.segmentation.sigmoid().numpy(), np.nanmean(masks, axis=0), atol=1e-4)
    assert torch.equal(seen.saliency, x)


@pytest.mark.parametrize("view", VIEWS["scale"])
def test_a_scaled_view_comes_back_to_its_place(view: Any) -> None:
    rows = torch.linspace(0, 1, 64).view(1, 1, 64, 1) * torch.linspace(1, 2, 64)
    inside = (..., slice(8, -8), slice(8, -8))
    assert (view.of(rows) - rows)[inside].abs().max() > 0.01
    torch.testing.assert_close(view.back(view.of(rows))[inside], rows[inside], rtol=0, atol=0.002)


@pytest.mark.long
def test_views_change_the_scores_of_a_run_and_its_digest(runs: list[Path], tmp_path: Path) -> None:
    plain = tiny("enc")
    assert tiny("enc", evaluate__tta=[]).digest == plain.digest
    assert (
        tiny("enc", evaluate__tta=["shift", "flip"]).digest == tiny("enc", evaluate__tta=["flip", "shift"]).digest
    )
    assert tiny("enc", evaluate__tta=["flip"]).digest != plain.digest
    with pytest.raises(MmtkError, match=r"evaluate\.tta: should be 'flip', 'scale' or 'shift', got"):
        tiny("enc", evaluate__tta=["rotate"])
    one = evaluate(runs[0], out=tmp_path / "one", device="cpu", pictures=False)
    words = ["flip", "scale", "shift"]
    seen = evaluate(runs[0], None, {"evaluate.tta": words}, tmp_path / "seen", device="cpu", pictures=False)
    assert one.scores["in-domain"]["segmentation"]["dice"] != seen.scores["in-domain"]["segmentation"]["dice"]


# --- no ensemble -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("multimix", {"data__size": 64}, "size of images: 64 × 64 pixels × 1 here, 32 × 32 pixels × 1 there"),
        ("multimix", {"data__channels": 3}, "size of images: 32 × 32 pixels × 3 here, 32 × 32 pixels × 1 there"),
        ("enc", {}, "labels of segmentation: none here, lung there"),
        (
            "multimix",
            {"data__classification__normalise": False},
            r"range of pixels: \[0, 1\] here, \[−1, 1\] there",
        ),
    ],
)
def test_runs_of_other_labels_or_images_are_refused(
    runs: list[Path], tmp_path: Path, name: str, changes: dict[str, Any], message: str, tried: Any
) -> None:
    tried("an ensemble of runs of other labels, sizes or channels", "refused: which run, what here, what there")
    mmtk.run(tiny(name, **changes, train__steps=1), tmp_path / "other", pictures=False)
    with pytest.raises(MmtkError, match=message) as refused:
        load([runs[0], tmp_path / "other"], "cpu")
    assert refused.value.where == str(tmp_path / "other")


def test_other_names_of_classes_are_refused(runs: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    mmtk.run(tiny("multimix", train__steps=1), other, pictures=False)
    file = other / "provenance.json"
    file.write_text(file.read_text().replace('"pneumonia"', '"covid"'))
    with pytest.raises(MmtkError, match="labels of classification: normal, covid here, normal, pneumonia there"):
        load([runs[0], other], "cpu")


def test_a_run_counts_once_and_an_ensemble_has_a_folder(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(MmtkError, match="is given twice, so it would count twice"):
        load([runs[0], runs[1], runs[0] / ".." / runs[0].name], "cpu")
    with pytest.raises(MmtkError, match="an ensemble needs runs: none was given"):
        load([], "cpu")
    with pytest.raises(MmtkError, match="an ensemble has no folder of its own"):
        evaluate(runs, device="cpu")
    with pytest.raises(MmtkError, match="--cell MultiMix: a cell is one of a study"):
        evaluate(runs, cell="MultiMix", device="cpu")
    monkeypatch.setattr("sys.argv", ["mmtk", "predict", *map(str, runs), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit):
        main()
    assert "no images: only run directories were given" in capsys.readouterr().err
