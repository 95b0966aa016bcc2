"""The sources on disk, in tiny copies of the official layouts; with MMTK_DATA set also on the real data."""

from __future__ import annotations

import csv
import hashlib
import os
import re
import time
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmtk.api import Source
from mmtk.components.source import _splitting
from mmtk.components.source.chex import CheX
from mmtk.components.source.folder import Folder
from mmtk.components.source.jsrt import JSRT
from mmtk.components.source.mcu import MCU
from mmtk.components.source.nihx import NIHX
from mmtk.data import dataset
from mmtk.data.store import open_store
from mmtk.errors import MmtkError
from mmtk.registry.signature import construct, schema, wired

PARTS = ("train", "val", "test")
REAL = Path(os.environ["MMTK_DATA"]) if os.environ.get("MMTK_DATA") else None


def draw(path: Path, values: np.ndarray | int = 100, size: tuple[int, int] = (8, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = values if isinstance(values, np.ndarray) else np.full(size, values, np.uint8)
    Image.fromarray(array).save(path)
    return path


def box(rows: slice, columns: slice, size: tuple[int, int] = (8, 8), high: int = 255) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    mask[rows, columns] = high
    return mask


RIGHT, LEFT, HEART = (box(slice(1, 6), slice(1, 3)), box(slice(1, 6), slice(5, 7)), box(slice(4, 7), slice(3, 6)))


def check(source: Source, counts: tuple[int, int, int]) -> None:
    parts = {part: source.items(part) for part in PARTS}
    assert tuple(len(parts[part]) for part in PARTS) == counts
    for part in (*PARTS, "all"):
        ids = [item.id for item in source.items(part)]
        assert ids == sorted(set(ids))
    for one, other in combinations(PARTS, 2):
        assert not {item.patient for item in parts[one]} & {item.patient for item in parts[other]}
    assert {item.id for item in source.items("all")} == {item.id for part in PARTS for item in parts[part]}
    assert all(path.is_file() for path in source.files())


def by_hash(ids: list[str]) -> list[str]:
    return sorted(ids, key=lambda each: hashlib.sha256(f"mmtk-split-v1/{each}".encode()).hexdigest())


# CheX


@pytest.fixture
def chex(tmp_path):
    for number in range(40):
        draw(tmp_path / f"chest_xray/train/NORMAL/IM-{number:04}-0001.jpeg", number)
        draw(tmp_path / f"chest_xray/train/PNEUMONIA/person{number // 2}_virus_{number}.jpeg", number)
        draw(tmp_path / f"chest_xray/train/PNEUMONIA/person{number // 2}_bacteria_{number}.jpeg", number)
    for part, start in (("val", 100), ("test", 200)):
        for number in range(start, start + 4):
            draw(tmp_path / f"chest_xray/{part}/NORMAL/NORMAL2-IM-{number:04}-0001.jpeg", number)
            draw(tmp_path / f"chest_xray/{part}/PNEUMONIA/person{number}_virus_{number}.jpeg", number)
    (tmp_path / "chest_xray/train/NORMAL/.DS_Store").write_bytes(b"x")
    return tmp_path


def test_chex_carves_whole_patients(chex):
    source = CheX(chex)
    check(source, (80 + 40 - 12 + 8, 12, 8))
    assert Counter(item.target for item in source.items("val")) == {0: 4, 1: 8}
    kinds = by_hash([f"person{n}_{kind}" for n in range(20) for kind in ("virus", "bacteria")])[:4]
    assert {item.patient for item in source.items("val") if item.target == 1} == set(kinds)
    normal = by_hash([f"IM-{n:04}" for n in range(40)])[:4]
    assert {item.patient for item in source.items("val") if item.target == 0} == set(normal)


def test_chex_official(chex):
    source = CheX(chex, val="official")
    check(source, (120, 8, 8))
    assert source.items("test") == CheX(chex).items("test")
    assert source.digest() != CheX(chex).digest()
    assert CheX(chex).digest() == CheX(chex / "chest_xray").digest()


def test_chex_patients(chex):
    for stem in ("person7_virus_1_2", "person7_bacteria_9", "NORMAL2-IM-0007-0001-0002", "IM-0007-0001"):
        folder = "NORMAL" if "IM" in stem else "PNEUMONIA"
        draw(chex / f"chest_xray/test/{folder}/{stem}x.jpeg")
    found = {item.id: item.patient for item in CheX(chex).items("test")}
    assert found["person7_virus_1_2x"] == "person7_virus"
    assert found["NORMAL2-IM-0007-0001-0002x"] == "NORMAL2-IM-0007"
    assert found["IM-0007-0001x"] == "IM-0007"


def test_chex_patients_of_the_third_version(tmp_path):
    """Names are DISEASE-PATIENT-IMAGE, and no patient is in two parts."""
    for part, first in (("train", 1000), ("test", 5000)):
        for n in range(40):
            folder, kind = (("NORMAL", "NORMAL"), ("PNEUMONIA", "BACTERIA"), ("PNEUMONIA", "VIRUS"))[n % 3]
            for image in range(1, 3 + n % 2):
                draw(tmp_path / f"chest_xray/{part}/{folder}/{kind}-{first + n}-{image:04d}.jpeg", n)
    source = CheX(tmp_path)
    patients = {part: {item.patient for item in source.items(part)} for part in PARTS}
    assert patients["train"] | patients["val"] == {str(number) for number in range(1000, 1040)}
    assert not patients["train"] & patients["val"]
    assert patients["test"] == {str(number) for number in range(5000, 5040)}
    causes = {"NORMAL": None, "BACTERIA": "bacteria", "VIRUS": "virus"}
    for item in source.items("all"):
        assert item.metadata.get("cause") == causes[item.id.split("-")[0]]


def test_digest_follows_content(chex):
    before = CheX(chex).digest()
    draw(chex / "chest_xray/test/NORMAL/NORMAL2-IM-0200-0001.jpeg", 3)
    changed = CheX(chex).digest()
    (chex / "chest_xray/test/NORMAL/NORMAL2-IM-0201-0001.jpeg").unlink()
    assert len({before, changed, CheX(chex).digest()}) == 3


def test_chex_name_twice(chex):
    draw(chex / "chest_xray/test/NORMAL/IM-0001-0001.jpeg")
    with pytest.raises(MmtkError, match=r"two images are called IM-0001-0001: .*train.*test"):
        CheX(chex)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (CheX, "has no chest_xray/ or .* with train/NORMAL or test/NORMAL"),
        (JSRT, "has no JSRT/ with films named JPCLN001"),
        (MCU, "has no MCU/ or MontgomerySet/ .* with CXR_png"),
        (NIHX, "has no NIHX/ with labels.csv or Data_Entry_2017.csv"),
        (lambda root: Folder(root, "classification", images="films"), "films: no such folder"),
    ],
)
def test_missing_data(tmp_path, make, words):
    for root in (tmp_path, tmp_path / "gone"):
        with pytest.raises(MmtkError) as caught:
            make(root)
        text = str(caught.value)
        assert str(root) in text
        for cure in ("--data DIR", "MMTK_DATA", "--profile phantom"):
            assert cure in text
    with pytest.raises(MmtkError, match=words):
        make(tmp_path)


