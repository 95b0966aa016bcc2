"""Results of nnU-Net v2 and MONAI, in the files that their own code writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.handlers.utils import write_metrics_reports

import mmtk
from mmtk.errors import MmtkError


def summary(folder: Path, dice: dict[str, float], labels: tuple[str, ...] = ("1",)) -> None:
    """A summary.json as nnunetv2.evaluation.evaluate_predictions (2.8.1) writes it."""
    counts = {"FN": 10, "FP": 12, "TN": 3000, "TP": 90, "n_pred": 102, "n_ref": 100}
    cases = [
        {
            "metrics": {label: {"Dice": value, "IoU": value / (2 - value), **counts} for label in labels},
            "prediction_file": f"{folder}/{case}.nii.gz",
            "reference_file": f"nnUNet_preprocessed/Dataset007_Lung/gt_segmentations/{case}.nii.gz",
        }
        for case, value in dice.items()
    ]
    folder.mkdir(parents=True)
    whole = {"foreground_mean": {}, "mean": {}, "metric_per_case": cases}
    (folder / "summary.json").write_text(json.dumps(whole, indent=4, sort_keys=True))


def results(root: Path) -> dict[str, list[float]]:
    """Five folds of ten cases for two configurations; returns the mean Dice of each fold."""
    rng = np.random.default_rng(5)
    level = rng.uniform(0.7, 0.9, 50)
    means: dict[str, list[float]] = {}
    for config, gain in (("2d", 0.0), ("3d_fullres", 0.05)):
        system = f"nnUNetTrainer__nnUNetPlans__{config}"
        for fold in range(5):
            places = range(10 * fold, 10 * fold + 10)
            dice = {f"lung_{k:03d}": float(level[k] + gain + rng.normal(0, 0.005)) for k in places}
            summary(root / "nnUNet_results/Dataset007_Lung" / system / f"fold_{fold}/validation", dice)
            means.setdefault(system, []).append(float(np.mean([*dice.values()])))
    return means


def test_folds_of_nnunet_have_the_corrected_test(tmp_path: Path) -> None:
    means = results(tmp_path)
    comparison = mmtk.compare(tmp_path / "nnUNet_results")
    frame = comparison.frame()
    for system, values in means.items():
        rows = frame[(frame["system"] == system) & (frame["metric"] == "dice")].sort_values("fold")
        assert rows["value"].to_list() == pytest.approx(values, abs=1e-12)
    (one,) = [one for one in comparison.analysis.comparisons if one.metric == "dice"]
    assert [*one.tests] == ["corrected t"]
    differences = np.subtract(*means.values())
    error = np.sqrt((1 / 5 + 1 / 4) * differences.var(ddof=1))  # Nadeau and Bengio (2003)
    from scipy.stats import t

    assert one.lead.difference == pytest.approx(differences.mean(), abs=1e-12)
    assert one.lead.p == pytest.approx(2 * t.sf(abs(differences.mean()) / error, 4), rel=1e-9)
    page = comparison.report(tmp_path / "report").page.read_text()
    assert "Replicates are folds" in page


def test_an_evaluated_folder_of_nnunet_is_one_replicate(tmp_path: Path) -> None:
    for system, shift in (("a", 0.0), ("b", 0.05)):
        summary(tmp_path / "test" / system, {f"c{k}": 0.8 + shift + 0.01 * (k % 3) for k in range(12)}, ("1", "2"))
    comparison = mmtk.compare(tmp_path / "test")
    assert {*comparison.frame()["metric"]} >= {"dice", "jaccard", "dice-label-1", "dice-label-2"}
    assert comparison.verdicts()["verdict"].to_list() == ["open"]


def test_summaries_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    results(tmp_path)
    results(tmp_path / "again")
    (tmp_path / "again/nnUNet_results/Dataset007_Lung").rename(tmp_path / "nnUNet_results/Dataset008_Heart")
    with pytest.raises(MmtkError, match="2 data sets: Dataset007_Lung, Dataset008_Heart"):
        mmtk.compare(tmp_path / "nnUNet_results")
    file = (
        tmp_path / "nnUNet_results/Dataset008_Heart/nnUNetTrainer__nnUNetPlans__2d/fold_0/validation/summary.json"
    )
    file.write_text('{"metric_per_case": [{"metrics": {}}]}')
    with pytest.raises(MmtkError, match="has a case without 'reference_file'"):
        mmtk.compare(tmp_path / "nnUNet_results/Dataset008_Heart")


def test_tables_of_monai_s_metrics_saver(tmp_path: Path) -> None:
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
    frame = comparison.frame().set_index(["system", "seed", "metric"])["value"]
    for (system, seed), value in expected.items():
        assert frame[system, seed, "dice"] == pytest.approx(value, abs=1e-4)  # the file has four digits
    assert comparison.study.declared["segmentation"]["hd95"].better == "lower"
    assert "dice-class1" in comparison.study.declared["segmentation"]
    assert comparison.cases()["id"].iloc[0] == "scan00"
    verdicts = comparison.verdicts()
    assert verdicts[["difference", "verdict"]].to_numpy().tolist() == [["swin − unet", "helps"]]
