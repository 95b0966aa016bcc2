"""Folders of masks: the built-in scores, and what masks of other programs look like."""

from __future__ import annotations

import itertools
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

import mmtk
from mmtk.compare.mask_scores import FIELD, Reference
from mmtk.compare.mask_similarity import SimilarityReference
from mmtk.components.metric._structure import ssim
from mmtk.components.metric._surface import _percentile95
from mmtk.components.metric.segmentation import Segmentation
from mmtk.errors import MmtkError

SIZE = 48


def disc(row: float, column: float, radius: float, size: int = SIZE) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    return (rows - row) ** 2 + (columns - column) ** 2 < radius**2


def references(cases: int = 12) -> dict[str, np.ndarray]:
    return {f"case{k:02d}": disc(20 + k % 5, 22 + k % 3, 9 + k % 4) for k in range(cases)}


def predictions(cases: int = 12) -> dict[tuple[str, int], dict[str, np.ndarray]]:
    """System ``far`` shifts every mask by 3 pixels, ``near`` by 1, and each seed changes some radii."""
    made = {}
    for system, shift in (("near", 1), ("far", 3)):
        for seed in range(3):
            made[system, seed] = {
                f"case{k:02d}": disc(20 + k % 5 + shift, 22 + k % 3, 9 + k % 4 + 0.5 * ((k + seed) % 3))
                for k in range(cases)
            }
    return made


def write(folder: Path, masks: dict[str, np.ndarray], value: int = 255, suffix: str = ".png") -> None:
    folder.mkdir(parents=True)
    for name, mask in masks.items():
        Image.fromarray((mask * value).astype(np.uint8)).save(folder / f"{name}{suffix}")


def write_all(root: Path, value: int = 255) -> None:
    write(root / "masks", references())
    for (system, seed), masks in predictions().items():
        write(root / "pred" / system / f"seed_{seed}", masks, value)


def test_scores_are_those_of_the_built_in_metric(tmp_path: Path) -> None:
    write_all(tmp_path, value=1)
    comparison = mmtk.compare(tmp_path / "pred", reference=str(tmp_path / "masks"))
    frame = comparison.frame().set_index(["system", "seed", "metric"])["value"]
    for (system, seed), masks in predictions().items():
        metric = Segmentation(["mask"], False, {})
        for name, mask in masks.items():
            logits = torch.from_numpy(mask[None, None] * 2.0 - 1)
            metric.update(logits.float(), torch.from_numpy(references()[name][None, None]).long(), [name])
        for score, value in metric.compute().items():
            if score not in ("n", "empty-predictions"):
                assert frame[system, seed, score] == pytest.approx(value, abs=1e-9), score
    (verdict,) = (
        mmtk.compare(tmp_path / "pred", reference=str(tmp_path / "masks"), system="near")
        .verdicts()
        .to_dict("records")
    )
    assert (verdict["difference"], verdict["verdict"]) == ("near − far", "helps")


@pytest.mark.parametrize("form", ["soft", "jpeg", "labels", "flat", "one system"])
def test_masks_in_the_forms_that_programs_write(tmp_path: Path, form: str) -> None:
    write(tmp_path / "masks", references())
    note = ""
    for (system, seed), masks in predictions().items():
        if form == "soft":
            soft = {
                name: np.clip(mask * 0.9 + 0.05 + 0.03 * np.sin(np.arange(SIZE)), 0, 1)
                for name, mask in masks.items()
            }
            write(tmp_path / "pred" / system / str(seed), soft)
            note = "soft: cut at half of 255"
        elif form == "jpeg":
            write(tmp_path / "pred" / system / str(seed), masks, suffix=".jpg")
        elif form == "flat" and seed == 0:
            write(tmp_path / "pred" / system, masks)
        elif form == "one system" and system == "near":
            write(tmp_path / "pred" / f"fold{seed}", masks)
            note = "There is one system only, pred"
        elif form == "labels":
            write(tmp_path / "pred" / system / str(seed), masks, value=1)
    comparison = mmtk.compare(tmp_path / "pred", reference=str(tmp_path / "masks"))
    assert note in " ".join(comparison.study.gaps)
    plain = {
        key: [
            2 * (m & r).sum() / (m.sum() + r.sum())
            for m, r in zip(masks.values(), references().values(), strict=True)
        ]
        for key, masks in predictions().items()
    }
    frame = comparison.frame()
    for row in frame[frame["metric"] == "dice"].itertuples():
        system = "near" if form == "one system" else row.system
        assert row.value == pytest.approx(np.mean(plain[system, row.seed]), abs=0.02 if form == "jpeg" else 1e-9)