def test_empty_folder(chex, tmp_path):
    for path in (chex / "chest_xray/test/NORMAL").iterdir():
        path.unlink()
    with pytest.raises(MmtkError, match=r"NORMAL: no NORMAL images in it. Known suffixes: .*png"):
        CheX(chex)


# JSRT


def jsrt_pack(root: Path, count: int = 6) -> Path:
    for number in range(1, count + 1):
        name = f"JPCLN{number:03}.png"
        draw(root / "JSRT/images" / name, number)
        draw(root / "JSRT/masks" / name, LEFT | RIGHT)
        for organ, mask in (("left lung", LEFT), ("right lung", RIGHT), ("heart", HEART)):
            draw(root / "JSRT/SCR_masks" / organ / name, mask)
    return root


def test_jsrt_pack(tmp_path):
    source = JSRT(jsrt_pack(tmp_path))
    check(source, (3, 0, 3))
    assert source.labels.names == ("lung",)
    item = source.items("all")[0]
    assert item.spacing == pytest.approx((0.175 * 2048 / 8,) * 2)
    assert np.array_equal(source.mask(item), ((LEFT | RIGHT) > 0)[None])
    separate = JSRT(tmp_path, organs="separate")
    assert separate.labels.names == ("left lung", "right lung", "heart")
    assert separate.labels.swap == ((0, 1),)
    assert not separate.labels.exclusive
    assert np.array_equal(separate.mask(separate.items("all")[0]), np.stack([LEFT, RIGHT, HEART]) > 0)
    assert source.digest() != separate.digest()


