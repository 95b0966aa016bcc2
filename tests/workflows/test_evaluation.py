"""A finished run scored on other data: which images, under which names, in which classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.stats
from commands import caller
from PIL import Image
from tiny import shallow

from mmtk import load_recipe
from mmtk.api import Item, LabelSpec, Source
from mmtk.data.dataset import prepare
from mmtk.data.label_matching import check_names, parse_matches, relabel
from mmtk.errors import MmtkError
from mmtk.workflows import run as run_workflow
from mmtk.workflows.evaluate import evaluate

GENERATOR = np.random.default_rng(0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of both tasks with a bridge and strategies that need both; classes normal, pneumonia; organ lung."""
    return run_workflow.run(shallow(), tmp_path_factory.mktemp("run") / "r", pictures=False).path


def films(folder: Path, labels: dict[str, str], masks: bool = False) -> dict[str, str]:
    """Films with a table of labels (and masks of a box); the keys of a ``folder`` source that reads them."""
    for place in ("films", "masks"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    for name in labels:
        Image.fromarray(GENERATOR.integers(0, 255, (40, 40), dtype=np.uint8)).save(folder / f"films/{name}.png")
        mask = np.zeros((40, 40), np.uint8)
        mask[10:30, 8:20] = 255
        Image.fromarray(mask).save(folder / f"masks/{name}.png")
    rows = [f"{name},{label}" for name, label in labels.items()]
    (folder / "films.csv").write_text("\n".join(["image,label", *rows]) + "\n")
    keys = {"use": "folder", "images": f"{folder.name}/films"}
    return keys | ({"masks": f"{folder.name}/masks"} if masks else {"labels": f"{folder.name}/films.csv"})


def scored(run: Path, data: Path, out: Path, **keys: Any) -> dict[str, Any]:
    """The scores on a source in place of the run's own, of one task."""
    task = "segmentation" if "masks" in keys else "classification"
    changes = {f"data.{task}.source": keys, "tasks": [task]}
    return dict(evaluate(run, overrides=changes, out=out, data=data, device="cpu", pictures=False).scores)


@pytest.mark.long
def test_a_run_of_both_tasks_is_scored_on_masks_alone_and_on_all_films(run: Path, tmp_path: Path) -> None:
    keys = films(tmp_path / "site", {f"f{n}": "" for n in range(5)}, masks=True)
    profile = tmp_path / "shen.toml"
    lines = [f'{key} = "{value}"' for key, value in keys.items()]
    profile.write_text("\n".join(["[data.segmentation.source]", *lines, 'classes = ["lung"]']))
    result = evaluate(run, str(profile), data=tmp_path, device="cpu")
    assert result.path == run / "evaluations" / "shen"
    (scores,) = result.scores.values()
    assert [*result.scores] == ["site/films"]
    assert [*scores] == ["segmentation"]
    assert scores["segmentation"]["n"] == 5
    cases = pq.read_table(result.path / "cases.parquet").to_pandas()
    assert scores["segmentation"]["dice"] == pytest.approx(cases.dice.mean())
    assert (result.path / "figures" / "boundaries-site-films.png").is_file()
    (one,) = json.loads((result.path / "evaluation.json").read_text())["sets"]
    assert (one["name"], one["images"], one["scored"]) == ("site/films", 5, 5)


@pytest.mark.parametrize("present", ["normal", "pneumonia"])
def test_a_set_of_one_class_has_accuracy_and_no_auroc(run: Path, tmp_path: Path, present: str) -> None:
    keys = films(tmp_path / "one", {f"f{n}": present for n in range(4)})
    found = scored(run, tmp_path, tmp_path / "e", **keys, classes=["normal", "pneumonia"])
    scores = found["one/films"]["classification"]
    cases = pq.read_table(tmp_path / "e" / "cases.parquet").to_pandas().query("domain == 'one/films'")
    assert (cases.target == ["normal", "pneumonia"].index(present)).all()
    assert cases.patient.isna().all()  # the source names none
    recall = {"normal": "specificity", "pneumonia": "sensitivity"}
    assert scores["n"] == 4
    assert (
        scores["accuracy"]
        == scores[recall.pop(present)]
        == pytest.approx((cases.target == cases.predicted).mean())
    )
    assert "auroc" not in scores
    assert {*recall.values()} & {*scores} == set()


def test_own_parts_of_a_source_are_kept_and_others_are_scored_whole(run: Path, tmp_path: Path) -> None:
    labels = {f"f{n}": ("normal", "pneumonia")[n % 2] for n in range(12)}
    keys = films(tmp_path / "split", labels)
    assert scored(run, tmp_path, tmp_path / "whole", **keys)["split/films"]["classification"]["n"] == 12
    rows = [f"{name},{label},{'test' if n < 5 else 'train'}" for n, (name, label) in enumerate(labels.items())]
    (tmp_path / "split/films.csv").write_text("\n".join(["image,label,split", *rows]))
    assert scored(run, tmp_path, tmp_path / "part", **keys)["split/films"]["classification"]["n"] == 5


def test_only_the_data_of_the_training_are_called_in_domain(run: Path, tmp_path: Path) -> None:
    assert [*evaluate(run, out=tmp_path / "own", device="cpu", pictures=False).scores] == [
        "in-domain",
        "cross-domain",
    ]
    changes = {"data.segmentation.source.domain": "mcu", "tasks": ["segmentation"]}
    other = evaluate(run, overrides=changes, out=tmp_path / "other", device="cpu", pictures=False).scores
    assert [*other] == ["phantom mcu", "cross-domain"]


def test_scores_have_intervals_for_new_patients_of_this_network(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = {f"f{n:02}": ("normal", "pneumonia")[n % 3 == 0] for n in range(24)}
    films(tmp_path / "site", labels, masks=True)
    rows = [f"{name},{label},person{n // 2}" for n, (name, label) in enumerate(labels.items())]
    (tmp_path / "site/films.csv").write_text("\n".join(["image,label,patient", *rows]))
    films(tmp_path / "few", {f"g{n}": "normal" for n in range(4)}, masks=True)
    folders = [tmp_path / "site", tmp_path / "few"]
    out = tmp_path / "e"
    evaluate(run, folders=folders, out=out, device="cpu", pictures=False, quiet=False)
    facts = json.loads((out / "evaluation.json").read_text())
    cases = pq.read_table(out / "cases.parquet").to_pandas()
    cases["accuracy"] = (cases.target == cases.predicted).astype(float)
    for task, score in (("classification", "accuracy"), ("segmentation", "dice")):
        table = cases[(cases.domain == "site") & (cases.task == task)]
        mean, patients = table[score].mean(), sorted({*table.patient})
        assert len(patients) == 12
        pseudo = [12 * mean - 11 * table[table.patient != patient][score].mean() for patient in patients]
        half = scipy.stats.t.ppf(0.975, 11) * np.std(pseudo, ddof=1) / 12**0.5
        one = facts["intervals"]["site"][task][score]
        assert (one["low"], one["high"]) == pytest.approx((max(mean - half, 0), min(mean + half, 1)))
        assert one["patients"] == 12
        assert one["note"].startswith("rests on 12 patients only")
        few = facts["intervals"]["few"][task][score]
        assert (few["low"], few["patients"]) == (None, 4)
    assert facts["notes"]["few"]["segmentation"].startswith("no patient is known")
    printed = " ".join(capsys.readouterr().err.split())
    assert "on site, segmentation: 24 images" in printed
    assert f"{facts['intervals']['site']['segmentation']['dice']['low']:.3f} to" in printed
    assert "No patient is known, so images are taken as independent" in printed
    assert "nothing is said of new trainings" in printed


def test_an_evaluation_is_written_over_nothing_else(run: Path, tmp_path: Path) -> None:
    before = (run / "results.json").read_bytes()
    for out in (run, tmp_path):
        (tmp_path / "results.json").write_text("kept")
        with pytest.raises(MmtkError, match=r"not written by mmtk evaluate, or changed since: .*results\.json"):
            evaluate(run, overrides={"tasks": ["segmentation"]}, out=out, device="cpu", pictures=False)
    assert (run / "results.json").read_bytes() == before
    assert (tmp_path / "results.json").read_text() == "kept"
    with pytest.raises(MmtkError, match="the run has no caption; it was trained for classification, segmentation"):
        evaluate(run, overrides={"tasks": ["caption"]}, device="cpu", pictures=False)


def test_a_folder_that_takes_no_file_is_refused_before_data_are_read(run: Path, monkeypatch) -> None:
    monkeypatch.setattr("mmtk.workflows.evaluate._open", lambda *_: pytest.fail("data were read"))
    with pytest.raises(MmtkError, match="nothing can be written in this folder"):
        evaluate(run, overrides={"tasks": ["segmentation"]}, out=Path("/proc/self"), device="cpu", pictures=False)


class Labels(Source):
    """Items with labels of one's own, masks from numbers."""

    def __init__(self, target: LabelSpec, targets: list[Any]) -> None:
        self.labels, self.targets = target, targets

    def items(self, split: str) -> list[Item]:
        return [Item(f"i{n}", Path("x.png"), target, f"i{n}") for n, target in enumerate(self.targets)]

    def mask(self, item: Item) -> np.ndarray:
        return np.array(item.target, np.uint8)[:, None]

    def digest(self) -> str:
        return "labels"


CLASSES = LabelSpec("classification", ("normal", "pneumonia"))
LUNG = LabelSpec("segmentation", ("lung",), exclusive=False)
MAP = LabelSpec("segmentation", ("background", "lung", "heart"), exclusive=True)


def classes(*names: str) -> Source:
    return Labels(LabelSpec("classification", names), [*range(len(names)), None])


def organs(target: LabelSpec, *channels: list[int]) -> Source:
    return Labels(target, [channels])


@pytest.mark.parametrize(
    ("names", "match", "expected"),
    [
        (("normal", "pneumonia"), {}, [0, 1, None]),
        (("PNEUMONIA", "Normal"), {}, [1, 0, None]),
        (("pneumonia", "TB", "normal"), {"TB": "pneumonia"}, [1, 1, 0, None]),
        (("other", "pneumonia", "normal"), {"other": ""}, [1, 0, None]),
        (("0", "1"), {"0": "normal", "1": "pneumonia"}, [0, 1, None]),
    ],
)
def test_classes_are_matched_by_name(names: tuple[str, ...], match: dict[str, str], expected: list[Any]) -> None:
    assert [item.target for item in relabel(classes(*names), CLASSES, match, "set").items("all")] == expected


def test_a_class_that_the_run_does_not_know_is_named_with_the_cure() -> None:
    with pytest.raises(MmtkError) as caught:
        relabel(classes("normal", "TB"), CLASSES, {}, "set")
    assert "the labels TB are no classes of the run, which knows normal, pneumonia" in str(caught.value)
    assert '--match "TB=pneumonia"; --match "TB=" leaves its images out' in str(caught.value)
    with pytest.raises(MmtkError, match=r"--match TB=flu: the run knows no 'flu'. Known: lung, normal, pneumonia"):
        check_names({"TB": "flu"}, [CLASSES, LUNG])


PAIR = LabelSpec("segmentation", ("left lung", "right lung"), exclusive=False)


@pytest.mark.parametrize(
    ("source", "target", "match", "expected"),
    [
        (organs(LabelSpec("segmentation", ("mask",), False), [0, 1]), LUNG, {}, [[0, 1]]),
        (organs(LabelSpec("segmentation", ("Lungs",), False), [0, 1]), LUNG, {}, [[0, 1]]),
        (organs(PAIR, [1, 0, 0, 255], [0, 1, 0, 1]), LUNG, {}, [[1, 1, 0, 1]]),
        (organs(PAIR, [0, 255], [0, 0]), LUNG, {}, [[0, 255]]),
        (organs(LabelSpec("segmentation", ("leftMask", "rightMask"), False), [1, 0], [0, 0]), LUNG, {}, [[1, 0]]),
        (organs(MAP, [1, 0, 0], [0, 1, 0], [0, 0, 1]), LUNG, {"heart": ""}, [[0, 1, 0]]),
        (
            organs(LabelSpec("segmentation", ("heart", "lung"), False), [1, 0, 0], [0, 1, 0]),
            MAP,
            {},
            [[0, 0, 1], [0, 1, 0], [1, 0, 0]],
        ),
    ],
)
def test_organs_are_matched_by_name(
    source: Source, target: LabelSpec, match: dict[str, str], expected: list[list[int]]
) -> None:
    found = relabel(source, target, match, "set")
    assert found.mask(found.items("all")[0])[:, 0].tolist() == expected


def test_masks_that_do_not_fit_are_named_with_the_cure() -> None:
    with pytest.raises(MmtkError) as caught:
        relabel(organs(LabelSpec("segmentation", ("mask",), False), [1]), PAIR, {"mask": "left lung"}, "set")
    assert "has no mask of right lung, which the run marks: here are mask." in str(caught.value)
    with pytest.raises(MmtkError, match="the labels heart are no organs of the run, which knows lung"):
        relabel(organs(LabelSpec("segmentation", ("heart",), False), [1]), LUNG, {}, "set")


# --- folders -----------------------------------------------------------------------------------------------------


def site(folder: Path, labels: dict[str, str], masks: int = 0, head: str = "image,label") -> Path:
    """Films with a table of labels, and masks of the first ones."""
    films(folder, labels)
    (folder / "films.csv").write_text(
        "\n".join([head, *(f"{name}.png,{label}" for name, label in labels.items())])
    )
    for path in sorted((folder / "masks").iterdir())[masks:]:
        path.unlink()
    return folder


def test_folders_are_scored_on_whatever_labels_they_have(run: Path, tmp_path: Path) -> None:
    both = site(tmp_path / "both", {f"f{n}": ["Normal", "PNEUMONIA", ""][n % 3] for n in range(9)}, masks=9)
    words = site(tmp_path / "words", {f"g{n}": ["No Finding", "Pneumonia|Effusion"][n % 2] for n in range(5)})
    only = site(tmp_path / "only", {f"h{n}": "" for n in range(4)}, masks=4)
    before = [
        (path, path.stat().st_mtime_ns) for folder in (both, words, only) for path in sorted(folder.rglob("*"))
    ]
    result = evaluate(run, folders=[both, words, only], device="cpu", pictures=False)
    after = [
        (path, path.stat().st_mtime_ns) for folder in (both, words, only) for path in sorted(folder.rglob("*"))
    ]
    assert after == before  # data may lie where nothing can be written
    assert result.path == run / "evaluations" / "both-words-only"
    found = {(name, task): scores["n"] for name, tasks in result.scores.items() for task, scores in tasks.items()}
    assert found == {
        ("both", "classification"): 6,
        ("both", "segmentation"): 9,
        ("words", "classification"): 5,
        ("only", "segmentation"): 4,
    }
    cases = pq.read_table(result.path / "cases.parquet").to_pandas().query("domain == 'words'")
    assert dict(zip(cases.id, cases.target.astype(int), strict=True)) == {f"g{n}": n % 2 for n in range(5)}


def test_labels_of_another_kind_do_not_keep_masks_from_being_scored(run: Path, tmp_path: Path, capsys) -> None:
    folder = site(tmp_path / "tb", {f"f{n}": ["normal", "tuberculosis"][n % 2] for n in range(4)}, masks=4)
    result = evaluate(run, folders=[folder], device="cpu", pictures=False, out=tmp_path / "e", quiet=False)
    assert {task: scores["n"] for task, scores in result.scores["tb"].items()} == {"segmentation": 4}
    printed = " ".join(capsys.readouterr().err.split())
    assert "Not scored: tb: 1 label is no class of the run" in printed
    assert 'tuberculosis (2). Say which is which: --match "tuberculosis=pneumonia"' in printed


def test_a_folder_with_a_column_and_a_table_elsewhere(run: Path, tmp_path: Path) -> None:
    rows = {f"f{n}": f"{40 + n},Dr. {n},{['no', 'TB'][n % 2]}" for n in range(6)}
    folder = site(tmp_path / "site", rows, head="File,Age,Hausarzt,Reading")
    (folder / "films.csv").rename(tmp_path / "reader.csv")
    said = {"labels": str(tmp_path / "reader.csv"), "label": "Reading"}
    with pytest.raises(MmtkError, match=r"is no class of the run, .*: TB \(3\)") as caught:
        evaluate(run, folders=[folder], columns=said, out=tmp_path / "e", device="cpu", pictures=False)
    assert '--match "TB=pneumonia"; --match "TB=" leaves its films out' in str(caught.value)
    assert not (tmp_path / "e").exists()
    scores = evaluate(
        run,
        folders=[folder],
        columns=said,
        match=parse_matches(["TB=pneumonia"]),
        out=tmp_path / "e",
        device="cpu",
        pictures=False,
    ).scores
    assert scores["site"]["classification"]["n"] == 6
    cases = pq.read_table(tmp_path / "e/cases.parquet").to_pandas()
    assert sorted(cases["metadata:Age"]) == [*range(40, 46)]
    assert not [column for column in cases if "Hausarzt" in column]
    scores = evaluate(
        run,
        folders=[folder / "films"],
        columns=said,
        match=parse_matches(["TB="]),
        out=tmp_path / "films",
        device="cpu",
        pictures=False,
    ).scores
    assert scores["films"]["classification"]["n"] == 3


@pytest.mark.parametrize(("text", "words"), [("TB", "should be LABEL=NAME"), ("=x", "should be LABEL=NAME")])
def test_a_match_has_two_sides(text: str, words: str) -> None:
    with pytest.raises(MmtkError, match=words):
        parse_matches([text])


def test_a_folder_without_labels_says_what_was_looked_at(run: Path, tmp_path: Path) -> None:
    folder = site(tmp_path / "bare", {"a": "", "b": ""})
    with pytest.raises(
        MmtkError, match=r"no labels for classification, segmentation were found.*\n.*--masks FOLDER"
    ):
        evaluate(run, folders=[folder], device="cpu", pictures=False)
    with pytest.raises(MmtkError, match="give one of them"):
        evaluate(run, "phantom", folders=[folder], device="cpu", pictures=False)


def test_films_that_the_run_was_trained_on_are_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = prepare(load_recipe(run), None)
    rows = held.parts["classification"].labelled[:2]
    folder = site(tmp_path / "site", {f"f{n}": ["normal", "pneumonia"][n % 2] for n in range(6)})
    for number, row in enumerate(rows):  # training films under other names
        Image.fromarray(held.stores["classification"].images[row, 0]).save(folder / f"films/f{number}.png")
    chest = held.stores["segmentation"].images[held.parts["segmentation"].labelled[0], 0]
    Image.fromarray(chest).save(folder / "films/f2.png")
    result = evaluate(run, folders=[folder], device="cpu", pictures=False)
    warning = capsys.readouterr().err
    assert (
        "site: 2 of 6 films were trained on (classification 2 and segmentation 1), so its scores are too good"
        in warning
    )
    assert "the same image in train and site (2): " in warning
    assert warning.rstrip().endswith(" in site.")
    known = json.loads((result.path / "evaluation.json").read_text())["trained_on"]
    assert [[pair[1].split()[0] for pair in one["identical"]] for one in known] == [["f0", "f1"], ["f2"]]


def test_a_film_that_cannot_be_read_costs_the_others_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others have the scores that they have without it; it is named, listed, and the exit code is 1."""
    site = tmp_path / "site"
    films(site, {"a": "normal", "b": "pneumonia", "c": "normal"})
    whole = evaluate(run, folders=site, out=tmp_path / "whole", device="cpu", pictures=False).scores
    with (site / "films.csv").open("a") as table:
        table.write("broken,pneumonia\n")
    (site / "films/broken.png").write_bytes((site / "films/a.png").read_bytes()[:200])
    call = caller(monkeypatch, capsys)
    code, out, err = call("evaluate", str(run), str(site), "--out", str(tmp_path / "part"), "--no-pictures")
    assert code == 1
    assert "broken.png: cannot be decoded" in out + err
    assert "1 image that cannot be read was left out; evaluation.json says why." in err
    facts = json.loads((tmp_path / "part/evaluation.json").read_text())
    assert [entry["image"] for entry in facts["unreadable"]] == ["broken"]
    assert json.loads((tmp_path / "part/results.json").read_text()) == whole
    for name in "abc":
        (site / f"films/{name}.png").write_bytes(b"")
    code, _, err = call("evaluate", str(run), str(site), "--out", str(tmp_path / "none"), "--no-pictures")
    assert code == 2
    assert "all 4 images could not be read" in err.lower()
