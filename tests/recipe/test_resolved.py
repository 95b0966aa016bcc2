"""Recipes of runs and studies are read back as they were resolved: no component, no torch, no silent change."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from tiny import tiny

from mmtk.errors import MmtkError
from mmtk.recipe.resolved import read_resolved
from mmtk.runs.folder import RunDir

ARCHIVE = Path(__file__).parents[1] / "fixtures" / "v0.1.tar.xz"


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(ARCHIVE) as tar:
        tar.extractall(folder, filter="data")
    return folder / "v0.1"


def edit(file: Path, pattern: str, replacement: str) -> None:
    text = file.read_text()
    assert re.search(pattern, text)
    file.write_text(re.sub(pattern, replacement, text, count=1))


def test_what_is_read_is_what_was_resolved(tmp_path):
    file = tmp_path / "recipe.toml"
    recipe = tiny()
    file.write_text(recipe.toml())
    assert read_resolved(file, recipe.digest).values == recipe.values


def test_a_component_that_is_gone_stops_no_reader(tmp_path):
    file = tmp_path / "recipe.toml"
    file.write_text(tiny().toml())
    edit(file, r"(\[ssl\]\nuse = ).*", r'\1"gone/method"')
    recipe = read_resolved(file)
    assert recipe["ssl.use"] == "gone/method"
    assert read_resolved(file, recipe.digest).digest == recipe.digest


def test_a_key_that_was_added_since_has_its_default(tmp_path):
    file = tmp_path / "recipe.toml"
    file.write_text(tiny().toml())
    edit(file, r"frozen_views = \w+\n", "")
    assert read_resolved(file).train.frozen_views is False


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        (r"batch = \d+", "batch = 0", "train.batch: should be greater than or equal to 1, got 0"),
        (r"seed = \d+", "seed = 0\nsede = 1", ""),
        (r"(\[encoder\]\n)use", r"\1uses", 'encoder: needs use = "NAME" of a component of kind encoder'),
        (r"\[origin\]\n(.+\n)+", "", "is no complete recipe"),
    ],
)
def test_an_edit_that_is_no_recipe_is_refused_or_means_nothing(tmp_path, pattern, replacement, message):
    file = tmp_path / "recipe.toml"
    file.write_text(tiny().toml())
    edit(file, pattern, replacement)
    if not message:
        assert read_resolved(file).digest == tiny().digest
        return
    with pytest.raises(MmtkError) as caught:
        read_resolved(file)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)


def test_an_edited_recipe_of_a_run_is_refused(archive):
    run = RunDir(next(archive.glob("runs/multimix-*-s0")))
    text = run.recipe_file.read_text()
    assert run.recipe.digest == json.loads(run.provenance_file.read_text())["digest"]
    try:
        edit(run.recipe_file, r"epochs = \d+", "epochs = 999")
        with pytest.raises(MmtkError, match=r"recipe.toml: this recipe was changed: its digest is \w+, not \w+"):
            _ = run.recipe
    finally:
        run.recipe_file.write_text(text)


def test_the_state_of_a_study_needs_no_component(archive):
    command = [sys.executable, "-X", "importtime", "-m", "mmtk", "status", "studies/ssl"]
    done = subprocess.run(command, cwd=archive, capture_output=True, text=True, check=True)
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "6 done" in done.stdout
    assert "torch" not in modules
    assert not [name for name in modules if name.startswith("mmtk.components.")]