@pytest.mark.parametrize("make", [JSRT, MCU])
def test_where_the_lungs_overlap_the_mask_is_1(tmp_path, make):
    """As they do in drawn masks: the union is clipped to 1, whatever the files say."""
    both = np.maximum(LEFT, RIGHT)
    if make is JSRT:
        jsrt_pack(tmp_path)
        for organ in ("left lung", "right lung"):
            draw(tmp_path / "JSRT/SCR_masks" / organ / "JPCLN001.png", both)
    else:
        mcu(tmp_path, left=both, right=both)
    source = make(tmp_path)
    item = min(source.items("all"), key=lambda item: item.id)
    assert np.array_equal(source.mask(item), (both > 0)[None])
    assert source.mask(item).max() == 1


def test_jsrt_joined_masks_alone(tmp_path):
    jsrt_pack(tmp_path)
    os.rename(tmp_path / "JSRT/SCR_masks", tmp_path / "elsewhere")
    source = JSRT(tmp_path)
    assert np.array_equal(source.mask(source.items("all")[0]), ((LEFT | RIGHT) > 0)[None])
    with pytest.raises(MmtkError, match=r"JSRT: no mask for 6 images: JPCLN001, JPCLN002"):
        JSRT(tmp_path, organs="separate")


def test_jsrt_official(tmp_path):
    film = np.tile(np.linspace(0, 4095, 2048).astype(">u2"), (2048, 1))
    for folder, name in (("Nodule154images", "JPCLN001"), ("NonNodule93images", "JPCNN001")):
        (tmp_path / "JSRT" / folder).mkdir(parents=True)
        film.tofile(tmp_path / "JSRT" / folder / f"{name}.IMG")
    small = {"left_lung": LEFT, "right_lung": RIGHT, "heart": HEART, "left_clavicle": HEART}
    for fold, name in (("fold1", "JPCLN001"), ("fold2", "JPCNN001")):
        for organ, mask in small.items():
            place = organ.replace("_", " ") if fold == "fold1" else organ
            draw(
                tmp_path / "JSRT/scr" / fold / "masks" / place / f"{name}.gif", mask.repeat(128, 0).repeat(128, 1)
            )
    source = JSRT(tmp_path, organs="separate")
    item = source.items("all")[0]
    assert item.spacing == (0.175, 0.175)
    image, mask = source.image(item), source.mask(item)
    assert image[0, 0] == 255  # inverted
    assert image[0, -1] == 0
    wanted = np.stack([LEFT, RIGHT, HEART]).repeat(256, 1).repeat(256, 2) > 0
    assert np.array_equal(mask, wanted)


def test_jsrt_lacks_files(tmp_path):
    jsrt_pack(tmp_path)
    (tmp_path / "JSRT/SCR_masks/heart/JPCLN002.png").unlink()
    with pytest.raises(MmtkError, match=r"JPCLN002 has no mask of heart"):
        JSRT(tmp_path, organs="separate")
    (tmp_path / "JSRT/images/JPCLN003.png").unlink()
    with pytest.raises(MmtkError, match=r"no image for 1 mask: JPCLN003"):
        JSRT(tmp_path)
    draw(tmp_path / "JSRT/more/JPCLN001.tif")
    with pytest.raises(MmtkError, match=r"two files are called JPCLN001: .*images.*more"):
        JSRT(tmp_path)


