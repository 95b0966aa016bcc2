from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
import sklearn.metrics as sk
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from mmtk.components.metric import _binary
from mmtk.components.metric.classification import Classification, best_threshold
from mmtk.components.metric.segmentation import Segmentation
from mmtk.errors import MmtkError

# One worker imports the libraries that scores are compared with, at their first use.
pytestmark = pytest.mark.xdist_group("score-libraries")

BINARY = ("normal", "pneumonia")
LOGIT = st.sampled_from([-1e4, -40.0, -1.5, -0.5, 0.0, 0.5, 1.0, 40.0, 1e4]) | st.floats(-5, 5, width=32)


@st.composite
def batches(draw, most=4):
    c, n = draw(st.integers(2, most)), draw(st.integers(1, 16))
    logits = [[draw(LOGIT) for _ in range(c)] for _ in range(n)]
    target = draw(st.lists(st.integers(0, c - 1), min_size=n, max_size=n))
    return torch.tensor(logits, dtype=torch.float32), torch.tensor(target)


def metric(logits, target, names=None, ids=None):
    made = Classification(names or tuple("abcd"[: logits.shape[1]]))
    made.update(logits, target, ids or [f"{i:03}" for i in range(len(target))])
    return made


def ece(confidence, right, bins=15):
    """Guo et al. 2017, eq. 3, one bin after the other; the last bin holds certainty."""
    bin_of = np.minimum(np.floor(confidence * bins), bins - 1)
    return sum(
        abs(right[bin_of == b].mean() - confidence[bin_of == b].mean()) * (bin_of == b).mean()
        for b in np.unique(bin_of)
    )


