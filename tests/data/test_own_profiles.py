"""Profiles of one's own: they lie anywhere, drop a cross-domain set, and may have data for one task only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmtk.cli.main import app
from mmtk.errors import MmtkError, RunFailed
from mmtk.recipe import toml
from mmtk.recipe.describe import recipe_schema
from mmtk.recipe.load import load_recipe, on_other_data, resolve, system_for

FOLDER = 'use = "folder"\nimages = "films"\nmasks = "masks"\nclasses = ["lung"]\n'
MASKS = f'extends = "chest-xray-small"\ntasks = ["segmentation"]\n[data.segmentation.source]\n{FOLDER}'
NONE = '[data.segmentation]\ncross = "none"\n'


def profile(tmp_path: Path, text: str, name: str = "mine.toml") -> str:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", ["mine.toml", "profiles/mine.toml", "chest-xray-small.toml"])
def test_a_profile_finds_its_shipped_parent_from_any_folder(tmp_path, name):
    recipe = load_recipe("unet", profile(tmp_path, MASKS, name))
    assert (recipe["data.size"], recipe["train.steps"]) == (128, 500)
    assert recipe["data.segmentation.source.images"] == "films"


def test_a_parent_beside_the_file_comes_first(tmp_path):
    profile(tmp_path, "[data]\nsize = 32\n", "chest-xray-small.toml")
    assert load_recipe("unet", profile(tmp_path, MASKS + NONE))["data.size"] == 32


def test_the_message_speaks_of_profiles(tmp_path):
    with pytest.raises(MmtkError, match=r"No profile 'chest-xray-smal'.*Did you mean 'chest-xray-small'"):
        load_recipe("unet", profile(tmp_path, 'extends = "chest-xray-smal"\n'))


@pytest.mark.parametrize("text", [MASKS + NONE, MASKS.replace("[data", NONE + "[data", 1)])
def test_none_drops_the_cross_domain_set_of_a_parent(tmp_path, text):
    recipe = load_recipe("unet", profile(tmp_path, text))
    assert recipe.get("data.segmentation.cross") is None
    assert recipe["data.segmentation.labels"] == 10
    (tmp_path / "complete.toml").write_text(recipe.toml())
    assert load_recipe(tmp_path / "complete.toml").digest == recipe.digest
    child = profile(tmp_path, f'extends = "mine"\n[data.segmentation.cross]\n{FOLDER}', "child.toml")
    assert load_recipe("unet", child)["data.segmentation.cross.use"] == "folder"


def test_none_on_the_command_line_and_in_the_schema(tmp_path):
    given = profile(tmp_path, MASKS)
    assert load_recipe("unet", given)["data.segmentation.cross.use"] == "mcu"
    assert load_recipe("unet", given, ["data.segmentation.cross=none"]).get("data.segmentation.cross") is None
    with pytest.raises(MmtkError, match=r"data.segmentation.cross: a value here, but a table"):
        load_recipe("unet", given, ["data.segmentation.cross=nothing"])
    assert {"const": "none"} in recipe_schema()["properties"]["data"]["properties"]["segmentation"]["properties"][
        "cross"
    ]["anyOf"]


def test_a_profile_for_one_task_asks_for_nothing_of_the_other(tmp_path):
    given = profile(tmp_path, MASKS + NONE)
    assert system_for("multimix", given) == "unet"
    assert load_recipe(system_for("multimix", given), given).get("data.classification") is None
    with pytest.raises(
        MmtkError, match=r"The profile has data for segmentation alone: take a system of that task"
    ):
        load_recipe("multimix", given)
    complete = tmp_path / "run.toml"
    complete.write_text(load_recipe("multimix", "phantom").toml())
    recipe, tasks = on_other_data(complete, given, {})
    assert tasks == ["segmentation"]
    assert recipe["data.classification.source.use"] == "phantom"
    assert recipe["data.segmentation.source.use"] == "folder"


def test_keys_of_the_folder_source_that_are_not_given_change_no_digest(tmp_path):
    recipe = load_recipe("unet", profile(tmp_path, MASKS + NONE))
    assert set(recipe["data.segmentation.source"]) == {
        "use",
        "images",
        "labels",
        "masks",
        "classes",
        "exclusive",
        "swap",
    }
    text = MASKS + 'mask_suffix = "_mask"\ncolumns = {image = "Image Index", patient = ""}\n' + NONE
    more = load_recipe("unet", profile(tmp_path, text))
    assert more["data.segmentation.source.columns"] == {"image": "Image Index", "patient": ""}
    assert resolve(toml.Layer(json.loads(json.dumps(more.values)))).digest == more.digest
    with pytest.raises(MmtkError, match=r"columns: should be 'image', 'label', 'patient'"):
        load_recipe("unet", profile(tmp_path, text.replace("patient", "person")))


def test_inspect_of_a_profile_for_masks_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMTK_CACHE", str(tmp_path / "cache"))
    for number in range(6):
        for folder in ("films", "masks"):
            (tmp_path / folder).mkdir(exist_ok=True)
            values = bytes((number * 40 + n if folder == "films" else 255 * (n > 7)) % 256 for n in range(16))
            (tmp_path / folder / f"{number}.pgm").write_bytes(b"P5 4 4 255\n" + values)
    given = profile(tmp_path, MASKS + NONE)
    inspect = ["data", "inspect", "--profile", given, "--data", ".", "--set", "data.size=32"]
    done = CliRunner().invoke(app, inspect)
    assert "each image counts as a patient of its own" in done.output
    assert isinstance(done.exception, RunFailed)  # films of 4 pixels, masks that lie turned
    assert done.exception.message == "2 verdicts ✗: to be mended. Training goes on all the same."
    (tmp_path / "films" / "5.pgm").write_bytes(b"P5 4 4 255\n")
    for more in ([], ["--json"]):
        done = CliRunner().invoke(app, [*inspect, *more])
        assert isinstance(done.exception, RunFailed)
        assert done.exception.message.endswith(" ✗: to be mended. Training refuses 1 of them.")
    refused = [verdict for verdict in json.loads(done.stdout)["verdicts"] if verdict["refused"]]
    assert ["5.pgm" in verdict["text"] for verdict in refused] == [True]
