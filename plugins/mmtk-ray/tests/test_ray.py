"""Jobs on a real Ray cluster of two nodes on this machine: reported, brought back, run again after a death."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from mmtk.api import Job, JobResult, MmtkError
from mmtk.testing import suite

from mmtk_ray.job import packed, unpack
from mmtk_ray.launcher import Ray

# On a busy machine Ray waits longer for its parts, and its workers are not nicer than all else (by 15 by default).
os.environ.update(
    {"RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "120", "RAY_worker_niceness": "0"}
)
pytestmark = pytest.mark.xdist_group("ray")
SMALL = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that takes no jobs and two nodes of one core."""
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args=SMALL | {"num_cpus": 0})
    for _ in range(2):
        found.add_node(**{key: value for key, value in SMALL.items() if key != "include_dashboard"})
    found.wait_for_nodes()
    yield found
    found.shutdown()


def python(folder: Path, code: str) -> Job:
    return Job(folder, (sys.executable, "-S", "-c", code))


@pytest.mark.long
def test_jobs_run_on_the_cluster_and_are_reported(cluster: Any, tmp_path: Path) -> None:
    """Exit codes and logs of three jobs; then what no node has, then folders that travel."""
    jobs = [python(tmp_path / str(i), f"import sys; print('job {i}'); sys.exit({i})") for i in range(3)]
    done = {each.dir.name: each for each in Ray(address=cluster.address).run(jobs)}
    assert {name: each.code for name, each in done.items()} == {"0": 0, "1": 1, "2": 2}
    assert [done[name].log.read_text() for name in "012"] == ["job 0\n", "job 1\n", "job 2\n"]

    for keys, words in (({"gpus": 2}, "launcher.gpus: 2"), ({"cores": 64}, "launcher.cores: 64")):
        with pytest.raises(MmtkError, match=words) as refused:
            list(Ray(address=cluster.address, **keys).run(jobs))
        assert "no node of the cluster has more than" in refused.value.message

    here = tmp_path / "travels"
    here.mkdir()
    (here / "recipe.toml").write_text("seed = 1\n")
    code = (
        "import os, sys; folder = sys.argv[1]; assert open(folder + '/recipe.toml').read() == 'seed = 1\\n';"
        "open(folder + '/results.json', 'w').write('{}'); print(folder)"
    )
    job = Job(here, (sys.executable, "-S", "-c", code, str(here)))
    (ended,) = Ray(address=cluster.address, bring=True).run([job])
    assert ended.code == 0, ended.log.read_text()
    assert (here / "results.json").read_text() == "{}"
    assert ended.log.read_text().strip() != str(here)  # it ran in a folder of the node's own


def test_an_address_where_no_cluster_answers_is_named() -> None:
    for address, words in (("127.0.0.1:1", "Connection refused"), ("no-such-host.invalid:6379", "not known")):
        with pytest.raises(MmtkError, match=f"no Ray cluster answers at {address}: .*{words}") as refused:
            list(Ray(address=address).run([]))
        assert refused.value.hint is not None
        assert "ray start --head" in refused.value.hint


def test_a_packed_folder_cannot_write_elsewhere(tmp_path: Path) -> None:
    import io
    import tarfile

    (tmp_path / "a" / "checkpoints").mkdir(parents=True)
    (tmp_path / "a" / "checkpoints" / "last").write_bytes(b"state")
    (tmp_path / "a" / "run.lock").write_text("mmtk process 1")
    (tmp_path / "a" / "link").symlink_to("/etc/passwd")
    (tmp_path / "b").mkdir()
    unpack(packed(tmp_path / "a"), tmp_path / "b")
    assert [str(path.relative_to(tmp_path / "b")) for path in tmp_path.rglob("b/**/*") if path.is_file()] == [
        "checkpoints/last"
    ]
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../out"), io.BytesIO(b""))
    with pytest.raises(tarfile.OutsideDestinationError):
        unpack(stream.getvalue(), tmp_path / "b")
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_a_cluster_that_asks_for_a_token_gets_it(tmp_path: Path) -> None:
    """As ``ray start`` does wherever Ray was used before."""
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("0123456789abcdef" * 4)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")} | {"HOME": str(tmp_path)}
    ray = str(Path(sys.executable).with_name("ray"))
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # short: sockets lie in it
    head = subprocess.Popen(
        [
            ray,
            "start",
            "--head",
            "--block",
            f"--port={port}",
            "--num-cpus=1",
            "--include-dashboard=false",
            "--disable-usage-stats",
            f"--temp-dir={folder}",
        ],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    code = (
        "import sys; from pathlib import Path; from mmtk.api import Job; from mmtk_ray.launcher import Ray\n"
        "job = Job(Path('job'), (sys.executable, '-S', '-c', 'print(1)'))\n"
        f"print([done.code for done in Ray(address='127.0.0.1:{port}').run([job])])"
    )
    try:
        wait_for_port(port)
        ended = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
    finally:
        os.killpg(head.pid, signal.SIGKILL)  # it has nothing to keep, and takes half a minute to end by itself
        head.wait(60)
        shutil.rmtree(folder, ignore_errors=True)
    assert ended.stdout.strip() == "[0]", ended.stderr
    assert (tmp_path / "job" / "output.log").read_text() == "1\n"  # not in the folder of the cluster


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.2)
    raise AssertionError(f"nobody listens at {port}")


@pytest.mark.long
@pytest.mark.parametrize("check", suite("launcher", Ray))
def test_the_contract_holds(check: Any) -> None:
    check()


