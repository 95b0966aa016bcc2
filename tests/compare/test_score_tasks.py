"""Tasks of scores that other programs name: every task has its verdict."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

import mmtk
from mmtk.compare.readers.monai import read_monai
from mmtk.compare.request import Request, write_request
from mmtk.compare.score_tasks import CLASSIFICATION, OTHER, SEGMENTATION, task_lines, tasks_of

BOTH = {CLASSIFICATION, SEGMENTATION}


def test_the_task_of_a_score_is_that_of_its_name() -> None:
    masks, classes = SEGMENTATION, CLASSIFICATION
    for names, expected in (
        (["auroc", "dice"], [classes, masks]),
        (["test/DSC", "val_acc", "metrics.f1", "hd95-mm"], [masks, classes, classes, masks]),
        (["dice", "pixel_accuracy", "cls_sensitivity", "cls/loss"], [masks, masks, classes, classes]),
        (["auroc", "sensitivity", "loss"], [classes] * 3),
        (["auroc", "dice", "sensitivity"], [classes, masks, masks]),  # of either task
        (["score", "loss"], [OTHER] * 2),
        (["score", "iou"], [masks] * 2),
    ):
        assert [*tasks_of(names).values()] == expected, names
    values = {"dice": [0.8], "accuracy": [0.97, 0.93], "auroc": [1.0, 0.0]}
    assert tasks_of(values, values) == {"dice": masks, "accuracy": masks, "auroc": classes}
    assert task_lines(tasks_of(["auroc", "dice"])) == ["tasks: auroc (classification); dice (segmentation)"]
    assert task_lines(tasks_of(["auroc", "accuracy"])) == []


def runs() -> pd.DataFrame:
    """Runs of two systems: the second is better by AUROC and worse by a distance, and equal by accuracy."""
    gains = [("none", 0.0), ("mixmatch", 0.05)]
    rows = [
        (name, k, 0.8 + gain + gain * k % 3 * 0.1, 3 + 40 * gain * (1 - 0.1 * k))
        for name, gain in gains
        for k in range(3)
    ]
    return pd.DataFrame(rows, columns=["model", "seed", "val/auroc", "val/hd95"])


def test_scores_of_two_tasks_have_a_verdict_each(tmp_path: Path) -> None:
    wide = runs()
    long = wide.melt(["model", "seed"], var_name="metric", value_name="value")
    export = wide.add_prefix("config.").assign(State="finished", Name=[f"run-{k}" for k in range(6)])
    for table in (wide, long, export.rename(columns={"config.val/auroc": "AUC", "config.val/hd95": "HD95"})):
        comparison = mmtk.compare(table)
        verdicts = comparison.verdicts()[["difference", "verdict"]].to_numpy().tolist()
        assert verdicts == [["none − mixmatch", "harms"], ["none − mixmatch", "helps"]], [*table]
        assert {*comparison.study.declared} == BOTH
        assert any(line.startswith("tasks: ") for line in comparison.mapping)
    wide.to_csv(tmp_path / "runs.csv", index=False)
    first = mmtk.compare(tmp_path / "runs.csv", system="mixmatch")
    (tmp_path / "compare.toml").write_text(write_request(first.request.for_folder(tmp_path)))
    again = mmtk.compare(tmp_path / "compare.toml")
    assert again.mapping == first.mapping
    assert again.verdicts().equals(first.verdicts())
    assert len(again.verdicts()) == 2


def test_cases_of_two_tasks_keep_what_describes_them(tmp_path: Path) -> None:
    rows = [
        (system, case, "fm"[case % 2], 0.6 + gain + 0.01 * (case % 7), float((case + number) % 4 > 0))
        for number, (system, gain) in enumerate((("unet", 0.0), ("swin", 0.1)))
        for case in range(12)
    ]
    table = pd.DataFrame(rows, columns=["system", "case", "sex", "dice", "accuracy"])
    comparison = mmtk.compare(table)
    cases = comparison.cases()
    assert cases.groupby("task")["id"].nunique().to_dict() == dict.fromkeys(BOTH, 12)
    assert cases["metadata:sex"].notna().all()
    assert [*comparison.verdicts()["score"]] == ["accuracy test", "Dice test"]
    for system, part in table.groupby("system"):
        folder = tmp_path / system / "0"
        folder.mkdir(parents=True)
        for name in ("dice", "accuracy"):
            saved = part.assign(filename=part["case"].map("scan{}.nii.gz".format), class0=part[name])
            saved = saved[["filename", "class0", name]].rename(columns={name: "mean"})
            saved.to_csv(folder / f"val_{name}_raw.csv", sep="\t", index=False)
    records, lines = read_monai(Request(sources=[str(tmp_path)]))
    assert {*records.cases["task"]} == BOTH
    assert lines[-1].startswith("tasks: accuracy (classification); dice")
    assert records.cases.groupby("task")["dice"].count().to_dict() == {CLASSIFICATION: 0, SEGMENTATION: 24}