def test_label_maps_have_a_dice_for_every_structure(tmp_path: Path) -> None:
    for folder, shift in (("masks", 0), ("pred/a", 1), ("pred/b", 2)):
        maps = {f"c{k}": disc(15 + shift, 15, 8) + 2 * disc(34, 34 - shift, 7 + k % 2) for k in range(11)}
        write(tmp_path / folder, maps, value=1)
    comparison = mmtk.compare(tmp_path / "pred", reference=str(tmp_path / "masks"))
    names = {*comparison.frame()["metric"]}
    assert {"dice", "dice-label-1", "dice-label-2"} <= names
    write(tmp_path / "pred/c", {"c0": disc(15, 15, 8) * 3}, value=1)
    with pytest.raises(MmtkError, match="has the values 3, which no reference has"):
        mmtk.compare(tmp_path / "pred", reference=str(tmp_path / "masks"))


@pytest.mark.xdist_group("score-libraries")
def test_volumes_are_scored_whole_in_millimetres(tmp_path: Path) -> None:
    from monai.metrics import compute_hausdorff_distance

    affine = np.diag([0.5, 0.5, 2.0, 1.0])
    shape = (24, 24, 10)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"))
    expected = {}
    for folder, shift in (("masks", 0), ("pred/a/0", 1), ("pred/b/0", 2), ("pred/a/1", 0), ("pred/b/1", 3)):
        (tmp_path / folder).mkdir(parents=True)
        for k in range(11):
            center = np.array([11 + shift, 12, 5])[:, None, None, None]
            ball = (((grid - center) / np.array([1, 1, 0.5])[:, None, None, None]) ** 2).sum(0) < (5 + k % 3) ** 2
            nibabel.save(nibabel.Nifti1Image(ball.astype(np.uint8), affine), tmp_path / folder / f"v{k}.nii.gz")
            expected[folder, k] = ball
    comparison = mmtk.compare(tmp_path / "pred", reference=str(tmp_path / "masks"))
    cases = comparison.cases().set_index(["system", "seed", "id"])
    truth, predicted = expected["masks", 4], expected["pred/b/0", 4]
    row = cases.loc[("b", 0, "v4")]
    assert row["dice"] == pytest.approx(2 * (truth & predicted).sum() / (truth.sum() + predicted.sum()))
    arrays = [torch.from_numpy(one[None, None].astype(np.float32)) for one in (predicted, truth)]
    hd95 = compute_hausdorff_distance(*arrays, include_background=True, percentile=95, spacing=(0.5, 0.5, 2.0))
    assert row["hd95-mm"] == pytest.approx(float(hd95), abs=0.51)  # MONAI's surface is that of an erosion by 26
    assert "hd95" not in cases.columns


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda root: Image.new("L", (20, 20)).save(root / "pred/near/seed_0/case03.png"), "is 20 × 20"),
        (lambda root: (root / "masks").rename(root / "elsewhere"), "no such folder"),
        (
            lambda root: [p.rename(p.with_name(f"x{p.name}")) for p in (root / "masks").iterdir()],
            "no prediction has the name",
        ),
        (
            lambda root: Image.fromarray((disc(9, 9, 5) + disc(9, 9, 3) * 3).astype(np.uint8)).save(
                root / "pred/near/seed_0/case03.png"
            ),
            "the references two",
        ),
    ],
)
def test_masks_that_do_not_fit_are_refused_with_a_cure(tmp_path: Path, harm, message: str) -> None:
    write_all(tmp_path)
    harm(tmp_path)
    with pytest.raises(MmtkError, match=message) as error:
        mmtk.compare(tmp_path / "pred", reference=str(tmp_path / "masks"))
    assert error.value.hint


def test_absent_spare_and_empty_predictions_are_named(tmp_path: Path) -> None:
    write_all(tmp_path)
    (tmp_path / "pred/near/seed_1/case02.png").unlink()
    Image.new("L", (SIZE, SIZE)).save(tmp_path / "pred/far/seed_0/case05.png")
    Image.new("L", (SIZE, SIZE)).save(tmp_path / "pred/far/seed_0/spare.png")
    for case in ("case07", "case08"):
        Image.fromarray(~np.uint8(references()[case] * 255)).save(tmp_path / f"pred/near/seed_2/{case}.png")
    comparison = mmtk.compare(tmp_path / "pred", reference=str(tmp_path / "masks"))
    gaps = " ".join(comparison.study.gaps)
    assert "1 predicted case has no reference mask, left out: spare" in gaps
    assert "left out everywhere: case02; absent from near (seed 1)" in gaps
    assert "1 predicted mask is empty" in gaps
    assert (
        "2 predicted masks of near cover what the reference leaves out, and not what it covers: inverted?" in gaps
    )
    assert "masks of far" not in gaps
    row = comparison.cases().set_index(["system", "seed", "id"]).loc[("far", 0, "case05")]
    assert (row["dice"], row["hd95"]) == (0, pytest.approx(np.hypot(SIZE, SIZE)))


