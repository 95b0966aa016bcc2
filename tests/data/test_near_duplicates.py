"""Near-identical images: the short comparison finds all that a comparison of every pair finds."""

import numpy as np
import pytest

from mmtk.data import near_duplicates
from mmtk.data.near_duplicates import SIDE, THRESHOLD, alike, details, directions


def films(count: int, rng: np.random.Generator) -> np.ndarray:
    """Random images [count,1,64,64] with structure at every scale."""
    steps = rng.normal(size=(count, 1, 64, 64)).cumsum(2).cumsum(3)
    low, high = steps.min((2, 3), keepdims=True), steps.max((2, 3), keepdims=True)
    return np.round(255 * (steps - low) / (high - low)).astype(np.uint8)


def every_pair(ones: np.ndarray, others: np.ndarray) -> list[tuple[int, int]]:
    pictures = others.reshape(-1, SIDE, SIDE)
    ways = [np.rot90(side, turns, (1, 2)) for side in (pictures, pictures[..., ::-1]) for turns in range(4)]
    product = np.max([np.abs(ones @ way.reshape(len(others), -1).T) for way in ways], axis=0)
    return [(int(one), int(other)) for one, other in np.argwhere(product >= THRESHOLD)]


@pytest.mark.parametrize("count", [1, 40, 700])
def test_no_pair_is_missed(count):
    rng = np.random.default_rng(count)
    train, scored = films(count, rng), films(60, rng)
    scored[::7] = train[rng.integers(count, size=len(scored[::7]))]
    scored[3::7] = train[rng.integers(count, size=len(scored[3::7])), ..., ::-1]
    scored[1::7] = np.rot90(train[rng.integers(count, size=len(scored[1::7]))], 1, (2, 3))
    scored[2::7] = 255 - train[rng.integers(count, size=len(scored[2::7]))]
    darker = train[rng.integers(count, size=len(scored[5::7]))] * 0.7 + rng.normal(0, 1, scored[5::7].shape)
    scored[5::7] = darker.clip(0, 255).astype(np.uint8)
    ones, others = details(train), details(scored)
    pairs = list(alike(ones, others, directions(ones)))
    assert pairs == every_pair(ones, others)
    assert {other for _, other in pairs} >= {n for n in range(60) if n % 7 in (0, 1, 2, 3)}


@pytest.mark.parametrize("count", [0, 1, 40, 300])
def test_directions_are_orthonormal_and_those_of_the_largest_differences(count):
    descriptors = details(films(count, np.random.default_rng(count)))
    basis = directions(descriptors)
    assert basis.shape == (SIDE**2, min(count, near_duplicates._BASIS))
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-5)
    values = np.linalg.svd(descriptors, compute_uv=False)[: basis.shape[1]] if count else np.zeros(0)
    assert ((descriptors @ basis) ** 2).sum() == pytest.approx((values**2).sum(), rel=1e-4)


def test_images_without_structure_have_directions_and_resemble_nothing():
    flat = details(np.full((5, 1, 64, 64), 90, np.uint8))
    basis = directions(flat)
    np.testing.assert_allclose(basis.T @ basis, np.eye(5), atol=1e-6)
    assert list(alike(flat, flat, basis)) == []
