"""Results of nnU-Net v2 and MONAI, in the files that their own code writes."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

import mmtk
from mmtk.compare.request import write_request
from mmtk.errors import MmtkError

NNUNET = Path(__file__).with_name("nnunet")  # written by nnU-Net's own code, see the README in it
DATASET = "nnUNet_results/Dataset007_Lung"
TRUTH = "nnUNet_preprocessed/Dataset007_Lung/gt_segmentations"
SYSTEMS = ("nnUNetTrainer__nnUNetPlans__2d", "nnUNetTrainer__nnUNetPlans__3d_fullres")


def dice_of_folds(system: str, empty: float) -> list[float]:
    """Mean Dice of each fold over cases, of each case over structures, from the masks themselves.

    system: the trainer
    empty: Dice of a structure that neither mask has; NaN leaves it out
    """
    means = []
    for fold in range(5):
        files = sorted((NNUNET / DATASET / system / f"fold_{fold}/validation").glob("*.nii.gz"))
        cases = []
        for file in files:
            predicted, truth = (
                np.asarray(nibabel.load(one).dataobj) for one in (file, NNUNET / TRUTH / file.name)
            )
            pairs = [(predicted == label, truth == label) for label in (1, 2)]
            dice = [2 * (a & b).sum() / n if (n := a.sum() + b.sum()) else empty for a, b in pairs]
            cases.append(np.nanmean(dice))
        means.append(float(np.mean(cases)))
    return means


def of_folds(comparison: mmtk.workflows.compare.Comparison, system: str) -> list[float]:
    frame = comparison.frame()
    rows = frame[(frame["system"] == system) & (frame["metric"] == "dice")]
    return rows.sort_values("fold")["value"].to_list()


def test_folds_of_nnunet_have_the_corrected_test(tmp_path: Path) -> None:
    comparison = mmtk.compare(NNUNET / "nnUNet_results")
    means = {system: dice_of_folds(system, np.nan) for system in SYSTEMS}
    for system, values in means.items():
        assert of_folds(comparison, system.rpartition("__")[2]) == pytest.approx(values, abs=1e-12)
    (one,) = [one for one in comparison.analysis.comparisons if one.metric == "dice"]
    assert [*one.tests] == ["corrected t"]
    differences = np.subtract(*means.values())
    error = np.sqrt((1 / 5 + 1 / 4) * differences.var(ddof=1))  # Nadeau and Bengio (2003)
    from scipy.stats import t

    assert one.lead.difference == pytest.approx(differences.mean(), abs=1e-12)
    assert one.lead.p == pytest.approx(2 * t.sf(abs(differences.mean()) / error, 4), rel=1e-9)
    page = comparison.report(tmp_path / "report").page
    text = page.read_text()
    assert "Replicates are folds" in text
    assert "in-domain" not in text.casefold()  # nobody knows what nnU-Net was trained on
    assert "one fold" in (page.parent / "figures/scores.svg").read_text()


@pytest.mark.parametrize("source", [DATASET, f"{DATASET}/{SYSTEMS[0]}"])
def test_predictions_of_nnunet_have_distances(source: str) -> None:
    comparison = mmtk.compare(NNUNET / source, reference=str(NNUNET / TRUTH))
    systems = SYSTEMS if source == DATASET else SYSTEMS[:1]
    for system in systems:
        short = system.rpartition("__")[2] if len(systems) > 1 else system
        assert of_folds(comparison, short) == pytest.approx(dice_of_folds(system, 1.0), abs=1e-12)
    assert "hd95-mm" in {*comparison.frame()["metric"]}
    assert any("taken as 5 folds" in note for note in comparison.study.gaps)


def test_an_evaluated_folder_of_nnunet_is_one_replicate(tmp_path: Path) -> None:
    for system in SYSTEMS:
        merged = NNUNET / DATASET / system / "crossval_results_folds_0_1_2_3_4"
        shutil.copytree(merged, tmp_path / "test" / system)
    comparison = mmtk.compare(tmp_path / "test")
    assert {*comparison.frame()["metric"]} >= {"dice", "jaccard", "dice-label-1", "dice-label-2"}
    assert comparison.verdicts()["verdict"].to_list() == ["open"]


def test_the_request_beside_a_report_gives_the_same_study_for_every_kind_of_source(tmp_path: Path) -> None:
    """The parts that a page is made of: frames, title, origin, gaps and command."""
    from monai.handlers.utils import write_metrics_reports

    files = [f"scan{k:02d}.nii.gz" for k in range(6)]
    for system, level in (("unet", 0.7), ("swin", 0.8)):
        dice = torch.full((6, 1), level, dtype=torch.float64)
        write_metrics_reports(tmp_path / "metrics" / system, files, {"dice": dice.mean()}, {"dice": dice}, "*")
        rows = "".join(f"{system},{seed},c{case},{level + case / 99}\n" for seed in (1, 2) for case in range(4))
        (tmp_path / f"{system}.csv").write_text(f"model,seed,case,dice\n{rows}")
    (tmp_path / "report").mkdir()
    file = tmp_path / "report/compare.toml"
    for sources, mapping in (
        ([NNUNET / "nnUNet_results"], {}),
        ([NNUNET / DATASET / SYSTEMS[0]], {"reference": str(NNUNET / TRUTH)}),
        ([tmp_path / "metrics"], {"system": "swin", "margins": {"dice": 0.02}}),
        ([tmp_path / "unet.csv", tmp_path / "swin.csv"], {"columns": {"case": "case"}, "metrics": ["dice"]}),
    ):
        first = mmtk.compare(sources, **mapping)
        file.write_text(write_request(first.request.for_folder(file.parent)))
        again = mmtk.compare(file)
        assert again.frame().equals(first.frame())
        assert again.cases().equals(first.cases())
        assert again.mapping == first.mapping
        assert again.request.margins == dict(first.request.margins)
        parts = ("title", "origin", "gaps", "command", "seeds")
        assert [getattr(again.study, part) for part in parts] == [getattr(first.study, part) for part in parts]


def test_summaries_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    for dataset in ("Dataset007_Lung", "Dataset008_Heart"):
        shutil.copytree(NNUNET / DATASET, tmp_path / "nnUNet_results" / dataset)
    with pytest.raises(MmtkError, match="2 data sets: Dataset007_Lung, Dataset008_Heart"):
        mmtk.compare(tmp_path / "nnUNet_results")
    heart = tmp_path / "nnUNet_results/Dataset008_Heart"
    (heart / SYSTEMS[0] / "fold_0/validation/summary.json").write_text('{"metric_per_case": [{"metrics": {}}]}')
    with pytest.raises(MmtkError, match="has a case without 'reference_file'"):
        mmtk.compare(heart)


@pytest.mark.xdist_group("score-libraries")
def test_tables_of_monai_s_metrics_saver(tmp_path: Path) -> None:
    from monai.handlers.utils import write_metrics_reports

    rng = np.random.default_rng(2)
    level = rng.uniform(0.6, 0.9, (14, 2))
    expected = {}
    for system, gain in (("unet", 0.0), ("swin", 0.04)):
        for seed in range(3):
            dice = torch.from_numpy(level + gain + rng.normal(0, 0.005, (14, 2)))
            details = {"val_mean_dice": dice, "hd95": 10 * (1 - dice)}
            files = [f"/data/imagesTs/scan{k:02d}.nii.gz" for k in range(14)]
            folder = tmp_path / "metrics" / system / f"seed{seed}"
            write_metrics_reports(folder, files, {"val_mean_dice": dice.mean()}, details, "*")
            expected[system, seed] = float(dice.mean())
    comparison = mmtk.compare(tmp_path / "metrics", system="swin")
    assert "seeds: 0, 1, 2" in comparison.mapping
    frame = comparison.frame().set_index(["system", "seed", "metric"])["value"]
    for (system, seed), value in expected.items():
        assert frame[system, seed, "dice"] == pytest.approx(value, abs=1e-4)  # the file has four digits
    assert comparison.study.declared["segmentation"]["hd95"].better == "lower"
    assert "dice-class1" in comparison.study.declared["segmentation"]
    assert comparison.cases()["id"].iloc[0] == "scan00"
    verdicts = comparison.verdicts()
    assert verdicts[["difference", "verdict"]].to_numpy().tolist() == [["swin − unet", "helps"]]


def test_two_results_of_one_trainer_are_two_systems(tmp_path: Path) -> None:
    folders = [tmp_path / name / "nnUNet_results" for name in ("before", "after")]
    for folder in folders:
        shutil.copytree(NNUNET / DATASET / SYSTEMS[0], folder / Path(DATASET).name / SYSTEMS[0])
    frame = mmtk.compare(folders).frame()
    assert {*frame["system"]} == {f"{name}/nnUNet_results/nnUNetTrainer" for name in ("before", "after")}
    assert len(frame) == 2 * len(mmtk.compare(folders[0]).frame())


@pytest.mark.xdist_group("score-libraries")
def test_two_folders_of_one_system_with_tables_of_monai_are_two_systems(tmp_path: Path) -> None:
    from monai.handlers.utils import write_metrics_reports

    files = [f"scan{k:02d}.nii.gz" for k in range(6)]
    for name, level in (("a", 0.7), ("b", 0.8)):
        dice = torch.full((6, 1), level, dtype=torch.float64)
        write_metrics_reports(tmp_path / name / "unet", files, {"dice": dice.mean()}, {"dice": dice}, "*")
    frame = mmtk.compare([tmp_path / "a", tmp_path / "b"]).frame()
    dice = frame[frame["metric"] == "dice"].set_index("system")["value"]
    assert dice.to_dict() == {"a/unet": pytest.approx(0.7), "b/unet": pytest.approx(0.8)}
