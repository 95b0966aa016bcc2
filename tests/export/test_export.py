"""``mmtk export``: what is written is what the live model says, and what cannot be written is named."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from loops import some
from PIL import Image
from safetensors.torch import save_file
from tiny import shallow, tiny

import mmtk
from mmtk import api
from mmtk.data import sources
from mmtk.data.batches import normalise
from mmtk.errors import MmtkError
from mmtk.export.graph import Probabilities, trace
from mmtk.export.onnx_file import BATCHES, check, convert, differences, read_metadata, samples, write_onnx
from mmtk.export.shared import write_shared
from mmtk.io.outputs import MANIFEST
from mmtk.model import build
from mmtk.model.exported import read_about
from mmtk.model.predictor import Predictor
from mmtk.report.places import places
from mmtk.runs.folder import RunDir
from mmtk.workflows.predict import predict
from mmtk.workflows.run import run

SYSTEMS = ["unet", "unet-ssl", "enc", "enc-ssl", "enc-mm", "umtl", "umtl-s", "umtl-ssl", "umtl-ssl-s", "multimix"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "multimix"
    run(shallow(train__steps=2), out, pictures=False)
    return out


@pytest.fixture(scope="module")
def file(finished: Path) -> Path:
    return write_onnx(finished).path


@pytest.fixture(scope="module")
def shared(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shared(finished, tmp_path_factory.mktemp("shared") / "model")


def films(predictor: Predictor, count: int) -> np.ndarray:
    """Gray uint8 images [N,H,W] at run size, none of which the export itself looked at."""
    size = (count, predictor.size, predictor.size)
    smooth = np.add.accumulate(np.random.default_rng(7).normal(size=size), axis=2)
    return np.uint8(255 * (smooth - smooth.min()) / np.ptp(smooth))


def live(predictor: Predictor, images: np.ndarray) -> dict[str, np.ndarray]:
    """What the live model says, written out once more."""
    batch = torch.from_numpy(images.astype(np.float32) / 255)[:, None]
    with torch.no_grad():
        said = predictor.net(normalise(batch))
    found = {}
    if said.classification is not None:
        found["classes"] = said.classification.softmax(1).numpy()
    if said.segmentation is not None:
        found["mask"] = said.segmentation.sigmoid().numpy()
    if said.saliency is not None:
        found["saliency"] = said.saliency.numpy()
    return found


def ran(file: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """What onnxruntime makes of the file."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    batch = images.astype(np.float32)[:, None] / 255
    return dict(zip(names, session.run(None, {"image": batch}), strict=True))


# --- ONNX -------------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("count", [1, 2, 7])
def test_onnxruntime_says_what_the_live_model_says(finished: Path, file: Path, count: int) -> None:
    predictor = mmtk.load(finished, "cpu")
    images = films(predictor, count)
    ours, theirs = live(predictor, images), ran(file, images)
    assert list(theirs) == ["classes", "mask", "saliency"] == list(ours)
    for name, value in ours.items():
        np.testing.assert_allclose(theirs[name], value, atol=1e-4, rtol=0)
    assert ours["saliency"].max() > 1e-2  # or the tolerance would be no test of it


@pytest.mark.long
def test_the_file_stands_alone_and_says_what_it_is(finished: Path, file: Path) -> None:
    recipe = mmtk.load_recipe(finished)
    assert file == finished / "exports" / f"{recipe.run_name}.onnx"
    assert sorted(os.listdir(file.parent)) == [MANIFEST, file.name]
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [18]
    inputs = {
        each.name: [d.dim_param or d.dim_value for d in each.type.tensor_type.shape.dim]
        for each in model.graph.input
    }
    assert inputs == {"image": ["batch", 1, 32, 32]}
    told = read_metadata(file)
    assert json.loads(told["classes"]) == ["normal", "pneumonia"]
    assert json.loads(told["organs"]) == ["lung"]
    assert (told["digest"], told["seed"], told["mmtk"]) == (recipe.digest, "0", mmtk.__version__)
    assert (told["size"], told["channels"], told["mask-threshold"]) == ("32", "1", "0.5")
    results = json.loads((finished / "results.json").read_text())
    assert float(told["class-threshold"]) == results["in-domain"]["classification"]["threshold"]
    assert str(Path(mmtk.__file__).parent).encode() not in file.read_bytes()


@pytest.mark.long
def test_a_graph_that_disagrees_is_refused(finished: Path, file: Path) -> None:
    model = Probabilities(mmtk.load(finished, "cpu"))
    altered = onnx.load(file)
    weights = max(altered.graph.initializer, key=lambda each: onnx.numpy_helper.to_array(each).size)
    values = onnx.numpy_helper.to_array(weights).copy()
    values.flat[::7] += 0.05
    weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
    check(differences(model, file.read_bytes()))
    with pytest.raises(
        MmtkError, match=r"would differ from the live model: .*mask by \d\.\de-0\d.*Nothing was written"
    ):
        check(differences(model, altered.SerializeToString()))
    with pytest.raises(MmtkError, match="mask by nan"):
        check({"classes": 0.0, "mask": float("nan")})


