"""Folds of patients: who is tested when, and what is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold
from tiny import tiny

from mmtk.api import Item, LabelSpec, Source, Split
from mmtk.data import leaks, sources
from mmtk.data.dataset import prepare
from mmtk.data.folds import Fold, FoldedSource, divide
from mmtk.data.split_checks import Role
from mmtk.data.store import open_store
from mmtk.errors import MmtkError

PARTS: tuple[Split, ...] = ("train", "val", "test")


class Films(Source):
    """Films of patients, as a stranger's source has them: (patient, class) by film."""

    labels = LabelSpec("classification", ("normal", "ill"))

    def __init__(self, films: list[tuple[str, int | None]], named: bool = True) -> None:
        self._items = [
            Item(f"film-{k:04d}", None, target, patient if named else f"film-{k:04d}")
            for k, (patient, target) in enumerate(films)
        ]

    def items(self, split: Split) -> list[Item]:
        cuts = {"train": slice(0, None, 2), "val": slice(1, None, 4), "test": slice(3, None, 4)}
        return self._items if split == "all" else self._items[cuts[split]]

    def digest(self) -> str:
        return "films"


def drawn(patients: int, seed: int = 0, share: float = 0.3) -> list[tuple[str, int | None]]:
    rng = np.random.default_rng(seed)
    return [
        (f"P{patient}", int(rng.random() < share) if rng.random() < 0.9 else None)
        for patient in range(patients)
        for _ in range(rng.integers(1, 6))
    ]


def folded(source: Source, count: int, seed: int) -> FoldedSource:
    return FoldedSource(source, Fold.of(count, seed), "data.classification.source")


@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_every_image_is_tested_once_in_a_repeat_and_no_patient_stands_on_two_sides(count: int) -> None:
    films = Films(drawn(60))
    everything = sorted(item.id for item in films.items("all"))
    for repeat in range(2):
        folds = [folded(films, count, repeat * count + index) for index in range(count)]
        assert sorted(item.id for fold in folds for item in fold.items("test")) == everything
        for fold in folds:
            assert sorted(item.id for part in PARTS for item in fold.items(part)) == everything
            patients = [{item.patient for item in fold.items(part)} for part in PARTS]
            assert sum(map(len, patients)) == len(set.union(*patients)) == 60
            assert fold.items("all") == films.items("all")
            assert fold.digest() == films.digest()


def test_one_patient_in_two_spellings_is_one() -> None:
    films = drawn(40)
    mixed = [(name if k % 2 else name.lower() + " ", target) for k, (name, target) in enumerate(films)]
    fold = folded(Films(mixed), 5, 0)
    sides = [{item.patient.strip().lower() for item in fold.items(part)} for part in PARTS]
    assert not sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2]


def test_another_repeat_divides_otherwise_and_the_same_seed_alike() -> None:
    films = Films(drawn(60))
    tests = [{item.id for item in folded(films, 5, seed).items("test")} for seed in (0, 0, 5, 10)]
    assert tests[0] == tests[1]
    assert len({frozenset(one) for one in tests}) == 3
    assert [Fold.of(5, seed) for seed in (0, 4, 5, 13)] == [
        Fold(5, 0, 0),
        Fold(5, 4, 0),
        Fold(5, 0, 1),
        Fold(5, 3, 2),
    ]


def test_classes_are_as_even_as_scikit_learn_has_them() -> None:
    """Spread of the shares of a class over folds, against StratifiedGroupKFold."""
    ours, theirs = [], []
    for seed in range(12):
        films = drawn(80, seed)
        patients = np.unique([name for name, _ in films], return_inverse=True)[1]
        strata = np.array([2 if target is None else target for _, target in films])
        part = divide(strata, patients, 5, "test", seed)
        assert all(len(set(part[patients == one])) == 1 for one in range(80))
        ours.append(_spread(part, strata))
        splitter = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        other = np.zeros(len(films), int)
        for fold, (_, test) in enumerate(splitter.split(films, strata, patients)):
            other[test] = fold
        theirs.append(_spread(other, strata))
    assert np.mean(ours) <= np.mean(theirs)


def _spread(part: np.ndarray, strata: np.ndarray) -> float:
    counts = np.array([[((part == fold) & (strata == kind)).sum() for kind in range(3)] for fold in range(5)])
    return float((counts / counts.sum(0)).std(0).mean())


def test_with_one_image_each_folds_differ_by_one_image() -> None:
    strata = np.array([0] * 33 + [1] * 18)
    part = divide(strata, np.arange(51), 5)
    for kind in (0, 1):
        sizes = np.bincount(part[strata == kind], minlength=5)
        assert sizes.max() - sizes.min() <= 1
    assert sorted(np.bincount(part).tolist()) == [10, 10, 10, 10, 11]


