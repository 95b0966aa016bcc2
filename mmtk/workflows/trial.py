"""Trial of a recipe's first step on made-up images, before any data are read."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmtk import api
from mmtk.data import label_budget, sources
from mmtk.data.dataset import Data
from mmtk.data.label_budget import SplitRows
from mmtk.data.split_checks import Role, check_items, check_parts, check_same_labels
from mmtk.data.store import ImageStore
from mmtk.errors import MmtkError, NotFinite
from mmtk.model.device_choice import choose_precision
from mmtk.model.evaluate import evaluate, fill, write_cases
from mmtk.recipe import parts
from mmtk.recipe.recipe import Recipe
from mmtk.registry import catalog, signature
from mmtk.runs.display import Display
from mmtk.runs.folder import RunDir
from mmtk.training.trainer import make_trainer

IMAGES, SMALL = 4, 64  # images of each task; pixels a side at which a step is tried first
_KINDS: dict[str, tuple[api.LabelSpec, ...]] = {
    "classification": (
        api.LabelSpec("classification", ("0", "1")),
        api.LabelSpec("classification", ("0", "1", "2")),
    ),
    "segmentation": (
        api.LabelSpec("segmentation", ("0",), exclusive=False),
        api.LabelSpec("segmentation", ("0", "1"), exclusive=True),
    ),
}


def try_step(recipe: Recipe) -> None:
    """Train two steps and score, on a few made-up images; raise the MmtkError of any part that refuses.

    A source that makes its images in code says what it labels; for others one kind of label has to work.
    Weights files are not read, and pretrained weights not fetched.
    """
    kinds = [_kinds(recipe, task) for task in recipe.tasks]
    refusals: list[MmtkError] = []
    for targets in product(*kinds):
        specs = dict(zip(recipe.tasks, targets, strict=True))
        # A smaller image shows the same in less time; where it is refused, the full size decides.
        for size in sorted({_small(recipe), recipe.data.size}):
            try:
                with _explained():
                    _step(_plain(recipe, size), specs)
                return
            except MmtkError as error:
                refusal = error
        refusals.append(refusal)
    raise refusals[0]


def check_listing(recipe: Recipe) -> None:
    """Raise the error of a run on budgets, classes and parts, for sources that make their images in code."""
    for task in recipe.tasks:
        domains = [domain for domain in ("source", "cross") if recipe.source(task, domain)]
        in_code = [domain for domain in domains if _made_in_code(recipe, task, domain)]
        roles = [Role.of(recipe, task, domain) for domain in in_code]
        in_code_sources = [sources.source(recipe, task, domain) for domain in in_code]
        for role, source in zip(roles, in_code_sources, strict=True):
            check_items(role, source)
            check_parts(role, source)
            if role.domain == "source":
                labels = [item.target for item in source.items("train") if item.target is not None]
                label_budget.check_labels(recipe, task, labels, source.labels.names)
        if len(in_code) > 1:
            check_same_labels(roles[0], in_code_sources[0].labels, roles[1], in_code_sources[1].labels)


def _made_in_code(recipe: Recipe, task: str, domain: str) -> bool:
    """Whether a source asks for no folder of data."""
    entry = catalog.find("source", recipe.source(task, domain)["use"])
    return "root" not in signature.wired(catalog.load(entry))


def _kinds(recipe: Recipe, task: str) -> tuple[api.LabelSpec, ...]:
    if _made_in_code(recipe, task, "source"):
        return (sources.source(recipe, task).labels,)
    return _KINDS[task]


def _small(recipe: Recipe) -> int:
    """A size of at least SMALL pixels and two of the coarsest stride, but no larger than the recipe's."""
    coarsest = max(parts.sketch_encoder(recipe).strides)
    return min(int(recipe.data.size), coarsest * max(2, -(-SMALL // coarsest)))


def _plain(recipe: Recipe, size: int) -> Recipe:
    """The recipe at ``size`` with few images in a batch (as odd as its own), and nothing read or sent."""
    encoder = {key: value for key, value in recipe.encoder.items() if key not in ("weights", "pretrained")}
    batch = recipe.train.batch
    few = {"train.batch": min(batch, 2 + batch % 2), "evaluate.batch": min(2, recipe.evaluate.batch)}
    precision = choose_precision(recipe.train.precision, "cpu")
    nothing = {"init": None, "encoder": encoder, "tracking.enabled": False, "train.precision": precision}
    return recipe.with_values({"data.size": size, **few, **nothing})


def _step(recipe: Recipe, targets: dict[str, api.LabelSpec]) -> None:
    """Train the first and the last step, and score, in a temporary folder."""
    data = _data(recipe, targets)
    with (
        tempfile.TemporaryDirectory(prefix="mmtk-trial-", ignore_cleanup_errors=True) as folder,
        closing(make_trainer(recipe, data, RunDir(Path(folder)), "cpu", Display(quiet=True))) as training,
    ):
        training.objective.train()
        for index in sorted({0, training.total - 1}):
            try:
                training.train_step(index)
            except NotFinite:  # of noise that proves nothing
                return
        net = training.eval_net.float()
        validation = {test.task: fill(net, recipe, test, "cpu") for test in data.validation()}
        write_cases(Path(folder) / "cases.parquet", evaluate(net, recipe, data.tests(), validation))


def _data(recipe: Recipe, targets: dict[str, api.LabelSpec]) -> Data:
    """Noise with labels for every task: half of it to train on, and all to score."""
    data = Data()
    for task, target in targets.items():
        data.stores[task] = _store(target, recipe.data.size, recipe.data.channels)
        rows = list(range(IMAGES))
        data.parts[task] = SplitRows(rows[: max(2, len(target.names))], rows, rows, rows)
    return data


def _store(target: api.LabelSpec, size: int, channels: int) -> ImageStore:
    draw = np.random.default_rng(0)
    ids = [f"{target.task}-{number}" for number in range(IMAGES)]
    images = draw.integers(0, 256, (IMAGES, channels, size, size), dtype=np.uint8)
    classes = len(target.names)
    labels: Any = np.arange(IMAGES) % classes
    if target.task == "segmentation":
        labels = draw.integers(0, 2, (IMAGES, classes, size, size), dtype=np.uint8)
        if target.exclusive:
            labels = np.moveaxis(
                np.eye(classes, dtype=np.uint8)[draw.integers(0, classes, (IMAGES, size, size))], 3, 1
            )
    return ImageStore(images, labels, ids, ids, {}, np.full((IMAGES, 2), size), target, "made up")


@contextmanager
def _explained() -> Iterator[None]:
    """Turn an exception of a component into a message with file and line; keep the state of torch's draws."""
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    except MmtkError:
        raise
    except Exception as error:  # a component of somebody else raises whatever it likes
        last = traceback.extract_tb(error.__traceback__)[-1]
        first = str(error).partition("\n")[0]
        raise MmtkError(
            f"a training step on made-up images fails: {type(error).__name__}: {first} "
            f"({last.filename}:{last.lineno}).",
            hint="mmtk --debug shows where.",
        ) from error