def test_the_check_sees_noise_and_films_in_three_sizes_of_batch(finished: Path) -> None:
    batches = list(samples(Probabilities(mmtk.load(finished, "cpu"))))
    assert [len(images) for images in batches] == [*BATCHES, *BATCHES]
    assert all(images.shape[1:] == (1, 32, 32) and 0 <= images.min() < images.max() <= 1 for images in batches)
    flat = torch.cat(batches).flatten(1)
    assert len(torch.unique(flat, dim=0)) == len(flat)


class Choosy(api.Bridge):
    """A bridge whose way depends on the values that it sees: no graph can hold that."""

    channels, stride = 2, 8

    def forward(self, x: torch.Tensor, classify: api.Classify) -> tuple[torch.Tensor, None]:
        joined = torch.nn.functional.avg_pool2d(x.detach(), 8)
        return torch.cat([joined, joined if float(joined.mean()) > 0 else -joined], 1), None


def predictor_with(bridge: api.Bridge) -> Predictor:
    """An untrained network with this bridge in the place of the recipe's, which joins two channels."""
    recipe = shallow("umtl-s")
    targets = sources.targets(recipe)
    net = build.network(recipe, targets)
    net.bridge = bridge
    return Predictor(recipe, net, targets)


@pytest.mark.long
def test_a_component_that_cannot_be_followed_is_named() -> None:
    said = r"^the bridge \(test_export.Choosy\) cannot be written as ONNX: what it does next .*\n  Share "
    with pytest.raises(MmtkError, match=said):
        trace(Probabilities(predictor_with(Choosy())))


# --- a folder to share ------------------------------------------------------------------------------------------


def test_a_shared_folder_predicts_what_the_run_does(finished: Path, shared: Path, tmp_path: Path) -> None:
    alone = tmp_path / "elsewhere"
    shutil.copytree(shared, alone)
    assert sorted(os.listdir(alone)) == [MANIFEST, "README.md", "model.safetensors", "recipe.toml"]
    one, two = mmtk.load(finished, "cpu"), mmtk.load(alone, "cpu")
    images = [films(one, 1)[0], np.full((50, 70), 90, np.uint8)]
    for ours, theirs in zip(one(images), two(images), strict=True):
        assert ours.classes == theirs.classes
        assert (ours.mask == theirs.mask).all()
        assert (ours.saliency == theirs.saliency).all()
    assert two.recipe.digest == one.recipe.digest
    (tmp_path / "pictures").mkdir()
    Image.fromarray(images[1]).save(tmp_path / "pictures" / "film.png")
    tables = []
    for number, folder in enumerate((finished, alone)):
        out = tmp_path / f"predicted-{number}"
        rows = predict(folder, [tmp_path / "pictures"], out, "cpu")
        assert not any(row.error for row in rows)
        tables.append((out / "predictions.csv").read_bytes())
    assert tables[0] == tables[1]


def test_training_may_begin_with_a_shared_folder(shared: Path) -> None:
    recipe = mmtk.load_recipe(shared).with_values({"init": str(shared)})
    ours = build.network(recipe, sources.targets(recipe)).state_dict()
    theirs = mmtk.load(shared, "cpu").net.state_dict()
    assert all((ours[name] == theirs[name]).all() for name in theirs)


def test_the_card_says_what_the_run_s_files_say(finished: Path, shared: Path) -> None:
    card = (shared / "README.md").read_text()
    results = json.loads((finished / "results.json").read_text())
    provenance = json.loads((finished / "provenance.json").read_text())
    for heading in ("Data", "Training", "Scores", "Intended use", "Limits", "Where it comes from"):
        assert f"\n## {heading}\n" in card
    for digest in provenance["data"].values():
        assert digest in card
    for word, dist in provenance["components"].items():
        place, component = word.split("=")
        assert place.startswith(("data.", "metric.")) or f"| {place} | {component} | {dist} |" in card
    dice = results["cross-domain"]["segmentation"]["dice"]
    row = next(line for line in card.splitlines() if line.startswith("| phantom | cross-domain | 10 | Dice |"))
    assert f"| {dice:.3f} | – |" in row
    assert row.split("|")[7].strip() == "–"
    assert "8 patients, too few for an interval" in card
    assert "by leaving out each patient in turn" in card
    assert "| phantom | classification | in-domain | labelled (8 labels) | 8 |" in card
    assert f"goes from {results['in-domain']['segmentation']['dice']:.3f} to {dice:.3f}" in card
    assert "research only" in card
    assert str(finished.parent) not in card + (shared / "recipe.toml").read_text()


