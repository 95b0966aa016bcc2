"""Patients and images that training shares with val, test, the cross-domain set and the other task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from leaks_inputs import COPIES, film, replace_image, replace_patient, write_set

from mmtk import load_recipe
from mmtk.api import LabelSpec
from mmtk.data import leaks
from mmtk.data.dataset import Data, open_source, prepare
from mmtk.data.split_checks import Role
from mmtk.data.store import ImageStore
from mmtk.data.training_overlap import set_numbers_apart
from mmtk.errors import MmtkError

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


@pytest.mark.parametrize("part", TARGETS)
def test_a_patient_in_other_letters_is_the_same(sets, part):
    folder, name = place(part)
    replace_patient(sets / folder, name, "TRAIN-3.PNG-P")
    with pytest.raises(MmtkError) as caught:
        read(sets)
    assert f"(1): TRAIN-3.PNG-P (train-3 in train, {name[:-4]} in {part})." in str(caught.value)


PATIENT = ("Mu\u0308ller 12", "M\u00fcller 12")  # as a Mac and as Linux compose it


@pytest.mark.parametrize("part", TARGETS)
@pytest.mark.parametrize(
    "pair",
    [
        PATIENT,
        ("P12", "\uff30\uff11\uff12"),
        ("P12", "\u200fP12"),
        ("P 12", "P\u00a0\u00a012"),
        ("P12", "P12\ufeff"),
    ],
)
def test_a_patient_in_signs_that_look_alike_is_the_same(sets, part, pair):
    folder, name = place(part)
    replace_patient(sets / "a", "train-3.png", pair[0])
    replace_patient(sets / folder, name, pair[1])
    with pytest.raises(MmtkError, match=r"patients in more than one split \(1\)"):
        read(sets)


def test_films_without_a_patient_that_differ_in_letters_are_of_two_persons(sets):
    for folder in ("a", "b"):
        table = sets / folder / "films.csv"
        table.write_text("".join(f"{line.rpartition(',')[0]}\n" for line in table.read_text().splitlines()))
    table = sets / "a/films.csv"
    (sets / "a/films/val-0.png").rename(sets / "a/films/TRAIN-3.png")
    table.write_text(table.read_text().replace("val-0.png", "TRAIN-3.png"))
    assert not [note for note in read(sets).notes if "known to" in note]


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
    assert (times, len(first)) == (5, 1)
    assert read(sets, data__leaks="allow").notes == first
    assert len(compared) == times
    with pytest.raises(MmtkError, match="the same image in train and cross"):
        read(sets)
    replace_image(sets / "b", "test-100.png", film(777))
    assert read(sets).notes == []
    assert len(compared) == times + 2


@pytest.mark.parametrize(("use", "hint"), [("folder films", True), ("jsrt", False)])
def test_films_of_both_tasks_in_different_parts_are_told_with_the_key(use, hint):
    def part(task, name):
        return leaks.Images(Role(task, "source", use), name, None, [], [])

    pair = [("f1 in train", "f1 in test")]
    found = leaks.Overlap(part("classification", "train"), part("segmentation", "test"), identical=pair)
    (sentence,) = leaks.check([found], refuse=True)
    assert sentence.startswith("shared encoder: 1 image of data.segmentation.source")
    assert sentence.endswith("Set both_tasks = true in both tables: a film is then of one part in both.") == hint


def part_of(task: str, part: str, numbers: list[int]) -> leaks.Images:
    """One part of a task with the films of these numbers."""
    domain, name = ("cross", "test") if part == "cross" else ("source", part)
    images = np.stack([film(number) for number in numbers])[:, None]
    ids = [f"{task[0]}-{part}-{number}" for number in numbers]
    target = LabelSpec(task, ("a", "b"))
    stored = ImageStore(images, np.zeros(len(ids)), ids, ids, {}, np.zeros((len(ids), 2)), target, task)
    return leaks.Images(Role(task, domain, task), name, stored, list(range(len(ids))), ids)


@pytest.mark.parametrize("part", ["val", "test", "cross"])
@pytest.mark.parametrize("scored", ["classification", "segmentation"])
@pytest.mark.parametrize("trained", ["classification", "segmentation"])
def test_training_films_are_compared_with_every_part_that_any_task_is_scored_on(trained, scored, part):
    numbers = {
        (task, name): 10 * (4 * i + j)
        for i, task in enumerate(("classification", "segmentation"))
        for j, name in enumerate(("train", "val", "test", "cross"))
    }
    films = {key: [100 + number, 101 + number] for key, number in numbers.items()}
    films[scored, part][1] = films[trained, "train"][0]
    found = leaks.overlaps([part_of(task, name, films[task, name]) for task, name in films])
    (pair,) = found
    assert (pair.train.role.task, pair.scored.role.task, pair.scored.label) == (trained, scored, part)
    assert len(pair.identical) == 1
    assert pair.across == (trained != scored)
    if pair.across:
        assert leaks.check(found, refuse=True)[0].startswith("shared encoder: 1 image of")
    else:
        with pytest.raises(MmtkError, match="the same image in train"):
            leaks.check(found, refuse=True)


@pytest.mark.parametrize("part", ["test", "cross"])
def test_validation_films_are_compared_with_the_tests_of_their_task(part):
    """They choose weights and thresholds; those of the other task choose nothing of this one's scores."""
    films = {
        (task, name): [200 + 10 * (4 * i + j) + n for n in range(2)]
        for i, task in enumerate(("classification", "segmentation"))
        for j, name in enumerate(("train", "val", "test", "cross"))
    }
    films["classification", part][1] = films["classification", "val"][0]
    films["classification", part][0] = films["segmentation", "val"][0]
    (pair,) = leaks.overlaps([part_of(task, name, numbers) for (task, name), numbers in films.items()])
    assert (pair.train.label, pair.scored.label, len(pair.identical)) == ("val", part, 1)
    with pytest.raises(MmtkError, match=f"the same image in val and {part}"):
        leaks.check([pair], refuse=True)
    (note,) = leaks.check([pair], refuse=False)
    assert note.endswith(": val: 1 identical to validation images.")