def test_hash_order_gives_the_sizes_of_the_paper():
    from mmtk.api import Item

    names = [f"JPCLN{n:03}" for n in range(1, 155)] + [f"JPCNN{n:03}" for n in range(1, 94)]
    parts = _splitting.split_by_size([Item(name, None, None, name) for name in names], (111, 13, 123))
    ordered = by_hash(names)
    assert [item.id for item in parts["train"]] == ordered[:111]
    assert [item.id for item in parts["val"]] == ordered[111:124]
    assert [item.id for item in parts["test"]] == ordered[124:]


# MCU


def mcu(root: Path, count: int = 4, left: np.ndarray = LEFT, right: np.ndarray = RIGHT) -> Path:
    for number in range(count):
        name = f"MCUCXR_{number:04}_0.png"
        draw(root / "CXR_png" / name, number)
        draw(root / "ManualMask/leftMask" / name, left)
        draw(root / "ManualMask/rightMask" / name, right)
    return root


@pytest.mark.parametrize("folder", ["MCU", "MontgomerySet", "MCU/MontgomerySet", "."])
def test_mcu_layouts(tmp_path, folder):
    mcu(tmp_path / folder)
    source = MCU(tmp_path)
    check(source, (3, 0, 1))
    item = source.items("all")[0]
    assert item.spacing is None
    assert np.array_equal(source.mask(item), ((LEFT | RIGHT) > 0)[None])


def test_films_of_jsrt_and_mcu_are_a_patient_each(tmp_path):
    for source in (JSRT(jsrt_pack(tmp_path)), MCU(mcu(tmp_path))):
        items = source.items("all")
        store = open_store(source, 8, cache=tmp_path / type(source).__name__)
        patients = dataset.TestSet("segmentation", "in-domain", store, list(range(len(items)))).patients
        assert sorted(patients.values()) == [f"p{number:06d}" for number in range(1, len(items) + 1)]
        store.named_patients = ()
        unnamed = dataset.TestSet("segmentation", "in-domain", store, list(range(len(items)))).patients
        assert {*unnamed} == {*patients}
        assert {*unnamed.values()} == {None}


@pytest.mark.parametrize("exchanged", [False, True])
def test_mcu_sides_are_the_patients(tmp_path, exchanged):
    mcu(tmp_path, left=RIGHT if exchanged else LEFT, right=LEFT if exchanged else RIGHT)
    source = MCU(tmp_path, organs="separate")
    assert source.labels.names == ("left lung", "right lung")
    assert np.array_equal(source.mask(source.items("all")[0]), np.stack([LEFT, RIGHT]) > 0)


@pytest.mark.parametrize("exchanged", [False, True])
@pytest.mark.parametrize("lung", [LEFT, RIGHT])
def test_mcu_sides_where_one_lung_has_no_mask(tmp_path, exchanged, lung):
    none = np.zeros_like(lung)
    right = [LEFT, none] if lung is LEFT else [none, RIGHT]
    left_mask, right_mask = right[::-1] if exchanged else right
    mcu(tmp_path, left=left_mask, right=right_mask)
    source = MCU(tmp_path, organs="separate")
    assert np.array_equal(source.mask(source.items("all")[0]), np.stack(right) > 0)


def test_mcu_original_film_has_a_spacing(tmp_path):
    mcu(tmp_path)
    draw(tmp_path / "CXR_png/MCUCXR_0000_0.png", 0, (4892, 4020))
    assert [item.spacing for item in MCU(tmp_path).items("all")] == [(0.0875, 0.0875), None, None, None]


def test_mask_of_another_size(tmp_path):
    mcu(tmp_path)
    draw(tmp_path / "ManualMask/rightMask/MCUCXR_0001_0.png", 0, (9, 8))
    source = MCU(tmp_path)
    with pytest.raises(MmtkError, match=r"rightMask.*the mask is 9 × 8, but its image .*CXR_png.* is 8 × 8"):
        source.mask(source.items("all")[1])


# NIHX


def nihx(root: Path, rows: list[tuple[str, str, int]], name: str = "labels.csv", images: str = "images") -> Path:
    (root / "NIHX").mkdir(parents=True)
    with (root / "NIHX" / name).open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age"])
        for image, finding, patient in rows:
            table.writerow([image, finding, 0, patient, 50])
            draw(root / "NIHX" / images / image)
    return root


