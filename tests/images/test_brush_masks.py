"""Masks of a brush in a box: where their pixels lie in the image."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from mmtk.images.brush_masks import cvat_runs, labelme_runs

SIZE = (5, 7)
BOX = np.array([[1, 0, 1], [0, 1, 1]], bool)


def drawn(runs: dict) -> np.ndarray:
    values = np.arange(len(runs["counts"])) % 2
    return np.repeat(values, runs["counts"]).reshape(SIZE[::-1]).T.astype(bool)


@pytest.mark.parametrize(("left", "top"), [(0, 0), (2, 1), (4, 3), (5, 4), (-1, -1)])
def test_a_box_lies_where_its_corner_says(left: int, top: int) -> None:
    right = np.zeros((15, 17), bool)
    right[5 + top : 7 + top, 5 + left : 8 + left] = BOX
    right = right[5:10, 5:12]
    cvat = {"rle": "0, 1, 1, 1, 1, 2", "left": f"{left}.0", "top": str(top), "width": "3", "height": "2"}
    assert np.array_equal(drawn(cvat_runs(cvat, SIZE)), right)
    file = BytesIO()
    Image.fromarray(BOX).save(file, "PNG")
    shape = {"points": [[left, top], [left + 2, top + 1]], "mask": b64encode(file.getvalue()).decode()}
    assert np.array_equal(drawn(labelme_runs(shape, SIZE)), right)


def test_runs_that_do_not_fill_their_box_are_refused() -> None:
    with pytest.raises(ValueError, match="cover 4 pixels of a box of 3 × 2"):
        cvat_runs({"rle": "1, 3", "left": "0", "top": "0", "width": "3", "height": "2"}, SIZE)
