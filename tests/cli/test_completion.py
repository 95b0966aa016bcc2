"""Words and folders that a shell offers at <TAB>."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from mmtk.cli import completion
from mmtk.cli.main import app


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for mark in ("runs/mine/run.lock", "runs/my other/provenance.json", "shared/a/model.safetensors",
                 "studies/ssl/study.json", "studies/ssl/runs/x-s0/run.lock", "films/1.png", "mine.toml",
                 "profiles/theirs.toml"):  # fmt: skip
        (tmp_path / mark).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / mark).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def context(**params: object) -> typer.Context:
    ctx = typer.Context(typer.main.get_command(app))
    ctx.params.update(params)
    return ctx


def test_words_that_commands_take_are_offered(folders: Path) -> None:
    offered = {
        ("recipes", "mu"): ["multimix"],
        ("recipes", "runs/"): ["runs/mine", "runs/my other"],
        ("recipes", "recipes/u"): [],  # files are the shell's
        ("profiles", ""): ["chest-xray", "chest-xray-small", "chest-xray-tuned", "phantom", "mine.toml",
                           "profiles/theirs.toml"],
        ("profiles", "m"): ["mine.toml"],
        ("devices", "c"): ["cpu", "cuda"],
        ("suites", ""): ["paper"],
        ("runs", ""): ["runs/mine", "runs/my other", "shared/a", "studies/ssl"],
        ("runs", "runs/my "): ["runs/my other"],
        ("runs", "studies/ssl/"): ["studies/ssl/runs/x-s0"],
        ("runs", "[nope"): [],
        ("studies", "st"): ["studies/ssl"],
        ("recipes_and_studies", "u"): ["umtl", "umtl-s", "umtl-ssl", "umtl-ssl-s", "unet", "unet-ssl"],
        ("components", "bridge/sa"): ["bridge/saliency"],
        ("kinds", "bri"): ["bridge"],
    }  # fmt: skip
    assert {key: getattr(completion, key[0])(key[1]) for key in offered} == offered


def test_components_of_a_study_are_offered_one_after_the_other(folders: Path) -> None:
    offered = {
        "s": ["saliency", "ssl"],
        "saliency,con": ["saliency,confidence", "saliency,consistency"],
        "bridge=sal": ["bridge=saliency"],
        "tasks,bridge=none+s": ["tasks,bridge=none+saliency"],
        "bridge=saliency+s": [],
        "nope=": [],
        "ssl.weight=": [],
    }
    assert {text: completion.axes(context(recipe=None), text) for text in offered} == offered
    assert completion.axes(context(recipe="enc"), "sa") == []  # it has no bridge
    assert completion.axes(context(recipe="studies/ssl"), "br") == ["bridge"]


def test_behind_the_first_run_films_may_follow(folders: Path) -> None:
    assert completion.first_runs(context(paths=()), "runs/mi") == ["runs/mine"]
    assert completion.first_runs(context(paths=("runs/mine",)), "") == []
