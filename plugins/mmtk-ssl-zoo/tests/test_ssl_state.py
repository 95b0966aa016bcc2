"""What is remembered: averages in closed form, repeated steps, checkpoints, and two processes against one."""

import pytest
import torch
import torch.distributed as dist
from mmtk.api import StepContext
from ssl_oracle import CASES, IDS, STEPS, FirstPixels, make, run, step, tensors

from mmtk_ssl_zoo.state import State

# The cases in which the state counts within a few steps.
REMEMBERED = [(word, keys) for word, keys in CASES if "momentum" in keys or (word == "flexmatch" and keys)]


# --- one process ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.999])
def test_an_average_after_k_steps_is_the_closed_form(momentum):
    """m^k s₀ + (1 − m) Σ m^(k−1−i) x_i, with every step taken twice."""
    state = State(torch.tensor([0.5, 0.5])).double()
    batches = torch.rand(7, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for index, batch in enumerate(batches):
        for _ in range(2):
            state.average(batch, momentum, StepContext(0, index, 7))
    powers = torch.tensor([momentum ** (6 - i) for i in range(7)], dtype=torch.float64)
    expected = momentum**7 * 0.5 + (1 - momentum) * (powers[:, None] * batches).sum(0)
    torch.testing.assert_close(state.value, expected, rtol=1e-12, atol=0)


def test_an_average_stays_in_its_buffer():
    state = State(torch.tensor(0.5))
    kept = state.value
    state.average(torch.tensor(1.0), 0.9, StepContext(0, 0, 7))
    assert state.value is kept
    assert kept == pytest.approx(0.55)
    assert set(state.state_dict()) == {"value", "past", "step"}


@pytest.mark.parametrize(("word", "keys"), CASES, ids=IDS)
def test_a_repeated_step_repeats_its_terms(word, keys):
    """And leaves the same state: the next step is as if there had been no repetition."""
    once, often = make(word, 3, **keys), make(word, 3, **keys)
    for index in range(4):
        terms = run(once, step(index, 3), index)
        run(often, step(50, 3), index)  # even one with other images leaves nothing
        for _ in range(2):
            for name, term in run(often, step(index, 3), index).items():
                assert torch.equal(term.value, terms[name].value)
    for name, tensor in once.state_dict().items():
        assert torch.equal(often.state_dict()[name], tensor)


@pytest.mark.parametrize(("word", "keys"), CASES, ids=IDS)
def test_a_checkpoint_keeps_all_that_the_next_step_needs(word, keys):
    strategy = make(word, 3, **keys)
    for index in range(4):
        run(strategy, step(index, 3), index)
    restored = make(word, 3, **keys)
    restored.load_state_dict({name: tensor.clone() for name, tensor in strategy.state_dict().items()})
    for index in (3, 4):  # the step that was cut off after its checkpoint, and the next one
        terms = run(strategy, step(index, 3), index)
        for name, term in run(restored, step(index, 3), index).items():
            assert torch.equal(term.value, terms[name].value)


@pytest.mark.parametrize(("word", "keys"), REMEMBERED)
def test_what_is_remembered_matters(word, keys):
    """Without the state, the next step's terms are others: the checkpoint is not kept for nothing."""
    strategy = make(word, 3, **keys)
    for index in range(9):
        run(strategy, step(index, 3), index)
    found = [
        torch.stack([run(each, step(seed, 3), 9, FirstPixels(3, 0.3))[word].value for seed in range(20)])
        for each in (strategy, make(word, 3, **keys))
    ]
    assert not torch.allclose(*found)


# --- two processes -------------------------------------------------------------------------------------------

ROWS = 8


def ranked(strategy, classify, rank, world, index):
    """One step of a rank on its share of the batch: the terms' values and slopes by the network's weight."""
    numbers = step(20 + index, 3, count=ROWS)
    part, known = ROWS // world, len(numbers.known) // world
    mine = numbers.rows(slice(rank * part, (rank + 1) * part))
    labels = slice(rank * known, (rank + 1) * known)
    mine = type(mine)(mine.known[labels], mine.target[labels], mine.weak, mine.strong, mine.index, mine.truth)
    terms = strategy.terms(classify, *tensors(mine, strategy.views), StepContext(0, index, STEPS, rank, world))
    found = {}
    for name, term in terms.items():
        if term.weight:
            (slope,) = torch.autograd.grad(term.value, classify.scale, retain_graph=True)
            found[name] = torch.stack([term.value.detach(), slope])
    return found


def train(rank, world):
    """Every remembering strategy for three steps: values and slopes, and the state that is left."""
    results = []
    for word, keys in REMEMBERED:
        strategy, classify = make(word, 3, **keys), FirstPixels(3)
        steps = [ranked(strategy, classify, rank, world, index) for index in range(3)]
        results.append((steps, strategy.state_dict()))
    return results


def process(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.save(train(rank, 2), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.long
def test_two_processes_remember_and_train_as_one(tmp_path):
    """Each has half of the batch; the mean of their losses and gradients is that of the whole batch."""
    torch.multiprocessing.spawn(process, (tmp_path,), nprocs=2)
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for (word, _), alone, *halves in zip(REMEMBERED, train(0, 1), *ranks, strict=True):
        for name, tensor in alone[1].items():
            for _, state in halves:
                torch.testing.assert_close(state[name], tensor, msg=lambda text, word=word: f"{word}: {text}")
        for whole, *parts in zip(alone[0], *(steps for steps, _ in halves), strict=True):
            for name, expected in whole.items():
                found = torch.stack([part[name] for part in parts]).mean(0)
                torch.testing.assert_close(found, expected, msg=lambda text, name=name: f"{name}: {text}")