@pytest.mark.long
def test_jobs_of_a_node_that_dies_run_again_elsewhere(cluster: Any, tmp_path: Path) -> None:
    """Each job notes every beginning and every end; its state outlives it, as a checkpoint does."""
    code = (
        "import sys, time, pathlib; folder = pathlib.Path(sys.argv[1])\n"
        "open(folder / 'began', 'a').write('x')\n"
        "for step in range(len((folder / 'steps').read_text()) if (folder / 'steps').exists() else 0, 20):\n"
        "    time.sleep(0.08); open(folder / 'steps', 'a').write('s')\n"
        "open(folder / 'ended', 'a').write('x')\n"
    )
    jobs = [Job(tmp_path / str(i), (sys.executable, "-S", "-c", code, str(tmp_path / str(i)))) for i in range(6)]
    victim = next(iter(cluster.worker_nodes))

    def in_the_middle(job: Job) -> bool:
        steps = job.dir / "steps"
        return steps.exists() and 0 < steps.stat().st_size < 16

    def kill() -> None:
        while sum(map(in_the_middle, jobs)) < 2:  # on each of both nodes
            time.sleep(0.02)
        cluster.remove_node(victim, allow_graceful=False)  # the other node does what it left

    killer = threading.Thread(target=kill)
    killer.start()
    done: list[JobResult] = list(Ray(address=cluster.address).run(jobs))
    killer.join()
    assert sorted((each.dir.name, each.code) for each in done) == [(str(i), 0) for i in range(6)]
    began = [(job.dir / "began").read_text() for job in jobs]
    assert sorted(began) == ["x"] * 5 + ["xx"]  # the dead node's job alone ran again
    assert [(job.dir / "ended").read_text() for job in jobs] == ["x"] * 6
    assert [(job.dir / "steps").read_text() for job in jobs] == ["s" * 20] * 6


SEEDS = {  # by launcher; nobody can miss the difference: one system hardly learns
    "process": ("--seeds", "3"),
    "ray": ("--until", "settled", "--max-seeds", "10"),
    "ray-cold": ("--seeds", "3", "--launch", "warm=false"),
}


@pytest.mark.long
def test_a_study_on_ray_adds_seeds_until_it_is_settled_and_ends_with_the_results_of_processes(
    cluster: Any, tmp_path: Path
) -> None:
    """Every round is a call of the launcher, of one seed more for both systems; the cold ones start a Ray."""
    sets = {
        "data.size": 32,
        "encoder.width": 4,
        "decoder.width": 4,
        "train.lr": 0.01,
        "train.steps": 12,
        "train.validate_every": 12,
        "train.batch": 2,
        "train.precision": "fp32",
        "data.segmentation.labels": 4,
        "tracking.enabled": "false",
        "evaluate.cases": 2,
        **{
            f"data.segmentation.{domain}.{part}": count
            for domain in ("source", "cross")
            for part, count in (("train", 24), ("val", 8), ("test", 24), ("size", 32))
        },
    }
    options = [word for key, value in sets.items() for word in ("--set", f"{key}={value}")]
    output = {}
    for launcher, seeds in SEEDS.items():
        seeds = (*seeds, "--launch", f"address={cluster.address}") if launcher == "ray" else seeds
        (tmp_path / launcher).mkdir()
        command = [sys.executable, "-m", "mmtk", "ablate", "unet", "--components", "train.lr=0.00001+0.01"]
        command += ["--out", "s", "--launcher", launcher.partition("-")[0], *seeds, *options]
        ended = subprocess.run(command, cwd=tmp_path / launcher, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        output[launcher] = ended.stderr
    assert "open at 3 seeds; another seed" in output["ray"]
    assert "settled at" in output["ray"]
    counts = {launcher: len(list((tmp_path / launcher).glob("runs/*/done.json"))) for launcher in SEEDS}
    assert (counts["process"], counts["ray-cold"]) == (6, 6)
    assert 6 < counts["ray"] < 20
    names = ("results.json", "metrics.jsonl", "checkpoints/best.safetensors")
    for launcher in ("ray", "ray-cold"):
        files = [path for name in names for path in (tmp_path / launcher).glob(f"runs/*/{name}")]
        pairs = [(tmp_path / "process" / path.relative_to(tmp_path / launcher), path) for path in files]
        shared = [(mine, path) for mine, path in pairs if mine.is_file()]
        assert len(shared) == 6 * len(names)
        for mine, path in shared:
            assert mine.read_bytes() == path.read_bytes(), path


@pytest.mark.long
def test_a_worker_forks_its_jobs_from_one_process(cluster: Any, tmp_path: Path) -> None:
    """Jobs of a worker have one parent, which has imported what they need; a cold one has not."""
    code = "import os, sys; print(os.getppid(), 'colorsys' in sys.modules)"

    def parents(warm: bool) -> list[list[str]]:
        launcher = Ray(address=cluster.address, warm=warm)
        launcher.prepare(["colorsys"])
        words = (sys.executable, "-m", "timeit", "-n", "1", "-r", "1", code)
        ended = [*launcher.run([Job(tmp_path / f"{warm}-{number}", words) for number in range(4)])]
        assert [one.code for one in ended] == [0] * 4, [one.log.read_text() for one in ended]
        return [one.log.read_text().split()[:2] for one in ended]

    warm, cold = parents(True), parents(False)
    assert {imported for _, imported in warm} == {"True"}
    assert len({parent for parent, _ in warm}) <= 2  # one for each node
    assert {imported for _, imported in cold} == {"False"}
