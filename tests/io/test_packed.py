"""Packed tables: each packing, names that say another, damaged files, and the readers of tables."""

from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path
from zipfile import ZipFile

import pytest

from mmtk.compare.columns import read_sheet
from mmtk.compare.mask_files import distinct_stems
from mmtk.errors import MmtkError
from mmtk.io.csv_text import read_csv
from mmtk.io.packed import inner_suffix, read_bytes, unpacked
from mmtk.recipe.wrong_files import checked

TEXT = "system;dice\nunet;0,9\nFörde;0,8\n"
PACK = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, "": bytes}


def packed_files(folder: Path) -> list[Path]:
    files = [folder / f"scores.csv{suffix}" for suffix in (*PACK, ".zip")]
    for file, pack in zip(files, PACK.values(), strict=False):
        file.write_bytes(pack(TEXT.encode("cp1252")))
    with ZipFile(files[-1], "w") as archive:
        archive.writestr("scores.csv", TEXT.encode("cp1252"))
        archive.writestr("__MACOSX/._scores.csv", b"0")
    return files


def test_a_packed_table_is_the_table_in_it(tmp_path: Path) -> None:
    for file in packed_files(tmp_path):
        assert (inner_suffix(file), unpacked(file).stem) == (".csv", "scores")
        table = read_csv(file)
        assert (table.columns, table.lines[1].cells) == (("system", "dice"), ("Förde", "0,8")), file
        assert read_sheet(file).texts("system").tolist() == ["unet", "Förde"], file
        assert distinct_stems([file]) == {file: "scores"}
        with pytest.raises(MmtkError, match="is a table, not a recipe"):
            checked(str(file), "recipe")


def test_the_content_says_how_a_file_is_packed(tmp_path: Path) -> None:
    file = tmp_path / "t.csv.gz"
    for content in (TEXT.encode(), lzma.compress(TEXT.encode())):  # a browser unpacks, and keeps the name
        file.write_bytes(content)
        assert read_bytes(file) == TEXT.encode()


def test_a_damaged_file_and_one_of_several_are_refused_by_name(tmp_path: Path) -> None:
    for pack, suffix in ((PACK[suffix], suffix) for suffix in (".gz", ".bz2", ".xz")):
        file = tmp_path / f"t.csv{suffix}"
        file.write_bytes(pack(TEXT.encode() * 9)[:-9])
        with pytest.raises(MmtkError, match=r"t\.csv.*cannot be unpacked: \S"):
            read_bytes(file)
    file = tmp_path / "t.csv.zip"
    file.write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(MmtkError, match="cannot be unpacked"):
        read_bytes(file)
    with ZipFile(file, "w") as archive:
        archive.writestr("a.csv", "a")
        archive.writestr("b.csv", "b")
    with pytest.raises(MmtkError, match=r"holds 2 files: a\.csv, b\.csv\."):
        read_bytes(file)
