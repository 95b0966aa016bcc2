"""Folders as sets to score: classes by the names of folders, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmtk.api import LabelSpec
from mmtk.data.folder_sets import folder_sets
from mmtk.errors import MmtkError

CLASSES = {"classification": LabelSpec("classification", ("normal", "pneumonia"), exclusive=True)}


def test_a_folder_of_one_class_is_scored_by_its_name(tmp_path: Path) -> None:
    one = tmp_path / "one"
    for n in range(6):
        path = one / ("Normal/a", "pneumonia")[n % 2] / f"f{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), n, np.uint8)).save(path)
    alone = {"Normal": {0}, "pneumonia": {1}, "": {0, 1}}
    for folder, targets in alone.items():
        scratch = tmp_path / f"scratch{len(folder)}"
        scratch.mkdir()
        sets, notes, unscored = folder_sets(one / folder, {}, CLASSES, {}, scratch)
        assert [{item.target for item in source.items("all")} for _, _, source in sets] == [targets], folder
        assert not unscored
        together = f"  {one} scores the classes of its folders together, with AUROC"
        assert (together in notes) == (folder in ("Normal", "pneumonia")), folder
    (tmp_path / "labels.xlsx").write_bytes(b"")
    with pytest.raises(MmtkError, match=r"is a file, not a folder of films\.\n.*named by --labels"):
        folder_sets(tmp_path / "labels.xlsx", {}, CLASSES, {}, tmp_path)
