"""Jobs through submitit: its local executor, and a real Slurm where one can be started (make test-cluster)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mmtk.api import Job, MmtkError
from mmtk.testing import suite
from slurm_here import NEEDED, slurm

from mmtk_slurm.launcher import Slurm

TINY = {
    "data.size": 32, "encoder.width": 4, "decoder.width": 4, "train.steps": 3, "train.batch": 2,
    "train.precision": "fp32", "data.classification.labels": 8, "data.segmentation.labels": 4,
    "data.classification.source.train": 24, "data.classification.source.val": 8,
    "data.classification.source.test": 10, "data.segmentation.source.train": 24,
    "data.segmentation.source.val": 8, "data.segmentation.source.test": 10, "tracking.enabled": "false",
}  # fmt: skip
OPTIONS = [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]


def python(folder: Path, code: str) -> Job:
    return Job(folder, (sys.executable, "-S", "-c", code, str(folder)))


def mmtk(*words: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mmtk", *words]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)


def test_jobs_are_reported_with_their_codes_and_logs(tmp_path: Path) -> None:
    jobs = [python(tmp_path / str(i), f"import sys; print('job {i}'); sys.exit({i})") for i in range(3)]
    done = {each.dir.name: each for each in Slurm(local=True).run(jobs)}
    assert {name: each.code for name, each in done.items()} == {"0": 0, "1": 1, "2": 2}
    assert [done[name].log.read_text() for name in "012"] == ["job 0\n", "job 1\n", "job 2\n"]


def test_a_job_whose_process_is_gone_is_reported(tmp_path: Path) -> None:
    """The node's own Python is killed, so that no result is ever written."""
    job = python(tmp_path / "0", "import os, signal; os.kill(os.getppid(), signal.SIGKILL)")
    (ended,) = Slurm(local=True).run([job])
    assert ended.code == 1
    assert "ended without a result" in ended.log.read_text()


def test_bad_keys_and_a_machine_without_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MmtkError, match=r"launcher\.options: 'account' has no value"):
        Slurm(options="account")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MmtkError, match="there is no sbatch here"):
        list(Slurm().run([python(tmp_path / "0", "")]))


@pytest.mark.long
@pytest.mark.parametrize("check", suite("launcher", Slurm, {"local": True}))
def test_the_contract_holds(check: Any) -> None:
    check()


# --- a real Slurm ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    missing = [name for name in NEEDED if shutil.which(name) is None]
    assert not missing, f"{', '.join(missing)}: not here. On Debian: apt-get install slurm-wlm munge"
    folder = tmp_path_factory.mktemp("slurm")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)  # munged is another user
    with slurm(folder) as environment:
        before = os.environ.get("SLURM_CONF")
        os.environ["SLURM_CONF"] = environment["SLURM_CONF"]
        yield environment
        os.environ.pop("SLURM_CONF")
        if before is not None:
            os.environ["SLURM_CONF"] = before


@pytest.mark.cluster
def test_slurm_runs_an_array(cluster: dict[str, str], tmp_path: Path) -> None:
    code = "import os, sys; print(os.environ['SLURM_ARRAY_TASK_ID']); sys.exit(int(sys.argv[1][-1] == '1'))"
    jobs = [python(tmp_path / str(i), code) for i in range(3)]
    done = {each.dir.name: each for each in Slurm(jobs=2).run(jobs)}
    assert {name: each.code for name, each in done.items()} == {"0": 0, "1": 1, "2": 0}
    assert sorted(each.log.read_text().strip() for each in done.values()) == ["0", "1", "2"]


@pytest.mark.cluster
def test_slurm_refuses_what_it_does_not_have(cluster: dict[str, str], tmp_path: Path) -> None:
    for keys, words in (({"partition": "none"}, "invalid partition"), ({"gpus": 2}, "Slurm refused the jobs")):
        with pytest.raises(MmtkError, match=words):
            list(Slurm(**keys).run([python(tmp_path / "0", "")]))


@pytest.mark.cluster
def test_a_job_that_would_wait_for_ever_is_ended(
    cluster: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmtk_slurm.launcher.ASK", 2.0)
    (ended,) = Slurm(partition="short", time=30).run([python(tmp_path / "0", "")])
    assert ended.code == 1
    assert "PartitionTimeLimit" in ended.log.read_text()


@pytest.mark.cluster
def test_a_job_that_slurm_cancels_is_reported(
    cluster: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmtk_slurm.launcher.ASK", 2.0)
    code = "import os, subprocess; subprocess.run(['scancel', '--signal=KILL', os.environ['SLURM_JOB_ID']])"
    (ended,) = Slurm().run([python(tmp_path / "0", code + "; import time; time.sleep(60)")])
    assert ended.code == 1
    assert "ended without a result" in ended.log.read_text()


@pytest.mark.cluster
def test_a_preempted_job_is_queued_again_and_goes_on(cluster: dict[str, str], tmp_path: Path) -> None:
    """Slurm's warning reaches the job in the middle; it goes on from where it was in its next turn."""
    code = (
        "import os, pathlib, signal, subprocess, sys, time; folder = pathlib.Path(sys.argv[1])\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        "open(folder / 'began', 'a').write('x')\n"
        "for step in range((folder / 'steps').stat().st_size if (folder / 'steps').exists() else 0, 10):\n"
        "    time.sleep(0.1); open(folder / 'steps', 'a').write('s')\n"
        "    if step == 4:\n"
        "        subprocess.run(['scancel', '--batch', '--signal=USR2', os.environ['SLURM_JOB_ID']])\n"
        "        subprocess.run(['scancel', '--signal=USR2', os.environ['SLURM_JOB_ID']]); time.sleep(5)\n"
    )
    (ended,) = Slurm().run([python(tmp_path / "0", code)])
    assert (ended.code, (tmp_path / "0" / "began").read_text()) == (0, "xx"), ended.log.read_text()
    assert (tmp_path / "0" / "steps").read_text() == "s" * 10


@pytest.mark.cluster
def test_a_study_that_nobody_waits_for(cluster: dict[str, str], tmp_path: Path) -> None:
    """--detach returns while the runs are queued; status shows them, and the study collects them later."""
    begun = mmtk(
        "ablate", "--components", "saliency", "--launcher", "slurm", "--detach", "--out", "s", *OPTIONS,
        cwd=tmp_path, env=cluster,
    )  # fmt: skip
    assert begun.returncode == 0, begun.stdout + begun.stderr
    assert "3 runs are queued" in begun.stdout
    assert "mmtk status s" in begun.stdout
    deadline = time.monotonic() + 400
    while len(list(tmp_path.glob("runs/*/done.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(1)
    assert "3 done" in mmtk("status", "s", cwd=tmp_path).stdout
    collected = mmtk("ablate", "s", cwd=tmp_path)
    assert collected.returncode == 0, collected.stderr
    assert "0 to do" in collected.stdout
    assert (tmp_path / "s/report/index.html").is_file()
    assert all(json.loads(path.read_text())["in-domain"] for path in tmp_path.glob("runs/*/results.json"))