def test_the_spread_is_over_the_seeds_of_the_study_where_there_are_more(finished: Path, tmp_path: Path) -> None:
    values = []
    for seed in (0, 1, 2):
        shutil.copytree(finished, folder := tmp_path / f"seed-{seed}")
        values.append(reseeded(folder, seed))
    (tmp_path / "seed-2" / "results.json").write_text("{}")  # damaged: it has no say
    card = (write_shared(tmp_path / "seed-1", tmp_path / "out") / "README.md").read_text()
    row = next(line for line in card.splitlines() if line.startswith("| phantom | in-domain | 10 | Dice |"))
    mean, sd = np.mean(values[:2]), np.std(values[:2], ddof=1)
    digits = places([sd], 3)
    assert f"| {values[1]:.{digits}f} | {mean:.{digits}f} ± {sd:.{digits}f} |" in row
    assert "over the seeds 0, 1, each" in card
    assert "those of seed 1." in card
    assert "One seed" not in card


def reseeded(folder: Path, seed: int) -> float:
    """Make a copy of a run say that it had this seed and another Dice, as a run of a study would; the Dice."""
    for name in ("provenance.json", "results.json"):
        facts = json.loads((folder / name).read_text())
        if name == "provenance.json":
            facts["seed"] = seed
        else:
            facts["in-domain"]["segmentation"]["dice"] += seed / 10
            dice: float = facts["in-domain"]["segmentation"]["dice"]
        (folder / name).write_text(json.dumps(facts))
    done = json.loads((folder / "done.json").read_text())
    RunDir(folder).finish({key: value for key, value in done.items() if key != "files"})
    return dice


