"""Metrics of another author give what they like of an image: pictures, tables and reports stay whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny import tiny

import mmtk
from mmtk.api import Metric
from mmtk.errors import MmtkError
from mmtk.registry import catalog, local_file
from mmtk.registry.per_image import case_columns
from mmtk.report.analysis import analyse
from mmtk.report.page import write_report

CODE = '''
from mmtk.api import Metric

class Hits(Metric):
    """Share of right answers; nothing of a single image, and no number of images."""
    task = "classification"
    def __init__(self, names, exclusive, spacing):
        self.right = []
    def update(self, logits, target, ids):
        self.right += (logits.argmax(1) == target).tolist()
    def merge(self, other):
        self.right += other.right
    def compute(self):
        return {"macro-f1": sum(self.right) / len(self.right)}

class Pixels(Metric):
    """Share of right pixels, by id in no order."""
    task = "segmentation"
    def __init__(self, names, exclusive, spacing):
        self.shares = {}
    def update(self, logits, target, ids):
        right = ((logits > 0) == (target > 0)).flatten(1).float().mean(1)
        self.shares |= dict(zip(ids, right.tolist()))
    def merge(self, other):
        self.shares |= other.shares
    def compute(self):
        return {"dice": sum(self.shares.values()) / len(self.shares)}
    def per_image(self):
        return {"id": list(self.shares), "pixels": list(self.shares.values())}
'''


class Given(Metric):
    """Values per image as they are given."""

    task = "segmentation"

    def __init__(self, columns: dict[str, list[object]]) -> None:
        self.columns = columns

    def update(self, logits: object, target: object, ids: object) -> None: ...

    def merge(self, other: Metric) -> None: ...

    def compute(self) -> dict[str, float]:
        return {}

    def per_image(self) -> dict[str, list[object]]:
        return self.columns


def test_values_of_several_metrics_are_brought_together_by_id() -> None:
    first = Given({"id": ["a", "b", "c"], "dice": [1, 2, 3]})
    other = Given({"id": ["c", "a"], "dice": [30, 10], "area": [300, 100]})
    found = case_columns({"segmentation": first, "mine": other, "silent": Given({})})
    assert found == {
        "id": ["a", "b", "c"],
        "dice": [1, 2, 3],
        "mine/dice": [10, None, 30],
        "area": [100, None, 300],
    }


def test_values_without_ids_are_refused_by_the_name_of_their_table() -> None:
    with pytest.raises(MmtkError, match=r"metric\.mine: per_image\(\) gives columns without 'id'"):
        case_columns({"segmentation": Given({"id": ["a"], "dice": [1.0]}), "mine": Given({"share": [0.5]})})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder, before = tmp_path_factory.mktemp("foreign"), catalog.code()
    (folder / "theirs.py").write_text(CODE)
    local_file.use(folder / "theirs.py")
    tables = {"metric__classification": {"use": "code/Hits"}, "metric__segmentation": {"use": "code/Pixels"}}
    yield mmtk.run(tiny("multimix", **tables), out=folder / "run").path
    catalog.offer(before)


@pytest.mark.long
def test_a_run_is_drawn_and_counted(run: Path) -> None:
    result = mmtk.read_run(run)
    assert {"overview-in-domain", "boundaries-cross-domain", "confusion-in-domain", "roc", "dice"} <= {
        *result.figures
    }
    assert result.scores["in-domain"]["classification"]["n"] == 10
    masks = result.cases().query("task == 'segmentation'")
    assert masks.pixels.notna().all()
    assert masks.groupby("domain").size().to_dict() == {"cross-domain": 10, "in-domain": 10}


@pytest.mark.long
def test_a_run_is_reported(run: Path, tmp_path: Path) -> None:
    study = mmtk.read_study([run])
    assert {"macro-f1", "dice"} <= {*study.frame().metric}
    page = write_report(analyse(study), tmp_path / "report")
    assert "Dice" in page.read_text(encoding="utf-8")
