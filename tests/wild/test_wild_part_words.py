"""A hospital's own parts are kept in any language, and never drawn over without a word."""

from __future__ import annotations

from pathlib import Path

import pytest
from layout_inputs import film, table

from mmtk.components.source import _part_words as part_words
from mmtk.components.source.folder import Folder
from mmtk.data.plan.profile import plan_folder
from mmtk.errors import MmtkError

SIZES = (12, 4, 8)
LANGUAGES = [
    ("apprentissage", "validation", "test"),
    ("entraînement", "validation", "test"),
    ("Trainingsset", "Validierungsset", "Testset"),
    ("训练集", "验证集", "测试集"),
    ("entrenamiento", "validación", "prueba"),
    ("addestramento", "validazione", "test"),
    ("обучение", "валидация", "тест"),
    ("tr", "va", "te"),
    ("TRAIN", "DEV", "HOLD-OUT"),
]


def hospital(root: Path, words: tuple[str, ...], column: str = "split") -> None:
    rows: list[list[object]] = [["file", "finding", column]]
    for part, (word, size) in enumerate(zip(words, SIZES, strict=True)):
        for n in range(size):
            film(root / f"{'abc'[part]}{n}x.png")
            rows.append([f"{'abc'[part]}{n}x.png", ("normal", "pneumonia")[n % 2], word])
    table(root / "t.csv", rows)


def parts(root: Path, **hints: str) -> str:
    lines = plan_folder(root, root.parent / "p.toml", hints).lines
    return next((line.strip() for line in lines if line.strip().startswith("parts:")), "\n".join(lines))


@pytest.mark.parametrize("words", LANGUAGES, ids=lambda words: words[0])
@pytest.mark.parametrize("column", ["split", "Ensemble"])
def test_parts_are_read_in_any_language(tmp_path: Path, words: tuple[str, ...], column: str) -> None:
    hospital(tmp_path / "films", words, column)
    assert parts(tmp_path / "films") == "parts: train 12, val 4, test 8"


@pytest.mark.parametrize("words", LANGUAGES[:-2], ids=lambda words: words[0])
def test_folders_of_parts_are_read_in_any_language(tmp_path: Path, words: tuple[str, ...]) -> None:
    for word, size in zip(words, SIZES, strict=True):
        for n in range(size):
            film(tmp_path / f"films/{word}/{('normal', 'pneumonia')[n % 2]}/{word[:1]}{n}x.png")
    assert parts(tmp_path / "films") == "parts: train 12, val 4, test 8"


@pytest.mark.parametrize("words", [("0", "1", "2"), ("ucz", "wal", "test"), ("A", "B", "C")])
def test_parts_in_words_that_are_not_known_are_named(tmp_path: Path, words: tuple[str, ...]) -> None:
    hospital(tmp_path / "films", words)
    note = '"split" may be the part of each film, in words that are not known: the parts are drawn anew'
    assert note in parts(tmp_path / "films")
    with pytest.raises(MmtkError, match=f"--split split: no word for train, val or test: {words[0]}") as caught:
        parts(tmp_path / "films", split="split")
    assert "Write train, val or test in the column" in str(caught.value.hint)


@pytest.mark.parametrize("layout", ["table", "folders"])
def test_the_source_reads_the_words_that_the_plan_reads(tmp_path: Path, layout: str) -> None:
    for number, words in enumerate([*LANGUAGES, ("Training", "Validierung", "Prüfung")]):
        root = tmp_path / str(number)
        if layout == "table":
            hospital(root / "films", words)
            keys = {"labels": "films/t.csv", "columns": {"image": "file", "label": "finding"}}
        else:
            if any(len(word) < 3 for word in words):
                continue
            for word, size in zip(words, SIZES, strict=True):
                for n in range(size):
                    film(root / f"films/{word}/{('normal', 'pneumonia')[n % 2]}/{word[:1]}{n}x.png")
            keys = {"labels": "folders"}
        source = Folder(root, "classification", images="films", **keys)
        assert [len(source.items(part)) for part in ("train", "val", "test")] == [*SIZES], words


def test_a_word_that_is_no_part_is_named_once(tmp_path: Path) -> None:
    hospital(tmp_path / "films", ("train", "Abgleich", "test"))
    keys = {"labels": "films/t.csv", "columns": {"image": "file", "label": "finding"}}
    with pytest.raises(MmtkError, match=r"t\.csv:14: 4 rows: split is 'Abgleich'\. Known: train, val,") as caught:
        Folder(tmp_path, "classification", images="films", **keys)
    assert str(caught.value).count("Abgleich") == 1


def test_a_word_means_one_part() -> None:
    entries = [
        (word, part)
        for part, languages in (("train", part_words.TRAIN), ("val", part_words.VAL), ("test", part_words.TEST))
        for words in languages.values()
        for word in words
    ]
    assert {word: part_words.part_of(word) for word, _ in entries} == dict(entries)
