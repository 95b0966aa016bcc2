"""JSON files of results: one for each run, lists, dictionaries, columns and lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import mmtk
from mmtk.compare.json_tables import read_json_table
from mmtk.errors import MmtkError

CASES = {"c1": {"dice": 0.9, "hd95": 3}, "c2": {"dice": 0.8, "hd95": 4}}
NAMED = [{"name": "c1", "dice": 0.9, "hd95": 3}, {"name": "c2", "dice": 0.8, "hd95": 4}]

SHAPES: list[tuple[Any, list[dict[str, Any]]]] = [
    ({"model": "unet", "seed": 0, "dice": 0.9}, [{"model": "unet", "seed": 0, "dice": 0.9}]),
    (
        {"config": {"model": "unet", "lr": 0.1}, "results": {"dice": 0.9}, "train_loss": [3, 2]},
        [{"model": "unet", "lr": 0.1, "dice": 0.9}],
    ),
    ({"dice": {"mean": 0.9, "std": 0.1}, "seed": 1}, [{"dice.mean": 0.9, "dice.std": 0.1, "seed": 1}]),
    (
        {"dice": {"1": 0.9, "2": 0.7}, "iou": {"1": 0.8, "2": 0.5}},
        [{"dice.1": 0.9, "dice.2": 0.7, "iou.1": 0.8, "iou.2": 0.5}],
    ),
    ([{"case": "c1", "dice": 0.9}, {"case": "c2"}], [{"case": "c1", "dice": 0.9}, {"case": "c2"}]),
    (CASES, NAMED),
    ({"seed": 3, "cases": CASES, "mean": {"dice": 0.85}}, [{"seed": 3, **row} for row in NAMED]),
    (
        {
            "per_case": [{"id": "c1", "metrics": {"dice": 0.9}}, {"id": "c2", "metrics": {"dice": 0.8}}],
            "dice": 0.85,
        },
        [{"id": "c1", "dice": 0.9}, {"id": "c2", "dice": 0.8}],
    ),
    ({"unet": CASES, "swin": CASES}, [{"system": system, **row} for system in ("unet", "swin") for row in NAMED]),
    (
        {
            "unet": {"seed_0": {"dice": 0.9}, "seed_1": {"dice": 0.8}},
            "swin": {"seed_0": {"dice": 0.7}, "seed_1": {"dice": 1}},
        },
        [
            {"system": system, "seed": seed, "dice": dice}
            for system, seed, dice in (
                ("unet", "seed_0", 0.9),
                ("unet", "seed_1", 0.8),
                ("swin", "seed_0", 0.7),
                ("swin", "seed_1", 1),
            )
        ],
    ),
    (
        {"val": {"dice": 0.9}, "test": {"dice": 0.8}},
        [{"split": "val", "dice": 0.9}, {"split": "test", "dice": 0.8}],
    ),
    ({"case": ["c1", "c2"], "dice": [0.9, 0.8]}, [{"case": "c1", "dice": 0.9}, {"case": "c2", "dice": 0.8}]),
    ({"seed": 1, "dice": [0.9, 0.8]}, [{"seed": 1, "dice": 0.9, "case": 0}, {"seed": 1, "dice": 0.8, "case": 1}]),
    (
        {"case": {"0": "c1", "1": "c2"}, "dice": {"0": 0.9, "1": 0.8}},
        [{"case": "c1", "dice": 0.9}, {"case": "c2", "dice": 0.8}],
    ),
]


def test_shapes_of_json_files_are_read_as_rows(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    for value, rows in SHAPES:
        file.write_text(json.dumps(value), encoding="utf-8-sig")
        assert read_json_table(file).rows == rows, value
    file.write_text('{"case": "c1", "dice": 0.9}\n\n{"case": "c2", "dice": NaN}\n')
    table = read_json_table(file)
    assert [row["case"] for row in table.rows] == ["c1", "c2"]
    assert table.lines == [1, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"dice": 0.9,\n', r"results\.json:2: is no JSON"),
        ('{"dice": 0.9}\n{"dice": 0.9\n', r"results\.json:2: is no JSON"),
        ("[0.9, 0.8]", "holds no object with numbers"),
        ("[]", "holds no object with numbers"),
        ("{}", "holds no object with numbers"),
        ("[1]\n[2]\n", r"results\.json:1: is no object"),
        ('{"a": [{"dice": 1}], "b": [{"dice": 1}]}', "holds several tables: a, b"),
    ],
)
def test_json_files_without_a_table_are_refused_with_a_cure(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "results.json"
    file.write_text(text)
    with pytest.raises(MmtkError, match=message) as error:
        read_json_table(file)
    assert error.value.hint


def test_a_json_file_for_each_run_is_compared_without_the_settings_beside_it(tmp_path: Path) -> None:
    for system, gain in (("unet", 0.0), ("swin", 0.04)):
        for seed in range(2):
            folder = tmp_path / system / f"seed_{seed}"
            folder.mkdir(parents=True)
            cases = {f"c{k}": {"dice": 0.8 + gain + (5 * k + seed) % 7 / 200} for k in range(8)}
            (folder / "metrics.json").write_text(json.dumps(cases))
            (folder / "summary.json").write_text(json.dumps({"epochs": 3, "loss_curve": [1, 2]}))
    comparison = mmtk.compare(tmp_path, system="swin")
    assert {cell.name: sorted(cell.runs) for cell in comparison.study.cells} == {"swin": [0, 1], "unet": [0, 1]}
    assert comparison.verdicts()["change"][0] == pytest.approx(0.04, abs=0.01)
    assert "4 JSON files hold no score, left out: summary.json" in comparison.records.notes
    (tmp_path / "log.txt").write_text("epoch 1")
    assert "1 file beside the tables not read: log.txt" in mmtk.compare(tmp_path).records.notes
