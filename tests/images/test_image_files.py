"""Image files in folders as people have them: hidden files, links, folders called x.png, DICOM by its mark."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from pathlib import Path, PurePath

import pytest

from mmtk.components.source._layout import by_stem, list_images
from mmtk.errors import MmtkError
from mmtk.images.files import find_images, image_name, is_dicom, is_image_file
from mmtk.model.predictor import find_images as images_to_predict

MARK = b"\0" * 128 + b"DICM"
DICOM = ("1.2.840.113619.2.55.3", "1.2.840.113619.2.55.4", "IM000001", "IM000002.IMA", "scan.v2", "film.img")
OTHER = ("DICOMDIR", "README", "table.csv", "._a.png", ".hidden.png", "__MACOSX/a.png", ".hidden/b.png", "empty")
SYSTEMS = ("@eaDir/a.png/THUMB_M.jpg", "#recycle/a.png", "sub/@Recycle/a.png", "$RECYCLE.BIN/S-1/$R1.png")
SYSTEMS += ("~$a.png", "System Volume Information/a.png")
PICTURES = ("a.png", "B.JPEG", "sub/c.tif", "dir.png/d.png", "e.dcm")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder as a Mac and a scanner leave it, with a linked folder, circles and a broken link."""
    root = tmp_path / "films"
    for name in (*DICOM, "DICOMDIR", *PICTURES, *OTHER, *SYSTEMS):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(MARK if name in (*DICOM, "DICOMDIR") else b"text" if name != "empty" else b"")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "linked.png").write_bytes(b"text")
    os.symlink("../elsewhere", root / "link")
    os.symlink(".", root / "circle")
    os.symlink("../films", root / "sub" / "back")
    os.symlink("gone", root / "lost")
    os.mkfifo(root / "pipe")
    return root


def test_the_sources_and_predict_see_the_same_files(tree):
    expected = sorted(tree / name for name in (*DICOM, *PICTURES, "link/linked.png"))
    assert find_images(tree) == expected
    assert list_images(tree) == expected
    assert images_to_predict([tree]) == expected
    assert images_to_predict([tree / "a.png", tree / "sub"]) == [tree / "a.png", tree / "sub" / "c.tif"]


def test_a_hidden_folder_that_is_given_is_looked_at(tree):
    assert find_images(tree / ".hidden") == [tree / ".hidden" / "b.png"]


def test_a_broken_link_called_png_is_no_secret(tree):
    os.symlink("gone", tree / "lost.png")
    assert tree / "lost.png" in find_images(tree)


def test_a_folder_without_images_is_refused(tree):
    (tree / "none.png").mkdir()
    for find in (list_images, lambda folder: images_to_predict([folder])):
        with pytest.raises(MmtkError, match=r"none\.png: no image"):
            find(tree / "none.png")


def test_dicom_by_its_mark(tree):
    assert all(is_dicom(tree / name) for name in (*DICOM, "e.dcm"))
    assert not any(is_dicom(tree / name) for name in ("a.png", "README", "empty", "pipe", "lost", "sub"))
    assert not is_image_file(tree / "dir.png")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a.png", "a"),
        ("a.b.JPG", "a.b"),
        ("IM000002.IMA", "IM000002"),
        ("IM000001", "IM000001"),
        ("1.2.840.113619.2.55.3", "1.2.840.113619.2.55.3"),
        ("1.2.840.113619.2.55.3.dcm", "1.2.840.113619.2.55.3"),
    ],
)
def test_names(file, name):
    assert image_name(PurePath(file)) == name


def test_two_identifiers_of_one_series_are_two_images(tree):
    series = [tree / name for name in DICOM[:2]]
    assert by_stem(series) == dict(zip(DICOM[:2], series, strict=True))


def _refusal(folder: Path) -> str:
    """What the walk says, asked by somebody who may not read everything."""
    if os.getuid() == 0:
        os.setuid(65534)
    with pytest.raises(MmtkError) as caught:
        find_images(folder)
    return str(caught.value)


def test_a_folder_that_cannot_be_read_is_named():
    with tempfile.TemporaryDirectory() as place, multiprocessing.get_context("fork").Pool(1) as pool:
        closed = Path(place, "closed")
        closed.mkdir()
        Path(place).chmod(0o755)
        closed.chmod(0)
        message = pool.apply(_refusal, [Path(place)])
        closed.chmod(0o700)
    assert message == f"{closed}: the folder cannot be read: Permission denied."
