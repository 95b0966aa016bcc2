"""A stranger's component of every kind takes the place of the built-in one, and the whole way is gone with it.

Strangers subclass the contract alone and share nothing else: other keys, wires, names of terms and scores,
strides, channels and classes. A tiny run trains, selects, draws, predicts, reports and exports; what cannot
work is refused before the run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import fork_server
import numpy as np
import pytest
from loops import some
from PIL import Image
from tiny import SHALLOW, TOY, tiny

import mmtk
from mmtk.errors import MmtkError
from mmtk.export.onnx_file import write_onnx
from mmtk.export.shared import write_shared
from mmtk.recipe.recipe import Recipe
from mmtk.registry import catalog, local_file
from mmtk.registry.kinds import KINDS
from mmtk.runs.folder import RunDir
from mmtk.workflows.ablate import StudyRequest, prepare

CODE = '''
import hashlib
import subprocess
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmtk import api


class Plain(api.Encoder):
    """Strides 2 and 16 of leaky convolutions."""
    def __init__(self, in_channels, *, filters: int = 3):
        super().__init__()
        self.channels, self.strides = (filters, 2 * filters), (2, 16)
        self.first = nn.Conv2d(in_channels, filters, 2, 2)
        self.second = nn.Conv2d(filters, 2 * filters, 8, 8)
    def forward(self, x):
        fine = F.leaky_relu(self.first(x))
        return [fine, F.leaky_relu(self.second(fine))]


class Pixelwise(api.Decoder):
    """The finest level alone, pixel by pixel, and a little of the mean of the coarsest."""
    def __init__(self, classes, channels):
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(channels[0], classes, 1), nn.Conv2d(channels[-1], classes, 1)
    def forward(self, features, size):
        logits = self.fine(features[0]) + self.coarse(features[-1].mean((2, 3), keepdim=True))
        return F.interpolate(logits, size, mode="nearest")


class Confident(api.Bridge):
    """The probabilities of the classes as constant maps, with a learnt factor; nothing to show."""
    def __init__(self, *, at: int = 4):
        super().__init__()
        self.channels, self.stride = 2, at
        self.factor = nn.Parameter(torch.ones(()))
    def forward(self, x, classify):
        p = classify(x).softmax(1)[:, :, None, None]
        return self.factor * p.expand(-1, -1, x.shape[2] // self.stride, x.shape[3] // self.stride), None


class Smooth(api.SSL):
    """A squared loss, and two crooked views that should agree up to a learnt temperature."""
    views = {"crooked": 2}
    def __init__(self, classes, *, strength: float = 0.5):
        super().__init__()
        self.classes, self.strength = classes, strength
        self.heat = nn.Parameter(torch.ones(()))
    def terms(self, predict, labelled, unlabelled, now):
        p = predict(labelled.image).softmax(1)
        one, other = (predict(view).mul(self.heat).softmax(1) for view in unlabelled["crooked"])
        return {
            "brier": api.Term((p - F.one_hot(labelled.target, self.classes)).square().mean()),
            "apart": api.Term((one - other).abs().mean(), self.strength * now.progress),
            "heat": api.Term(self.heat.detach(), 0.0),
        }


class Shrinking(api.Consistency):
    """Masks of all images should be small; no unlabelled image is asked for."""
    unlabelled_stream = False
    def terms(self, predict, labelled, unlabelled, now):
        logits = predict(labelled.image)
        known = labelled.target >= 0
        fit = ((logits.sigmoid() - labelled.target).square() * known).mean()
        return {"fit": api.Term(fit), "area": api.Term(logits.sigmoid().mean(), 0.01)}


class Absolute(api.Loss):
    """The mean distance of probabilities to the truth, for both tasks."""
    def __call__(self, logits, target):
        if target.ndim == 1:
            return (logits.softmax(1) - F.one_hot(target, logits.shape[1])).abs().mean()
        return ((logits.sigmoid() - target).abs() * (target >= 0)).mean()


class Shade(api.Augment):
    """Darkens every image by a factor of its own."""
    def __init__(self, *, least: float = 0.7):
        self.least = least
    def __call__(self, images, generator, masks=None, geometric=True):
        factors = self.least + (1 - self.least) * torch.rand(len(images), 1, 1, 1, generator=generator)
        return images * factors.to(images), masks


class Share(api.Metric):
    """The share of images that are right in a way of its own; no values per image."""
    task = "classification"
    scores = {"right": api.ScoreInfo("right images", chance="luck", leads=True, selects=True)}
    def __init__(self):
        self.right, self.count = 0, 0
    def update(self, logits, target, ids):
        self.right, self.count = self.right + int((logits.argmax(1) == target).sum()), self.count + len(ids)
    def merge(self, other):
        self.right, self.count = self.right + other.right, self.count + other.count
    def compute(self):
        return {"right": self.right / self.count, "luck": 0.3}


class Stripes(api.Source):
    """Bright stripes: across, along or none; masks of both directions, which never meet."""
    def __init__(self, task, *, amount: int = 12):
        self.amount = amount
        names = ("none", "across", "along") if task == "classification" else ("ground", "across", "along")
        self.labels = api.LabelSpec(task, names)
    def items(self, split):
        parts = ("test", "train", "val") if split == "all" else (split,)
        return [
            api.Item(f"{part}{k:03}", (part, k), k % 3, f"{part}{k:03}")
            for part in parts
            for k in range(self.amount)
        ]
    def mask(self, item):
        mask = np.zeros((3, 40, 36), np.uint8)
        k = item.image[1]
        if k % 3 == 1:
            mask[1, 5 + k : 9 + k] = 1
        if k % 3 == 2:
            mask[2, :, 5 + k : 9 + k] = 1
        mask[0] = 1 - mask[1] - mask[2]
        return mask
    def image(self, item):
        noise = np.random.default_rng(len(item.id) + item.image[1]).integers(0, 60, (40, 36, 3))
        return (noise + 150 * self.mask(item)[1:].sum(0)[..., None]).astype(np.uint8)
    def digest(self):
        return hashlib.sha256(f"stripes {self.amount}".encode()).hexdigest()


class OneByOne(api.Launcher):
    """Run jobs one by one."""
    def __init__(self, *, mood: Literal["calm", "hasty"] = "calm"):
        self.mood = mood
    def run(self, jobs):
        for job in jobs:
            job.dir.parent.mkdir(parents=True, exist_ok=True)
            log = job.dir.with_suffix(f".{self.mood}")
            with open(log, "wb") as output:
                code = subprocess.run(job.argv, stdout=output, stderr=output).returncode
            yield api.JobResult(job.dir, code, log)


class Middle(api.Search):
    """The middle of every list and range."""
    sequential = False
    def propose(self, space, history, draw):
        return {key: values.at(0.5) for key, values in space.items()}
'''
STRIPES = {"use": "code/Stripes", "amount": 12}
TASKS = ("classification", "segmentation")
SWAPS = {
    "encoder": {"encoder": {"use": "code/Plain", "filters": 4}, "bridge.use": "none"},
    "decoder": {"decoder": {"use": "code/Pixelwise"}},
    "bridge": {"bridge": {"use": "code/Confident", "at": 2}},
    "ssl": {"ssl": {"use": "code/Smooth", "strength": 0.3}, "augment.crooked": {"use": "strong"}},
    "consistency": {"consistency": {"use": "code/Shrinking"}},
    "loss": {f"loss.{task}": {"use": "code/Absolute"} for task in TASKS},
    "augment": {f"augment.{name}": {"use": "code/Shade"} for name in ("weak", "strong", "segmentation")},
    "metric": {"metric.classification": {"use": "code/Share"}},
    "source": {f"data.{task}.{part}": STRIPES for task in TASKS for part in ("source", "cross")},
}
PARTS = ("encoder", "decoder", "bridge")
DRAWN = ("bridge", "metric", "source")  # what pictures depend on


@pytest.fixture(scope="module", autouse=True)
def code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    before = catalog.code()
    path = tmp_path_factory.mktemp("code") / "strangers.py"
    path.write_text(CODE)
    local_file.use(path)
    yield path
    catalog.offer(before)


def swapped(kind: str) -> Recipe:
    changes = {key.replace(".", "__"): value for key, value in SWAPS[kind].items()} | {"name": f"stranger {kind}"}
    return tiny(train__steps=2, train__validate_every=1, **changes)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run with a stranger of every kind that a recipe names."""
    out = tmp_path_factory.mktemp("runs")
    return {kind: mmtk.run(swapped(kind), out=out / kind, pictures=kind in DRAWN).path for kind in SWAPS}


