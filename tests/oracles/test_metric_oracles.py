"""Every score of the metrics from its definition: counts, pairs and distances one by one, in NumPy and SciPy."""

from __future__ import annotations

import math
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from oracle_inputs import FEW, TOLERANCE, class_batches, holes, logits, masks, tensors
from scipy.ndimage import correlate1d
from scipy.spatial.distance import cdist
from scipy.special import expit, softmax

from mmtk.components.metric._structure import ssim
from mmtk.components.metric._surface import boundaries, surface_distances
from mmtk.components.metric.classification import Classification, best_threshold
from mmtk.components.metric.segmentation import Segmentation

both_kinds = pytest.mark.parametrize("exclusive", [False, True], ids=["independent", "exclusive"])


def defined(scores):
    """Without what 0/0 leaves undefined."""
    return {key: value for key, value in scores.items() if not math.isnan(value)}


def ratio(a, b):
    return a / b if b else math.nan


# --- classes -------------------------------------------------------------------------------------------------


def agreement(y, guess, classes):
    recalls = [ratio(((guess == k) & (y == k)).sum(), (y == k).sum()) for k in range(classes)]
    scores = {"accuracy": (y == guess).mean(), "balanced-accuracy": np.nanmean(recalls)}
    return scores | ({"sensitivity": recalls[1], "specificity": recalls[0]} if classes == 2 else {})


def auroc(score, own):
    """The share of pairs (own, other) that the scores put in order, ties counting half (Mann and Whitney 1947)."""
    pairs = list(product(score[own], score[~own]))
    return ratio(sum((a > b) + (a == b) / 2 for a, b in pairs), len(pairs))


def average_precision(score, own):
    """Σ over thresholds of precision times the recall that it adds."""
    value, before = 0.0, 0.0
    for threshold in sorted(set(score), reverse=True):
        taken = score >= threshold
        recall = ratio((own & taken).sum(), own.sum())
        value, before = value + (recall - before) * own[taken].mean(), recall
    return value


def calibration(confidence, right):
    """Σ over 15 bins of equal width of their share times |accuracy − confidence| (Guo et al. 2017, eq. 3)."""
    bins = np.minimum((confidence * 15).astype(int), 14)
    gaps = [(bins == b).mean() * abs(right[bins == b].mean() - confidence[bins == b].mean()) for b in set(bins)]
    return sum(gaps)


def class_metric(x, y):
    made = Classification("abcd"[: x.shape[1]])
    made.update(*tensors(x, y), [f"{i:02}" for i in range(len(y))])
    return made


@st.composite
def validation(draw, classes=None):
    """Logits [N,C] in fp32, as the host gives them, and classes [N]: a few batches one after the other."""
    parts = [draw(class_batches()) for _ in range(draw(st.integers(1, 3)))]
    count = min(x.shape[1] for x, _ in parts) if classes is None else classes
    x = np.concatenate([x[:, :count] for x, _ in parts]).astype(np.float32)
    return x, np.concatenate([y % count for _, y in parts])


@FEW
@given(validation(), st.sampled_from([0.5, 0.1, 0.9]))
def test_classification(batch, threshold):
    x, y = batch
    classes, names = x.shape[1], "abcd"[: x.shape[1]]
    made = class_metric(x, y)
    made.threshold = threshold
    cases = made.per_image()
    p = np.array([cases[f"p-{name}"] for name in names]).T
    np.testing.assert_allclose(p, softmax(x.astype(np.float64), 1), rtol=0, atol=1e-12)
    confidence = p.max(1)
    # On the edge between two bins rounding decides; certainty is no such edge.
    assume((np.abs(confidence * 15 - np.round(confidence * 15)) > 1e-9)[confidence < 1].all())

    guess = np.array([row.argmax() for row in x])
    f1 = [ratio(2 * ((guess == k) & (y == k)).sum(), (guess == k).sum() + (y == k).sum()) for k in range(classes)]
    ranked = [1] if classes == 2 else [k for k in range(classes) if (y == k).any()]
    expected = agreement(y, guess, classes) | {
        "n": len(y),
        "macro-f1": np.nanmean(f1),
        "majority-accuracy": max((y == k).mean() for k in range(classes)),
        "calibration-error": calibration(confidence, guess == y),
        "auroc": np.mean([auroc(p[:, k], y == k) for k in ranked]),
        "average-precision": np.mean([average_precision(p[:, k], y == k) for k in ranked]),
    }
    expected |= {f"f1-{name}": value for name, value in zip(names, f1, strict=True)}
    for (i, true), (j, name) in product(enumerate(names), repeat=2):
        expected[f"count-{true}-as-{name}"] = ((y == i) & (guess == j)).sum()
    if classes == 2:
        late = agreement(y, (p[:, 1] >= threshold).astype(int), 2)
        expected |= {"threshold": threshold} | {f"{key}-at-threshold": value for key, value in late.items()}
    assert made.compute() == pytest.approx(defined(expected), abs=TOLERANCE)


