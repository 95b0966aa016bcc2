"""The run directory: whose folder it is, what a failed start leaves, and what a continued run notes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny

from mmtk.data import locations
from mmtk.errors import MmtkError
from mmtk.io import cache
from mmtk.registry import catalog
from mmtk.runs import provenance
from mmtk.runs.failures import failure_noted
from mmtk.runs.folder import RunDir
from mmtk.study.cells import PlannedCell
from mmtk.study.folder import StudyDir
from mmtk.study.plan import Plan
from mmtk.training.trainer import Interrupted


@dataclass
class Held:
    """The part of the data that provenance.json is written of."""

    digests: dict[str, str] = field(default_factory=lambda: {"segmentation/in-domain": "a" * 64})
    targets: dict[str, Any] = field(default_factory=dict)


def begin(folder: RunDir, root: Path | None = None, *, checkpoint: bool = True) -> RunDir:
    """Leave in the folder what a run that was stopped leaves."""
    with folder.locked():
        folder.claim(tiny())
        provenance.write_provenance(folder, tiny(), Held(), root, "cpu", False)  # type: ignore[arg-type]
        if checkpoint:
            folder.last.write_bytes(b"")
    return folder


# --- whose folder it is -----------------------------------------------------------------------------------------


def test_a_failed_start_does_not_claim_its_folder(tmp_path: Path) -> None:
    folder = begin(RunDir(tmp_path / "r"), checkpoint=False)
    folder.failure_file.write_text('{"reason": "organs differ"}')
    text = folder.recipe_file.read_text()
    with folder.locked():
        folder.claim(tiny(seed=1))
        held = Held({"segmentation/in-domain": "b" * 64})
        provenance.write_provenance(folder, tiny(seed=1), held, None, "cpu", False)  # type: ignore[arg-type]
    assert folder.recipe.seed == 1
    assert folder.provenance["data"] == held.digests
    assert (folder.path / "earlier" / "recipe.toml").read_text() == text  # it may have been edited since


@pytest.mark.parametrize("name", ["last", "previous", "best", "done_file"])
def test_a_run_that_was_trained_keeps_its_folder(tmp_path: Path, name: str) -> None:
    folder = begin(RunDir(tmp_path / "r"), checkpoint=False)
    getattr(folder, name).write_bytes(b"")
    with folder.locked(), pytest.raises(MmtkError, match=r"belongs to another recipe.*\n.*`mmtk diff .*r RECIPE`"):
        folder.claim(tiny(seed=1))


def test_a_recipe_of_the_users_makes_no_run_directory(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(tiny().toml())
    before = os.listdir(tmp_path)
    with pytest.raises(MmtkError, match="is not empty and holds no run"), RunDir(tmp_path).locked():
        pytest.fail("taken")
    assert os.listdir(tmp_path) == before


def test_only_halves_of_a_runs_own_files_are_removed(tmp_path: Path) -> None:
    folder = begin(RunDir(tmp_path / "r"))
    own = [".results.json.123.tmp", "checkpoints/.last.safetensors.9.tmp"]
    others = [
        ".thesis.doc.123.tmp",
        ".results.json.tmp",
        "evaluations/.results.json.7.tmp",
        "figures/.mine.png.1.tmp",
    ]
    (folder.path / "evaluations").mkdir()
    for name in (*own, *others):
        (folder.path / name).write_text("")
    with folder.locked():
        assert [name for name in (*own, *others) if (folder.path / name).exists()] == others


def test_links_that_a_run_does_not_write_do_not_matter(tmp_path: Path) -> None:
    folder = begin(RunDir(tmp_path / "r"))
    (folder.path / "notes").symlink_to(tmp_path)
    with folder.locked():
        pass
    folder.metrics_file.symlink_to(tmp_path / "mine")
    with pytest.raises(MmtkError, match=r"metrics\.jsonl: is a symbolic link"), folder.locked():
        pytest.fail("taken")


# --- what a continued run notes ---------------------------------------------------------------------------------


def test_another_version_is_warned_of_and_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, warned = begin(RunDir(tmp_path / "r")), []
    begun = catalog.version()
    provenance.note_continuation(folder, tiny(), 3, warned.append)
    assert not warned
    assert "continued" not in folder.provenance
    for step, version in ((5, "99.0"), (7, "99.0"), (9, "99.1")):
        monkeypatch.setattr(catalog, "version", lambda version=version: version)
        provenance.note_continuation(folder, tiny(), step, warned.append)
    assert len(warned) == 2
    assert f"after step 5 with other versions than before (mmtk: {begun} then, 99.0 now" in warned[0]
    noted = folder.provenance
    assert noted["mmtk"] == begun
    assert [(line["step"], line["mmtk"]) for line in noted["continued"]] == [(5, "99.0"), (9, "99.1")]


def test_moved_data_are_remembered(tmp_path: Path) -> None:
    folder = begin(RunDir(tmp_path / "r"), tmp_path / "old")
    provenance.write_provenance(folder, tiny(), Held(), tmp_path / "new", "cpu", False)  # type: ignore[arg-type]
    assert folder.provenance["data_root"] == str(tmp_path / "new")
    with pytest.raises(MmtkError, match="data of this unfinished run has changed"):
        provenance.write_provenance(folder, tiny(), Held({}), tmp_path, "cpu", False)  # type: ignore[arg-type]


# --- studies that were copied -----------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["runs", "../runs", "../../runs"])
def test_the_runs_of_a_copied_study_are_found_in_it_or_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "lab/deep/deeper").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "lab/deep/deeper")
    study = StudyDir(Path("study"))
    with study.locked():
        study.write(Plan("s", [PlannedCell("MultiMix", {}, tiny(), True)], [0]), {"command": "", "data": ""})
    about = json.loads(study.file.read_text()) | {"runs": "../../../runs"}
    laptop = StudyDir(tmp_path / "home" / "me" / "study")
    laptop.path.mkdir(parents=True)
    (study.path / "recipes").rename(laptop.path / "recipes")
    laptop.file.write_text(json.dumps(about))
    monkeypatch.chdir(tmp_path / "lab")
    with pytest.raises(MmtkError) as caught:
        laptop.runs()
    assert f"put them into {laptop.path / 'runs'}" in str(caught.value)
    key = f"x-{tiny().digest}-s0"
    (laptop.path / place / key).mkdir(parents=True)
    (found,) = laptop.runs()
    assert found.folder.path.resolve() == (laptop.path / place / key).resolve()


# --- no home ----------------------------------------------------------------------------------------------------


def test_without_a_home_directory_images_are_kept_in_a_spare_folder(tmp_path: Path) -> None:
    code = (
        "import os, pwd, warnings\n"
        "def nobody(*_): raise KeyError('no entry')\n"
        "pwd.getpwuid = pwd.getpwnam = nobody\n"
        "from mmtk.io import cache\n"
        "with warnings.catch_warnings(record=True) as told: print(cache.default_root())\n"
        "print(told[0].message)"
    )
    bare = {key: value for key, value in os.environ.items() if key not in ("HOME", "MMTK_CACHE")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**bare, "TMPDIR": str(tmp_path)}
    )
    assert done.returncode == 0, done.stderr
    where, told = done.stdout.splitlines()
    assert Path(where).parent == tmp_path
    assert "there is no home directory" in told


def test_data_of_an_unknown_user_are_refused_with_the_cure() -> None:
    with pytest.raises(MmtkError, match=r"no such home directory\.\n  Give the whole path"):
        locations.data_root("~nobody-of-this-name/data")
    assert cache.default_root()


def test_a_refused_run_writes_no_failure_into_the_run_of_another_recipe(tmp_path: Path) -> None:
    folder = begin(RunDir(tmp_path / "r"))
    for recipe, noted in ((tiny(train__lr=0.5), False), (tiny(seed=1), False), (tiny(), True)):
        with pytest.raises(MmtkError), failure_noted(folder, recipe, Interrupted):
            raise MmtkError("no space left")
        assert folder.failure_file.is_file() == noted
