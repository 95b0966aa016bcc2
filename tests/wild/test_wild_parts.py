"""A planned profile can be split: every class, and masks, in every part, and no patient in two."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from layout_inputs import film, mask, table

from mmtk import load_recipe
from mmtk.data import sources
from mmtk.data.plan import words
from mmtk.data.plan.labels import Film
from mmtk.data.plan.normal_words import WORDS
from mmtk.data.plan.parts import draw_parts, rare_classes, splits_by_itself
from mmtk.data.plan.profile import plan_folder


@pytest.mark.parametrize("seed", range(40))
def test_drawn_parts_have_all_classes_and_split_no_patient(seed: int) -> None:
    draw = np.random.default_rng(seed)
    films = {
        f"{n}.png": Film("ABC"[draw.integers(3)] if draw.random() < 0.9 else "", f"p{draw.integers(8)}")
        for n in range(draw.integers(8, 40))
    }
    for name in rare_classes(films):
        for each in films.values():
            each.label = "" if each.label == name else each.label
    masked = [path for path in films if draw.random() < 0.5]
    if not draw_parts(films, masked):
        assert not all(film.split for film in films.values())
        return
    parts, patients, with_mask = defaultdict(set), defaultdict(set), set()
    for path, each in films.items():
        parts[each.split].add(each.label)
        patients[each.patient].add(each.split)
        with_mask |= {each.split} if path in masked else set()
    labels = {each.label for each in films.values()} - {""}
    assert all(labels <= parts[part] for part in ("train", "val", "test"))
    assert all(len(each) == 1 for each in patients.values())
    assert with_mask == {"train", "val", "test"}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("both", [False, True])
def test_ties_within_patients_give_a_profile_that_runs(tmp_path: Path, seed: int, both: bool) -> None:
    """Follow-up films of patients whose finding comes and goes; some have masks."""
    draw = np.random.default_rng(seed)
    rows: list[list[object]] = [["file", "diagnosis", "patient"]]
    for n in range(24):
        film(tmp_path / f"d/films/{n:02}.png")
        rows.append([f"{n:02}.png", ("normal", "effusion", "mass")[draw.integers(3)], n // 3])
        if both and n % 2:
            mask(tmp_path / f"d/masks/{n:02}.png")
    table(tmp_path / "d/t.csv", rows)
    plan = plan_folder(tmp_path / "d", tmp_path / "p.toml")
    plan.write(tmp_path / "p.toml")
    recipe = load_recipe(plan.recipe, str(tmp_path / "p.toml"))
    part_of: dict[str, str] = {}
    for task in recipe.tasks:
        source = sources.source(recipe, task, root=tmp_path / "d")
        assert len([i for i in source.items("all") if i.target is not None]) == (12 if task[0] == "s" else 24)
        for part in ("train", "val", "test"):
            items = [item for item in source.items(part) if item.target is not None]
            if task == "classification":
                assert {item.target for item in items} == {0, 1, 2}
            assert items
            for item in items:
                assert part_of.setdefault(item.patient, part) == part


@pytest.mark.parametrize("given", ["train", "train+test", "train+val", "test", "train+val+unlabelled test"])
@pytest.mark.parametrize("layout", ["table", "folders"])
def test_parts_that_are_missing_are_taken_from_train(tmp_path: Path, given: str, layout: str) -> None:
    rows: list[list[object]] = [["file", "diagnosis", "patient", "subset"]]
    for part in given.split("+"):
        for n in range(24):
            label, name = "" if "unlabelled" in part else ("normal", "tb")[n % 2], f"{part[:4]}{n}.png"
            subset = part.split()[-1]
            film(tmp_path / "d" / (f"{subset}/{label}/{name}" if layout == "folders" else f"films/{name}"))
            rows.append([name, label, f"{part}{n // 2}", subset])
    if layout == "table":
        table(tmp_path / "d/t.csv", rows)
    plan = plan_folder(tmp_path / "d", tmp_path / "p.toml")
    plan.write(tmp_path / "p.toml")
    recipe = load_recipe(plan.recipe, str(tmp_path / "p.toml"))
    source = sources.source(recipe, "classification", root=tmp_path / "d")
    assert len(source.items("all")) == 24 * len(given.split("+"))
    for part in ("train", "val", "test"):
        items = source.items(part)
        assert {item.target for item in items if item.target is not None} == {0, 1}
        if part == "test" and "+test" in given:
            assert len(items) == 24


def test_few_classes_are_split_by_the_source_itself() -> None:
    films = {f"{n}.png": Film("ab"[n % 2], f"p{n}") for n in range(6)}
    assert splits_by_itself(films)
    assert not splits_by_itself({f"{n}.png": Film("ab"[n % 2], f"p{n // 2}") for n in range(8)})


@pytest.mark.parametrize(
    "word",
    [
        "Unauffällig",
        "o. B.",
        "sain",
        "sano",
        "normale",
        "sin hallazgos",
        "正常",
        "Без патологии",
        "NO FINDING",
        "No_Finding",
        "unauffa\u0308llig",
    ],
)
def test_words_for_no_finding_are_one_class(word: str) -> None:
    assert words.same_class(word) == "normal"
    assert words.class_order(["A finding", word]) == [word, "A finding"]


def test_no_word_for_normal_is_one_for_a_finding() -> None:
    assert all(words.same_class(word) == "normal" for each in WORDS.values() for word in each)
    assert not words.NORMAL & {"abnormal", "pneumonia", "positive", "1", "sick", "tb", "positivo", "krank", ""}


def test_two_words_for_no_finding_in_one_set_stay_two_classes() -> None:
    names = words.class_order(["Normal", "Non-COVID", "COVID"])
    assert names == ["Normal", "Non-COVID", "COVID"]
    assert [words.class_among(name, names) for name in ("Non-COVID", "normal", "non_covid", "healthy", "TB")] == [
        "Non-COVID",
        "Normal",
        "Non-COVID",
        "Normal",
        "",
    ]
