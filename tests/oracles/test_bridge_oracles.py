"""The saliency bridge against its derivative by hand (eq. 3) and SciPy's interpolation (eq. 4)."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracle_inputs import FEW, SEEDS, TOLERANCE, logits, spread, tensors
from scipy.ndimage import map_coordinates

from mmtk.components.bridge.none import NoBridge
from mmtk.components.bridge.saliency import Saliency
from mmtk.gradients import input_gradient


class Layers:
    """Scores V tanh(W x + b) of flattened images: two layers, differentiated by hand in NumPy."""

    def __init__(self, pixels: int, classes: int, seed: int) -> None:
        self.w, self.b = spread((5, pixels), seed, 0.5), spread((5,), seed + 1, 0.5)
        self.v = spread((classes, 5), seed + 2, 1.0)

    def __call__(self, images, *, statistics=True):
        w, b, v = tensors(self.w, self.b, self.v)
        return torch.tanh(images.flatten(1) @ w.T + b) @ v.T

    def scores(self, x):
        return np.tanh(x.reshape(len(x), -1) @ self.w.T + self.b) @ self.v.T

    def gradient(self, x, classes):
        """∂ score of the class / ∂x = Wᵀ (v ⊙ (1 − tanh²)), image by image."""
        rows = []
        for image, k in zip(x, classes, strict=True):
            hidden = np.tanh(self.w @ image.ravel() + self.b)
            rows.append((self.w.T @ (self.v[k] * (1 - hidden**2))).reshape(image.shape))
        return np.stack(rows)


@st.composite
def problems(draw):
    """Images [B,C,H,W] with any values, sides a multiple of the stride, and two to four classes."""
    stride = draw(st.sampled_from([1, 2, 4]))
    count, channels = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    shape = (count, channels, stride * draw(st.integers(1, 3)), stride * draw(st.integers(1, 3)))
    classes = draw(st.integers(2, 4))
    return draw(logits(*shape)), Layers(int(np.prod(shape[1:])), classes, draw(SEEDS)), stride


def resized(x, height, width):
    """Bilinear interpolation of [B,C,H,W] with aligned corners, by SciPy."""
    rows, columns = np.linspace(0, x.shape[2] - 1, height), np.linspace(0, x.shape[3] - 1, width)
    grid = np.meshgrid(rows, columns, indexing="ij")
    planes = [map_coordinates(plane, grid, order=1) for plane in x.reshape(-1, *x.shape[2:])]
    return np.stack(planes).reshape(*x.shape[:2], height, width)


@FEW
@given(problems())
def test_equations_3_and_4(problem):
    """|∂ best score / ∂x|, the largest over the channels, beside the image, at the size of the skip."""
    x, layers, stride = problem
    scores = np.sort(layers.scores(x), 1)
    assume((scores[:, -1] - scores[:, -2] > 1e-9).all())  # of equal scores none is the best
    expected = np.abs(layers.gradient(x, layers.scores(x).argmax(1))).max(1, keepdims=True)
    bridge = Saliency(x.shape[1], stride=stride)
    joined, shown = bridge(*tensors(x), layers)
    np.testing.assert_allclose(shown, expected, rtol=0, atol=TOLERANCE)
    both = np.concatenate([x, expected], 1)
    assert (bridge.channels, bridge.stride) == (both.shape[1], stride)
    small = resized(both, x.shape[2] // stride, x.shape[3] // stride)
    np.testing.assert_allclose(joined, small, rtol=0, atol=TOLERANCE)


@FEW
@given(problems(), st.data())
def test_equation_3_of_a_chosen_class(problem, data):
    x, layers, _ = problem
    chosen = data.draw(hnp.arrays(np.int64, len(x), elements=st.integers(0, len(layers.v) - 1)))
    expected = np.abs(layers.gradient(x, chosen)).max(1, keepdims=True)
    images, classes = tensors(x, chosen)
    np.testing.assert_allclose(input_gradient(images, layers, classes), expected, rtol=0, atol=TOLERANCE)


@FEW
@given(problems())
def test_none_joins_no_channel(problem):
    x, layers, _ = problem
    joined, shown = NoBridge()(*tensors(x), layers)
    assert (tuple(joined.shape), shown) == ((len(x), NoBridge.channels, *x.shape[2:]), None)