@FEW
@given(validation(classes=2))
def test_the_threshold_of_best_balanced_accuracy(batch):
    """All that could be tried, one by one; of equals the nearest to 0.5."""
    x, y = batch
    assume(0 < y.sum() < len(y))
    score = np.array(class_metric(x, y).per_image()["p-b"])
    distinct = sorted(set(score))
    middles = [(a + b) / 2 if (a + b) / 2 > a else b for a, b in pairwise(distinct)]
    # In whole numbers, so that equals are equal: right positives and right negatives, each times the other count.
    tried = {
        t: (score[y == 1] >= t).sum() * (y == 0).sum() + (score[y == 0] < t).sum() * (y == 1).sum()
        for t in [0.0, 0.5, *middles]
    }
    best = [t for t, gain in tried.items() if gain == max(tried.values())]
    found = best_threshold(*tensors(score, y == 1))
    assert found in best
    assert abs(found - 0.5) == min(abs(t - 0.5) for t in best)


@FEW
@given(validation())
def test_the_roc_curve(batch):
    """The rates at every threshold, from the strictest, one point after the other; its area is the AUROC."""
    x, y = batch
    own = y == x.shape[1] - 1
    assume(own.any() and not own.all())
    made = class_metric(x, y)
    score = np.array(list(made.per_image().values())[-1])
    thresholds = [math.inf, *sorted(set(score), reverse=True)]
    expected = [[(score[group] >= t).mean() for t in thresholds] for group in (~own, own)]
    np.testing.assert_allclose(made.curve(), expected, rtol=0, atol=TOLERANCE)
    assert np.trapezoid(expected[1], expected[0]) == pytest.approx(auroc(score, own), abs=TOLERANCE)


# --- masks ---------------------------------------------------------------------------------------------------


def overlap(p, r):
    both, either = (p & r).sum(), (p | r).sum()
    if not either:
        return {"dice": 1.0, "jaccard": 1.0, "precision": 1.0, "recall": 1.0}
    return {
        "dice": 2 * both / (p.sum() + r.sum()),
        "jaccard": both / either,
        "precision": both / max(1, p.sum()),
        "recall": both / max(1, r.sum()),
    }


def boundary(mask):
    """(row, column) of foreground pixels of which a neighbour is background or outside."""
    inside = {(i, j) for i, j in np.argwhere(mask).tolist()}
    steps = ((-1, 0), (1, 0), (0, -1), (0, 1))
    return sorted(at for at in inside if any((at[0] + i, at[1] + j) not in inside for i, j in steps))


def distances(p, r, spacing):
    """Average Hausdorff and HD95 from all distances between two boundaries."""
    a, b = (np.array(boundary(mask)).reshape(-1, 2) * spacing for mask in (p, r))
    if not len(a) or not len(b):
        return (0.0, 0.0) if len(a) == len(b) else (math.dist((0, 0), np.array(p.shape) * spacing),) * 2
    every = cdist(a, b)
    there, back = every.min(1), every.min(0)
    return (there.mean() + back.mean()) / 2, max(late(there), late(back))


def late(values):
    """The 95th percentile, linear between neighbours."""
    ordered, place = np.sort(values), 0.95 * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def similarity(p, r):
    """Mean SSIM with an 11×11 Gaussian window of σ 1.5, the image mirrored at its border (Wang et al. 2004)."""
    window = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def local(x):
        return correlate1d(correlate1d(x, window, 0, mode="mirror"), window, 1, mode="mirror")

    a, b = p.astype(np.float64), r.astype(np.float64)
    ma, mb = local(a), local(b)
    va, vb, cov = local(a * a) - ma**2, local(b * b) - mb**2, local(a * b) - ma * mb
    c1, c2 = 0.01**2, 0.03**2
    return ((2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))).mean()


@st.composite
def scored(draw, exclusive, least=6):
    """Logits in fp32 and masks with holes, large enough for SSIM."""
    shape = (draw(st.integers(1, 3)), draw(st.integers(1 + exclusive, 3)), draw(st.integers(least, 6)), 7)
    target = draw(masks(*shape, exclusive=exclusive))
    x = draw(logits(*shape) | st.sampled_from([1.0, 1e4]).map(lambda scale: scale * (2 * target - 1)))
    return x.astype(np.float32), np.where(draw(holes(shape, exclusive)), -1, target).astype(np.int64)


