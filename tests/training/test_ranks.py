"""A run divided among processes: the numbers of one process, one writer, and an end for all when one is gone."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import fork_server
import pytest
import torch
from ranked import CASES, EXACT, SYSTEMS, steps, training
from safetensors.torch import load_file
from tiny import tiny
from torch import nn

from mmtk.api import Labelled, StepContext, Unlabelled
from mmtk.data.batches import rank_rows
from mmtk.errors import MmtkError
from mmtk.io import distributed
from mmtk.io.files import read_json, read_lines
from mmtk.runs.folder import RunDir
from mmtk.workflows.run import run

TESTS = Path(__file__).parents[1]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]

# A component that, on rank 1 and in step 6, does what the file `fate` says, if there is one; SIGTERM comes to a
# process that is alone as well.
CODE = '''
"""A strategy that meets a fate."""
import os, signal
from pathlib import Path
from mmtk.api import SSL

class Fated(SSL):
    """Labelled images only."""

    def __init__(self, supervised):
        super().__init__()
        self.supervised = supervised

    def terms(self, classify, labelled, unlabelled, now):
        """The supervised loss."""
        terms = self.supervised(classify, labelled)
        fate = Path("fate")
        what = fate.read_text() if fate.exists() else ""
        if what and now.index == 5 and (now.rank == 1 or (now.world, what) == (1, "SIGTERM")):
            if what == "NaN":
                terms["cross-entropy"].value = terms["cross-entropy"].value * float("nan")
            elif what == "bug":
                raise TypeError("a mistake of this component")
            else:
                os.kill(os.getpid(), getattr(signal, what))
        return terms
'''


def compared(cases: list[str], tmp_path: Path, **environment: str) -> None:
    """Two ranks give the gradients and the terms of one process."""
    file = tmp_path / "two.safetensors"
    call = [fork_server.python(), *TORCHRUN, str(TESTS / "ranked.py"), str(file), *cases]
    done = subprocess.run(call, capture_output=True, text=True, env=os.environ | environment)
    assert done.returncode == 0, done.stderr
    two, one = load_file(file), steps(cases, tmp_path / "one")
    assert set(two) == set(one)
    for name, value in one.items():
        scale = value.abs().max().clamp_min(1).item()
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-12 * scale, msg=lambda m, n=name: f"{n}: {m}")
    assert sum("gradient" in name and bool(value.any()) for name, value in one.items()) > 10 * len(cases)


@pytest.mark.long
def test_two_ranks_give_the_gradients_and_terms_of_one_process(tmp_path: Path) -> None:
    compared(["enc", "multimix", "all at once", "fine-tuning"], tmp_path)


@pytest.mark.long
def test_so_do_they_with_every_system(tmp_path: Path) -> None:
    compared([name for name in SYSTEMS if name not in ("enc", "multimix")], tmp_path)


@pytest.mark.long
def test_the_strategies_of_the_zoos_give_them_too(tmp_path: Path) -> None:
    compared([case for case in CASES if "/" in case], tmp_path)


def test_mixmatch_on_two_ranks_is_the_mean_of_two_halves(tmp_path: Path) -> None:
    """It mixes within a rank, by draws of its own: each half of the two streams as if it were alone."""
    made = training("enc-mm", tmp_path)
    made.close()
    halves = []
    for rank in (0, 1):
        batch = made.loader.batch(StepContext(made.recipe.seed, 0, made.total, rank, 2))
        assert batch.classification is not None
        labelled, unlabelled = batch.classification
        assert len(labelled.image) == len(unlabelled["weak"][0]) == 2
        halves.append(made.objective(batch).loss)
    assert halves[0] != halves[1]
    draws = [StepContext(0, 0, 1, rank, 2).generator("mixmatch").initial_seed() for rank in (0, 1)]
    assert draws[0] == StepContext(0, 0, 1).generator("mixmatch").initial_seed() != draws[1]


def test_every_row_of_a_batch_goes_to_one_rank_and_partners_stay_together() -> None:
    size, ratio = 6, 2
    image = torch.arange(size * ratio)
    known = Labelled(image[:size], image[:size] * 10, image[:size])
    other = Unlabelled(image, image, {"weak": (image, image + 100)}, None)
    seen = []
    for rank in range(3):
        now = StepContext(0, 0, 1, rank, 3)
        one, two = rank_rows(known, now, size), rank_rows(other, now, size)
        assert torch.equal(one.target, one.image * 10)
        assert torch.equal(two.image[:2], one.image)  # the first unlabelled images are the labelled ones' partners
        assert torch.equal(two["weak"][1], two.image + 100)
        assert two.truth is None
        seen += two.image.tolist()
    assert sorted(seen) == list(range(size * ratio))
    empty = Unlabelled(image[:0], image[:0])
    assert len(rank_rows(empty, StepContext(0, 0, 1, 1, 3), size).image) == 0


def test_a_batch_that_does_not_divide_and_absent_gpus_are_refused() -> None:
    with pytest.raises(MmtkError, match=r"train.batch = 10 cannot be divided equally among 4 devices") as refused:
        distributed.check(4, "cpu", 10)
    assert refused.value.hint == "Use 1, 2, 5, 10 devices, or --set train.batch=12."
    assert distributed.check(5, "cpu", 10) == 5
    assert distributed.check(None, "cpu", 10) == 1
    there = torch.cuda.device_count()
    with pytest.raises(MmtkError, match=f"{there + 1} GPUs asked for, but torch sees {there}"):
        distributed.check(there + 1, "cuda", 12 * (there + 1))


@pytest.fixture
def as_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    """What torchrun tells a rank."""
    told = {"TORCHELASTIC_RUN_ID": "x", "RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("as_rank")
def test_devices_and_torchrun_have_to_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    assert distributed.check(None, "cpu", 4) == distributed.check(2, "cpu", 4) == 2
    with pytest.raises(MmtkError, match="--devices 4: torchrun started 2 processes"):
        distributed.check(4, "cpu", 4)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    with pytest.raises(MmtkError, match="one machine"):
        distributed.check(None, "cpu", 4)


@pytest.mark.usefixtures("as_rank")
def test_batch_norm_is_shared_on_gpus_and_refused_on_cpus() -> None:
    """Converted, a network has the same parameters and, in evaluation, the same output, timm's activations too."""
    import timm

    net = timm.create_model("resnet18", features_only=True, in_chans=1).eval()
    mixed = nn.ModuleList([net, timm.create_model("efficientnet_b0", features_only=True, in_chans=1).eval()])
    x = torch.rand(1, 1, 64, 64)
    before, parameters = [each(x) for each in mixed], {name: id(p) for name, p in mixed.named_parameters()}
    with pytest.raises(MmtkError, match="batch norms, whose statistics torch cannot share"):
        distributed.share_batch_norm(mixed, "cpu")
    distributed.share_batch_norm(mixed, "cuda")
    assert {name: id(p) for name, p in mixed.named_parameters()} == parameters
    norms = [each for each in mixed.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert all(isinstance(each, nn.SyncBatchNorm) for each in norms)
    for ours, theirs in zip([each(x) for each in mixed], before, strict=True):
        torch.testing.assert_close(ours, theirs)


# --- whole runs --------------------------------------------------------------------------------------------------


class Folder:
    """A folder with a fated recipe; ``mmtk`` calls in it."""

    def __init__(self, path: Path) -> None:
        self.path, self.run = path, path / "run"
        (path / "code.py").write_text(CODE)
        recipe = tiny("enc", **EXACT, train__steps=8)
        (path / "recipe.toml").write_text(
            recipe.toml().replace('[ssl]\nuse = "none"', '[ssl]\nuse = "code/Fated"')
        )

    def call(
        self, *arguments: str, under: list[str] | None = None, fate: str = ""
    ) -> subprocess.CompletedProcess[str]:
        (self.path / "fate").write_text(fate) if fate else (self.path / "fate").unlink(missing_ok=True)
        command = [*(under or []), "-m", "mmtk", "run", "recipe.toml", "--code", "code.py", "--out", "run"]
        command += ["--no-pictures"]
        call = [fork_server.python(), *command, *arguments]
        done = subprocess.run(call, cwd=self.path, capture_output=True, text=True, timeout=400)
        if not under and fate != "bug":  # torchrun ends in a traceback of its own
            assert "Traceback" not in done.stderr, done.stderr
        assert not self.alive()
        return done

    def alive(self) -> list[str]:
        """Processes that run in this folder."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "cwd").readlink() == self.path:
                    found.append((process / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
        return found

    def same_as(self, other: Path) -> None:
        """The numbers of another run."""
        ours, theirs = read_lines(self.run / "metrics.jsonl"), read_lines(other / "metrics.jsonl")
        assert [sorted(row) for row in ours] == [sorted(row) for row in theirs]
        for row, expected in zip(ours, theirs, strict=True):
            assert row == pytest.approx(expected, abs=1e-9)
        for domain in ("in-domain", "cross-domain"):
            expected = read_json(other / "results.json")[domain]["classification"]
            assert read_json(self.run / "results.json")[domain]["classification"] == pytest.approx(
                expected, abs=1e-6
            )
        assert not list(self.run.rglob("*.tmp"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    run(tiny("enc", **EXACT, train__steps=8), out, pictures=False)
    return out


@pytest.mark.long
def test_a_killed_rank_ends_the_run_and_one_process_finishes_it(tmp_path: Path, whole: Path, tried) -> None:
    tried("SIGKILL: one of two ranks", "the other ends with a message; resumed to the same numbers")
    folder = Folder(tmp_path)
    killed = folder.call("--devices", "2", fate="SIGKILL")
    assert killed.returncode == 1, killed.stderr
    assert "process 1 of 2 was killed by SIGKILL" in killed.stderr
    assert "UserWarning" not in killed.stderr
    assert "Continue, with any number of --devices: mmtk run run" in killed.stderr
    assert not RunDir(folder.run).finished
    finished = folder.call()
    assert finished.returncode == 0, finished.stderr
    assert "Continuing after step 4 of 8" in finished.stderr
    folder.same_as(whole)


@pytest.mark.long
def test_every_other_end_is_told_once_and_any_number_of_ranks_goes_on(tmp_path: Path, whole: Path) -> None:
    folder = Folder(tmp_path)
    poisoned = folder.call("--devices", "2", fate="NaN")
    assert (poisoned.returncode, poisoned.stderr.count("the loss is not finite in step 6")) == (1, 1)
    stopped = folder.call(under=TORCHRUN, fate="SIGTERM")
    assert stopped.returncode == 1  # torchrun's own
    assert stopped.stderr.count("stopped after step 6 of 8") == 1
    broken = folder.call("--devices", "1", fate="bug")  # no rank 1 that would meet it
    assert broken.returncode == 0, broken.stderr
    folder.same_as(whole)
    again = folder.call("--devices", "2", "--json")
    assert again.returncode == 0
    assert json.loads(again.stdout)["results"] == read_json(folder.run / "results.json")


@pytest.mark.long
def test_two_ranks_finish_what_one_process_began(tmp_path: Path, whole: Path) -> None:
    folder = Folder(tmp_path)
    stopped = folder.call(fate="SIGTERM")
    assert stopped.returncode == 143
    assert stopped.stderr.count("stopped after step 6 of 8") == 1
    finished = folder.call("--devices", "2")
    assert finished.returncode == 0, finished.stderr
    assert "Continuing after step 6 of 8" in finished.stderr
    folder.same_as(whole)


@pytest.mark.long
def test_four_ranks_finish_what_two_began(tmp_path: Path, whole: Path) -> None:
    folder = Folder(tmp_path)
    began = folder.call("--devices", "2", fate="bug")
    assert (began.returncode, began.stderr.count("TypeError: a mistake of this component")) == (1, 1)
    lost = folder.call(under=TORCHRUN, fate="SIGKILL")
    assert lost.returncode == 1
    assert "rank 0: another process of this run has ended" in lost.stderr
    told = folder.call("--devices", "2", fate="SIGINT")
    assert (told.returncode, told.stderr.count("stopped after step 6 of 8")) == (130, 1)
    finished = folder.call("--devices", "4", "--json")
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["results"] == read_json(folder.run / "results.json")
    assert read_json(folder.run / "provenance.json")["command"][1:3] == ["run", "recipe.toml"]
    folder.same_as(whole)