def test_every_kind_has_a_stranger() -> None:
    assert {*SWAPS, "launcher", "search"} == {*KINDS}
    code = catalog.code()
    assert code is not None
    assert {entry.kind for entry in code.entries} == {*KINDS}


@pytest.mark.long
@pytest.mark.parametrize("kind", SWAPS)
def test_a_run_trains_selects_and_draws(kind: str, runs: dict[str, Path]) -> None:
    folder = RunDir(runs[kind])
    rows = [json.loads(line) for line in folder.metrics_file.read_text().splitlines()]
    validations = {row["step"]: row["val/score"] for row in rows if "val/score" in row}
    selected = json.loads(folder.results_file.read_text())["selected"]["step"]
    assert len(validations) == 2
    assert validations[selected] == max(validations.values())
    terms = {key for row in rows for key in row}
    strange = {"ssl": "apart", "consistency": "area", "metric": "val/classification/right"}
    assert any(strange.get(kind, "loss") in key for key in terms)
    if kind in DRAWN:
        figures = {path.stem for path in folder.path.rglob("*.png")}
        assert "curves" in figures
        assert any(name.startswith("boundaries") for name in figures)


@pytest.mark.long
@pytest.mark.parametrize("kind", SWAPS)
def test_its_model_leaves_mmtk_and_predicts(kind: str, runs: dict[str, Path], tmp_path: Path) -> None:
    shared = write_shared(runs[kind], tmp_path / "shared")
    assert "## Scores" in (shared / "README.md").read_text(encoding="utf-8")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 40), np.uint8)).save(tmp_path / "film.png")
    (row,) = mmtk.predict(shared, tmp_path / "film.png", tmp_path / "predicted")
    assert not row.error


