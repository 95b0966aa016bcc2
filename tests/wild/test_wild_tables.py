"""Tables as spreadsheets, Macs and pandas write them: what they say is the same."""

from __future__ import annotations

from pathlib import Path
from unicodedata import normalize

import pytest

from mmtk.components.source.folder import Folder
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
