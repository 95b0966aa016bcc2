"""Runs that start from another run: no test image of theirs may be among what that has seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny import tiny

import mmtk
from mmtk.data.dataset import prepare
from mmtk.data.start_overlap import start_facts
from mmtk.errors import MmtkError
from mmtk.workflows.report import report

FOLDS = {"data__folds": 3, "train__steps": 2}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the first of three folds."""
    folder = tmp_path_factory.mktemp("start") / "first-fold"
    mmtk.run(tiny("enc", **FOLDS), folder, pictures=False)
    return folder


@pytest.mark.long
def test_a_start_of_the_same_split_has_seen_no_test_image_and_the_report_says_so(
    start: Path, tmp_path: Path
) -> None:
    mmtk.run(tiny("enc", **FOLDS, encoder__weights=str(start)), tmp_path / "run", pictures=False)
    facts = json.loads((tmp_path / "run" / "provenance.json").read_text())["start"]
    assert (facts["runs"], facts["seen"]) == ([str(start)], 0)
    assert facts["not_compared"] == ["classification/cross-domain"]
    report([tmp_path / "run"], tmp_path / "report")
    sentence = "Start: first-fold, which saw none of the test images or their patients"
    assert sentence in (tmp_path / "report" / "report.md").read_text()


@pytest.mark.parametrize("key", ["encoder__weights", "init"])
def test_a_start_of_another_fold_is_refused(start: Path, tmp_path: Path, key: str) -> None:
    recipe = tiny("enc", **FOLDS, seed=1, **{key: str(start)})
    with pytest.raises(MmtkError, match=r"has seen (\d+) of \1 test images, or their patients") as refused:
        mmtk.run(recipe, tmp_path / "run", pictures=False)
    assert refused.value.where == str(start)
    accepted = recipe.with_values({"data.leaks": "allow"})
    facts = start_facts(accepted, prepare(accepted, None))
    assert facts["seen"] == len(prepare(accepted, None).parts["classification"].test)


def test_the_start_of_a_start_counts_too(start: Path, tmp_path: Path) -> None:
    allowed = {**FOLDS, "data__leaks": "allow"}
    mmtk.run(tiny("enc", **allowed, seed=1, encoder__weights=str(start)), tmp_path / "second", pictures=False)
    recipe = tiny("enc", **FOLDS, seed=1, encoder__weights=str(tmp_path / "second"))
    with pytest.raises(MmtkError, match="has seen") as refused:
        mmtk.run(recipe, tmp_path / "third", pictures=False)
    assert refused.value.where == str(start)


def test_weights_of_others_are_no_run(tmp_path: Path) -> None:
    recipe = tiny("enc")
    assert start_facts(recipe, prepare(recipe, None)) == {}
