"""Plans that were timed once: shown without torch, and only while nothing that the times rest on has changed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from moments import sets
from tiny import tiny

from mmtk.data.dataset import prepare, without_images
from mmtk.errors import MmtkError
from mmtk.io import cache
from mmtk.study.estimate import Work
from mmtk.study.plan import plan_components
from mmtk.workflows import rehearsal
from mmtk.workflows.forecast import _distinct_first, _likest
from mmtk.workflows.rehearsal import read_images, time_systems
from mmtk.workflows.timings import Timing, Timings

WORK = Work(steps=4, batch=2, size=32, tasks=2, validation=16, validations=2, test=40)
TIMING = Timing(WORK, step=0.5, wall=1.0, cpu=0.8)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MMTK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0))
    return tmp_path / "cache"


def reloaded(threads: int = 1, device: str = "cpu", root: Path | None = None) -> Timings:
    return Timings(root, device, threads)


def test_a_timing_is_kept_for_its_recipe_threads_and_device() -> None:
    recipe, timings = tiny(), reloaded()
    assert timings.get(recipe) is None
    timings.add([recipe], TIMING)
    timings.save()
    kept = reloaded().get(recipe)
    assert kept == Timing(WORK, 0.4, 0.4, 0.4)  # a step on free cores
    assert reloaded().get(tiny(seed=7)) == kept  # no step depends on it
    for other in (reloaded(threads=2).get(recipe), reloaded().get(tiny(train__batch=4))):
        assert other is None


def test_steps_are_stretched_by_the_load_as_it_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    timings = reloaded()
    timings.add([tiny()], TIMING)
    monkeypatch.setattr("os.getloadavg", lambda: (3.0 * len(os.sched_getaffinity(0)), 0.0, 0.0))
    stretched = timings.get(tiny())
    assert stretched is not None
    assert (stretched.step, stretched.cpu) == (pytest.approx(1.2), pytest.approx(0.4))


def test_a_recipe_that_passed_is_no_timing_and_takes_none_away() -> None:
    timings = reloaded()
    timings.add([tiny()])
    assert timings.passed(tiny())
    assert timings.get(tiny()) is None
    timings.add([tiny()], TIMING)
    timings.add([tiny()])
    assert timings.get(tiny()) is not None


def test_data_that_changed_are_checked_again(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    source = {"use": "folder", "images": "films"}
    recipe = tiny().with_values({"data.classification.source": source})
    timings = reloaded(root=tmp_path)
    timings.add([recipe])
    assert timings.passed(recipe)
    os.utime(tmp_path / "films", (1, 1))
    assert not timings.passed(recipe)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}', "null"])
def test_a_damaged_file_is_as_none(text: str, empty_cache: Path) -> None:
    empty_cache.mkdir()
    (empty_cache / "timings.json").write_text(text)
    timings = reloaded()
    assert timings.get(tiny()) is None
    timings.add([tiny()], TIMING)
    timings.save()
    assert reloaded().get(tiny()) is not None
    assert cache.default_root() == empty_cache


@pytest.mark.long
def test_a_plan_that_was_timed_is_shown_without_torch(tmp_path: Path) -> None:
    command = ["-m", "mmtk", "ablate", "--components", "saliency", *sets(), "--dry-run"]

    def show(*python: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *python, *command], cwd=tmp_path, capture_output=True, text=True, check=True
        )

    def untimed(shown: subprocess.CompletedProcess[str]) -> str:
        return re.sub(r"about .+? training [^.]+", "", " ".join(shown.stdout.split()))

    first, second = show(), show("-X", "importtime")
    assert untimed(first) == untimed(second)
    assert "Timing a few steps of 3 systems …" in first.stderr
    assert "of which training" in " ".join(second.stdout.split())
    imported = {line.rpartition("|")[2].strip() for line in second.stderr.splitlines()}
    assert "mmtk.workflows.forecast" in imported
    assert {"torch", "torchmetrics", "scipy", "pandas", "mlflow", "matplotlib"} & imported == set()
    assert len(json.loads((tmp_path / "cache" / "timings.json").read_text())) == 3


def test_a_plan_needs_no_image(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = plan_components("multimix", "saliency", overrides=sets()[1::2]).cells
    timed = time_systems(cells, None, "cpu", 1)
    monkeypatch.setattr(rehearsal, "LONGEST", 0.0)
    assert len(time_systems(cells, None, "cpu", 1)) == 1  # one at least, whatever the time
    assert all(timing is not None and timing.step > 0 for timing in timed)
    assert not [*empty_cache.glob("phantom-*")]
    recipe = cells[0].recipe
    plain, data = prepare(recipe, None), without_images(recipe, None)
    assert data.splits() == plain.splits()
    assert data.targets == plain.targets
    assert data.digests == plain.digests
    for name, store in plain.stores.items():
        listed = data.stores[name]
        assert (listed.ids, listed.patients) == (store.ids, store.patients)
        assert (listed.images.shape, listed.targets.shape) == (store.images.shape, store.targets.shape)
        assert (listed.images.dtype, listed.targets.dtype) == (store.images.dtype, store.targets.dtype)
    assert (data.stores["classification"].targets == plain.stores["classification"].targets).all()


def test_images_that_were_read_are_remembered() -> None:
    timings = reloaded()
    timings.add([tiny()], TIMING)
    assert not timings.has_images(tiny())
    timings.add([tiny()], images=True)
    timings.save()
    assert reloaded().has_images(tiny())
    assert reloaded().get(tiny()) is not None


def test_a_leak_is_told_before_the_runs() -> None:
    table = tiny().source("classification", "source")
    recipe = tiny(data__classification__cross=table, data__classification__cross_split="all")
    with pytest.raises(MmtkError, match="the same image in train and cross"):
        read_images([recipe], None)


def test_a_plan_times_one_system_of_each_combination_of_tasks_first() -> None:
    def system(*tasks: str) -> SimpleNamespace:
        return SimpleNamespace(recipe=SimpleNamespace(tasks=tasks))

    both, one, other = ("classification", "segmentation"), ("classification",), ("segmentation",)
    systems = {"enc": system(*one), "enc-ssl": system(*one), "unet": system(*other), "all": system(*both)}
    systems["less"] = system(*both)
    assert _distinct_first([*systems], systems) == ["all", "enc", "unet", "less", "enc-ssl"]
    slow = replace(TIMING, step=9.0)
    timed = [(systems["all"], slow), (systems["enc"], TIMING)]
    assert [_likest(systems[name], timed) for name in ("enc-ssl", "less", "unet")] == [TIMING, slow, slow]
    assert _likest(systems["enc"], []) is None
