"""What a notebook meets: public names, short descriptions, and images in every form for a predictor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import tiny

import mmtk
from mmtk import build
from mmtk.errors import MmtkError
from mmtk.predict import Predictor

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 56), dtype=np.uint8)
COLOUR = np.stack([PIXELS, PIXELS, PIXELS], 2)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    recipe = tiny("multimix")
    targets = build.targets(recipe)
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
        "path": folder / "film.png", "text": str(folder / "film.png"), "DICOM": folder / "film.dcm",
        "PIL": Image.fromarray(PIXELS), "PIL in colour": Image.fromarray(COLOUR), "colour": COLOUR, "gray": PIXELS,
    }  # fmt: skip


def test_a_predictor_takes_an_image_in_every_form_alone_and_in_lists(predictor, tmp_path):
    given = forms(tmp_path)
    expected = predictor(PIXELS)
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