@pytest.mark.long
@pytest.mark.parametrize("kind", some(PARTS))
def test_its_network_is_exported(kind: str, runs: dict[str, Path], tmp_path: Path) -> None:
    assert max(write_onnx(runs[kind], tmp_path / "model.onnx").differences.values()) < 1e-3


@pytest.mark.long
def test_they_are_reported(runs: dict[str, Path], tmp_path: Path) -> None:
    same_data = [path for kind, path in runs.items() if kind not in ("source", "metric")]
    page = mmtk.report(same_data, tmp_path / "report").page.read_text(encoding="utf-8")
    for kind in ("encoder", "ssl", "loss"):
        assert f"stranger {kind}" in page
    for kind in ("source", "metric"):
        assert mmtk.report(runs[kind], tmp_path / kind).page.is_file()


@pytest.mark.long
def test_a_strange_launcher_runs_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", fork_server.python())
    study = mmtk.ablate(
        "enc",
        "ssl=none+confidence",
        profile="phantom",
        seeds=1,
        overrides=TOY | SHALLOW,
        launcher={"use": "code/OneByOne", "mood": "hasty"},
    )
    assert sum(len(cell.runs) for cell in study.cells) == 2
    assert len(list(tmp_path.rglob("*.hasty"))) == 2


def test_a_strange_search_proposes_the_trials_of_a_study(tmp_path: Path) -> None:
    path = tmp_path / "tuned.toml"
    tune = "train.lr = [0.1, 0.2, 0.3]\ntrain.batch = {low = 2, high = 6}\n"
    path.write_text(f'extends = "enc"\nname = "T"\n[tune]\n{tune}')
    request = StudyRequest(str(path), "ssl=none+confidence", tune=2, search={"use": "code/Middle"})
    plan = prepare(request, {}, None, "cpu").plan
    assert plan.tuning is not None
    settings = plan.tuning.settings_of(plan.cells[0].recipe.digest)
    assert settings == [{}, {"train.lr": 0.2, "train.batch": 4}]


@pytest.mark.parametrize("kind", SWAPS)
def test_what_no_host_offers_is_refused_before_the_run(kind: str, code: Path, tmp_path: Path) -> None:
    contract = KINDS[kind].contract_class.__name__
    path = tmp_path / "wishful.py"
    path.write_text(f"from mmtk import api\nclass Wishful(api.{contract}):\n    def __init__(self, moon): ...\n")
    text = path.read_text()
    methods = "".join(f"    def {name}(self): ...\n" for name in KINDS[kind].contract_class.__abstractmethods__)
    path.write_text(text + methods)
    local_file.use(path)
    table = next(iter(SWAPS[kind]))
    with pytest.raises(MmtkError, match="asks for 'moon', which is not offered"):
        tiny("multimix", **{table.replace(".", "__"): {"use": "code/Wishful"}})
    local_file.use(code)


ATTRIBUTES = {"encoder": "channels", "bridge": "channels", "metric": "task", "source": "labels"}


@pytest.mark.parametrize(("kind", "attribute"), ATTRIBUTES.items())
def test_a_missing_attribute_is_named(kind: str, attribute: str, code: Path, tmp_path: Path) -> None:
    contract = KINDS[kind].contract_class
    path = tmp_path / "empty.py"
    methods = "".join(f"    def {name}(self, *a): ...\n" for name in contract.__abstractmethods__)
    path.write_text(f"from mmtk import api\nclass Empty(api.{contract.__name__}):\n    pass\n{methods}")
    local_file.use(path)
    table = next(iter(SWAPS[kind]))
    with pytest.raises(MmtkError, match=f"has no '{attribute}'"):
        mmtk.check(tiny("multimix", **{table.replace(".", "__"): {"use": "code/Empty"}}))
    local_file.use(code)


def test_a_metric_of_no_task_is_refused(code: Path, tmp_path: Path) -> None:
    path = tmp_path / "lost.py"
    methods = "".join(f"    def {name}(self, *a): ...\n" for name in ("update", "merge", "compute"))
    path.write_text(f"from mmtk import api\nclass Lost(api.Metric):\n    task = 'detection'\n{methods}")
    local_file.use(path)
    with pytest.raises(MmtkError, match="scores detection, which is no task"):
        tiny(metric__more={"use": "code/Lost"})
    local_file.use(code)
