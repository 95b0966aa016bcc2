"""Predictions under hard names: each film has its row and pictures, and nothing of the user's is touched."""

from __future__ import annotations

import csv
import hashlib
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from layout_inputs import film, mask
from outputs_inputs import FILM, NAMES, dicom, films, save, untrained_run
from PIL import Image

from mmtk.cli.runs import predict as predict_command
from mmtk.components.source._layout import list_films
from mmtk.components.source.folder import Folder
from mmtk.data.plan.profile import plan_folder
from mmtk.data.store import open_store
from mmtk.errors import MmtkError, RunFailed
from mmtk.images import files, loader
from mmtk.io.outputs import MANIFEST
from mmtk.study.folder import StudyDir
from mmtk.workflows.ablate import StudyRequest, prepare
from mmtk.workflows.predict import TABLE, predict

Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained_run(tmp_path_factory.mktemp("runs") / "run")


def table(out: Path) -> Rows:
    with open(out / TABLE, newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[bytes, str]:
    """Hash of every file below a folder, independent of mmtk."""
    paths = [Path(place) / name for place, _, names in os.walk(folder) for name in names]
    return {os.fsencode(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_every_film_has_a_row_and_pictures_of_its_own(run: Path, tmp_path: Path) -> None:
    given = films(tmp_path / "films")
    out = tmp_path / "out"
    rows = predict(run, given, out, "cpu")
    assert [row.error for row in rows] == [""] * len(NAMES)
    found = table(out)
    assert len(found) == len(NAMES)
    names = [row[column] for row in found for column in ("mask-lung", "overlay", "saliency")]
    assert all((out / name).is_file() for name in names)
    folded = {unicodedata.normalize("NFC", name).casefold() for name in names}
    assert len(folded) == 3 * len(NAMES)  # also on a file system without case
    assert not {sign for name in names for sign in name} & set('<>:"/\\|?*\n')
    for path, row in zip(given, found, strict=True):
        shown = row["image"].removeprefix("'")
        assert shown.encode().decode("unicode-escape" if r"\xf6" in shown else "utf-8", "replace")
        assert Image.open(out / row["mask-lung"]).size == FILM.shape[::-1]
        assert Path(shown).parent == path.parent


def test_two_films_of_one_name_keep_their_own_masks(run: Path, tmp_path: Path) -> None:
    shapes = {"a": (24, 20), "b": (30, 40), "c": (50, 10)}
    for folder, shape in shapes.items():
        save(tmp_path / folder / "film.png", np.zeros(shape, np.uint8))
    predict(run, [tmp_path / folder for folder in shapes], tmp_path / "out", "cpu")
    for row in table(tmp_path / "out"):
        height, width = shapes[Path(row["image"]).parent.name]
        assert Image.open(tmp_path / "out" / row["mask-lung"]).size == (width, height)


ORGANS = [("left lung", "left-lung"), ("Lung", "lung"), ("a/b", "a:b"), ("x" * 300, "x" * 301), ("overlay", "b")]


@pytest.mark.parametrize("organs", ORGANS, ids=lambda names: names[0][:8])
def test_organs_that_look_alike_have_files_of_their_own(tmp_path: Path, organs: tuple[str, str]) -> None:
    run = untrained_run(tmp_path / "run", organs)
    save(tmp_path / "film.png")
    save(tmp_path / "film-mask.png")
    predict(run, [tmp_path / "film.png", tmp_path / "film-mask.png"], tmp_path / "out", "cpu")
    names = [
        row[column]
        for row in table(tmp_path / "out")
        for column in row
        if column.startswith(("mask-", "overl", "sal"))
    ]
    assert len({name.casefold() for name in names}) == len(names) == 10
    assert all((tmp_path / "out" / name).is_file() for name in names)


def test_one_bad_film_costs_the_others_nothing(run: Path, tmp_path: Path) -> None:
    good = save(tmp_path / "z.png")
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:60])
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    bad = [
        tmp_path / name
        for name in ("cut.png", "absent.png", "text.png", "folder.png/x.png", "pipe.png", "y" * 300)
    ]
    rows = predict(run, [*bad, good], tmp_path / "out", "cpu")
    assert [row.image for row in rows if row.error] == bad
    found = table(tmp_path / "out")
    assert [bool(row["error"]) for row in found] == [True] * len(bad) + [False]
    assert (tmp_path / "out" / found[-1]["overlay"]).is_file()


def test_a_table_is_written_when_the_command_is_stopped(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [save(tmp_path / f"{number}.png") for number in range(4)]
    plain = loader.read_image

    def stopped(path: Path) -> np.ndarray:
        if path == given[2]:
            raise KeyboardInterrupt
        return plain(path)

    monkeypatch.setattr("mmtk.workflows.predict.read_image", stopped)
    with pytest.raises(KeyboardInterrupt):
        predict(run, given, tmp_path / "out", "cpu", batch=1)
    assert [row["error"][:13] for row in table(tmp_path / "out")] == ["", "", "not predicted", "not predicted"]


# --- what was there before ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["p1-mask.png", "p1-overlay.png", "p1-saliency.png", TABLE])
def test_a_reference_beside_its_film_is_refused_by_name_and_stays(run: Path, tmp_path: Path, name: str) -> None:
    save(tmp_path / "p1.png")
    save(tmp_path / "p2.png")
    (tmp_path / name).write_bytes(b"mine")
    before = contents(tmp_path)
    with pytest.raises(MmtkError, match=rf"not written by mmtk predict, or changed since: {name}"):
        predict(run, [tmp_path / "p1.png", tmp_path / "p2.png"], tmp_path, "cpu")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("out", ["films", "films/out", "films/site/out", "link"])
def test_an_output_in_the_films_is_refused_before_anything_is_read(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    save(tmp_path / "films" / "site" / "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "films")
    monkeypatch.setattr("mmtk.workflows.predict.read_image", lambda path: pytest.fail("was read"))
    before = contents(tmp_path)
    with pytest.raises(MmtkError, match="input"):
        predict(run, [tmp_path / "films"], tmp_path / out, "cpu")
    assert contents(tmp_path) == before
    assert sorted(os.listdir(tmp_path)) == ["films", "link"]


def test_a_second_prediction_replaces_the_first_and_takes_none_of_it_for_a_film(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = save(tmp_path / "a.png")
    predict(run, [film], tmp_path, "cpu", quiet=False)
    assert "Replaces" not in capsys.readouterr().out
    first = contents(tmp_path)
    every = sorted(tmp_path.glob("*.png"))
    rows = predict(run, every, tmp_path, "cpu", quiet=False)
    assert "Replaces 4 files of an earlier prediction in " in " ".join(capsys.readouterr().out.split())
    assert [row.image for row in rows] == [film]
    after = contents(tmp_path)
    changed = {Path(os.fsdecode(name)).name for name in after if after[name] != first.get(name)}
    assert changed <= {MANIFEST}
    with pytest.raises(MmtkError, match="only results of earlier predictions were given"):
        predict(run, [tmp_path / "a-mask.png"], tmp_path / "out", "cpu")


def test_a_mask_that_was_corrected_by_hand_stays(run: Path, tmp_path: Path) -> None:
    film, out = save(tmp_path / "a.png"), tmp_path / "out"
    predict(run, [film], out, "cpu")
    (out / "a-mask.png").write_bytes(b"corrected")
    before = contents(out)
    with pytest.raises(MmtkError, match=r"changed since: a-mask\.png"):
        predict(run, [film], out, "cpu")
    assert contents(out) == before


def test_pictures_of_films_that_are_not_predicted_again_go_and_a_file_of_the_users_stays(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    predict(run, [save(tmp_path / f"{name}.png") for name in "abc"], out, "cpu")
    (out / "notes.txt").write_text("mine")
    (out / "b-mask.png").write_bytes(b"corrected by hand")
    rows = predict(run, [tmp_path / "c.png", save(tmp_path / "d.png")], out, "cpu", quiet=False)
    pictures = {name for row in table(out) for name in row.values() if name.endswith(".png") and "/" not in name}
    assert {path.name for path in out.iterdir()} == {*pictures, TABLE, MANIFEST, "notes.txt", "b-mask.png"}
    assert "Removed  5 files of an earlier prediction" in capsys.readouterr().out.replace("\n", " ")
    (tmp_path / "d.png").write_text("no image any more")
    predict(run, [tmp_path / "d.png"], out, "cpu")
    assert {path.name for path in out.iterdir()} == {TABLE, MANIFEST, "notes.txt", "b-mask.png"}
    assert not any(row.error for row in rows)


# --- areas -------------------------------------------------------------------------------------------------------


def test_areas_are_those_of_the_mask_in_pixels_shares_and_square_millimetres(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    row_mm, column_mm = 0.5, 0.25
    given = [dicom(tmp_path / "film.dcm", (row_mm, column_mm)), save(tmp_path / "plain.png")]
    predict(run, given, tmp_path / "out", "cpu")
    with_spacing, without = table(tmp_path / "out")
    for row in (with_spacing, without):
        mask = np.asarray(Image.open(tmp_path / "out" / row["mask-lung"])) > 0
        assert int(row["area-px-lung"]) == mask.sum()
        assert float(row["area-share-lung"]) == pytest.approx(mask.mean(), abs=1e-6)
        assert float(row["p-normal"]) + float(row["p-pneumonia"]) == pytest.approx(1, abs=1e-5)
    pixels = int(with_spacing["area-px-lung"])
    assert float(with_spacing["area-mm2-lung"]) == pytest.approx(pixels * row_mm * column_mm, abs=0.05)
    assert without["area-mm2-lung"] == ""


# --- names that are no UTF-8 in a data set -----------------------------------------------------------------------


def test_a_source_takes_names_that_are_no_utf8_and_shows_them(tmp_path: Path) -> None:
    names = [os.fsdecode(b"R\xf6ntgen %d.png" % number) for number in range(8)]
    for number, name in enumerate(names):
        save(tmp_path / "films" / name, np.roll(FILM, number))
        save(tmp_path / "masks" / name, np.uint8(255) * (FILM > 100))
    source = Folder(tmp_path, "segmentation", images="films", masks="masks")
    ids = [item.id for item in source.items("all")]
    assert ids == [rf"R\xf6ntgen {number}" for number in range(8)]
    assert len(source.digest().encode()) == 64
    stored = open_store(source, 16, cache=tmp_path / "cache")
    assert stored.ids == ids
    assert files.image_name(Path("Röntgen.png")) == "Röntgen"


def test_results_go_into_a_folder_whose_name_is_no_utf8(run: Path, tmp_path: Path) -> None:
    out = tmp_path / os.fsdecode(b"R\xf6")
    moved = tmp_path / os.fsdecode(b"runs \xf6") / "run"
    moved.parent.mkdir()
    moved.symlink_to(run)
    rows = predict(moved, [save(tmp_path / "a.png")], out, "cpu")
    assert not rows[0].error
    assert (out / "a-mask.png").is_file()


def test_a_run_directory_is_neither_output_nor_images(run: Path, tmp_path: Path) -> None:
    film = save(tmp_path / "film.png")
    (run / "run.lock").touch()
    before = contents(run)
    with pytest.raises(MmtkError, match=r"is a run directory, so no predictions are written among its files\."):
        predict(run, [tmp_path / "film.png"], run, "cpu")
    with pytest.raises(MmtkError, match="is a run directory: its pictures are drawings"):
        predict(run, [run], tmp_path / "out", "cpu")
    assert contents(run) == before
    assert not (tmp_path / "out").exists()
    predict(run, [tmp_path / "film.png"], run / "predictions", "cpu")
    assert (run / "predictions" / TABLE).is_file(), film


@pytest.mark.parametrize("where", ["masks/{}.png", "films/{}_mask.png", "films/{}-seg.bmp", "A/{}.png"])
def test_masks_among_the_films_are_left_out_and_named(run: Path, tmp_path: Path, capsys, where: str) -> None:
    root, mask = tmp_path / "data", np.zeros(FILM.shape, np.uint8)
    mask[3:9, 4:11] = 255
    for name in ("a", "b", "c"):
        save(root / f"films/{name}.png")
        (root / where.format(name)).parent.mkdir(exist_ok=True)
        Image.fromarray(mask).save(root / where.format(name))
    rows = predict(run, [root], tmp_path / "out", "cpu", quiet=False)
    assert [row.image.name for row in rows] == ["a.png", "b.png", "c.png"]
    assert "3 masks" in capsys.readouterr().out
    given = root / where.format("a")
    assert [row.image for row in predict(run, [given], tmp_path / "one", "cpu")] == [given]


def test_films_of_formats_that_are_not_read_are_named(run: Path, tmp_path: Path, capsys) -> None:
    save(tmp_path / "films/a.png")
    for name in ("b.jp2", "site/C.HEIC", "d.nii.gz", ".hidden.jp2", "notes.txt"):
        (tmp_path / "films" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "films" / name).write_bytes(b"x")
    rows = predict(run, [tmp_path / "films"], tmp_path / "out", "cpu", quiet=False)
    assert [row.image.name for row in rows] == ["a.png"]
    words = "3 files of formats that are not read: C.HEIC, b.jp2, d.nii.gz. Save them as PNG, TIFF or DICOM."
    assert words in " ".join(capsys.readouterr().out.split())
    for number in range(9):
        save(tmp_path / f"films/{number}.png", np.full((8, 8), number, np.uint8))
    (tmp_path / "t.csv").write_text("image,label\na,x\n" + "".join(f"{n},{'xy'[n % 2]}\n" for n in range(9)))
    source = Folder(tmp_path, "classification", images="films", labels="t.csv")
    assert f"left out: {words}" in source.notes


def test_formats_that_are_not_read_are_named_with_the_cure_under_any_name(tmp_path: Path) -> None:
    suffixes = [
        *("pam", "pfm", "svs", "ndpi", "npy", "npz", "nhdr", "mha"),
        *("raw", "heic", "avif", "djvu", "psd"),
    ]
    (tmp_path / "films").mkdir()
    for suffix in suffixes:
        (tmp_path / f"films/a.{suffix}").write_bytes(b"x")
    with pytest.raises(MmtkError) as caught:
        plan_folder(tmp_path, tmp_path / "p.toml")
    for n in range(6):
        save(tmp_path / f"films/{n}.png", np.roll(FILM, n))
    (tmp_path / "t.csv").write_text("image,label\n" + "".join(f"{n},{'xy'[n % 2]}\n" for n in range(6)))
    lines = "\n".join(plan_folder(tmp_path, tmp_path / "p.toml").lines)
    for suffix in suffixes:
        assert f"1 .{suffix} (" in str(caught.value), suffix
        assert f"1 file .{suffix}: not read (" in lines, suffix
    (note,) = Folder(tmp_path, "classification", images="films", labels="t.csv").notes[:1]
    assert note.startswith("left out: 13 files of formats that are not read: a.avif, a.djvu, ")
    for n in range(6):
        np.save(tmp_path / f"films/{n}.npy", FILM > 100)
    (tmp_path / "films/a.npy").unlink()
    notes = Folder(tmp_path, "segmentation", images="films", masks="films", classes=("lung",)).notes
    assert notes[0].startswith("left out: 12 files of formats")  # arrays are its masks
    heads = {
        "PAM": b"P7\nWIDTH 2\n",
        "JPEG 2000": b"\0\0\0\x0cjP  \r\n",
        "HEIC": b"\0\0\0\x18ftypheic",
        "ZIP": b"PK\3\4",
    }
    for name, head in heads.items():
        (tmp_path / "x.pnm").write_bytes(head + bytes(40))
        with pytest.raises(
            MmtkError, match=rf"x\.pnm: holds {name}, a format that is not read\.\n  Save it as PNG"
        ):
            loader.read_image(tmp_path / "x.pnm")


def test_films_in_a_folder_called_as_masks_are_predicted(run: Path, tmp_path: Path) -> None:
    for folder in ("labels", "images"):
        for name in "ab":
            save(tmp_path / f"data/{folder}/{name}{folder}.png")
    assert len(predict(run, [tmp_path / "data"], tmp_path / "out", "cpu")) == 4


def test_nothing_is_said_to_be_done_where_the_only_film_is_bad(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RunFailed, match=r"the one image could not be predicted; so nothing was predicted\."):
        predict_command([run, tmp_path / "absent.png"], tmp_path / "out", device="cpu")
    assert "absent.png: no such file" in capsys.readouterr().err


def test_looking_at_films_and_predicting_them_writes_nothing_among_them(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMTK_CACHE", str(tmp_path / "cache"))
    data, out = tmp_path / "data", tmp_path / "out"
    for n in range(6):
        film(data / f"films/p{n}.png")
        mask(data / f"masks/p{n}.png")
    before = contents(data)
    plan_folder(data, out / "p.toml").write(out / "p.toml")
    source = Folder(data, "segmentation", images="films", masks="masks", classes=("lung",))
    open_store(source, 32)  # what inspect and run read
    predict(run, [data / "films"], out / "predictions", "cpu")
    assert contents(data) == before


def test_what_mmtk_drew_is_neither_film_nor_reference(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    rows = ["image,label"]
    for n in range(8):
        film(data / f"films/p{n}.png")
        rows.append(f"p{n}.png,{'ab'[n % 2]}")
    (data / "labels.csv").write_text("\n".join(rows))
    for place in (data / "predictions", data / "films"):  # films that are given by name may lie beside the results
        predict(run, sorted((data / "films").glob("p[0-3].png")), place, "cpu")
    for name in ("run.lock", "recipe.toml", "figures/overview.png", "figures/samples.png"):
        (data / "runs/one" / name).parent.mkdir(parents=True, exist_ok=True)
        film(data / "runs/one" / name) if name.endswith("png") else (data / "runs/one" / name).touch()
    plan = plan_folder(data, tmp_path / "p.toml")
    assert {"classes: a 4, b 4", "left out: 26 files that mmtk wrote, such as films/p0-mask.png"} <= {
        line.strip().removesuffix(" (--masks takes a network's masks)") for line in plan.lines
    }
    assert "masks" not in plan.text.split("extends")[1]
    source = Folder(data, "classification", images="films", labels="labels.csv")
    assert len(source.items("all")) == 8
    assert (
        "left out: 12 pictures that mmtk wrote: p0-mask.png, p0-overlay.png, p0-saliency.png, …" in source.notes[0]
    )
    capsys.readouterr()
    assert len(predict(run, [data], tmp_path / "out", "cpu", quiet=False)) == 8
    assert "Left out  24 pictures among the images that mmtk wrote." in capsys.readouterr().out
    named = plan_folder(data, tmp_path / "p.toml", {"masks": "predictions"})
    assert 'masks = "predictions"' in named.text  # a network's masks, because the user says so
    assert [path.name for path in list_films(data / "films")] == [f"p{n}.png" for n in range(8)]
    plan.write(tmp_path / "p.toml")
    request = StudyRequest("enc-ssl", "ssl", profile=str(tmp_path / "p.toml"), out=data / "films/study")
    with pytest.raises(MmtkError, match="films/study: lies in the folder of inputs"):
        prepare(request, {}, data, "cpu")
    with pytest.raises(MmtkError, match="not empty and holds no study"), StudyDir(data).locked():
        pytest.fail("locked")
    with pytest.raises(MmtkError, match="not empty and holds no study"):
        prepare(StudyRequest("enc-ssl", "ssl", out=data), {}, None, "cpu").check()
    assert not (data / "study.lock").exists()
    mask(data / "masks/p0.png")
    with pytest.raises(MmtkError, match=r"masks: holds images of yours: p0\.png"):
        predict(run, [data / "films"], data / "masks", "cpu")
