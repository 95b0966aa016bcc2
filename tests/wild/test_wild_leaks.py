"""Patients and images that training shares with val, test, the cross-domain set and the other task."""

from __future__ import annotations

from pathlib import Path

import pytest
from leaks_inputs import COPIES, film, replace_image, replace_patient, write_set

from mmtk import leaks, load_recipe
from mmtk.data import Data, prepare
from mmtk.errors import MmtkError
from mmtk.splits import Role

FOLDER = {
    "data.classification.source": {"use": "folder", "images": "a/films", "labels": "a/films.csv"},
    "data.classification.cross": {"use": "folder", "images": "b/films", "labels": "b/films.csv"},
}
TARGETS = {"val": "a", "test": "a", "cross": "b"}


@pytest.fixture(autouse=True)
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two hospitals, each with patients of its own."""
    monkeypatch.setenv("MMTK_CACHE", str(tmp_path / "cache"))
    write_set(tmp_path / "a", 0, patients=True)
    write_set(tmp_path / "b", 100, patients=True)
    return tmp_path


def read(root: Path, **changes: object) -> Data:
    keys = {"data.size": 64, "data.classification.labels": 4} | FOLDER
    recipe = load_recipe(
        "enc", "phantom", keys | {key.replace("__", "."): value for key, value in changes.items()}
    )
    return prepare(recipe, root)


def place(part: str) -> tuple[str, str]:
    """The folder and the first film of a part."""
    return TARGETS[part], {"val": "val-0.png", "test": "test-0.png", "cross": "test-100.png"}[part]


def test_hospitals_that_share_nothing(sets):
    assert read(sets).notes == []


@pytest.mark.parametrize("part", TARGETS)
def test_an_identical_image_is_refused_by_name(sets, part):
    folder, name = place(part)
    replace_image(sets / folder, name, film(3))
    with pytest.raises(MmtkError) as caught:
        read(sets)
    domain = "cross" if part == "cross" else "source"
    text = f"the same image in train and {part} (1): train-3 in train = {name[:-4]} in {part}."
    assert text in str(caught.value)
    assert f'data.classification.{domain} ("folder {folder}/films")' in str(caught.value)
    assert 'data.leaks = "allow"' in str(caught.value)


@pytest.mark.parametrize("part", TARGETS)
@pytest.mark.parametrize("copy", COPIES)
def test_a_near_identical_image_is_refused_by_name(sets, part, copy):
    folder, name = place(part)
    replace_image(sets / folder, name, COPIES[copy](film(3)))
    with pytest.raises(MmtkError) as caught:
        read(sets)
    assert f"images in train and {part} (1): train-3 in train ≈ {name[:-4]} in {part}." in str(caught.value)


@pytest.mark.parametrize("part", TARGETS)
def test_a_patient_is_refused_by_name(sets, part):
    folder, name = place(part)
    replace_patient(sets / folder, name, "train-3.png-p")
    with pytest.raises(MmtkError) as caught:
        read(sets)
    assert f"(1): train-3.png-p (train-3 in train, {name[:-4]} in {part})." in str(caught.value)
    assert ("two hospitals number alike" in str(caught.value)) == (part == "cross")


def test_what_is_allowed_is_counted(sets):
    for number in (1, 2, 3):
        replace_image(sets / "b", f"test-{99 + number}.png", COPIES["jpeg 75"](film(number)))
    replace_image(sets / "b", "test-104.png", film(4))
    (note,) = read(sets, data__leaks="allow").notes
    assert note == (
        'allowed: 4 images of data.classification.cross ("folder b/films"): test are known to '
        'data.classification.source ("folder a/films"): train: 1 identical to training images, '
        "3 near-identical to training images."
    )


def test_stored_images_are_compared_once_and_again_when_they_change(sets, monkeypatch):
    replace_image(sets / "b", "test-100.png", film(3))
    compared = []
    real = leaks._compared
    monkeypatch.setattr(leaks, "_compared", lambda *parts: compared.append(parts) or real(*parts))
    first = read(sets, data__leaks="allow").notes
    times = len(compared)
    assert (times, len(first)) == (3, 1)
    assert read(sets, data__leaks="allow").notes == first
    assert len(compared) == times
    with pytest.raises(MmtkError, match="the same image in train and cross"):
        read(sets)
    replace_image(sets / "b", "test-100.png", film(777))
    assert read(sets).notes == []
    assert len(compared) == times + 1


@pytest.mark.parametrize(("use", "hint"), [("folder films", True), ("jsrt", False)])
def test_films_of_both_tasks_in_different_parts_are_told_with_the_key(use, hint):
    def part(task, name):
        return leaks.Images(Role(task, "source", use), name, None, [], [])

    pair = [("f1 in train", "f1 in test")]
    found = leaks.Overlap(part("classification", "train"), part("segmentation", "test"), identical=pair)
    (sentence,) = leaks.check([found], refuse=True)
    assert sentence.startswith("shared encoder: 1 images of data.segmentation.source")
    assert sentence.endswith("Set both_tasks = true in both tables: a film is then of one part in both.") == hint