def with_numbers(folder: Path, first: int) -> None:
    """Call the patients of a set by numbers, two films each."""
    head, *lines = (folder / "films.csv").read_text().splitlines()
    numbered = [f"{line.rpartition(',')[0]},{first + n // 2:03}" for n, line in enumerate(lines)]
    (folder / "films.csv").write_text("\n".join([head, *numbered]) + "\n")


def across_hospitals(root: Path) -> leaks.Overlap:
    scored = {"data.classification.cross_split": "all"}
    recipe = load_recipe("enc", "phantom", {"data.size": 64} | FOLDER | scored)
    data = [open_source(recipe, "classification", domain, root, None) for domain in ("source", "cross")]
    train, cross = (
        leaks.Images.of(one.role, one.source, one.store, part)
        for one, part in zip(data, ("train", "all"), strict=True)
    )
    return leaks.overlap(train, cross)


def test_numbers_from_1_on_do_not_make_persons_of_two_hospitals_one(sets):
    for name in "ab":
        with_numbers(sets / name, 1)
    overlap = across_hospitals(sets)
    assert len(overlap.patients) == 12
    sure, doubt = set_numbers_apart([overlap])
    assert sure == []
    assert doubt.startswith("whether patients of folder b/films were trained on: 6 numbers are the same")
    replace_image(sets / "b", "test-100.png", film(3))  # with one image in both, the numbers are believed
    assert set_numbers_apart([across_hospitals(sets)])[0] != []


def test_large_numbers_are_persons(sets):
    for name in "ab":
        with_numbers(sets / name, 4711)
    assert set_numbers_apart([overlap := across_hospitals(sets)]) == ([overlap], "")
