"""The package: its recipes, README and files; the teacher in closed form; whole runs and interrupted ones."""

import ast
import json
from importlib import metadata
from pathlib import Path

import mmtk
import numpy as np
import pytest
import torch
from mmtk.data.dataset import prepare
from mmtk.runs.display import Display
from mmtk.runs.folder import RunDir
from mmtk.training.strategies import TwinNet
from mmtk.training.trainer import make_trainer
from ssl_oracle import STRATEGIES

HERE = Path(__file__).parents[1]
TINY = {
    "data.size": 32,
    "encoder.width": 4,
    "encoder.depth": 3,
    "train.steps": 4,
    "train.validate_every": 2,
    "train.batch": 4,
    "train.precision": "fp32",
    "evaluate.cases": 2,
    "tracking.enabled": False,
    "data.classification.labels": 8,
    **{
        f"data.classification.{domain}.{part}": count
        for domain in ("source", "cross")
        for part, count in (("train", 24), ("val", 8), ("test", 10), ("size", 32))
    },
}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMTK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def tiny(word, **changes):
    changes = {key.replace("__", "."): value for key, value in changes.items()}
    return mmtk.load_recipe(HERE / "recipes" / f"{word}.toml", overrides=TINY | changes)


def begin(recipe, path):
    folder = RunDir(path)
    if not path.exists():
        folder.make()
    folder.claim(recipe)
    return make_trainer(recipe, prepare(recipe, None), folder, "cpu", Display(quiet=True))


# --- the package ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", STRATEGIES)
def test_every_strategy_has_a_recipe_that_is_fine(word):
    recipe = mmtk.load_recipe(HERE / "recipes" / f"{word}.toml")
    assert recipe["ssl.use"] == word
    assert recipe.tasks == ["classification"]
    assert recipe.get("train.ema") == (0.99 if word in ("fixmatch", "mean-teacher") else None)


def test_the_entry_points_name_the_strategies():
    points = metadata.distribution("mmtk-ssl-zoo").entry_points
    assert {point.name: point.load() for point in points if point.group == "mmtk.ssl"} == STRATEGIES
    assert {path.stem for path in (HERE / "recipes").glob("*.toml")} == set(STRATEGIES)


@pytest.mark.parametrize("word", STRATEGIES)
def test_the_readme_has_the_defaults(word):
    (row,) = [
        r for r in (HERE / "README.md").read_text().splitlines() if r.startswith(f"| `{word}`") and "20" in r
    ]
    row = next(r for r in (HERE / "README.md").read_text().splitlines() if r.startswith(f"| `{word}` |"))
    defaults = STRATEGIES[word].__init__.__kwdefaults__
    assert row.count("` ") >= len(defaults)
    for key, default in defaults.items():
        assert f"`{key}` {json.dumps(default).removesuffix('.0')}" in row


def test_components_are_short_and_use_the_public_interface_alone():
    for path in (HERE / "mmtk_ssl_zoo").glob("*.py"):
        text = path.read_text()
        assert text.count("\n") <= 60, path.name
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("mmtk."):
                assert node.module == "mmtk.api", path.name


# --- training ------------------------------------------------------------------------------------------------


def trained(recipe, path, steps=4):
    """The network's weights before the first step and after each, and the teacher's at the end."""
    training = begin(recipe, path)

    def flat(net):
        return torch.cat([p.detach().double().flatten().clone() for p in net.parameters()])

    weights = [flat(training.net)]
    for index in range(steps):
        training.train_step(index)
        weights.append(flat(training.net))
    training.close()
    return weights, flat(training.objective.ssl.teacher.net)


def closed_form(weights, decay):
    """Σ of the weights by step, each with (1 − α_t) Π of the later α; α_t = min(1 − 1/(t + 1), decay)."""
    alphas = [0.0, *(min(t / (t + 1), decay) for t in range(1, len(weights)))]
    shares = [(1 - alpha) * float(np.prod(alphas[t + 1 :])) for t, alpha in enumerate(alphas)]
    assert sum(shares) == pytest.approx(1)
    return sum(share * each for share, each in zip(shares, weights, strict=True))


@pytest.mark.parametrize("decay", [0.999, 0.6])
def test_the_teacher_after_k_steps_is_the_closed_form(tmp_path, decay):
    weights, teacher = trained(tiny("mean-teacher", ssl__decay=decay), tmp_path)
    torch.testing.assert_close(teacher, closed_form(weights, decay), rtol=1e-5, atol=1e-7)
    assert not torch.allclose(teacher, weights[-1])
    if decay == 0.999:  # within the first thousand steps: the plain mean
        torch.testing.assert_close(teacher, torch.stack(weights).mean(0), rtol=1e-5, atol=1e-7)


def test_the_closed_form_refuses_a_teacher_that_is_not_updated_in_place(tmp_path, monkeypatch):
    """PyMIC's ``add`` for ``add_``: the teacher only shrinks."""

    @torch.no_grad()
    def update(self, step):
        alpha = min(1 - 1 / (step + 1), self.decay)
        for own, theirs in zip(self.net.parameters(), self._main[0].parameters(), strict=True):
            own.mul_(alpha).add((1 - alpha) * theirs)

    monkeypatch.setattr(TwinNet, "update", update)
    weights, teacher = trained(tiny("mean-teacher"), tmp_path)
    with pytest.raises(AssertionError, match="not close"):
        torch.testing.assert_close(teacher, closed_form(weights, 0.999), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("word", ["mean-teacher", "freematch", "flexmatch", "softmatch"])
def test_an_interrupted_run_ends_as_one_that_was_not(tmp_path, word):
    recipe = tiny(word)
    whole, cut = begin(recipe, tmp_path / "whole"), begin(recipe, tmp_path / "cut")
    for index in range(4):
        whole.train_step(index)
    for index in range(2):
        cut.train_step(index)
    cut.save()
    cut.train_step(2)  # lost: the process ends before the next checkpoint
    cut.close()
    again = begin(recipe, tmp_path / "cut")
    assert again.steps_done == 2
    for index in range(2, 4):
        again.train_step(index)
    for name, tensor in whole.objective.state_dict().items():
        assert torch.equal(again.objective.state_dict()[name], tensor), name
    whole.close()
    again.close()


@pytest.mark.parametrize(
    ("word", "terms"),
    [
        ("mean-teacher", {"cross-entropy", "consistency"}),
        ("freematch", {"cross-entropy", "freematch", "mask-rate", "pseudo-label-accuracy", "fairness"}),
    ],
)
def test_a_run_from_end_to_end(tmp_path, word, terms):
    result = mmtk.run(tiny(word), out=tmp_path / "run", device="cpu", pictures=False)
    rows = [json.loads(line) for line in (result.path / "metrics.jsonl").read_text().splitlines()]
    steps = [row for row in rows if "train/loss" in row]
    assert len(steps) == 4
    for row in steps:
        assert {f"train/classification/{name}" for name in terms} <= set(row)
        assert all(np.isfinite(value) for key, value in row.items() if key.startswith("train/"))
    assert json.loads((result.path / "results.json").read_text())["warnings"] == []
    assert 0 <= result.scores["in-domain"]["classification"]["accuracy"] <= 1
    components = json.loads((result.path / "provenance.json").read_text())["components"]
    assert [key for key, value in components.items() if "mmtk-ssl-zoo" in value] == [f"ssl=ssl/{word}"]
