"""Jobs through submitit: its local executor, and a real Slurm where one can be started (make test-cluster)."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from mmtk.api import Job, JobResult, MmtkError
from mmtk.testing import suite
from slurm_here import NEEDED, slurm

from mmtk_slurm import launcher
from mmtk_slurm.launcher import Slurm

TINY = {
    "data.size": 32,
    "encoder.width": 4,
    "decoder.width": 4,
    "train.steps": 3,
    "train.batch": 2,
    "train.precision": "fp32",
    "data.classification.labels": 8,
    "data.segmentation.labels": 4,
    "data.classification.source.train": 24,
    "data.classification.source.val": 8,
    "data.classification.source.test": 10,
    "data.segmentation.source.train": 24,
    "data.segmentation.source.val": 8,
    "data.segmentation.source.test": 10,
    "tracking.enabled": "false",
}
OPTIONS = [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]


def python(folder: Path, code: str) -> Job:
    return Job(folder, (sys.executable, "-S", "-c", code, str(folder)))


def mmtk(*words: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mmtk", *words]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)


SLOW = """
import pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
told = []
# As mmtk run: told twice, it ends at once.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1) if told else told.append(1))
open(folder / "began", "a").write("x")
for _ in range((folder / "steps").stat().st_size if (folder / "steps").exists() else 0, 40):
    time.sleep(0.2); open(folder / "steps", "a").write("s")
    if told:
        sys.exit(143)
"""


def wait_for(met: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results are files: nobody has to wait a second for them here."""
    monkeypatch.setattr(launcher, "LOOK", 0.05)


@pytest.mark.usefixtures("quick_looks")
def test_jobs_are_reported_with_their_codes_and_logs(tmp_path: Path) -> None:
    jobs = [python(tmp_path / str(i), f"import sys; print('job {i}'); sys.exit({i})") for i in range(3)]
    done = {each.dir.name: each for each in Slurm(local=True).run(jobs)}
    assert {name: each.code for name, each in done.items()} == {"0": 0, "1": 1, "2": 2}
    assert [done[name].log.read_text() for name in "012"] == ["job 0\n", "job 1\n", "job 2\n"]


@pytest.mark.usefixtures("quick_looks")
def test_a_job_whose_process_is_gone_is_reported(tmp_path: Path) -> None:
    """The node's own Python is killed, so that no result is ever written."""
    job = python(tmp_path / "0", "import os, signal; os.kill(os.getppid(), signal.SIGKILL)")
    (ended,) = Slurm(local=True).run([job])
    assert ended.code == 1
    assert "ended without a result" in ended.log.read_text()


@pytest.mark.usefixtures("quick_looks")
def test_a_job_takes_several_runs_as_forks_of_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One run fails, the others do not notice; a run that is alone in its job begins by itself."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "probe.py").write_text(
        "import os, sys\nprint(os.getppid(), 'wave' in sys.modules)\nsys.exit(int(sys.argv[1]))\n"
    )
    jobs = [Job(tmp_path / str(i), (sys.executable, "-m", "probe", str(i % 2))) for i in range(4)]
    slurm_here = Slurm(local=True, runs=3)
    slurm_here.prepare(["wave"])
    ended = {result.dir.name: result for result in slurm_here.run(jobs)}
    assert {name: result.code for name, result in ended.items()} == {"0": 0, "1": 1, "2": 0, "3": 1}
    parents, warm = zip(*(ended[name].log.read_text().split() for name in "0123"), strict=True)
    assert warm == ("True", "True", "True", "False")
    assert len({*parents[:3]}) == 1 < len({*parents})


def test_short_runs_share_a_job_and_long_ones_do_not(tmp_path: Path) -> None:
    def shares(*seconds: float, runs: int = 0) -> list[list[float]]:
        jobs = [Job(tmp_path, (), seconds=one) for one in seconds]
        return [[job.seconds for job in share] for share in Slurm(local=True, runs=runs)._shares(jobs)]

    assert shares(50, 50, 50, 200, 10, 10) == [[50, 50], [50], [200], [10, 10]]
    assert shares(0, 0, 10) == [[0], [0], [10]]
    assert shares(500, 500, 500, runs=2) == [[500, 500], [500]]