ROWS = [
    ("00000001_000.png", "No Finding", 1),
    ("00000001_001.png", "Effusion|Pneumonia", 1),
    ("00000002_000.png", "Pneumonia", 2),
    ("00000003_000.png", "Effusion", 3),
]


@pytest.mark.parametrize(
    ("name", "images"), [("labels.csv", "images"), ("Data_Entry_2017.csv", "images_001/images")]
)
def test_nihx(tmp_path, name, images):
    source = NIHX(nihx(tmp_path, ROWS, name, images))
    check(source, (0, 0, 3))
    found = [(item.id, item.target, item.patient) for item in source.items("test")]
    assert found == [("00000001_000", 0, "1"), ("00000001_001", 1, "1"), ("00000002_000", 1, "2")]
    assert source.image(source.items("test")[0]).shape == (8, 8)


def test_nihx_takes_the_first_normal_ones(tmp_path, monkeypatch):
    monkeypatch.setattr("mmtk.components.source.nihx.MOST_NORMAL", 5)
    rows = [(f"{number:08}_000.png", "No Finding", number) for number in range(9)]
    source = NIHX(nihx(tmp_path, [*rows, ("00000100_000.png", "Pneumonia", 100)]))
    normal = {item.id for item in source.items("test") if item.target == 0}
    assert normal == set(by_hash([Path(row[0]).stem for row in rows])[:5])


@pytest.mark.parametrize("folder", ["images_224", "masks"])
def test_nihx_takes_no_file_of_an_image_s_name_for_it(tmp_path, folder):
    nihx(tmp_path, ROWS)
    draw(tmp_path / f"NIHX/{folder}/00000001_000.png", 5)
    with pytest.raises(MmtkError, match=rf"two files are called 00000001_000: .*images/.* and .*{folder}/"):
        NIHX(tmp_path)


@pytest.mark.parametrize(("finding", "patient"), [("No Finding", "1"), ("Pneumonia", "2")])
def test_nihx_rows_of_one_image_that_contradict_are_refused(tmp_path, finding, patient):
    nihx(tmp_path, ROWS)
    file = tmp_path / "NIHX/labels.csv"
    columns = file.read_text().splitlines()[0].split(",")
    cells = {"Image Index": "00000001_001.png", "Finding Labels": finding, "Patient ID": patient}
    file.write_text(file.read_text().rstrip() + "\n" + ",".join(cells.get(name, "") for name in columns) + "\n")
    with pytest.raises(MmtkError, match=r"two rows of 00000001_001.png differ in finding or patient"):
        NIHX(tmp_path)


def test_nihx_errors(tmp_path):
    nihx(tmp_path, ROWS)
    (tmp_path / "NIHX/images/00000002_000.png").unlink()
    with pytest.raises(MmtkError, match=r"labels.csv: 1 of 3 images that it names not found: 00000002_000"):
        NIHX(tmp_path)
    (tmp_path / "NIHX/labels.csv").write_text("Image Index,Patient ID\n")
    with pytest.raises(MmtkError, match=r"has no column Finding Labels"):
        NIHX(tmp_path)
    (tmp_path / "NIHX/labels.csv").write_text("Image Index,Finding Labels,Patient ID\na.png,Pneumonia,1\n")
    with pytest.raises(MmtkError, match=r"has one class only"):
        NIHX(tmp_path)


# Folder: classes


def table(root: Path, text: str) -> Path:
    (root / "labels.csv").write_text(text)
    return root


def films(root: Path, count: int = 60, per_patient: int = 2) -> Path:
    lines = ["image,label,patient"]
    for number in range(count):
        draw(root / f"films/f{number:02}.png", number)
        patient = f"p{number // per_patient}"
        lines.append(f"f{number:02}.png,{'sick' if number // per_patient % 3 == 0 else 'well'},{patient}")
    return table(root, "\n".join(lines))


