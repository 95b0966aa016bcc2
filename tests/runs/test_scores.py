"""Names of scores: full, with their unit, and those of the first release read as they are called today."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmtk import builtin_scores
from mmtk.runs import arrays
from mmtk.runs.arrays import read_cases, read_curves
from mmtk.runs.score_names import current
from mmtk.scores import info


def test_scores_of_the_first_release_have_the_names_of_today():
    old = {"in-domain": {"segmentation": {"dice": 0.9, "hausdorff": 2.6, "hausdorff-mm": 1.3, "hd95": 12.4}}}
    new = {"dice": 0.9, "average-hausdorff": 2.6, "average-hausdorff-mm": 1.3, "hd95": 12.4}
    assert current(old) == {"in-domain": {"segmentation": new}}
    assert current(current(old)) == current(old)


def test_values_per_image_and_curves_of_both_releases_stand_together(tmp_path):
    files = []
    for place, name in enumerate(("hausdorff", "average-hausdorff")):
        table = {"domain": ["in-domain"], "task": ["segmentation"], "id": ["a"], name: [1.0 + place]}
        pq.write_table(pa.table(table), tmp_path / f"{place}.parquet")
        (tmp_path / f"{place}.jsonl").write_text(json.dumps({"step": 1, f"val/segmentation/{name}": 3.0 + place}))
        files.append(place)
    cases = read_cases([tmp_path / f"{place}.parquet" for place in files])["in-domain", "segmentation"]
    assert cases["average-hausdorff"].tolist() == [[1.0], [2.0]]
    curves = read_curves([tmp_path / f"{place}.jsonl" for place in files])
    assert curves["val/segmentation/average-hausdorff"][1].tolist() == [[3.0], [4.0]]


def test_patients_of_a_table_that_has_them_count_for_one_that_has_them_not(tmp_path):
    files = [tmp_path / "old.parquet", tmp_path / "new.parquet"]
    table = {
        "domain": ["in-domain"] * 3,
        "task": ["segmentation"] * 3,
        "id": ["c", "a", "b"],
        "dice": [3.0, 1.0, 2.0],
    }
    pq.write_table(pa.table(table), files[0])
    assert "patient" not in read_cases(files[:1])["in-domain", "segmentation"]
    pq.write_table(pa.table(table | {"patient": pa.array(["p1", "p1", None], pa.string())}), files[1])
    cases = read_cases(files)["in-domain", "segmentation"]
    assert cases["id"].tolist() == ["a", "b", "c"]
    assert cases["patient"].tolist() == ["p1", None, "p1"]
    assert cases["dice"].tolist() == [[1, 2, 3]] * 2


@pytest.mark.parametrize(
    ("metric", "head", "lower"),
    [
        ("average-hausdorff", "average Hausdorff distance (px)", True),
        ("average-hausdorff-mm", "average Hausdorff distance (mm)", True),
        ("hd95-mm", "HD95 (mm)", True),
        ("calibration-error", "calibration error", True),
        ("macro-f1", "macro-F1", False),
        ("f1-no-finding", "F1 of no finding", False),
        ("count-mm", "count mm", False),  # a class of that name is no length
    ],
)
def test_a_heading_has_the_full_name_and_the_unit(metric, head, lower):
    declared = builtin_scores.classification(["no-finding", "mm"]) | builtin_scores.segmentation(["lung"])
    score = info(declared, metric)
    assert (score.heading, score.better == "lower") == (head, lower)


COLUMNS = {
    "whole numbers with gaps": pa.chunked_array([[1, None, 3], [None, None], [], [2**40]], pa.int64()),
    "single precision, NaN and gaps": pa.chunked_array([[1.5, None], [float("nan")]], pa.float32()),
    "parts of longer columns": pa.chunked_array(
        [pa.array(range(20), pa.int32())[3:11], pa.array([None] * 9 + [4] * 3, pa.int32())[2:]]
    ),
    "nothing known": pa.chunked_array([pa.nulls(3, pa.float64())]),
    "no rows": pa.chunked_array([], pa.float64()),
}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_numbers_of_a_column_are_those_of_pyarrow(column):
    expected = column.to_numpy().astype(float)
    assert np.array_equal(arrays._numbers(column), expected, equal_nan=True)


def test_reading_cases_imports_no_pandas(tmp_path):
    table = {"domain": ["d"], "task": ["t"], "id": ["a"], "patient": ["p"], "dice": [0.5]}
    pq.write_table(pa.table(table), tmp_path / "cases.parquet")
    code = "import sys; from pathlib import Path; from mmtk.runs.arrays import read_cases; "
    code += "print(read_cases([Path('cases.parquet')])['d', 't']['dice'], 'pandas' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert process.stdout.split() == ["[[0.5]]", "False"], process.stderr