NODE = """
import signal, sys
from mmtk_slurm.job import Work
work = Work()
folder, modules = sys.argv[1], sys.argv[2:]
def turn(*_):
    again = work.checkpoint(commands, folder, 1, modules)
    print(again.function._codes, flush=True)
    sys.exit(75)
signal.signal(signal.SIGUSR2, turn)
commands = [((sys.executable, "-m", "quick"), folder), ((sys.executable, "-m", "slow", folder), folder)]
sys.exit(work(commands, folder, 1, modules)[-1])
"""


@pytest.mark.parametrize("modules", [[], ["wave"]], ids=["processes", "forks"])
@pytest.mark.parametrize(("told", "code"), [(signal.SIGUSR2, 75), (signal.SIGTERM, 143)])
def test_a_command_ends_after_its_step_when_slurm_says_so(
    tmp_path: Path, told: int, code: int, modules: list[str]
) -> None:
    """Not at once, as USR2 by itself would end it, and not never; the next turn knows what has ended."""
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "quick.py").write_text("raise SystemExit(3)")
    command = [sys.executable, "-c", NODE, str(tmp_path), *modules]
    node = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    wait_for(lambda: (tmp_path / "steps").exists() and (tmp_path / "steps").stat().st_size > 0)
    for _ in range(3):  # as Slurm and srun do
        os.killpg(node.pid, told)
        time.sleep(0.02)
    assert node.wait(20) == code
    assert node.stdout is not None
    assert node.stdout.read() == ("[3]\n" if told == signal.SIGUSR2 else "")
    done = (tmp_path / "steps").stat().st_size
    time.sleep(0.5)
    assert (tmp_path / "steps").stat().st_size == done < 40


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


# Nobody can miss the difference: one system hardly learns.
UNTIL_SETTLED = [
    "ablate",
    "unet",
    "--components",
    "train.lr=0.00001+0.01",
    "--until",
    "settled",
    "--max-seeds",
    "10",
]
UNTIL_SETTLED += ["--out", "s", "--set", "train.validate_every=12"]
for key, value in TINY.items() | {("data.segmentation.cross.test", 24), ("data.segmentation.cross.size", 32)}:
    if "classification" not in key:
        changed = {"train.steps": 12, "data.segmentation.source.test": 24}.get(key, value)
        UNTIL_SETTLED += ["--set", f"{key}={changed}"]


def finished(folder: Path) -> int:
    """Number of runs that have finished."""
    return len(list(folder.glob("runs/*/done.json")))


def wait_for_runs(folder: Path, count: int) -> None:
    """Until so many runs have finished."""
    wait_for(lambda: finished(folder) == count, 400)