def classes(root: Path, **keys: object) -> Folder:
    return Folder(root, "classification", **{"images": "films", "labels": "labels.csv", **keys})


def test_folder_classes(tmp_path):
    source = classes(films(tmp_path))
    assert source.labels.names == ("sick", "well")
    check(source, (42, 6, 12))
    for part, counts in (("val", {0: 2, 1: 4}), ("test", {0: 4, 1: 8})):
        assert Counter(item.target for item in source.items(part)) == counts
    assert classes(tmp_path, classes=("well", "sick")).items("all")[0].target == 1
    assert source.digest() != classes(tmp_path, classes=("well", "sick")).digest()


def test_folder_split_spacing_and_unlabelled(tmp_path):
    for name in ("a/x.png", "b/x.png", "y.png", "z.png"):
        draw(tmp_path / "films" / name)
    table(
        tmp_path,
        "\ufeffImage;Label;Split;spacing;spacing_col\na/x.png;ill;train;0.2;\nb/x;well;Test;0.2;0.1\n"
        "y.png;;train;;\n\nz;ill;val;;\n",
    )
    source = classes(tmp_path)
    check(source, (2, 1, 1))
    found = {item.id: (item.target, item.patient, item.spacing) for item in source.items("all")}
    assert found == {
        "a/x": (0, "a/x", (0.2, 0.2)),
        "b/x": (1, "b/x", (0.2, 0.1)),
        "y": (None, "y", None),
        "z": (0, "z", None),
    }


def test_folder_keeps_unlabelled_images_of_test_patients_out_of_train(tmp_path):
    films(tmp_path)
    text = (tmp_path / "labels.csv").read_text()
    for number in range(30):
        draw(tmp_path / f"films/u{number:02}.png")
        text += f"\nu{number:02}.png,,p{number}"
    table(tmp_path, text)
    source = classes(tmp_path)
    labelled = [item for item in source.items("train") if item.target is not None]
    unlabelled = [item for item in source.items("train") if item.target is None]
    assert len(labelled) == 42
    assert {item.patient for item in unlabelled} == {item.patient for item in labelled}
    check(source, (42 + 21, 6, 12))


HEADER = "image,label\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "image,labels\n",
            r"labels.csv: no column 'label'. Its columns: 'image', 'labels'.\n.*columns = {label = .labels.",
        ),
        ("label,patient\n", "no column 'image'"),
        ("image,image\n", "two columns are called 'image'"),
        ("", "no column 'image'"),
        ("image\na.png\nb.png\n", "labels.csv: no column 'label'. Its columns: 'image'"),
        (HEADER + "a.png,ill\nb.png,ill\n", r"has one class only \('ill'\)"),
        (HEADER + "a.png,ill\nbb.png,well\n", "1 row names no image of .*films: bb.png. Did you mean 'b.png'?"),
        (HEADER + "a.png,ill\na.png,well\nb,ill\n", "1 row names an image for the second time: a.png"),
        (HEADER + "a.png,ill\n", "no row for 1 image of .*films: b"),
        (HEADER + "a.png,ill,3\n", "labels.csv:2: 3 cells for 2 columns"),
        ("image,label,split\na,ill,tran\nb,well,val\n", r"labels.csv:2: split is 'tran'. Did you mean 'train'\?"),
        ("image,label,split\na,ill,train\nb,well,\n", "rows without a split beside others with one: b"),
        ("image,label,split\na,,test\nb,well,val\n", "a has no label, so it can only be in train, not in test"),
        ("image,label,spacing\na,ill,wide\nb,well,1\n", "the spacing of a should be mm per pixel, not 'wide'"),
        ("image,label,spacing\na,ill,-1\nb,well,1\n", "the spacing of a should be mm per pixel"),
        (HEADER + "a.png,ill\nb.png,well\n", "too few patients with ill to split: none is left for"),
    ],
)
def test_folder_table_errors(tmp_path, text, words):
    for name in "ab":
        draw(tmp_path / f"films/{name}.png")
    with pytest.raises(MmtkError) as caught:
        classes(table(tmp_path, text)).items("train")
    assert re.search(words, str(caught.value)), str(caught.value)


