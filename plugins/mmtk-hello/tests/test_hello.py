"""ssl/hello keeps the contract of its kind, and its recipe is whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mmtk_hello import Entropy
from scipy.special import softmax
from scipy.stats import entropy

import mmtk
from mmtk.api import Labelled, StepContext, Unlabelled
from mmtk.testing import suite


@pytest.mark.parametrize("check", suite("ssl", Entropy), ids=str)
def test_contract(check):
    check()


def test_the_recipe_is_fine():
    recipe = mmtk.load_recipe(Path(__file__).parents[1] / "recipe.toml")
    assert recipe.name == "MultiMix with hello"


# --- the equation --------------------------------------------------------------------------------------------


class Logits:
    """The logits of an image [1,1,C] are its pixels."""

    def __call__(self, images, *, statistics=True):
        return images[:, 0, 0]


def entropy_of(logits, **keys):
    """The term for float64 logits [B,C], and every image that a gradient could come back to."""
    known, plain = (torch.zeros(len(logits), 1, 1, logits.shape[1], dtype=torch.float64) for _ in range(2))
    weak = logits[:, None, None]
    for each in (known, plain):
        each.requires_grad_()
    labelled = Labelled(known, torch.zeros(len(logits), dtype=torch.long), torch.arange(len(logits)))
    others = Unlabelled(plain, torch.arange(len(logits)), {"weak": (weak,)})
    term = Entropy(lambda *_: {}, **keys).terms(Logits(), labelled, others, StepContext(0, 0, 9))["entropy"]
    return term, known, plain


SIZES = st.tuples(st.integers(1, 5), st.integers(2, 4))
LOGITS = SIZES.flatmap(
    lambda size: hnp.arrays(np.float64, size, elements=st.sampled_from([-1e4, -40.0, 0.0, 1e4]) | st.floats(-6, 6))
)


@settings(deadline=None, max_examples=50)
@given(LOGITS, st.sampled_from([0.0, 0.1, 2.0]))
def test_the_entropy_of_any_logits(logits, weight):
    term, *_ = entropy_of(torch.from_numpy(logits), weight=weight)
    assert term.value.item() == pytest.approx(entropy(softmax(logits, 1), axis=1).mean(), abs=1e-6)
    assert term.weight == weight


@pytest.mark.parametrize("classes", [2, 4])
def test_its_gradient(classes):
    logits = torch.randn(3, classes, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(lambda x: entropy_of(x)[0].value, logits.requires_grad_())


def test_it_learns_from_the_weak_view_alone():
    logits = torch.randn(3, 2, dtype=torch.float64).requires_grad_()
    term, known, plain = entropy_of(logits)
    weak, *others = torch.autograd.grad(term.value, [logits, known, plain], allow_unused=True)
    assert weak.abs().max() > 0
    assert others == [None, None]