def test_systems_with_numbers_for_names_are_no_seeds(tmp_path: Path) -> None:
    write(tmp_path / "masks", references())
    for (system, seed), masks in predictions().items():
        write(tmp_path / "pred" / {"near": "s1", "far": "2"}[system] / f"s{seed}", masks)
    comparison = mmtk.compare(tmp_path / "pred", reference=str(tmp_path / "masks"))
    assert {cell.name: sorted(cell.runs) for cell in comparison.study.cells} == {"2": [0, 1, 2], "s1": [0, 1, 2]}


@pytest.mark.parametrize("size", [(6, 7), (40, 90)])
def test_similarity_with_a_shared_reference_is_that_of_every_pair(size: tuple[int, int]) -> None:
    """Masks at the border, full, empty, of noise and of one pixel, against the built-in metric."""
    rng = np.random.default_rng(0)
    pixel = np.zeros(size, bool)
    pixel[0, -1] = True
    noise = [rng.random(size) < share for share in (0.03, 0.5, 0.97)]
    masks = [*noise, disc(0, 30, 20, 90)[: size[0], : size[1]], pixel, np.zeros(size, bool), np.ones(size, bool)]
    for reference in masks:
        shared = SimilarityReference(reference)
        pairs = [
            (shared.ssim(mask), ssim(torch.from_numpy(mask[None]), torch.from_numpy(reference[None])))
            for mask in masks
        ]
        assert np.ptp(pairs, axis=1).max() < 1e-11


def test_the_percentile_of_distances_is_that_of_numpy_to_the_last_digit() -> None:
    rng = np.random.default_rng(0)
    for count in range(1, 90):
        for values in (rng.random(count), np.sqrt(rng.integers(0, 30, count))):
            assert _percentile95(values) == np.quantile(values, 0.95)


def test_systems_of_one_name_in_two_folders_stay_two(tmp_path: Path) -> None:
    write(tmp_path / "masks", references())
    for name, system in (("a", "near"), ("b", "far")):
        write(tmp_path / name / "pred", predictions()[system, 0])
        write(tmp_path / "deep" / name / "unet" / "seed_0", predictions()[system, 0])
    shallow = [tmp_path / name / "pred" for name in "ab"]
    deep = [tmp_path / "deep" / name for name in "ab"]
    names = (["a/pred", "b/pred"], ["a/unet", "b/unet"])
    for sources, systems in zip((shallow, deep), names, strict=True):
        frame = mmtk.compare(sources, reference=str(tmp_path / "masks")).frame()
        dice = frame[frame["metric"] == "dice"].set_index("system")["value"]
        assert list(dice.index) == systems
        assert dice.iloc[0] > dice.iloc[1] + 0.05
    again = mmtk.compare([shallow[0], shallow[0]], reference=str(tmp_path / "masks")).frame()
    assert {*again["system"]} == {"pred"}


def test_two_folders_of_one_seed_and_two_files_of_one_case_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "masks", references())
    for name, system in (("fold_1", "near"), ("run_1", "far")):
        write(tmp_path / "unet" / name, predictions()[system, 0])
    with pytest.raises(MmtkError, match=r"fold_1 and .*run_1 are both system 'unet', seed 1"):
        mmtk.compare(tmp_path / "unet", reference=str(tmp_path / "masks"))
    for folder in ("unet/fold_1", "masks"):
        Image.fromarray(np.zeros((SIZE, SIZE), np.uint8)).save(tmp_path / folder / "case03.tif")
        with pytest.raises(MmtkError, match=r"two files are of the case case03: case03\.(png|tif) and case03"):
            mmtk.compare(tmp_path / "unet/fold_1", reference=str(tmp_path / "masks"))
        (tmp_path / folder / "case03.tif").unlink()


@pytest.mark.parametrize("out", ["masks", "masks/report", "pred/report", "pred/near/report"])
def test_no_report_is_written_among_the_masks(tmp_path: Path, out: str) -> None:
    write_all(tmp_path)
    files = {*tmp_path.rglob("*")}
    with pytest.raises(MmtkError, match=r"is an input|lies in the folder of inputs"):
        mmtk.compare(tmp_path / "pred", reference=str(tmp_path / "masks"), out=tmp_path / out)
    assert {*tmp_path.rglob("*")} == files


@pytest.mark.parametrize("labels", [1, 2])
def test_many_predictions_of_a_case_are_scored_as_each_by_itself_to_the_last_digit(labels: int) -> None:
    rng = np.random.default_rng(0)
    smooth = [disc(x, 30, 12, 48) for x in (20, 24, 27)]
    noise = [rng.random((48, 48)) < share for share in (0.1, 0.6)]
    masks = [
        np.array(one) for one in itertools.product([*smooth, *noise, np.zeros((48, 48), bool)], repeat=labels)
    ]
    names = [f"label-{number}" for number in range(labels)]
    for reference in masks[:: 5 * labels - 4]:
        alone, among_many = Reference(reference), Reference(reference, comparisons=FIELD)
        for mask in masks:
            assert alone.scores(mask, names) == among_many.scores(mask, names)
