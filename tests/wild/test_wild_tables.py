"""Tables as spreadsheets, Macs and pandas write them: what they say is the same."""

from __future__ import annotations

from pathlib import Path
from unicodedata import normalize

import pytest
from PIL import Image

from mmtk.components.source.folder import Folder
from mmtk.data.plan.profile import plan_folder
from mmtk.errors import MmtkError

NAMES = [f"Röntgen {number}" for number in range(12)]


def rows(separator: str = ",", spacing: str = "0.2") -> str:
    cells = [["image", "label", "patient", "spacing"]]
    cells += [[name, "ab"[n % 2], f"p{n}", spacing] for n, name in enumerate(NAMES)]
    return "".join(separator.join(row) + "\n" for row in cells)


TABLES = {
    "utf-8": rows().encode(),
    "mark": rows().encode("utf-8-sig"),
    "utf-16": rows("\t").encode("utf-16"),
    "windows": rows(";").encode("cp1252"),
    "sep": b"sep=;\r\n" + rows(";").replace("\n", "\r\n").encode(),
    "comma": rows(";", "0,2").encode(),
    "composed": normalize("NFC", rows()).encode(),
    "decomposed": normalize("NFD", rows()).encode(),
}


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("table", TABLES)
def test_one_table_in_many_forms(tmp_path: Path, table: str, form: str) -> None:
    (tmp_path / "films").mkdir()
    for number, name in enumerate(NAMES):
        (tmp_path / "films" / normalize(form, f"{name}.pgm")).write_bytes(b"P5 1 1 255\n" + bytes([number]))
    (tmp_path / "films.csv").write_bytes(TABLES[table])
    source = Folder(tmp_path, "classification", images="films", labels="films.csv")
    read = {normalize("NFC", i.id): (i.target, i.patient, i.spacing) for i in source.items("all")}
    assert read == {name: (n % 2, f"p{n}", (0.2, 0.2)) for n, name in enumerate(NAMES)}


@pytest.mark.parametrize("more", [0, 20_000])
def test_a_stray_quotation_mark_is_named_by_its_line(tmp_path: Path, more: int) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.pgm").write_bytes(b"P5 1 1 255\n\0")
    (tmp_path / "films.csv").write_text('image,label\na,x\nb,"x\n' + "c,some label\n" * (more + 3))
    with pytest.raises(MmtkError, match=r"films\.csv:3: a quotation mark opens"):
        Folder(tmp_path, "classification", images="films", labels="films.csv")
    with pytest.raises(MmtkError, match=r"films\.csv:3: a quotation mark opens"):
        plan_folder(tmp_path, tmp_path / "p.toml")


def written(root: Path, lines: list[str]) -> Folder:
    """The source of 24 films and a table of these lines."""
    (root / "films").mkdir()
    for number in range(24):
        Image.new("L", (8, 8), number).save(root / f"films/{number}.png")
    (root / "films.csv").write_text("\n".join(lines), encoding="utf-8")
    return Folder(root, "classification", images="films", labels="films.csv")


def test_patients_that_lost_their_zeros_in_some_lines_of_filmsare_the_same(tmp_path):
    """Of 007 and 7, 08 and 8, 0 and 00; not of 7 and 70."""
    patients = ["007", "7", "08", "8", "70", "0", "00"]
    lines_of_films = [f"{n}.png,{'ab'[n % 2]},{patients[n] if n < 7 else f'p{n}'}" for n in range(24)]
    source = written(tmp_path, ["image,label,patient", *lines_of_films])
    found = {item.id: item.patient for item in source.items("all")}
    assert [found[str(n)] for n in range(7)] == ["007", "007", "08", "08", "70", "00", "00"]
    assert any("patients such as 0 are the same as 00" in note for note in source.notes)
    parts = [{item.patient for item in source.items(part)} for part in ("train", "val", "test")]
    assert sum(map(len, parts)) == len(set().union(*parts)) == 21


def test_parts_in_the_words_that_folders_may_have(tmp_path):
    words = ("Training", "validation", "TESTING")
    source = written(
        tmp_path, ["image,label,split", *(f"{n}.png,{'ab'[n % 2]},{words[n // 8]}" for n in range(24))]
    )
    for part, first in zip(("train", "val", "test"), (0, 8, 16), strict=True):
        assert {item.id for item in source.items(part)} == {str(first + n) for n in range(8)}


@pytest.mark.parametrize(
    "pair", [("Entz\u00fcndung", "Entzu\u0308ndung"), ("normal", "normal\u200b"), ("a", "\uff41")]
)
def test_classes_in_signs_that_look_alike_are_refused(tmp_path, pair):
    labels = [*pair, "other"]
    lines = ["image,label", *(f"{n}.png,{labels[n % 3]}" for n in range(24))]
    with pytest.raises(
        MmtkError, match=r"differ in signs that look alike \('.*\\[xu].*\) alone: are they one class"
    ):
        written(tmp_path, lines)
