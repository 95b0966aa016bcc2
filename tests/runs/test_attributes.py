"""Metadata of images in ``cases.parquet``, and what is read back."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tiny import tiny

import mmtk
from mmtk.runs.arrays import joined, read_cases
from mmtk.runs.attributes import attribute_columns, is_score


def test_an_attribute_is_of_numbers_where_all_its_values_are():
    one, other = attribute_columns([[{"age": 3.0, "view": "PA"}, {}], [{"age": 4.5}, {"view": 2.0}]])
    assert one == {"age": [3.0, None], "view": ["PA", None]}
    assert other == {"age": [4.5, None], "view": [None, "2"]}


def write(path, **columns):
    ids = ["b", "a"]
    keys = {"domain": ["in-domain"] * 2, "task": ["classification"] * 2, "id": ids}
    pq.write_table(pa.table(keys | columns), path)
    return path


def test_texts_and_numbers_of_images_are_read_beside_scores(tmp_path):
    file = write(tmp_path / "x", **{"metadata:view": ["PA", None], "metadata:age": [3.0, None], "target": [0, 1]})
    (table,) = read_cases([file]).values()
    assert table["metadata:view"].tolist() == [None, "PA"]
    np.testing.assert_array_equal(table["metadata:age"], [[np.nan, 3.0]])
    assert [name for name in table if is_score(name)] == ["target"]


def test_an_attribute_that_is_text_in_one_run_is_text_in_all(tmp_path):
    files = [
        write(tmp_path / "x", **{"metadata:age": [1.0, 2.0], "target": [0, 1]}),
        write(tmp_path / "y", **{"metadata:age": ["one", "two"], "target": [0, 1]}),
        write(tmp_path / "z", target=[0, 1]),  # a run of before
    ]
    (table,) = read_cases(files).values()
    assert table["metadata:age"].tolist() == ["2", "1"]
    assert table["target"].shape == (3, 2)
    (whole,) = joined([read_cases([file]) for file in files]).values()
    assert whole["metadata:age"].tolist() == ["two", "one"]
    assert whole["target"].shape == (3, 2)


SHORTCUT = {f"data.classification.{role}.shortcut": "border" for role in ("source", "cross")}


def test_a_run_writes_the_metadata_of_its_source(tmp_path):
    run = mmtk.run(tiny("enc").with_values(SHORTCUT), tmp_path / "run", pictures=False)
    table = run.cases()
    assert table["image:contrast"].between(0, 1).all()
    assert "image:predicted mask area" not in table  # one task
    assert {*table["metadata:border"]} == {"yes", "no"}
    assert table["metadata:age"].between(18, 89).all()
    study = mmtk.read_study([tmp_path / "run"])
    assert not any(name.startswith("metadata") for name in study.frame()["metric"])
    assert {*study.cases()["metadata:sex"]} == {"F", "M"}


def test_a_network_of_both_tasks_says_the_area_of_its_masks(tmp_path):
    table = mmtk.run(tiny("umtl"), tmp_path / "run", pictures=False).cases()
    area = table.groupby("task")["image:predicted mask area"]
    assert area.get_group("classification").between(0, 1).all()
    assert area.get_group("segmentation").isna().all()
