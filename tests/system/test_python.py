"""What a notebook meets: public names, short descriptions, and images in every form for a predictor."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny

import mmtk
from mmtk.data import sources
from mmtk.errors import MmtkError
from mmtk.model import build
from mmtk.model.predictor import Predictor, image_pixels

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 56), dtype=np.uint8)
COLOUR = np.stack([PIXELS, PIXELS, PIXELS], 2)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    recipe = tiny("multimix")
    targets = sources.targets(recipe)
    return Predictor(recipe, build.network(recipe, targets), targets)


def test_tab_completion_lists_the_public_names():
    assert set(dir(mmtk)) == set(mmtk.__all__)
    assert all(hasattr(mmtk, name) for name in dir(mmtk))


def test_descriptions_fit_a_line_and_tables_are_html(predictor):
    recipe = predictor.recipe
    assert repr(recipe) == f"Recipe(MultiMix {recipe.digest}, classification and segmentation, seed 0)"
    assert "pneumonia" in repr(predictor)
    assert len(repr(predictor)) < 160
    assert recipe.digest in recipe._repr_html_()


def test_a_recipe_has_its_budget_with_types():
    recipe = tiny("multimix", train__steps=7)
    assert recipe.train.steps == 7
    assert recipe.train.batch == recipe["train.batch"]
    assert recipe.evaluate.cases == recipe["evaluate.cases"]


def forms(folder: Path) -> dict[str, object]:
    """One image in every form that a predictor takes."""
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    Image.fromarray(PIXELS).save(folder / "film.png")
    header = pydicom.Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = "1.2.3"
    header.SOPClassUID = SecondaryCaptureImageStorage
    header.Rows, header.Columns = PIXELS.shape
    header.PhotometricInterpretation, header.SamplesPerPixel, header.PixelRepresentation = "MONOCHROME2", 1, 0
    header.BitsAllocated, header.BitsStored, header.HighBit = 8, 8, 7
    header.WindowCenter, header.WindowWidth = 128, 256
    header.PixelData = PIXELS.tobytes()
    header.save_as(folder / "film.dcm", enforce_file_format=True)
    return {
        "path": folder / "film.png",
        "text": str(folder / "film.png"),
        "DICOM": folder / "film.dcm",
        "PIL": Image.fromarray(PIXELS),
        "PIL in colour": Image.fromarray(COLOUR),
        "colour": COLOUR,
        "gray": PIXELS,
    }


def test_a_predictor_takes_an_image_in_every_form_alone_and_in_lists(predictor, tmp_path):
    given = forms(tmp_path)
    expected = predictor(PIXELS)
    assert len(repr(expected)) < 160
    assert expected.mask.shape == (1, *PIXELS.shape)
    together = predictor(list(given.values()))
    for form, case in zip(given, together, strict=True):
        alone = predictor(given[form])
        for one in (alone, case):
            assert one.classes == pytest.approx(expected.classes, abs=1e-3), form
            assert (one.mask != expected.mask).mean() < 0.01, form
    stack = predictor(np.stack([PIXELS, PIXELS]))
    assert [case.mask.shape for case in stack] == [(1, *PIXELS.shape)] * 2
    assert predictor([]) == []
    assert predictor(iter([PIXELS]))[0].classes == pytest.approx(expected.classes, abs=1e-5)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("suffix", "mode"), [("png", "L"), ("jpg", "L"), ("tif", "L"), ("tif", "RGB"), ("webp", "RGB")]
)
def test_an_opened_picture_is_turned_as_its_file_is(tmp_path, suffix, mode, orientation):
    file, exif = tmp_path / f"film.{suffix}", Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PIXELS).convert(mode).save(file, exif=exif)
    from_file = image_pixels(file)
    assert from_file.shape == (PIXELS.shape if orientation < 5 else PIXELS.shape[::-1])
    with Image.open(file) as picture:
        assert np.array_equal(image_pixels(picture), from_file)
        if not (suffix == "tif" and mode == "L"):  # Pillow itself tears these while it decodes
            picture.load()
            assert np.array_equal(image_pixels(picture), from_file)


def test_deep_colour_of_an_opened_picture_is_kept(tmp_path):
    deep = (np.arange(40 * 56 * 3).reshape(40, 56, 3) % 700 + 20000).astype(np.uint16)
    (tmp_path / "deep.png").write_bytes(imagecodecs.png_encode(deep))
    with Image.open(tmp_path / "deep.png") as picture:
        assert np.array_equal(image_pixels(picture), image_pixels(tmp_path / "deep.png"))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (7, "int: 7"),
        (None, "NoneType"),
        ([{"image": 1}], "dict"),
        (PIXELS.astype(float), r"array \[40, 56\] of float64"),
        ([PIXELS.astype(np.uint16)], "uint16"),
        (PIXELS[0], r"array \[56\]"),
        (np.zeros((0, 4), np.uint8), r"array \[0, 4\]"),
    ],
)
def test_what_is_no_image_is_called_what_it_is(predictor, given, says):
    with pytest.raises(MmtkError, match=rf"no image: .*{says}"):
        predictor(given)


def test_a_path_without_a_file_is_named(predictor, tmp_path):
    with pytest.raises(MmtkError) as error:
        predictor(tmp_path / "absent.png")
    assert "absent.png" in error.value.where


def test_a_folder_is_not_called_a_missing_file(predictor, tmp_path):
    with pytest.raises(MmtkError, match="is a folder, not an image"):
        predictor([tmp_path])


@pytest.mark.parametrize(
    "given", [b"\x89PNG", {"a": "film.png"}, torch.zeros(2, 8, 8)], ids=["bytes", "dict", "tensor"]
)
def test_what_can_be_iterated_and_is_no_image_is_named_on_one_line(predictor, given):
    with pytest.raises(MmtkError, match=r"^this is no image: (bytes|dict|Tensor): .*\.\n  Give a path"):
        predictor(given)


def test_floats_in_the_unit_range_come_with_their_cure(predictor):
    with pytest.raises(MmtkError, match=r"of float64; from values in \[0, 1\]: numpy\.rint\(255 \* image\)"):
        predictor(np.full((8, 8), 0.5))
    with pytest.raises(MmtkError, match=r"of float64\.\n"):
        predictor(np.full((8, 8), 300.0))


def test_one_image_has_logits_too(predictor, tmp_path):
    Image.fromarray(np.full((40, 30), 90, np.uint8)).save(tmp_path / "a.png")
    one, several = (predictor.logits(each) for each in (tmp_path / "a.png", [tmp_path / "a.png"]))
    assert torch.equal(one.classification, several.classification)


def test_what_is_no_run_is_called_what_it_is(tmp_path):
    with pytest.raises(MmtkError, match="no such folder"):
        mmtk.read_run(tmp_path / "typo")
    (tmp_path / "recipe.toml").touch()
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(MmtkError, match="is an exported model, not a run"):
        mmtk.read_run(tmp_path)
    with pytest.raises(MmtkError, match="no run is given"):
        mmtk.read_study([])