# --- bad input --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [write_onnx, write_shared])
def test_what_is_no_finished_run_is_refused(write, finished: Path, tmp_path: Path) -> None:
    with pytest.raises(MmtkError, match=r"is not a run directory: it has no recipe\.toml"):
        write(tmp_path)
    shutil.copytree(finished, unfinished := tmp_path / "unfinished")
    (unfinished / "done.json").unlink()
    with pytest.raises(MmtkError, match=r"this run is not finished.\n  Finish it with: mmtk run"):
        write(unfinished)
    shutil.copytree(finished, damaged := tmp_path / "damaged")
    weights = damaged / "checkpoints" / "best.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 255
    weights.write_bytes(content)
    with pytest.raises(MmtkError, match=r"best.safetensors: cannot be read: its content is not what was written"):
        write(damaged, tmp_path / "out")
    shutil.copytree(finished, cut := tmp_path / "cut")
    (cut / "results.json").write_text("{}")
    with pytest.raises(MmtkError, match=r"results.json was changed or cut"):
        write(cut, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_lies_at_out_is_replaced_only_if_it_is_the_same_run_s(
    finished: Path, shared: Path, tmp_path: Path
) -> None:
    assert write_shared(finished, shared) == shared
    (tmp_path / "thesis.txt").write_text("mine")
    (tmp_path / "thesis.json").write_text('{"in-domain": 1}')
    thesis = [(write_onnx, tmp_path / f"thesis.{suffix}") for suffix in ("txt", "json")]
    for write, out in (*thesis, (write_shared, tmp_path)):
        with pytest.raises(MmtkError, match="is there already, and is no export of this run"):
            write(finished, out)
    with pytest.raises(MmtkError, match=r"is a folder, not a file.\n  Name the file: --out"):
        write_onnx(finished, tmp_path)
    for write in (write_onnx, write_shared):
        with pytest.raises(MmtkError, match=r"thesis\.txt: is a file, not a folder"):
            write(finished, tmp_path / "thesis.txt" / "deeper" / "out")
    (tmp_path / "link").symlink_to(tmp_path / "thesis.txt")
    with pytest.raises(MmtkError, match="is a symbolic link"):
        write_onnx(finished, tmp_path / "link")
    shutil.copytree(finished, other := tmp_path / "other")
    reseeded(other, 1)
    with pytest.raises(MmtkError, match="is no export of this run"):
        write_shared(other, shared)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_shared_folder_is_no_run_and_says_so(shared: Path, tmp_path: Path) -> None:
    with pytest.raises(
        MmtkError, match=r"is an exported model, not a run directory.\n  To train its recipe again: mmtk run"
    ):
        run(tiny(), shared, pictures=False)
    with pytest.raises(MmtkError, match="is an exported folder already"):
        write_shared(shared)
    shutil.copytree(shared, damaged := tmp_path / "damaged")
    content = bytearray((damaged / "model.safetensors").read_bytes())
    content[-5] ^= 255
    (damaged / "model.safetensors").write_bytes(content)
    with pytest.raises(MmtkError, match="cannot be read: its content is not what was written"):
        mmtk.load(damaged, "cpu")
    shutil.copy(shared / "recipe.toml", tmp_path)
    save_file({"weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(MmtkError, match="was not written by mmtk export: it does not say name, run, digest"):
        mmtk.load(tmp_path, "cpu")


@pytest.mark.long
def test_an_exported_file_that_was_changed_is_not_replaced(finished: Path, file: Path, tmp_path: Path) -> None:
    exports = shutil.copytree(file.parent, tmp_path / "exports")
    file = exports / file.name
    model = onnx.load(file)
    model.doc_string = "quantised by hand"
    onnx.save(model, file)
    content = file.read_bytes()
    with pytest.raises(MmtkError, match=r"not written by mmtk export, or changed since: " + re.escape(file.name)):
        write_onnx(finished, file)
    assert file.read_bytes() == content


def test_without_onnxruntime_the_message_says_what_to_install(finished: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(
        MmtkError, match=r"needs onnxruntime, which is not installed.\n  Install it: .* 'onnxruntime>="
    ):
        write_onnx(finished)


# --- every system, other encoders, and what ends in a message ----------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("name", some(SYSTEMS))
def test_every_system_is_exported(name: str, tmp_path: Path) -> None:
    run(shallow(name, train__steps=2), tmp_path / name, pictures=False)
    written = write_onnx(tmp_path / name)
    predictor = mmtk.load(tmp_path / name, "cpu")
    images = films(predictor, 4)
    ours, theirs = live(predictor, images), ran(written.path, images)
    assert list(ours) == list(theirs) == list(written.differences)
    for output, value in ours.items():
        np.testing.assert_allclose(theirs[output], value, atol=1e-4, rtol=0)
    facts = read_about(write_shared(tmp_path / name))
    assert facts["targets"].keys() == set(predictor.recipe.tasks)
    # What was shared can be exported, too, and takes the place of the file of the same run.
    before = written.path.stat().st_ino
    again = write_onnx(tmp_path / name / "exports" / facts["run"], written.path)
    assert again.differences == written.differences
    assert written.path.stat().st_ino != before


OTHERS = {
    "timm": {"encoder__use": "timm", "encoder__model": "test_efficientnet"},
    "smp": {"encoder__use": "smp", "encoder__name": "resnet18", "decoder__use": "smp"},
    "organs": {"data__segmentation__source__organs": "separate", "data__segmentation__cross__organs": "separate"},
    "colour": {"data__channels": 3},
}


@pytest.mark.long
@pytest.mark.parametrize("name", some(list(OTHERS)))
def test_other_parts_are_exported(name: str) -> None:
    recipe = mmtk.load_recipe(
        "multimix", "phantom", {k.replace("__", "."): v for k, v in OTHERS[name].items()} | {"data.size": 64}
    )
    targets = sources.targets(recipe)
    predictor = Predictor(recipe, build.network(recipe, targets), targets)
    model = Probabilities(predictor)
    data = converted(predictor, model)
    check(differences(model, data))


def converted(predictor: Predictor, model: Probabilities) -> bytes:
    recipe = predictor.recipe
    facts = {
        "name": recipe.name,
        "run": recipe.run_name,
        "digest": recipe.digest,
        "seed": 0,
        "mmtk": mmtk.__version__,
        "size": recipe["data.size"],
        "channels": recipe["data.channels"],
        "targets": {task: asdict(target) for task, target in predictor.targets.items()},
        "thresholds": {"classification": None, "segmentation": 0.5},
    }
    return convert(model, facts).SerializeToString()


class Drawing(api.Bridge):
    """A bridge that draws at random: every call gives something else."""

    channels, stride = 2, 8

    def forward(self, x: torch.Tensor, classify: api.Classify) -> tuple[torch.Tensor, None]:
        joined = torch.nn.functional.avg_pool2d(x.detach(), 8)
        return torch.cat([joined, 9 * torch.rand_like(joined)], 1), None


class Unknown(api.Bridge):
    """A bridge that needs an operator which ONNX has not."""

    channels, stride = 2, 8

    def forward(self, x: torch.Tensor, classify: api.Classify) -> tuple[torch.Tensor, None]:
        joined = torch.nn.functional.avg_pool2d(x.detach(), 8)
        return torch.cat([joined, torch.special.bessel_j0(joined)], 1), None


@pytest.mark.long
def test_a_component_that_draws_or_has_no_operator_ends_in_a_message() -> None:
    for bridge, said in (
        (Drawing(), r"would differ from the live model: mask by .* 1e-04 is allowed"),
        (Unknown(), r"the bridge \(test_export\.Unknown\) cannot be written as ONNX: .*bessel_j0"),
    ):
        predictor = predictor_with(bridge)
        model = Probabilities(predictor)
        with pytest.raises(MmtkError, match=said):
            check(differences(model, converted(predictor, model)))
