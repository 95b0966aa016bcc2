"""Metadata in ``mmtk data inspect``: counts, what goes with the label, drift between the domains."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from mmtk.components.source.phantom import Phantom
from mmtk.data.split_checks import Role
from mmtk.inspection.metadata import describe, drift, total_variation
from mmtk.inspection.sets import inspect
from mmtk.inspection.text import show

KEYS = {"train": 120, "val": 30, "test": 60, "size": 32, "prevalence": 0.5, "shortcut": "border"}


def test_counts_and_what_goes_with_the_label():
    source = Phantom("classification", **KEYS)
    report = describe(source)
    facts = report["attributes"]
    assert {*facts} == {"border", "age", "sex", "site"}
    yes = [item for item in source.items("test") if item.metadata["border"] == "yes"]
    assert facts["border"]["groups"]["yes"]["test"] == len(yes)
    assert sum(sum(counts.values()) for counts in facts["site"]["groups"].values()) == 210
    assert facts["border"]["label"] > 0.85
    assert max(facts[name]["label"] for name in ("age", "sex", "site")) < 0.2
    assert report["notes"] == []


def test_total_variation_of_shares_worked_out_by_hand():
    codes = np.array([0, 0, 0, 1, 0, 1, 1, 1, -1])
    one = np.arange(9) < 4
    assert total_variation(codes, one, ~one) == pytest.approx((abs(3 / 4 - 1 / 4) + abs(1 / 4 - 3 / 4)) / 2)


def test_masks_have_no_class_to_go_with():
    assert describe(Phantom("segmentation", **KEYS))["attributes"]["sex"]["label"] is None


def test_two_sets_alike_have_no_drift_and_others_have():
    source = Phantom("classification", **KEYS).items("all")
    distances = drift(source, Phantom("classification", **KEYS | {"seed": 1}).items("all"))
    assert max(distances.values()) < 0.2
    ill = [item for item in source if item.target]
    assert drift(source, ill)["border"] > 0.3


def test_the_report_has_a_table_with_both(tmp_path):
    sources = {
        Role("classification", "source", "phantom"): Phantom("classification", **KEYS),
        Role("classification", "cross", "phantom"): Phantom("classification", **KEYS | {"seed": 3}),
    }
    report = inspect(sources, 32, tmp_path / "out")
    cross = report["sources"]["classification cross"]["metadata"]["attributes"]
    assert {*cross} == {"border", "age", "sex", "site"}
    assert all(0 <= facts["drift"] <= 1 for facts in cross.values())
    text = io.StringIO()
    show(report, Console(file=text, width=160))
    assert "Metadata" in text.getvalue()
    assert "with label" in text.getvalue()
    counts = cross["border"]["groups"]["yes"]
    assert f"yes: {counts['train']} / {counts['val']} / {counts['test']}" in " ".join(text.getvalue().split())


def test_a_set_without_metadata_has_no_table(tmp_path):
    keys = {key: value for key, value in KEYS.items() if key != "shortcut"}
    report = inspect(
        {Role("classification", "source", "phantom"): Phantom("classification", **keys)}, 32, tmp_path
    )
    text = io.StringIO()
    show(report, Console(file=text, width=160))
    assert "Metadata" not in text.getvalue()