@pytest.mark.long
def test_a_study_adds_seeds_until_it_is_settled(tmp_path: Path) -> None:
    """Every round is an array of its own, of the systems whose question is open."""
    ended = mmtk(*UNTIL_SETTLED, "--launcher", "slurm", "--launch", "local=true", cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "open at 3 seeds; another seed" in ended.stderr
    assert "settled at" in ended.stderr
    assert 6 < finished(tmp_path) < 20


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
def test_slurm_refuses_what_it_does_not_have(
    cluster: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for keys, words in (({"partition": "none"}, "invalid partition"), ({"gpus": 2}, "Slurm refused the jobs")):
        with pytest.raises(MmtkError, match=words):
            list(Slurm(**keys).run([python(tmp_path / "0", "")]))
    assert not capsys.readouterr().err  # the message has what sbatch said


@pytest.mark.cluster
def test_a_job_that_would_wait_for_ever_is_ended(
    cluster: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmtk_slurm.launcher.ASK", 2.0)
    (ended,) = Slurm(partition="short", time=30).run([python(tmp_path / "0", "")])
    assert ended.code == 1
    assert "PartitionTimeLimit" in ended.log.read_text()


def during(cluster: dict[str, str], folder: Path, command: str, **keys: Any) -> JobResult:
    """What becomes of a job of 40 steps, stopped after a step when told to, if ``command`` comes in the middle."""
    over = threading.Event()

    def interrupt() -> None:
        wait_for(lambda: (folder / "steps").exists() and (folder / "steps").stat().st_size > 3)
        job = subprocess.run(
            ["squeue", "-h", "-o", "%i"], env=cluster, capture_output=True, text=True
        ).stdout.strip()
        said = subprocess.run(command.format(job=job), shell=True, env=cluster, cwd=folder, capture_output=True)
        assert said.returncode == 0, said.stderr
        # Slurm holds a job that it queued again for two minutes.
        while not over.wait(1):
            subprocess.run(["scontrol", "update", f"job={job}", "starttime=now"], env=cluster, capture_output=True)

    with ThreadPoolExecutor(1) as other:
        done = other.submit(interrupt)
        (ended,) = Slurm(cores=os.cpu_count() or 1, **keys).run([python(folder, SLOW)])
        over.set()
        done.result()
    return ended


URGENT = f"sbatch -p urgent -c {os.cpu_count()} -o none --wrap 'sleep 1'"


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("command", "keys"),
    [("scancel --signal=USR2 {job}", {}), (URGENT, {}), (URGENT, {"partition": "given"})],
    ids=["its time is nearly up", "another job needs its place", "also where Slurm cancels for that"],
)
def test_a_job_is_queued_again_and_goes_on(
    cluster: dict[str, str], tmp_path: Path, command: str, keys: dict[str, str]
) -> None:
    """The run ends after its step; no step is lost or done twice, and only the last turn counts."""
    ended = during(cluster, tmp_path / "0", command, **keys)
    assert (ended.code, (tmp_path / "0" / "began").read_text()) == (0, "xx"), ended.log.read_text()
    assert (tmp_path / "0" / "steps").read_text() == "s" * 40


@pytest.mark.cluster
@pytest.mark.parametrize(
    "command", ["scancel {job}", "scancel --full --signal=KILL {job}"], ids=["cancelled", "killed"]
)
def test_a_job_that_slurm_ends_is_reported(
    cluster: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr("mmtk_slurm.launcher.ASK", 2.0)
    ended = during(cluster, tmp_path / "0", command)
    assert ended.code == 1
    assert "ended without a result: Slurm says CANCELLED" in ended.log.read_text()


@pytest.mark.cluster
def test_a_study_that_nobody_waits_for(cluster: dict[str, str], tmp_path: Path) -> None:
    """--detach returns while the runs are queued; status shows them, and the study collects them later."""
    wide = cluster | {"COLUMNS": "200"}
    begun = mmtk(
        "ablate",
        "--components",
        "saliency",
        "--launcher",
        "slurm",
        "--detach",
        "--out",
        "s",
        *OPTIONS,
        cwd=tmp_path,
        env=cluster,
    )
    assert begun.returncode == 0, begun.stdout + begun.stderr
    assert "3 runs queued" in begun.stdout
    assert "mmtk status s" in begun.stdout
    again = mmtk("ablate", "s", "--detach", cwd=tmp_path, env=cluster)
    assert "Nothing to queue; 3 runs queued before as job" in again.stdout
    assert re.search(r"waiting: job \S+, (PENDING|RUNNING)", mmtk("status", "s", cwd=tmp_path, env=wide).stdout)
    deadline = time.monotonic() + 400
    while len(list(tmp_path.glob("runs/*/done.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(1)
    assert "3 done" in mmtk("status", "s", cwd=tmp_path).stdout
    collected = mmtk("ablate", "s", cwd=tmp_path)
    assert collected.returncode == 0, collected.stderr
    assert "0 to do" in collected.stdout
    assert (tmp_path / "s/report/index.html").is_file()
    assert all(json.loads(path.read_text())["in-domain"] for path in tmp_path.glob("runs/*/results.json"))


@pytest.mark.cluster
def test_a_study_that_nobody_waits_for_adds_seeds_until_it_is_settled(
    cluster: dict[str, str], tmp_path: Path
) -> None:
    """Each call looks at the runs that have finished, and queues the next round."""
    call, queued, looks = [*UNTIL_SETTLED, "--launcher", "slurm", "--detach"], 0, ""
    while "settled at" not in looks:
        looked = mmtk(*call, cwd=tmp_path, env=cluster)
        assert looked.returncode == 0, looked.stdout + looked.stderr
        looks += looked.stderr
        if (number := re.search(r"(\d+) runs? queued", looked.stdout)) is None:
            break
        queued += int(number[1])
        wait_for_runs(tmp_path, queued)
        call = ["ablate", "s", "--detach"]
    assert "open at 3 seeds; another seed" in looks
    assert "settled at" in looks
    assert queued > 6
