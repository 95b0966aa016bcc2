"""Matched test sets in run, evaluate and report: pooled and matched numbers, and names that cannot be."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score
from tiny import tiny

import mmtk
from mmtk.errors import MmtkError
from mmtk.report.matching import matches
from mmtk.stats.matching import weighting
from mmtk.study.attributes import cases_with_metadata
from mmtk.study.results import from_runs

SIGN = "tag top left"
PLANTED = {
    f"data__classification__{domain}__{key}": value
    for domain in ("source", "cross")
    for key, value in (("shortcut", SIGN), ("agreement", 0.8), ("test", 60))
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run that is matched by sex and the planted sign."""
    out = tmp_path_factory.mktemp("matched") / "run"
    mmtk.run(tiny("enc", data__match=[SIGN, "sex"], **PLANTED), out, pictures=False)
    return out


def test_run_writes_both_numbers(run):
    rows = json.loads((run / "matched.json").read_text())["rows"]
    assert {(row["set"], row["score"]) for row in rows} == {
        (f"{domain} classification", score)
        for domain in ("in-domain", "cross-domain")
        for score in ("AUROC", "balanced accuracy")
    }
    cases = pq.read_table(run / "cases.parquet").to_pandas()
    table = cases[cases.domain == "in-domain"].sort_values("id")
    strata = table[f"metadata:{SIGN}"].add(table["metadata:sex"]).astype("category").cat.codes.to_numpy()
    weights = weighting(strata, table["target"].to_numpy().astype(int))
    row = next(row for row in rows if row["set"].startswith("in-domain") and row["score"] == "AUROC")
    expected = roc_auc_score(table["target"], table["p-pneumonia"], sample_weight=weights.weights)
    assert row["matched"]["value"] == pytest.approx(expected, abs=1e-9)
    assert row["pooled"]["value"] == pytest.approx(roc_auc_score(table["target"], table["p-pneumonia"]), abs=1e-9)
    assert row["effective"] == pytest.approx(weights.effective)
    assert 0 < row["effective"] <= 60


def test_matching_changes_no_digest_by_default_and_no_other_file(run, tmp_path):
    assert tiny("enc").digest == tiny("enc", data__match=[]).digest
    mmtk.run(tiny("enc", **PLANTED), tmp_path / "plain", pictures=False)
    assert not (tmp_path / "plain/matched.json").exists()
    assert (tmp_path / "plain/results.json").read_bytes() == (run / "results.json").read_bytes()


@pytest.mark.long
def test_evaluate_and_report(run, tmp_path, capsys):
    mmtk.evaluate(run, overrides={"data.match": ["sex"]}, out=tmp_path / "out", pictures=False, quiet=False)
    assert "matched by sex: AUROC" in " ".join(capsys.readouterr().err.split())
    assert json.loads((tmp_path / "out/matched.json").read_text())["rows"][0]["by"] == ["sex"]
    assert {row.by for row in matches(from_runs([run])).rows} == {("sex", SIGN)}
    page = mmtk.report(run, tmp_path / "report", match=["age"]).page
    assert "Test images matched by age:" in page.with_name("report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["sexx"], r"no test set has the attribute 'sexx'\. Did you mean 'sex'\?"),
        (["colour of the eyes"], "no test set has the attribute 'colour of the eyes'"),
    ],
)
def test_unknown_names_are_refused_before_training(names, message, tmp_path):
    with pytest.raises(MmtkError, match=message):
        mmtk.run(tiny("enc", data__match=names, **PLANTED), tmp_path / "run", pictures=False)
    assert not (tmp_path / "run/metrics.jsonl").exists()


def stub(values, count=40):
    """A study of one system whose test images have a column of metadata."""
    target = np.arange(count) % 2
    draw = np.random.default_rng(0).random(count)
    return {
        "id": np.array([f"i{number:03}" for number in range(count)], object),
        "patient": np.array([f"p{number:03}" for number in range(count)], object),
        "metadata:what": values,
        "target": target[None].astype(float),
        "predicted": (draw > 0.5).astype(float)[None],
        "p-normal": 1 - draw[None],
        "p-pneumonia": draw[None],
    }


@pytest.mark.parametrize(
    ("values", "note"),
    [
        (np.array(["one"] * 40, object), "what has one value"),
        (
            np.array([f"text {number}" for number in range(60)], object),
            "what has 60 different values, too many to be groups",
        ),
        (np.array([f"2020-01-{1 + number % 28:02}" for number in range(40)], object), "what holds dates"),
        (np.array(["well", "ill"] * 20, object), "no group of images alike in what has both classes"),
    ],
)
def test_attributes_without_groups_have_a_note(run, values, note):
    study = from_runs([run])
    (cell,) = study.cells
    vars(cell)["cases"] = {("in-domain", "classification"): stub(values, len(values))}
    result = matches(study, ["what"])
    assert not result.rows
    assert note in result.notes[0]


def test_missing_values_and_strata_of_one_class_are_counted(run):
    values = np.array(["a", "a", "b", "b"] * 10, object)
    values[:4] = None
    values[4::2] = np.where(values[4::2] == "b", "lone", values[4::2])  # of class 0 alone
    study = from_runs([run])
    (cell,) = study.cells
    vars(cell)["cases"] = {("in-domain", "classification"): stub(values)}
    row = matches(study, ["what"]).rows[0]
    assert row.unknown == 4
    assert row.weighting.lone[0] == 2
    assert row.weighting.strata == 1


def test_runs_without_metadata_have_those_of_their_source(run):
    study = from_runs([run])
    (cell,) = study.cells
    part = ("in-domain", "classification")
    table = cell.cases[part]
    bare = {name: values for name, values in table.items() if not name.startswith(("metadata:", "image:"))}
    vars(cell)["cases"] = {part: bare}
    restored = cases_with_metadata(cell, *part)[part]
    for name in (f"metadata:{SIGN}", "metadata:sex", "metadata:age"):
        np.testing.assert_array_equal(restored[name], table[name])
