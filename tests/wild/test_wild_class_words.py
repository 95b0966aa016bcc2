"""Classes without a finding come first, labels that nobody knows are none, names match in other capitals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from layout_inputs import film, save, table

from mmtk.data.plan import words
from mmtk.data.plan.profile import plan_folder
from mmtk.errors import MmtkError


@pytest.mark.parametrize(
    "names",
    [
        *(("阴性", "阳性"), ("keine Pneumonie", "Pneumonie"), ("non-TB", "TB"), ("kein Erguss", "Effusion")),
        *(("nicht vorhanden", "Infiltrat"), ("Kontrolle", "Fall"), ("physiologisch", "pathologisch")),
        *(
            ("sans nodule", "nodule"),
            ("sin neumonía", "neumonía"),
            ("без изменений", "пневмония"),
            ("无结核", "结核"),
        ),
        *(("Non-COVID", "COVID"), ("Normal", "No TB", "TB"), ("benign", "malignant")),
    ],
)
def test_the_class_without_a_finding_is_the_first(names: tuple[str, ...]) -> None:
    assert tuple(words.class_order(reversed(names))) == names


def plan_of(root: Path, labels: list[str], names: str = "f{}x.png", files: str = "f{}x.png") -> str:
    rows: list[list[object]] = [["file", "finding"]]
    for n, label in enumerate(labels):
        film(root / "films" / files.format(n))
        rows.append([names.format(n), label])
    table(root / "films/t.csv", rows)
    return "\n".join(plan_folder(root / "films", root / "p.toml").lines)


@pytest.mark.parametrize(
    "word", ["inconnu", "unbekannt", "Unknown", "k.A.", "nicht beurteilbar", "不明", "not read"]
)
def test_a_label_that_nobody_knows_is_none(tmp_path: Path, word: str) -> None:
    text = plan_of(tmp_path, ["normal", "pneumonia"] * 10 + [word] * 5)
    assert "classes: normal 10, pneumonia 10\n" in text
    assert f"a film has no label where it says {word.casefold()}" in text


def test_words_for_no_finding_are_one_class_and_a_suspicion_is_none(tmp_path: Path) -> None:
    labels = ["unauffällig", "kein Befund", "o.B.", "Pneumonie", "V.a. Pneumonie", "Pneumonie?"]
    text = plan_of(tmp_path / "a", [*labels, "unauffällig"] * 6)
    assert "classes: unauffällig 24, Pneumonie 6\n" in text
    assert "put together: kein Befund as unauffällig, o.B. as unauffällig" in text
    assert "a film has no label where it says pneumonie?, v.a. pneumonie" in text
    for number, classes in enumerate(
        [
            ("Normal", "Non-COVID", "COVID"),
            ("normal", "no TB", "TB"),
            ("normal", "control", "case"),
            ("o.B.", "V.a. TB"),
        ]
    ):
        assert f"classes: {', '.join(f'{name} 6' for name in classes)}\n" in plan_of(
            tmp_path / str(number), [*classes] * 6
        )


@pytest.mark.parametrize("names", ["F{}X.PNG", "f{}x.PNG", "F{}X", "D:\\Films\\F{}X.png"])
def test_a_table_that_knows_no_small_letters_names_its_films(tmp_path: Path, names: str) -> None:
    text = plan_of(tmp_path, ["normal", "pneumonia"] * 10, names)
    assert "classes: normal 10, pneumonia 10\n" in text
    assert ("in other letters, capital or small" in text) == ("F{}X" in names)


def test_a_table_in_small_letters_names_films_in_capitals(tmp_path: Path) -> None:
    text = plan_of(tmp_path, ["normal", "pneumonia"] * 10, files="F{}X.PNG")
    assert "classes: normal 10, pneumonia 10\n" in text
    assert "in other letters, capital or small" in text


def test_two_films_of_one_name_in_other_letters_are_told_apart(tmp_path: Path) -> None:
    film(tmp_path / "films/F0X.png")
    text = plan_of(tmp_path, ["normal", "pneumonia"] * 10)
    assert "classes: normal 10, pneumonia 10\n" in text
    assert "in other letters" not in text


def test_folders_with_versions_of_the_same_films_are_no_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for n in range(6):
        pixels = rng.integers(0, 256, (24, 20), dtype=np.uint8)
        save(tmp_path / f"d/orig/{n}.png", pixels)
        pixels[5] = 255
        save(tmp_path / f"d/annotated/{n}.png", pixels)
    with pytest.raises(MmtkError, match="annotated, orig: no classes, but versions of the same films"):
        plan_folder(tmp_path / "d", tmp_path / "p.toml")