@both_kinds
@FEW
@given(data=st.data(), threshold=st.sampled_from([0.5, 0.2, 0.9]))
def test_segmentation(exclusive, data, threshold):
    x, target = data.draw(scored(exclusive))
    count, channels = x.shape[:2]
    p = expit(x.astype(np.float64))
    assume(exclusive or (np.abs(p - threshold) > TOLERANCE)[p != threshold].all())
    predicted = np.stack([x.argmax(1) == k for k in range(channels)], 1) if exclusive else p >= threshold
    predicted &= target >= 0
    scored_channels = range(int(exclusive), channels)
    spacings = {f"{i:02}": (0.3 + i, 1.7) for i in range(data.draw(st.integers(0, count)))}
    ids = [f"{i:02}" for i in range(count)]
    made = Segmentation("abc"[:channels], exclusive, spacings, threshold=threshold)
    made.update(*tensors(x, target), ids)

    expected = []
    for i, name in enumerate(ids):
        pairs = [(predicted[i, k], target[i, k] == 1) for k in scored_channels]
        overlaps = [overlap(*pair) for pair in pairs]
        row = {key: np.mean([each[key] for each in overlaps]) for key in overlaps[0]}
        for unit, spacing in (("", (1, 1)), ("-mm", spacings.get(name))):
            if spacing:
                found = np.mean([distances(*pair, spacing) for pair in pairs], 0)
                row |= {f"average-hausdorff{unit}": found[0], f"hd95{unit}": found[1]}
        if len(pairs) > 1:
            row |= {f"dice-{'abc'[k]}": each["dice"] for k, each in zip(scored_channels, overlaps, strict=True)}
        row["pixels-predicted"], row["pixels-reference"] = (
            sum(m.sum() for m in side) for side in zip(*pairs, strict=True)
        )
        row["empty-predictions"] = sum(not p.any() for p, _ in pairs)
        expected.append(row)

    cases = made.per_image()
    assert cases.pop("id") == ids
    del cases["ssim"]  # has a test of its own
    assert cases.keys() == {key for row in expected for key in row}
    for key, values in cases.items():
        assert values == pytest.approx([row.get(key) for row in expected], abs=TOLERANCE), key
    scores = made.compute()
    del scores["ssim"]
    means = {
        key: np.mean([row[key] for row in expected])
        for key in cases
        if not key.startswith("pixels") and all(key in row for row in expected)
    }
    sums = {"n": count, "empty-predictions": sum(row["empty-predictions"] for row in expected)}
    assert scores == pytest.approx(means | sums, abs=TOLERANCE)


@both_kinds
@FEW
@given(data=st.data())
def test_ssim(exclusive, data):
    x, target = data.draw(scored(exclusive))
    predicted, reference = x > 0, target == 1
    for a, b in zip(predicted, reference, strict=True):
        expected = np.mean([similarity(*channel) for channel in zip(a, b, strict=True)])
        assert ssim(*tensors(a, b)) == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize("size", [(6, 7), (12, 9), (64, 64)])
@pytest.mark.parametrize("mask", ["full", "empty", "half"])
def test_ssim_of_masks_that_differ_in_one_pixel(mask, size):
    """The window's variance is next to nothing beside its mean, so single precision would show."""
    reference = np.zeros(size, bool)
    reference[: {"full": size[0], "half": size[0] // 2, "empty": 0}[mask]] = True
    predicted = reference.copy()
    predicted[0, 0] ^= True
    found = ssim(*tensors(predicted[None], reference[None]))
    assert found == pytest.approx(similarity(predicted, reference), abs=TOLERANCE)


@FEW
@given(masks(2, 1, 6, 7, exclusive=False), st.floats(0.05, 3), st.floats(0.05, 3))
def test_boundaries_and_their_distances(pair, row, column):
    p, r = pair[:, 0] > 0
    found = boundaries(pair[:, 0] > 0)
    assert [points.tolist() for points in found] == [[list(at) for at in boundary(mask)] for mask in (p, r)]
    scaled = [points * (row, column) for points in found]
    diagonal = math.hypot(6 * row, 7 * column)
    expected = distances(p, r, (row, column))
    assert surface_distances(*scaled, diagonal) == pytest.approx(expected, abs=TOLERANCE)