def quiet(score, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return score(*args, **kwargs)


@settings(max_examples=60, deadline=None)
@given(batches())
def test_every_score_is_scikit_learns(batch):
    logits, target = batch
    made = metric(logits, target)
    scores, cases = made.compute(), made.per_image()
    names, y, guess = made.names, target.numpy(), logits.argmax(1).numpy()
    p = np.stack([cases[f"p-{name}"] for name in names], 1)
    np.testing.assert_allclose(p, softmax(logits.double().numpy(), 1), rtol=0, atol=1e-12)
    assert cases["predicted"] == guess.tolist()
    assert cases["target"] == y.tolist()

    expected = {
        "accuracy": sk.accuracy_score(y, guess),
        "balanced-accuracy": quiet(sk.balanced_accuracy_score, y, guess),
        "macro-f1": sk.f1_score(y, guess, average="macro"),
        "majority-accuracy": np.bincount(y).max() / len(y),
        "n": len(y),
        "calibration-error": ece(p.max(1), y == guess),
    }
    f1 = sk.f1_score(y, guess, average=None, labels=range(len(names)), zero_division=np.nan)
    expected |= {f"f1-{name}": value for name, value in zip(names, f1, strict=True)}
    confusion = sk.confusion_matrix(y, guess, labels=range(len(names)))
    for i, true in enumerate(names):
        expected |= {f"count-{true}-as-{name}": confusion[i, j] for j, name in enumerate(names)}
    scored = [1] if len(names) == 2 else [k for k in range(len(names)) if (y == k).any()]
    if len(np.unique(y)) > 1:
        expected["auroc"] = np.mean([sk.roc_auc_score(y == k, p[:, k]) for k in scored])
    if len(names) > 2 or y.any():
        expected["average-precision"] = np.mean([sk.average_precision_score(y == k, p[:, k]) for k in scored])
    if len(names) == 2:
        late = (p[:, 1] >= 0.5).astype(int)
        for suffix, decided in (("", guess), ("-at-threshold", late)):
            nan = {"zero_division": np.nan}
            expected["sensitivity" + suffix] = sk.recall_score(y, decided, pos_label=1, **nan)
            expected["specificity" + suffix] = sk.recall_score(y, decided, pos_label=0, **nan)
        expected["threshold"] = 0.5
        expected["accuracy-at-threshold"] = sk.accuracy_score(y, late)
        expected["balanced-accuracy-at-threshold"] = quiet(sk.balanced_accuracy_score, y, late)
    expected = {key: value for key, value in expected.items() if not math.isnan(value)}
    assert scores.keys() == expected.keys()
    assert scores == pytest.approx(expected, rel=0, abs=1e-6)
    json.dumps(scores, allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(batches())
def test_macro_f1_is_that_of_torchmetrics(batch):
    from torchmetrics.functional.classification import multiclass_f1_score

    logits, target = batch
    expected = multiclass_f1_score(logits.argmax(1), target, logits.shape[1], average="macro")
    assert metric(logits, target).compute()["macro-f1"] == pytest.approx(expected.item(), abs=1e-6)


@st.composite
def cases(draw):
    """Probabilities in double precision with ties, certainties and edges of bins; labels with both values."""
    n, seed = draw(st.integers(2, 300)), draw(st.integers(0, 2**32 - 1))
    random = torch.Generator().manual_seed(seed)
    levels = draw(st.sampled_from([2, 15, 30, 1000, 2**52]))
    probabilities = torch.randint(0, levels + 1, (n,), generator=random).double() / levels
    positive = torch.rand(n, generator=random) < draw(st.sampled_from([0.02, 0.5, 0.9]))
    positive[torch.randperm(n, generator=random)[:2]] = torch.tensor([False, True])
    return probabilities, positive


@settings(max_examples=300, deadline=None)
@given(cases())
def test_scores_are_those_of_torchmetrics_to_the_last_digit(case):
    from torchmetrics.functional import classification as theirs

    probabilities, positive = case
    labels = positive.long()
    for ours, expected in zip(_binary.roc(*case), theirs.binary_roc(probabilities, labels), strict=False):
        torch.testing.assert_close(ours, expected, rtol=0, atol=0)
    assert _binary.auroc(*case).item() == theirs.binary_auroc(probabilities, labels).item()
    area = theirs.binary_average_precision(probabilities, labels).item()
    assert _binary.average_precision(*case).item() == area
    confidence = probabilities.clamp(max=1 - 2**-53)
    expected = theirs.binary_calibration_error(confidence, labels, n_bins=_binary.BINS)
    assert _binary.calibration_error(confidence, positive).item() == expected.item()
    predicted = (probabilities * 3).long()
    confusion = theirs.multiclass_confusion_matrix(predicted, labels, 4)
    assert _binary.confusion(labels, predicted, 4).equal(confusion)


@settings(max_examples=30, deadline=None)
@given(batches(), st.randoms(use_true_random=False))
def test_two_parts_merged_equal_the_whole(batch, random):
    logits, target = batch
    n = len(target)
    order = random.sample(range(n), n)
    cut = random.randint(0, n)
    ids = [f"{i:03}" for i in range(n)]
    parts = [metric(logits[o], target[o], ids=[ids[i] for i in o]) for o in (order[:cut], order[cut:])]
    whole = metric(logits, target)
    parts[1].merge(parts[0])
    assert parts[1].compute() == whole.compute()
    assert parts[1].per_image() == whole.per_image()


def test_a_known_set():
    logits = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 3.0], [1.0, 0.0]])
    scores = metric(logits, torch.tensor([0, 0, 0, 1, 1]), BINARY).compute()
    assert scores["count-normal-as-pneumonia"] == 1
    assert scores["count-pneumonia-as-normal"] == 1
    assert (scores["sensitivity"], scores["specificity"]) == (0.5, 2 / 3)
    assert (scores["f1-normal"], scores["f1-pneumonia"]) == (2 / 3, 0.5)
    assert scores["majority-accuracy"] == scores["accuracy"] == 0.6


def test_what_one_class_leaves_undefined_is_left_out():
    scores = metric(torch.tensor([[1.0, 0.0], [3.0, 0.0]]), torch.tensor([0, 0]), BINARY).compute()
    undefined = {"auroc", "average-precision", "sensitivity", "sensitivity-at-threshold", "f1-pneumonia"}
    assert not undefined & scores.keys()
    assert scores["macro-f1"] == scores["f1-normal"] == scores["specificity"] == 1
    assert Classification(BINARY).compute() == {"n": 0}
    assert Classification(BINARY).per_image() == {
        "id": [],
        "target": [],
        "predicted": [],
        "p-normal": [],
        "p-pneumonia": [],
    }