def test_folder_table_problems_come_together(tmp_path):
    for name in "abc":
        draw(tmp_path / f"films/{name}.png")
    with pytest.raises(MmtkError) as caught:
        classes(table(tmp_path, "image,label,split\na,ill,trian\na,ill,train\nx,ill,train\nb,,test\n"))
    text = str(caught.value)
    assert text.startswith("5 problems in")
    for words in ("'trian'", "second time: a", "names no image", "b has no label", "no row for 1 image"):
        assert words in text


def test_folder_class_errors(tmp_path):
    films(tmp_path)
    with pytest.raises(MmtkError, match=r"the class 'well' is not among classes. Did you mean 'wel'"):
        classes(tmp_path, classes=("wel", "sick"))
    with pytest.raises(MmtkError, match=r"no image of the class 'dead'. Found: sick, well"):
        classes(tmp_path, classes=("dead", "sick", "well")).items("train")
    assert len(classes(tmp_path, classes=("dead", "sick", "well")).items("all")) == len(
        classes(tmp_path).items("all")
    )
    with pytest.raises(MmtkError, match=r"labels: missing. Classes need a CSV table"):
        classes(tmp_path, labels="")
    with pytest.raises(MmtkError, match=r"nothing.csv: cannot be read: No such file"):
        classes(tmp_path, labels="nothing.csv")
    draw(tmp_path / "films/f00.jpeg")
    with pytest.raises(MmtkError, match=r"two images are called f00: f00.jpeg and f00.png"):
        classes(tmp_path)


def test_three_patients_make_three_parts(tmp_path):
    lines = []
    for number in range(6):
        draw(tmp_path / f"films/{number}.png")
        lines.append(f"{number},{'ill' if number % 2 else 'well'}")
    check(classes(table(tmp_path, HEADER + "\n".join(lines))), (2, 2, 2))


# Folder: masks


def masks(root: Path, **keys: object) -> Folder:
    return Folder(root, "segmentation", **{"images": "films", "masks": "masks", **keys})


