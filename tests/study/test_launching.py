"""Where a study's runs go: keys of the launcher, checked like a recipe's and kept with the study."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_plugin import alone, install
from tiny import CLASSIFICATION, SOURCES, TINY

from mmtk.cli import main as cli
from mmtk.components.launcher.process import Process
from mmtk.errors import MmtkError
from mmtk.io.files import read_json, write_json
from mmtk.study import launcher_settings
from mmtk.study.folder import StudyDir

CLUSTER = '''
from typing import Annotated, Literal
from mmtk.api import Field, Launcher

class Cluster(Launcher):
    """Send jobs to a cluster: address, partition, time, gpus per job and account."""
    def __init__(
        self, *, partition: str, address: str = "auto", time: str = "01:00:00",
        gpus: Annotated[float, Field(ge=0)] = 1, mail: Literal["none", "end"] = "none",
    ):
        self.keys = (partition, address, time, gpus, mail)

    def run(self, jobs):
        raise RuntimeError(f"told: {self.keys}")
        yield
'''


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed launcher with keys of its own, one of them without a default."""
    monkeypatch.syspath_prepend(tmp_path / "site")
    install(
        tmp_path / "site",
        "mmtk-cluster",
        {"launcher/cluster": "cluster_launcher:Cluster"},
        modules={"cluster_launcher": CLUSTER},
    )
    alone(monkeypatch, tmp_path)


def chosen(name: str | None, *texts: str, kept: dict[str, object] | None = None) -> dict[str, object]:
    return launcher_settings.choose(kept or {}, name, launcher_settings.keys_of(texts, {}))


@pytest.mark.usefixtures("cluster")
def test_keys_arrive_with_the_type_that_the_launcher_declares() -> None:
    table = chosen("cluster", "partition=gpu", "time=02:30:00", "gpus=1", "address=ray://head:10001", "mail=end")
    assert launcher_settings.make(table).keys == ("gpu", "ray://head:10001", "02:30:00", 1.0, "end")
    assert json.loads(json.dumps(table)) == table
    days = chosen("cluster", "partition=gpu", "time=1-00:00:00", "gpus=0.25")
    assert launcher_settings.make(days).keys == ("gpu", "auto", "1-00:00:00", 0.25, "none")


@pytest.mark.usefixtures("cluster")
def test_every_mistake_is_named_at_once_with_the_nearest_key_and_the_cure() -> None:
    with pytest.raises(MmtkError) as caught:
        chosen("cluster", "partitoin=gpu", "gpus=-1", "mail=never")
    assert str(caught.value) == (
        "launcher.partition: missing. It has no default.\n"
        "launcher.partitoin: unknown key. Did you mean 'partition'? "
        "Keys here: address, gpus, mail, partition, time.\n"
        "launcher.gpus: should be greater than or equal to 0, got -1.\n"
        "launcher.mail: should be 'none' or 'end', got \"never\".\n"
        "  Keys are given as --launch KEY=VALUE; mmtk plugins show launcher/cluster tells them."
    )


def test_short_options_are_keys_of_the_launcher() -> None:
    table = launcher_settings.choose(
        {}, None, launcher_settings.keys_of(["per_gpu=2"], {"jobs": 4, "per_gpu": None})
    )
    assert table == {"use": "process", "per_gpu": 2, "jobs": 4}
    made = launcher_settings.make(table)
    assert isinstance(made, Process)
    assert (made.workers, made.per_gpu) == (4, 2)
    with pytest.raises(MmtkError, match=r"launcher\.jobs: unknown key\. Keys here: none"):
        launcher_settings.choose({}, "inline", launcher_settings.keys_of([], {"jobs": 2}))


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["jobs"], r"--launch jobs: no '='. Write it like per_gpu=2"),
        (["use=inline"], "chosen with --launcher"),
        (["jobs=2"], "--launch jobs=2: 'jobs' is given twice"),
    ],
)
def test_what_cannot_be_meant_is_refused(texts: list[str], said: str) -> None:
    with pytest.raises(MmtkError, match=said):
        launcher_settings.keys_of(texts, {"jobs": 1})


def test_an_unknown_launcher_is_named() -> None:
    with pytest.raises(MmtkError, match=r"No launcher component is called 'proces'\. Did you mean 'process'"):
        launcher_settings.choose({}, "proces", {})


def test_what_is_kept_stays_unless_it_is_given_again() -> None:
    kept: dict[str, object] = {"use": "process", "jobs": 3, "per_gpu": 2}
    assert chosen(None, kept=kept) == kept
    assert chosen(None, "jobs=1", kept=kept) == kept | {"jobs": 1}
    assert chosen("process", "jobs=1", kept=kept) == kept | {"jobs": 1}
    assert chosen("inline", kept=kept) == {"use": "inline"}  # another one starts at its defaults


@pytest.mark.usefixtures("cluster")
def test_a_study_goes_on_with_the_launcher_and_keys_it_was_begun_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sets = [
        word
        for key, value in (TINY | CLASSIFICATION | SOURCES).items()
        if "segmentation" not in key
        for word in ("--set", f"{key}={json.dumps(value)}")
    ]

    def ablate(*words: str) -> None:
        monkeypatch.setattr("sys.argv", ["mmtk", "ablate", *words])
        cli.main()

    told = r"told: \('gpu', 'auto', '02:00:00', {}, 'none'\)"  # gpus
    begin = ["enc", "--components", "ssl=none+confidence", *sets, "--out", "s", "--launcher", "cluster"]
    with pytest.raises(RuntimeError, match=told.format("1")):
        ablate(*begin, "--launch", "partition=gpu", "--launch", "time=02:00:00")
    kept = {"use": "cluster", "partition": "gpu", "time": "02:00:00"}
    assert read_json(Path("s/study.json"))["launcher"] == kept
    with pytest.raises(RuntimeError, match=told.format("1")):
        ablate("s")
    with pytest.raises(RuntimeError, match=told.format("0.5")):
        ablate("s", "--launch", "gpus=0.5")
    assert StudyDir(Path("s")).launcher == kept | {"gpus": 0.5}


def test_a_damaged_launcher_of_a_study_is_named(tmp_path: Path) -> None:
    study = StudyDir(tmp_path)
    for table in ("process", {"use": 3}):
        write_json(study.file, {"launcher": table})
        with pytest.raises(MmtkError, match="launcher: should be a table"):
            _ = study.launcher