@settings(max_examples=40, deadline=None)
@given(batches(most=2))
def test_the_threshold_is_the_best_of_all(batch):
    logits, target = batch
    made = metric(logits, target, BINARY)
    made.calibrate(made)
    if len(target.unique()) == 1:
        assert made.threshold == 0.5
        return
    scores = np.array(made.per_image()["p-pneumonia"])
    tried = np.concatenate([scores, [0.0, 0.5, 1.1]])
    best = max(sk.balanced_accuracy_score(target, scores >= t) for t in tried)
    assert made.compute()["balanced-accuracy-at-threshold"] == pytest.approx(best, abs=1e-12)
    if sk.balanced_accuracy_score(target, scores >= 0.5) == best:
        assert made.threshold == 0.5


def test_the_threshold_of_validation_decides_on_test():
    validation = metric(torch.tensor([[0.0, -3], [0, -2], [0, -1], [0, 0.5]]), torch.tensor([0, 0, 1, 1]), BINARY)
    test = metric(torch.tensor([[0.0, -1.4], [0, -1.6], [0, 2]]), torch.tensor([1, 0, 0]), BINARY)
    test.calibrate(validation)
    low, high = softmax([[0, -2], [0, -1]], 1)[:, 1]
    scores = test.compute()
    assert scores["threshold"] == pytest.approx((low + high) / 2)
    assert (scores["sensitivity"], scores["sensitivity-at-threshold"]) == (0, 1)
    assert (scores["accuracy-at-threshold"], scores["specificity-at-threshold"]) == (2 / 3, 0.5)
    assert validation.threshold == 0.5


def test_a_threshold_between_adjacent_floats_parts_them():
    low = torch.tensor(0.25, dtype=torch.float64)
    scores = torch.stack([low, torch.nextafter(low, low + 1)])
    threshold = best_threshold(scores, torch.tensor([False, True]))
    assert (scores >= threshold).tolist() == [False, True]


@settings(max_examples=60, deadline=None)
@given(batches(most=2))
def test_the_curve_is_scikit_learns(batch):
    logits, target = batch
    made = metric(logits, target, BINARY)
    if len(target.unique()) == 1:
        with pytest.raises(MmtkError, match="ROC"):
            made.curve()
        return
    fpr, tpr = made.curve()
    p = np.array(made.per_image()["p-pneumonia"])
    wanted = sk.roc_curve(target, p, drop_intermediate=False)
    np.testing.assert_allclose(np.stack([fpr, tpr]), wanted[:2], atol=1e-6)
    assert torch.trapezoid(tpr, fpr).item() == pytest.approx(made.compute()["auroc"], abs=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_logits_that_are_not_finite_name_the_images(bad):
    with pytest.raises(MmtkError, match=r"not finite for b, c\."):
        metric(torch.tensor([[0, 1.0], [bad, 0], [0, bad]]), torch.tensor([0, 1, 0]), BINARY, list("abc"))


def test_what_does_not_fit_is_refused():
    logits, target = torch.zeros(2, 2), torch.tensor([0, 1])
    with pytest.raises(MmtkError, match="Unknown labels for b"):
        metric(logits, torch.tensor([0, 2]), BINARY, ["a", "b"])
    for wrong in (
        (torch.zeros(2, 3), target, ["a", "b"]),
        (logits, target, ["a"]),
        (logits, target[:1], ["a", "b"]),
    ):
        with pytest.raises(MmtkError, match="do not fit"):
            metric(*wrong[:2], BINARY, wrong[2])
    other = Segmentation(("lung",), False, {})
    for method in ("merge", "calibrate"):
        with pytest.raises(MmtkError, match="Segmentation"):
            getattr(Classification(BINARY), method)(other)
