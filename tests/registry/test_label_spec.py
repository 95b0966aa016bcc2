"""Logits become probabilities and predictions in one place, for classes, exclusive and independent masks."""

from __future__ import annotations

import pytest
import torch

from mmtk import builtin_scores
from mmtk.api import LabelSpec, MmtkError, Unlabelled
from mmtk.scores import to_json


def test_classes_are_the_likeliest_whatever_their_spec_says_of_masks() -> None:
    logits = torch.tensor([[0.0, 2.0], [3.0, 1.0]])
    for exclusive in (True, False):
        labels = LabelSpec("classification", ("a", "b"), exclusive=exclusive)
        assert labels.decode(logits).tolist() == [1, 0]
        assert torch.allclose(labels.probabilities(logits).sum(1), torch.ones(2))


def test_exclusive_masks_have_one_channel_a_pixel() -> None:
    labels = LabelSpec("segmentation", ("background", "lung", "heart"))
    logits = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    masks = labels.decode(logits)
    assert masks.dtype == torch.bool
    assert torch.equal(masks.sum(1), torch.ones(2, 4, 5, dtype=torch.long))
    assert torch.equal(masks, labels.probabilities(logits) == labels.probabilities(logits).amax(1, keepdim=True))


def test_independent_masks_begin_at_a_half() -> None:
    labels = LabelSpec("segmentation", ("lung", "heart"), exclusive=False)
    logits = torch.tensor([-0.1, 0.0, 0.1]).view(1, 1, 1, 3).expand(1, 2, 1, 3)
    assert labels.decode(logits).tolist() == [[[[False, True, True]]] * 2]
    assert labels.probabilities(logits)[0, 0, 0].tolist() == pytest.approx([0.475, 0.5, 0.525], abs=1e-3)


def test_a_view_that_is_not_declared_is_named() -> None:
    unlabelled = Unlabelled(torch.zeros(1, 1, 4, 4), torch.arange(1), {"weak": ()})
    with pytest.raises(MmtkError, match="the view 'strong' of unlabelled images is not declared") as caught:
        unlabelled["strong"]
    assert "Declared: weak." in str(caught.value.hint)


def test_built_in_scores_have_margins_of_equivalence_in_the_file_of_a_run() -> None:
    scores = to_json(builtin_scores.classification(("a", "b")) | builtin_scores.segmentation(("lung",)))
    assert {name: table["margin"] for name, table in scores.items() if "margin" in table} == {
        "balanced-accuracy": 0.02,
        "auroc": 0.02,
        "dice": 0.01,
        "average-hausdorff": 0.2,
        "hd95": 0.2,
    }
