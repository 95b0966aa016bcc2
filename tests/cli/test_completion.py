"""Words and folders that a shell offers at <TAB>."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from mmtk.cli import completion
from mmtk.cli.main import app, main


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
        ("assignments", "bri"): ["bridge.use="],
        ("assignments", "bridge.use=sal"): ["bridge.use=saliency"],
        ("assignments", "bridge=sal"): [],  # a key of a table is set, not the table
        ("assignments", "train.steps="): [],
    }  # fmt: skip
    assert {key: getattr(completion, key[0])(key[1]) for key in offered} == offered


def test_keys_of_the_launcher_are_offered() -> None:
    assert completion.launcher_keys(context(launcher=None), "") == ["jobs=", "per_gpu="]
    assert completion.launcher_keys(context(launcher="nope"), "") == []


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


def test_bash_gets_what_follows_the_sign_at_which_it_ends_a_word(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = ["mmtk", "ablate", "--components"]
    for words, current, joined in (
        ([*start, "ssl", "=", "mi"], 5, [*start, "ssl=mi"]),
        ([*start, "ssl", "="], 4, [*start, "ssl="]),
        ([*start, "bridge", "=", "none,ssl", "=", "no"], 7, [*start, "bridge=none,ssl=no"]),
        ([*start, "=", "ssl", "=", "mi"], 6, ["mmtk", "ablate", "--components=ssl=mi"]),
        (start, 3, [*start, ""]),
    ):
        assert completion.joined_words(words, current) == (joined, len(joined) - 1), words
    for words, offered in (([*start, "ssl", "=", "mixm"], "mixmatch\n"), ([*start, "sali"], "saliency\n")):
        monkeypatch.setattr("sys.argv", ["mmtk"])
        monkeypatch.setenv("_MMTK_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", "\n".join(words))
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        with pytest.raises(SystemExit):
            main()
        assert capsys.readouterr().out == offered


def test_behind_the_first_run_films_may_follow(folders: Path) -> None:
    assert completion.first_runs(context(paths=()), "runs/mi") == ["runs/mine"]
    assert completion.first_runs(context(paths=("runs/mine",)), "") == []