def test_folder_single_mask(tmp_path):
    for number in range(10):
        draw(tmp_path / f"films/{number}.jpeg")
        draw(tmp_path / f"masks/{number}.png", LEFT // 255)
    source = masks(tmp_path)
    check(source, (7, 1, 2))
    assert source.labels.names == ("mask",)
    assert np.array_equal(source.mask(source.items("val")[0]), (LEFT > 0)[None])
    assert masks(tmp_path, classes=("lung",)).labels.names == ("lung",)
    assert len(source.files()) == 20
    (tmp_path / "masks/3.png").unlink()
    without = masks(tmp_path)
    assert [item.id for item in without.items("train") if item.target is None] == ["3"]
    assert [note for note in without.notes if "1 of 10 images has no mask" in note]
    table(tmp_path, "image,label,patient\n" + "\n".join(f"{n},{'' if n == 3 else 'yes'},p{n}" for n in range(10)))
    assert [i.id for i in masks(tmp_path, labels="labels.csv").items("train") if i.target is None] == ["3"]
    draw(tmp_path / "masks/3.png", LEFT)
    draw(tmp_path / "masks/33.png", LEFT)
    with pytest.raises(MmtkError, match=r"masks: no image for 1 mask: 33"):
        masks(tmp_path)


def test_folder_channels(tmp_path):
    for number in range(10):
        draw(tmp_path / f"films/day{number % 2}/x{number // 2}.png")
        for organ, mask in (("left", LEFT), ("right", RIGHT)):
            draw(tmp_path / f"masks/{organ}/day{number % 2}/x{number // 2}.gif", mask)
    source = masks(tmp_path, swap=(("left", "right"),))
    assert (source.labels.names, source.labels.swap) == (("left", "right"), ((0, 1),))
    assert source.items("all")[0].id == "day0/x0"
    assert np.array_equal(source.mask(source.items("all")[0]), np.stack([LEFT, RIGHT]) > 0)
    turned = masks(tmp_path, classes=("right", "left"))
    assert np.array_equal(turned.mask(turned.items("all")[0]), np.stack([RIGHT, LEFT]) > 0)
    assert turned.digest() != source.digest()
    with pytest.raises(MmtkError, match=r"no sub-folder for the channel 'lefts'. Did you mean 'left'"):
        masks(tmp_path, classes=("lefts", "right"))
    with pytest.raises(MmtkError, match=r"swap: no channel 'lef'. Did you mean 'left'"):
        masks(tmp_path, swap=(("lef", "right"),))
    (tmp_path / "masks/left/day0/x1.gif").unlink()
    with pytest.raises(MmtkError, match=r"left: no mask for 1 image: day0/x1"):
        masks(tmp_path)


def test_folder_label_maps(tmp_path):
    labels = np.arange(64, dtype=np.uint8).reshape(8, 8) % 3
    labels[0, 0] = 255
    for number in range(10):
        draw(tmp_path / f"films/{number}.png")
        draw(tmp_path / f"masks/{number}.png", labels)
    names = ("background", "lung", "heart")
    source = masks(tmp_path, exclusive=True, classes=names)
    assert source.labels.exclusive
    mask = source.mask(source.items("all")[0])
    assert (mask[:, 0, 0] == 255).all()
    assert np.array_equal(mask.reshape(3, 64)[:, 1:].argmax(0), labels.ravel()[1:])
    assert (mask.reshape(3, 64)[:, 1:].sum(0) == 1).all()
    short = masks(tmp_path, exclusive=True, classes=names[:2])
    with pytest.raises(MmtkError, match=r"has the label 2, but classes names 2: 0 background, 1 lung"):
        short.mask(short.items("all")[0])
    with pytest.raises(MmtkError, match=r"classes: exclusive masks need the names"):
        masks(tmp_path, exclusive=True)
    plain = masks(tmp_path)
    with pytest.raises(MmtkError, match=r"is not a mask: it has the values 0, 1, 2, 255"):
        plain.mask(plain.items("all")[0])
    with pytest.raises(MmtkError, match=r"masks: missing"):
        masks(tmp_path, masks="")


# All


@pytest.mark.parametrize("component", [CheX, JSRT, MCU, NIHX, Folder])
def test_keys_are_documented(component):
    assert "root" in wired(component)
    for key in schema(component).model_fields:
        assert key == "use" or re.search(rf"^    {key}: ", component.__doc__, re.MULTILINE), key


def test_folder_from_a_recipe_table(tmp_path):
    films(tmp_path)
    keys = {"images": "films", "labels": "labels.csv", "classes": ["well", "sick"]}
    source = construct(Folder, "source/folder", {"root": tmp_path, "task": "classification"}, keys)
    assert source.labels.names == ("well", "sick")


if REAL:

    @pytest.mark.parametrize(
        ("make", "counts"),
        [
            (CheX, (4709, 523, 624)),
            (lambda root: CheX(root, val="official"), (5216, 16, 624)),
            (JSRT, (111, 13, 123)),
            (lambda root: JSRT(root, organs="separate"), (111, 13, 123)),
            (MCU, (93, 10, 35)),
            (lambda root: MCU(root, organs="separate"), (93, 10, 35)),
            (NIHX, (0, 0, 700)),
        ],
    )
    def test_real_data(make, counts):
        start = time.perf_counter()
        source = make(REAL)
        source.items("train")
        assert time.perf_counter() - start < 2  # seconds on a busy machine; nothing is decoded
        check(source, counts)
        everything = source.items("all")
        assert source.image(everything[0]).shape == (256, 256)
        if source.labels.task == "segmentation":
            for item in everything[::10]:
                mask = source.mask(item)
                assert mask.shape == (len(source.labels.names), 256, 256)
                assert set(np.unique(mask)) == {0, 1}
                if len(mask) > 1:  # the patient's left is on the right
                    assert mask[0].nonzero()[1].mean() > mask[1].nonzero()[1].mean()
        else:
            assert {item.target for item in everything} == {0, 1}

    def test_real_patients_of_chex():
        source = CheX(REAL, val="official")
        people = {item.patient for item in source.items("all") if item.target == 1}
        assert len(people) == 2653
