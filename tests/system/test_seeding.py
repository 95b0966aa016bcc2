"""Random numbers as pure functions of a key."""

import hashlib
import math

import pytest
import torch

from mmtk.api import StepContext
from mmtk.seeding import generator, seed_of, seeded


@pytest.mark.parametrize("key", [(0,), (3, "order", "labelled", 7), ("phantom", 0, "chex", "label")])
def test_a_seed_is_the_first_63_bits_of_the_hash_of_its_key(key):
    text = "/".join(map(str, key)).encode()
    assert seed_of(*key) == int(hashlib.sha256(text).hexdigest()[:16], 16) // 2


def test_seeds_never_change():
    """Published runs depend on these numbers."""
    assert seed_of(0, "order", "classification", "labelled") == 73936025879538925


def test_keys_do_not_collide():
    keys = [(seed, purpose, step) for seed in range(5) for purpose in ("order", "init") for step in range(200)]
    assert len({seed_of(*key) for key in keys}) == len(keys)


def test_generators_draw_by_key_alone():
    first, again, other = generator(1, "a"), generator(1, "a"), generator(1, "b")
    torch.manual_seed(7)
    one = torch.rand(5, generator=first)
    torch.manual_seed(8)
    assert torch.equal(torch.rand(5, generator=again), one)
    assert not torch.equal(torch.rand(5, generator=other), one)


def test_seeded_draws_by_key_and_restores_the_state():
    torch.manual_seed(7)
    state = torch.random.get_rng_state()
    with seeded(1, "a"):
        one = torch.rand(5)
        with seeded(1, "b"):
            torch.rand(3)
        two = torch.rand(5)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(8)
    with seeded(1, "a"):
        assert torch.equal(torch.cat([torch.rand(5), torch.rand(5)]), torch.cat([one, two]))


def test_seeded_restores_the_state_after_an_error():
    state = torch.random.get_rng_state()
    with pytest.raises(RuntimeError), seeded(1):
        torch.rand(-1)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_step_draws_by_seed_purpose_and_index():
    def draw(now, purpose):
        return torch.rand(3, generator=now.generator(purpose)).tolist()

    first = draw(StepContext(1, 5, 10), "mix")
    assert draw(StepContext(1, 5, 99, rank=0, world=2), "mix") == first
    ranks = [draw(StepContext(1, 5, 10, rank, 3), "mix") for rank in (1, 2)]  # each draws for its own rows
    others = [
        draw(StepContext(2, 5, 10), "mix"),
        draw(StepContext(1, 6, 10), "mix"),
        draw(StepContext(1, 5, 10), "cut"),
        *ranks,
    ]
    assert ranks[0] != ranks[1]
    assert first not in others


@pytest.mark.parametrize(
    ("index", "total", "progress"), [(0, 11, 0), (5, 11, 0.5), (10, 11, 1), (0, 1, 0), (20, 11, 1)]
)
def test_progress_runs_from_0_to_1(index, total, progress):
    assert StepContext(0, index, total).progress == progress


def test_gather_in_one_process_gives_no_gradient():
    x = torch.ones(2, requires_grad=True)
    assert not StepContext(0, 0, 1).gather(x).requires_grad


@pytest.mark.parametrize(
    ("length", "index", "x"), [(0.4, 0, 0), (0.4, 2, 0.5), (0.4, 4, 1), (0.4, 10, 1), (1.0, 5, 0.5), (0, 0, 1)]
)
def test_ramps_rise_over_their_share_of_the_training(length, index, x):
    now = StepContext(0, index, 11)
    assert now.ramp(length) == pytest.approx(x)
    assert now.ramp(length, "sigmoid") == pytest.approx(math.exp(-5 * (1 - x) ** 2))
