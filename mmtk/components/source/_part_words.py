"""Words of many languages for the parts of a data set, and for the column that says the part. No torch."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from unicodedata import normalize

if TYPE_CHECKING:
    from mmtk.api import Split

TRAIN: dict[str, tuple[str, ...]] = {
    "English": ("train", "training", "trn", "tr", "learn", "learning", "development", "derivation"),
    "Chinese, Japanese, Korean": ("训练", "训练集", "訓練", "訓練集", "学習", "学習用", "훈련", "학습"),
    "Dutch, German": ("training", "trainieren", "trainings", "lernen", "trainingsdaten"),
    "French": ("apprentissage", "entraînement", "entrainement"),
    "Italian": ("addestramento", "allenamento"),
    "Polish, Czech": ("trening", "treningowy", "uczący", "trénovací", "trénink"),
    "Portuguese, Spanish": ("treino", "treinamento", "entrenamiento", "aprendizaje"),
    "Russian": ("обучение", "обучающая", "тренировочная", "трейн"),
    "Turkish": ("eğitim",),
}
VAL: dict[str, tuple[str, ...]] = {
    "English": ("val", "valid", "validation", "validate", "dev", "va", "tuning", "tune", "internalvalidation"),
    "Chinese, Japanese, Korean": ("验证", "验证集", "驗證", "驗證集", "検証", "検証用", "검증"),
    "Dutch, German": ("validierung", "validatie", "validierungs", "validierungsdaten"),
    "Italian": ("validazione", "convalida"),
    "Polish, Czech": ("walidacja", "walidacyjny", "validační", "validace"),
    "Portuguese, Spanish": ("validação", "validacao", "validación", "validacion"),
    "Russian": ("валидация", "валидационная", "проверка", "проверочная"),
    "Turkish": ("doğrulama",),
}
TEST: dict[str, tuple[str, ...]] = {
    "English": (
        "test",
        "testing",
        "holdout",
        "tst",
        "te",
        "heldout",
        "externalvalidation",
        "externaltest",
        "internaltest",
    ),
    "Chinese, Japanese, Korean": ("测试", "测试集", "測試", "測試集", "テスト", "評価", "테스트", "시험"),
    "Dutch, German": ("prüfung", "tests", "testdaten", "prüf"),
    "Italian": ("prova", "verifica"),
    "Polish, Czech": ("testowy", "testowa", "testovací"),
    "Portuguese, Spanish": ("teste", "prueba", "pruebas"),
    "Russian": ("тест", "тестирование", "тестовая"),
}
COLUMNS = {
    *("split", "splits", "subset", "partition", "part", "dataset split", "data split", "set", "phase"),
    *("ensemble", "teil", "gruppe", "aufteilung", "partición", "particion", "conjunto", "insieme", "suddivisione"),
    *("分组", "数据集", "集合", "分割", "データ分割", "выборка", "zbiór", "podział", "partição", "partition name"),
}
SETS = ("set", "sset", "dataset", "daten", "menge", "smenge", "part", "cohort")  # endings: Trainingsset, test_set
MOST = 6  # different words in a column of parts


_LANGUAGES: tuple[tuple[Split, dict[str, tuple[str, ...]]], ...] = (("train", TRAIN), ("val", VAL), ("test", TEST))
_PART_OF: dict[str, Split] = {
    word: part for part, languages in _LANGUAGES for words in languages.values() for word in words
}
# Names of folders and files; two letters say too little there.
PARTS = {word: part for word, part in _PART_OF.items() if len(word) > 2 or not word.isascii()}


def part_of(cell: str) -> Split | None:
    """Part that a cell of a table names, in any case and with any signs between its letters; None for none."""
    word = re.sub(r"[\W_]+", "", normalize("NFC", cell).casefold())
    shorts = (word, *(word.removesuffix(ending) for ending in SETS))
    return next((_PART_OF[short] for short in shorts if short in _PART_OF), None)


def part_of_folder(name: str) -> Split | None:
    """Part that the name of a folder says, which has more than two letters; None for another name."""
    return part_of(name) if len(re.sub(r"[\W_]+", "", name)) > 2 else None
