"""Sources of the kind `folder` as they were first released: their digests and splits outlive new keys."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from mmtk.components.source.folder import Folder


def films(root: Path) -> Path:
    """Twenty-four films of twelve patients with classes, masks and label maps; raw bytes, the same everywhere."""
    lines = ["image,label,patient,spacing"]
    for number in range(24):
        for folder, value in (("films", number), ("masks", number % 2), ("organs/heart", 1), ("organs/lung", 1)):
            path = root / folder / f"{'ab'[number % 2]}/x{number:02}.pgm"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"P5 2 2 255\n" + bytes([value, 0, 0, 1]))
        label = "" if number > 20 else ("ill" if number % 4 < 2 else "well")
        lines.append(f"x{number:02}.pgm,{label},p{number // 2},0.{number // 2 + 1}")
    (root / "films.csv").write_text("\n".join(lines) + "\n")
    (root / "bare.csv").write_text("image,label\n" + "\n".join(f"x{n:02},{'ab'[n % 3 == 0]}" for n in range(24)))
    return root


LUNG = {"masks": "masks", "classes": ("lung",)}
CASES = {
    "classes": ("classification", {"labels": "films.csv"}, "26dbae5695", "71801bb5b6"),
    "no patients": ("classification", {"labels": "bare.csv", "classes": ("b", "a")}, "f107fb4a2b", "cb8c43c44f"),
    "masks": ("segmentation", LUNG, "4c5511e227", "cd0039d9d6"),
    "masks and table": ("segmentation", {**LUNG, "labels": "films.csv"}, "f5269b48cd", "57930df1b2"),
    "organs": ("segmentation", {"masks": "organs", "swap": (("heart", "lung"),)}, "42b88ee8b5", "cd0039d9d6"),
    "label maps": (
        "segmentation",
        {"masks": "masks", "exclusive": True, "classes": ("back", "lung")},
        "226784e5bc",
        "cd0039d9d6",
    ),
}


def split_of(source: Folder) -> str:
    """The ids, patients, targets of every part as ten digits."""
    parts = {
        part: [(item.id, item.patient, item.spacing, item.target is None) for item in source.items(part)]
        for part in ("train", "val", "test")
    }
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:10]


@pytest.mark.parametrize("name", CASES)
def test_digest_and_split_are_those_of_the_first_release(tmp_path, name):
    task, keys, digest, split = CASES[name]
    source = Folder(films(tmp_path), task, images="films", **keys)
    assert (source.digest()[:10], split_of(source)) == (digest, split)
