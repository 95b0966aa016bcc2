from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import binary_erosion, distance_transform_edt

from mmtk.components.metric._nearest import pixel_distances
from mmtk.components.metric._structure import ssim
from mmtk.components.metric._surface import boundaries, surface_distances
from mmtk.components.metric.classification import Classification
from mmtk.components.metric.segmentation import Segmentation
from mmtk.errors import MmtkError

# One worker imports the libraries that scores are compared with, at their first use.
pytestmark = pytest.mark.xdist_group("score-libraries")

SIZE = (12, 15)
DIAGONAL = math.hypot(*SIZE)
DISTANCES = ("average-hausdorff", "hd95")


def blobs(seed, shape, size=(40, 48)):
    """Smooth random shapes: thresholded low-frequency noise, with some lone pixels."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.randn(*shape, 5, 6, generator=draw)
    fine = torch.nn.functional.interpolate(coarse, size=size, mode="bicubic")
    return (fine > 0.3) ^ (torch.rand(fine.shape, generator=draw) > 0.995)


def masks(channels):
    """Single pixels, full, empty and arbitrary masks, [2 or 3 images, channels, 12, 15]."""
    mask = hnp.arrays(bool, SIZE, elements=st.booleans(), fill=st.booleans())
    return st.lists(mask, min_size=2 * channels, max_size=2 * channels).map(
        lambda drawn: torch.from_numpy(np.stack(drawn)).reshape(2, channels, *SIZE)
    )


def metric(predicted, reference, names=None, spacing=None, scale=5.0, ids=None):
    """The scores of given masks, by logits of ±scale."""
    made = Segmentation(names or tuple("abc"[: predicted.shape[1]]), False, spacing or {})
    made.update(
        (predicted.float() * 2 - 1) * scale, reference.long(), ids or [f"{i:02}" for i in range(len(predicted))]
    )
    return made


def monai_distances(predicted, reference, spacing=None, size=SIZE):
    """Average Hausdorff and HD95 by MONAI, with the stated values of empty masks, averaged over channels."""
    from monai import metrics as monai

    scale = spacing or (1, 1)
    keys = {"include_background": True, "spacing": spacing}
    average = (
        monai.compute_average_surface_distance(predicted, reference, **keys)
        + monai.compute_average_surface_distance(reference, predicted, **keys)
    ) / 2
    hd95 = monai.compute_hausdorff_distance(predicted, reference, percentile=95, **keys)
    p, r = predicted.flatten(2).any(2), reference.flatten(2).any(2)
    diagonal = math.hypot(size[0] * scale[0], size[1] * scale[1])
    for values in (average, hd95):
        values[p ^ r] = diagonal
        values[~p & ~r] = 0
    return {"average-hausdorff": average.mean(1).tolist(), "hd95": hd95.mean(1).tolist()}


def monai_overlap(predicted, reference):
    """Dice, Jaccard, precision and recall by MONAI; 0/0 is 1 where both masks are empty and else 0."""
    from monai import metrics as monai

    p, r = predicted.float(), reference.float()
    keys = {"include_background": True, "ignore_empty": False}
    tp, fp, _, fn = monai.get_confusion_matrix(p, r, include_background=True).unbind(-1)
    both = (tp + fp + fn == 0).float()
    scores = {
        "dice": monai.compute_dice(p, r, **keys),
        "jaccard": monai.compute_iou(p, r, **keys),
        "precision": (tp / (tp + fp)).nan_to_num(0) + both,
        "recall": (tp / (tp + fn)).nan_to_num(0) + both,
    }
    return {key: value.mean(1).tolist() for key, value in scores.items()}


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 2).flatmap(lambda k: st.tuples(masks(k), masks(k))), st.sampled_from([0.01, 5.0, 1e4]))
@pytest.mark.filterwarnings("ignore")
def test_every_value_is_monais(pair, scale):
    predicted, reference = pair
    made = metric(predicted, reference, scale=scale, spacing={"00": (0.3, 0.7), "01": (0.3, 0.7)})
    cases, scores = made.per_image(), made.compute()
    expected = monai_overlap(predicted, reference) | monai_distances(predicted, reference)
    in_mm = monai_distances(predicted, reference, spacing=(0.3, 0.7))
    expected |= {f"{key}-mm": values for key, values in in_mm.items()}
    for key, values in expected.items():
        assert cases[key] == pytest.approx(values, abs=1e-4), key
        assert scores[key] == pytest.approx(np.mean(values), abs=1e-4), key
    assert cases["pixels-predicted"] == predicted.sum((1, 2, 3)).tolist()
    assert cases["pixels-reference"] == reference.sum((1, 2, 3)).tolist()
    assert scores["empty-predictions"] == (~predicted.flatten(2).any(2)).sum()
    assert scores["n"] == len(predicted)
    json.dumps(scores, allow_nan=False)


@pytest.mark.parametrize("spacing", [None, (0.175, 0.175), (0.2, 1.1)])
def test_distances_of_large_shapes_are_monais(spacing):
    predicted, reference = blobs(0, (6, 1)), blobs(1, (6, 1))
    made = metric(predicted, reference, spacing=spacing and {f"{i:02}": spacing for i in range(6)})
    expected = monai_distances(predicted, reference, spacing, (40, 48))
    for key, values in expected.items():
        assert made.per_image()[key + ("-mm" if spacing else "")] == pytest.approx(values, abs=1e-4)


def test_distances_are_those_of_a_distance_transform():
    predicted, reference = blobs(2, (5, 1))[:, 0].numpy(), blobs(3, (5, 1))[:, 0].numpy()
    for i, (a, b) in enumerate(zip(boundaries(predicted), boundaries(reference), strict=True)):
        p, r = predicted[i] & ~binary_erosion(predicted[i]), reference[i] & ~binary_erosion(reference[i])
        np.testing.assert_array_equal(a, np.argwhere(p))
        there = distance_transform_edt(~r, sampling=(0.4, 0.9))[p]
        back = distance_transform_edt(~p, sampling=(0.4, 0.9))[r]
        expected = (there.mean() + back.mean()) / 2, max(np.percentile(there, 95), np.percentile(back, 95))
        assert surface_distances(a * (0.4, 0.9), b * (0.4, 0.9), 1e3) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(masks(1), masks(1))
def test_ssim_is_that_of_torchmetrics(predicted, reference):
    from torchmetrics.functional.image import structural_similarity_index_measure

    expected = structural_similarity_index_measure(
        predicted.double(), reference.double(), sigma=1.5, kernel_size=11, data_range=1.0, reduction="none"
    )
    assert metric(predicted, reference).per_image()["ssim"] == pytest.approx(expected.tolist(), abs=1e-6)


def test_ssim_is_that_of_scikit_image():
    predicted, reference = blobs(4, (1, 1))[0, 0], blobs(5, (1, 1))[0, 0]
    keys = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1}

    from skimage.metrics import structural_similarity

    def skimage(a, b):
        return structural_similarity(a.double().numpy(), b.double().numpy(), **keys)

    # scikit-image leaves a border of 5 pixels out of the mean; on the image that is mirrored by hand
    # what remains is the whole of ours.
    mirrored = [np.pad(mask.numpy(), 5, mode="reflect") for mask in (predicted, reference)]
    expected = skimage(*map(torch.from_numpy, mirrored))
    assert ssim(predicted[None], reference[None]) == pytest.approx(expected, abs=1e-5)
    inner = torch.zeros(2, 40, 48, dtype=torch.bool)
    inner[0, 12:28, 12:36], inner[1, 14:30, 10:33] = True, True
    border = 1 - 30 * 38 / (40 * 48)  # where both are background SSIM is 1
    expected = border + (1 - border) * skimage(*inner)
    assert ssim(inner[:1], inner[1:]) == pytest.approx(expected, abs=1e-5)


def test_empty_masks_have_stated_values():
    full, empty = torch.ones(1, 1, *SIZE, dtype=torch.bool), torch.zeros(1, 1, *SIZE, dtype=torch.bool)
    spacing = {"00": (2.0, 3.0)}
    for predicted, reference in ((full, empty), (empty, full)):
        scores = metric(predicted, reference, spacing=spacing).compute()
        assert [scores[key] for key in ("dice", "jaccard", "precision", "recall")] == [0, 0, 0, 0]
        assert [scores[key] for key in DISTANCES] == [DIAGONAL, DIAGONAL]
        assert scores["hd95-mm"] == scores["average-hausdorff-mm"] == math.hypot(2 * SIZE[0], 3 * SIZE[1])
        assert scores["empty-predictions"] == (not predicted.any())
    for same in (full, empty):
        scores = metric(same, same).compute()
        assert [scores[key] for key in ("dice", "jaccard", "precision", "recall")] == [1, 1, 1, 1]
        assert [scores[key] for key in DISTANCES] == [0, 0]
        assert scores["ssim"] == pytest.approx(1)
    both = metric(torch.cat([full, empty]), torch.cat([full, full])).compute()
    assert (both["n"], both["dice"], both["hd95"]) == (2, 0.5, DIAGONAL / 2)
    assert Segmentation(("lung",), False, {}).compute() == {"n": 0}
    assert Segmentation(("lung",), False, {}).per_image() == {"id": []}


@pytest.mark.parametrize(("threshold", "pixels"), [(0.0, 4), (0.5, 3), (0.75, 2), (1.0, 1)])
def test_a_pixel_at_the_threshold_is_foreground(threshold, pixels):
    logits = torch.full((1, 1, 8, 8), -1e4)
    logits[0, 0, 0, :4] = torch.tensor([-1e4, 0.0, math.log(3) + 1e-6, 1e4])
    made = Segmentation(("lung",), False, {}, threshold=threshold)
    made.update(logits, torch.zeros(1, 1, 8, 8).long(), ["a"])
    outside = 60 if threshold == 0 else 0
    assert made.per_image()["pixels-predicted"] == [pixels + outside]


def test_ignored_pixels_are_background_in_both():
    predicted, reference = blobs(6, (3, 2)), blobs(7, (3, 2)).long()
    ignored = blobs(8, (3, 2))
    made = metric(predicted, torch.where(ignored, -1, reference))
    assert made.per_image() == metric(predicted & ~ignored, reference * ~ignored).per_image()
    assert made.per_image() != metric(predicted, reference).per_image()


def test_exclusive_channels_are_the_likeliest_without_background():
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 16, 16, generator=draw)
    labels = torch.randint(0, 4, (3, 16, 16), generator=draw)
    target = torch.stack([labels == k for k in range(4)], 1).long()
    target[:, :, :2] = -1
    made = Segmentation(("background", "a", "b", "c"), True, {})
    made.update(logits, target, ["00", "01", "02"])
    predicted = torch.stack([logits.argmax(1) == k for k in range(1, 4)], 1)
    expected = metric(predicted, target[:, 1:])
    assert made.compute() == expected.compute()
    assert made.per_image() == expected.per_image()
    assert "dice-background" not in made.compute()
    assert made.compute()["dice"] == pytest.approx(np.mean([made.compute()[f"dice-{c}"] for c in "abc"]))
    with pytest.raises(MmtkError, match="background"):
        Segmentation(("lung",), True, {})


def test_millimetres_need_the_spacing_of_every_image():
    predicted, reference = blobs(9, (2, 1)), blobs(10, (2, 1))
    scores = metric(predicted, reference, spacing={"01": (0.5, 0.5)})
    assert not any("-mm" in key for key in scores.compute())
    missing, known = scores.per_image()["hd95-mm"]
    assert missing is None
    assert known == pytest.approx(scores.per_image()["hd95"][1] / 2)


def test_parts_merged_equal_the_whole_in_any_order_and_batch():
    predicted, reference = blobs(11, (7, 2)), blobs(12, (7, 2))
    spacing = {f"{i:02}": (0.1 + i, 0.2) for i in range(7)}
    whole = metric(predicted, reference, spacing=spacing)
    odd, even = (
        metric(predicted[k::2], reference[k::2], spacing=spacing, ids=[f"{i:02}" for i in range(k, 7, 2)])
        for k in (1, 0)
    )
    odd.merge(even)
    assert odd.compute() == whole.compute()
    assert odd.per_image() == whole.per_image()


def test_what_does_not_fit_is_refused():
    mask = torch.zeros(2, 1, 8, 8).bool()
    made = Segmentation(("lung",), False, {})
    logits = torch.zeros(2, 1, 8, 8)
    logits[1, 0, 3, 3] = math.nan
    with pytest.raises(MmtkError, match=r"not finite for b\."):
        made.update(logits, mask.long(), ["a", "b"])
    with pytest.raises(MmtkError, match=r"Unknown labels for a, b\."):
        made.update(torch.zeros(2, 1, 8, 8), torch.full((2, 1, 8, 8), 255), ["a", "b"])
    with pytest.raises(MmtkError, match="do not fit"):
        made.update(torch.zeros(2, 2, 8, 8), mask.long(), ["a", "b"])
    with pytest.raises(MmtkError, match="6×6"):
        metric(mask[..., :5], mask[..., :5])
    with pytest.raises(MmtkError, match="Classification"):
        made.merge(Classification(("a", "b")))
    assert made.compute() == {"n": 0}


def test_distances_between_pixels_are_those_of_a_tree_to_the_last_digit():
    """Crowds, lone pixels, neighbours on every ring of the looks, and others far away or below zero."""
    from scipy.spatial import KDTree

    draw = np.random.default_rng(0)
    for count, others, spread, shift in ((300, 200, 40, 0), (3, 900, 90, 0), (900, 1, 60, 5), (50, 50, 9, 300)):
        points = draw.integers(-spread, spread, (count, 2))
        reference = draw.integers(-spread, spread, (others, 2)) + shift
        assert (pixel_distances(points, reference) == KDTree(reference).query(points)[0]).all()