def test_validation_has_the_share_that_it_has_in_the_source() -> None:
    films = Films(drawn(200))
    before = len(films.items("val")) / (len(films.items("val")) + len(films.items("train")))
    fold = folded(films, 5, 3)
    after = len(fold.items("val")) / (len(fold.items("val")) + len(fold.items("train")))
    assert after == pytest.approx(before, abs=0.03)
    for part in PARTS:
        shares = Counter(item.target for item in fold.items(part))
        assert shares[1] / (shares[0] + shares[1]) == pytest.approx(0.3, abs=0.06)


@pytest.mark.parametrize(
    ("films", "count", "message"),
    [
        (
            [(f"P{k % 3}", k // 3 % 2) for k in range(20)],
            5,
            "need labelled images from 5 patients or more; there are 3",
        ),
        ([(f"P{k}", int(k < 3)) for k in range(20)], 5, "5 folds need images of the class ill from 5 patients"),
        (
            [("one", k % 2) for k in range(20)],
            2,
            "2 folds need labelled images from 4 patients or more; there is 1",
        ),
    ],
)
def test_too_few_patients_are_refused(films: list[tuple[str, int | None]], count: int, message: str) -> None:
    with pytest.raises(MmtkError, match=message) as caught:
        folded(Films(films), count, 0)
    assert caught.value.where == "data.classification.source"
    assert "images of other patients" in (caught.value.hint or "")


def test_folds_of_images_are_called_so() -> None:
    assert folded(Films(drawn(40)), 5, 0).fold_notes == []
    (note,) = folded(Films(drawn(40), named=False), 5, 0).fold_notes
    assert "no patient is named, so the folds divide images" in note


class Copies(Films):
    """Films of noise, the second a copy of the first under another patient."""

    def image(self, item: Item) -> np.ndarray:
        number = max(int(item.id[-4:]), 1)
        return np.random.default_rng(number).integers(0, 256, (32, 32), dtype=np.uint8)


def test_a_copy_under_another_patient_is_a_leak_where_a_fold_parts_the_two(tmp_path: Path) -> None:
    films = Copies([(f"P{k}", k % 2) for k in range(40)])
    store, role = open_store(films, 32, cache=tmp_path), Role("classification", "source", "films")
    is_refused = []
    for seed in range(4):
        fold = folded(films, 4, seed)
        tested = [{item.id for item in fold.items(part)} for part in PARTS]
        is_parted = any(len({"film-0000", "film-0001"} & ids) == 1 for ids in tested)
        found = leaks.overlaps([leaks.Images.of(role, fold, store, part) for part in PARTS])
        crossing = {"film-0000", "film-0001"} <= {*tested[1], *tested[2]}  # neither is trained on
        assert bool(found) == (is_parted and not crossing)
        if found:
            with pytest.raises(MmtkError, match="the same image in train and"):
                leaks.check(found, refuse=True)
            is_refused.append(seed)
    assert is_refused


# --- in a recipe


def test_folds_of_films_of_a_patient_each_are_folds_of_patients() -> None:
    films = Films(drawn(60), named=False)
    films.one_image_per_patient = True
    fold = folded(films, 5, 0)
    assert fold.one_image_per_patient
    assert fold.fold_notes == []


def test_a_recipe_without_folds_keeps_its_digest_and_one_with_folds_has_its_own() -> None:
    plain = tiny()
    assert "folds" not in plain.values["data"]
    digests = {plain.digest, *(tiny(data__folds=count).digest for count in (2, 5))}
    assert len(digests) == 3
    assert tiny(data__folds=5, seed=3).digest == tiny(data__folds=5).digest
    with pytest.raises(MmtkError, match=r"data\.folds: should be greater than or equal to 2, got 1"):
        tiny(data__folds=1)


@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_all_systems_and_budgets_of_a_seed_have_the_same_fold(task: str) -> None:
    first = sources.source(tiny(data__folds=4, seed=6), task)
    changes = {f"data__{task}__labels": 6, "train__lr": 0.5, "data__folds": 4, "seed": 6}
    other = sources.source(tiny("umtl", **changes), task)
    for part in PARTS:
        assert first.items(part) == other.items(part)
    cross = sources.source(tiny(data__folds=4), task, "cross")
    assert not isinstance(cross, FoldedSource)


def test_a_run_trains_validates_and_tests_on_its_fold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MMTK_CACHE", str(tmp_path))
    tested = {"classification": [], "segmentation": []}
    for seed in range(3):
        recipe = tiny(data__folds=3, seed=seed)
        data = prepare(recipe, None)
        for task, lists in data.splits().items():
            source = sources.source(recipe, task)
            ids = {part: {item.id for item in source.items(part)} for part in PARTS}
            assert set(lists["test"]) == ids["test"]
            assert set(lists["val"]) == ids["val"]
            assert {*lists["labelled"], *lists["unlabelled"]} == ids["train"]
            assert len(lists["labelled"]) == recipe.task_data(task).labels
            tested[task] += lists["test"]
    for ids in tested.values():
        assert len(ids) == len(set(ids)) == 42
    assert len(list(tmp_path.glob("phantomsource*"))) in (0, 4)
    assert not list(tmp_path.glob("foldedsource*"))
