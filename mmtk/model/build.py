"""The composition root: a resolved recipe → live objects. The only file that knows every kind."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from mmtk import api
from mmtk.errors import MmtkError
from mmtk.io import distributed
from mmtk.model import checkpoint
from mmtk.model.network import ClassHead, MultiTaskNet, at_least_float32, frozen_statistics
from mmtk.recipe import tables as recipe_tables
from mmtk.recipe.recipe import Recipe
from mmtk.registry import catalog, signature
from mmtk.runs.folder import RunDir
from mmtk.seeding import seeded

CONTRACTS: dict[str, type[Any]] = {
    "encoder": api.Encoder, "decoder": api.Decoder, "ssl": api.SSL, "consistency": api.Consistency,
    "bridge": api.Bridge, "loss": api.Loss, "augment": api.Augment, "source": api.Source,
    "metric": api.Metric, "launcher": api.Launcher,
}  # fmt: skip


def component(kind: str, table: Mapping[str, Any], offered: Mapping[str, Any]) -> Any:
    """The live component of a recipe table."""
    entry = catalog.find(kind, table["use"])
    loaded = catalog.load(entry)
    if not issubclass(loaded, CONTRACTS[kind]):
        raise MmtkError(
            f"{entry.word} ({entry.target} of {entry.dist}) is no {kind}: it does not subclass "
            f"mmtk.api.{CONTRACTS[kind].__name__}."
        )
    host = {"use", *(name for name, _, _ in recipe_tables.HOST_KEYS.get(kind, ()))}
    keys = {key: value for key, value in table.items() if key not in host}
    return signature.construct(loaded, entry.word, offered, keys)


def data_root(data: str | Path | None = None) -> Path | None:
    """The folder of the data sets: ``--data``, else ``MMTK_DATA``, else none."""
    chosen = data or os.environ.get("MMTK_DATA")
    try:
        return Path(chosen).expanduser() if chosen else None
    except RuntimeError as error:
        raise MmtkError("there is no such home directory.", str(chosen), "Give the whole path.") from error


def source(recipe: Recipe, task: str, domain: str = "source", root: Path | None = None) -> api.Source:
    """A data source of the recipe; ``domain`` is ``source`` (in-domain) or ``cross``."""
    table = recipe[f"data.{task}.{domain}"]
    try:
        made: api.Source = component("source", table, {"root": root or Path("data"), "task": task})
    except MmtkError as error:
        if root is None and not Path("data").is_dir() and "--data" in (error.hint or "") and not error.where:
            message = "no data: no --data was given, MMTK_DATA is not set, and there is no folder 'data' here."
            raise MmtkError(message, hint=error.hint) from error
        raise
    if made.target.task != task:
        raise MmtkError(
            f'data.{task}.{domain}: "{table["use"]}" is a source for {made.target.task}, not for {task}.',
            hint=f"Put it into data.{made.target.task}.{domain}, or choose another source.",
        )
    return made


def data_paths(recipe: Recipe, root: Path | None = None) -> list[Path]:
    """The folders and files that the recipe's sources name by their keys, as far as they are there."""
    tables = [recipe.get(f"data.{task}.{domain}") or {} for task in recipe.tasks for domain in ("source", "cross")]
    texts = [value for table in tables for key, value in table.items() if isinstance(value, str) and key != "use"]
    fixed = [re.split(r"(?:^|/)\*(?:/|$)", text)[0] for text in texts if text]  # of a pattern such as "*/images"
    paths = dict.fromkeys((root or Path("data")) / text for text in fixed)
    return [path for path in paths if os.path.exists(path)]


def targets(recipe: Recipe, root: Path | None = None) -> dict[str, api.Target]:
    """What each task labels, by task."""
    return {task: source(recipe, task, root=root).target for task in recipe.tasks}


# --- the network ---------------------------------------------------------------------------------------------


def _encoder(recipe: Recipe) -> api.Encoder:
    return cast(api.Encoder, component("encoder", recipe["encoder"], {"in_channels": recipe["data.channels"]}))


def _bridge(recipe: Recipe) -> api.Bridge | None:
    if not recipe.get("bridge"):
        return None
    bridge = component("bridge", recipe["bridge"], {"in_channels": recipe["data.channels"]})
    return bridge if bridge.channels else None


def sketch_encoder(recipe: Recipe) -> api.Encoder:
    """The encoder without memory for its weights: for its channels and strides alone."""
    without = {key: value for key, value in recipe["encoder"].items() if key != "pretrained"}
    with torch.device("meta"):
        return _encoder(recipe.with_values({"encoder": without}))


def sketch_bridge(recipe: Recipe) -> api.Bridge | None:
    """The bridge without memory for its weights, or None where it joins nothing."""
    with torch.device("meta"):
        return _bridge(recipe)


def _decoder(recipe: Recipe, encoder: api.Encoder, classes: int, bridge: api.Bridge | None) -> api.Decoder:
    channels = list(encoder.channels)
    if bridge is not None:
        channels[list(encoder.strides).index(bridge.stride)] += bridge.channels
    offered = {"channels": channels, "strides": list(encoder.strides), "classes": classes}
    return cast(api.Decoder, component("decoder", recipe["decoder"], offered))


def _share_weights(wider: nn.Module, plain: nn.Module) -> None:
    """Give ``wider`` the weights of ``plain``; where it has more input channels, they follow the shared ones."""
    other = dict(plain.named_parameters())
    with torch.no_grad():
        for name, parameter in wider.named_parameters():
            if name in other and other[name].dim() == parameter.dim():
                shared = tuple(
                    slice(0, min(a, b)) for a, b in zip(parameter.shape, other[name].shape, strict=True)
                )
                parameter[shared] = other[name][shared]


def network(recipe: Recipe, targets: Mapping[str, api.Target], key: str = "main") -> MultiTaskNet:
    """The network with its initial weights, which depend on the seed and on each part alone.

    Recipes that differ in one component start the other parts equal, so that their comparison is paired.
    """
    with seeded(recipe.seed, "init", key, "encoder"):
        encoder = _encoder(recipe)
    head = decoder = bridge = None
    if "classification" in recipe.tasks:
        with seeded(recipe.seed, "init", key, "head"):
            head = ClassHead(encoder.channels[-1], len(targets["classification"].names))
    if "segmentation" in recipe.tasks:
        classes = len(targets["segmentation"].names)
        with seeded(recipe.seed, "init", key, "bridge"):
            bridge = _bridge(recipe)
        with seeded(recipe.seed, "init", key, "decoder"):
            decoder = _decoder(recipe, encoder, classes, bridge)
        if bridge is not None:
            with seeded(recipe.seed, "init", key, "decoder"):
                _share_weights(decoder, _decoder(recipe, encoder, classes, None))
    net = MultiTaskNet(encoder, head, decoder, bridge)
    if weights := recipe.get("encoder.weights"):
        _load_encoder(net, weights)
    if start := recipe.get("init"):
        load_weights(net, Path(start))
    return net


def build_model(recipe: Recipe, data: str | Path | None = None) -> MultiTaskNet:
    """The recipe's network with its initial weights.

    Called with images [B,C,H,W] in [−1, 1] it gives a Prediction: logits ``classification`` [B,classes] and
    ``segmentation`` [B,K,H,W], and ``saliency`` [B,1,H,W]; None for what the system does not have.
    """
    return network(recipe, targets(recipe, data_root(data)))


def read_weights(path: Path) -> dict[str, Tensor]:
    """The network's weights in a .safetensors file, a run directory (the best ones) or an exported folder."""
    folder = RunDir(path)
    file = path if not path.is_dir() else folder.model if folder.model.is_file() else folder.best
    if not file.is_file():
        raise MmtkError("no such weights file.", str(file), "Give a .safetensors file or a run directory.")
    tensors, _ = checkpoint.read(file, "It is damaged, or no .safetensors file: copy or train it again.")
    return {name.removeprefix("net."): tensor for name, tensor in tensors.items() if not name.startswith("optim.")}


def load_weights(net: nn.Module, path: Path) -> None:
    """Load a whole network; a name or shape that differs is an error that names it."""
    _load(net, read_weights(path), path)


def _load_encoder(net: MultiTaskNet, given: str) -> None:
    _load(net.encoder, encoder_part(read_weights(Path(given))), Path(given))


def encoder_part(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The encoder's weights among those of a network; all, where they are of an encoder alone."""
    inside = {n.removeprefix("encoder."): t for n, t in weights.items() if n.startswith("encoder.")}
    return inside or weights


def _load(module: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    check_weights(module, weights, path)
    module.load_state_dict(weights)


def check_weights(module: nn.Module, weights: dict[str, Tensor], path: Path, shapes: bool = True) -> None:
    """Raise MmtkError with the names of weights that are missing, unknown or (``shapes``) of another shape."""
    own = module.state_dict()
    other = {n for n in {*own} & {*weights} if shapes and own[n].shape != weights[n].shape}
    wrong = sorted({*own} ^ {*weights} | other)
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise MmtkError(
            f"does not fit this network: {', '.join(wrong[:3])}{more} missing, unknown or of another shape.",
            str(path),
            "Take weights of the same encoder and data.channels.",
        )


# --- strategies, losses, augmentations, metrics ---------------------------------------------------------------


class SupervisedLoss:
    """A task's supervised loss as a term, named by its recipe word.

    It is that of the whole batch on every rank, so a loss need not be a mean over images.
    """

    def __init__(self, name: str, loss: api.Loss, weight: float) -> None:
        self.name, self.loss, self.weight = name, loss, weight

    def __call__(self, predict: Any, labelled: api.Labelled, logits: Tensor | None = None) -> api.Terms:
        """Logits (predicted here unless given) against the labels → one weighted term."""
        logits = predict(labelled.image) if logits is None else logits
        return {self.name: api.Term(self.loss(*distributed.whole_batch(logits, labelled.target)), self.weight)}


class TwinNet(nn.Module):
    """A second network of one task: trained by the optimiser, or an EMA copy that the host updates."""

    def __init__(self, main: MultiTaskNet, other: MultiTaskNet, task: str, decay: float | None) -> None:
        super().__init__()
        self.task, self.decay = task, decay
        other.bridge_classify = main.bridge_classify
        self.net = other
        # A tuple hides the main network from state_dict: it is not the twin's.
        self._main = (main,)
        if decay is not None:
            other.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """[B,C,H,W] → the task's logits; an EMA copy gives no gradient."""
        predict = self.net.classify if self.task == "classification" else self.net.segment
        if torch.is_grad_enabled() and self.decay is None:
            return at_least_float32(predict(images))
        with torch.no_grad(), frozen_statistics(self.net):
            return at_least_float32(predict(images))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """EMA of weights, copy of statistics, with α = min(1 − 1/(step + 1), decay)."""
        if self.decay is None:
            return
        alpha = min(1 - 1 / (step + 1), self.decay)
        main = dict(self._main[0].named_parameters())
        for name, parameter in self.net.named_parameters():
            parameter.lerp_(main[name], 1 - alpha)
        for own, theirs in zip(self.net.buffers(), self._main[0].buffers(), strict=True):
            own.copy_(theirs)


def strategy(
    recipe: Recipe,
    kind: str,
    net: MultiTaskNet,
    targets: Mapping[str, api.Target],
    unlabelled_size: int = 0,
    class_weights: Tensor | None = None,
) -> nn.Module:
    """The SSL or consistency component, wired with its task's supervised loss."""
    task = "classification" if kind == "ssl" else "segmentation"
    table = recipe[f"loss.{task}"]
    target = targets[task]
    wires = {"classes": len(target.names), "exclusive": target.exclusive}
    loss = component("loss", table, {**wires, "class_weights": class_weights})
    made = 0

    def twin(decay: float | None = None) -> nn.Module:
        nonlocal made
        made += 1
        other = network(recipe, targets, f"twin-{made}") if decay is None else copy.deepcopy(net)
        return TwinNet(net, other, task, decay)

    offered = {
        **wires,
        "supervised": SupervisedLoss(table["use"], loss, table["weight"]),
        "twin": twin,
        "unlabelled_size": unlabelled_size,
        "in_channels": recipe["data.channels"],
    }
    with seeded(recipe.seed, "init", kind):
        return cast(nn.Module, component(kind, recipe[kind], offered))


def views(strategy: Any) -> dict[str, api.View]:
    """The views that a strategy declares, ints turned into View(count)."""
    return {n: v if isinstance(v, api.View) else api.View(v) for n, v in strategy.views.items()}


def sketch_views(recipe: Recipe, kind: str) -> dict[str, api.View]:
    """The views of a strategy, asked of an instance that is wired to nothing."""
    offered = {
        "supervised": None, "twin": lambda decay=None: nn.Identity(), "classes": 2, "exclusive": True,
        "unlabelled_size": 1, "in_channels": recipe["data.channels"],
    }  # fmt: skip
    with torch.random.fork_rng():
        return views(component(kind, recipe[kind], offered))


def augmentations(recipe: Recipe, target: api.Target) -> dict[str, api.Augment]:
    """Every augmentation of the recipe, for the images of one task."""
    return {
        name: component("augment", table, {"swap": target.swap})
        for name, table in recipe.get("augment", {}).items()
    }


def metrics(
    recipe: Recipe, task: str, target: api.Target, spacing: Mapping[str, tuple[float, float]]
) -> dict[str, api.Metric]:
    """The metrics of one task, empty."""
    offered = {"names": target.names, "exclusive": target.exclusive, "spacing": spacing}
    made = {name: component("metric", table, offered) for name, table in recipe.get("metric", {}).items()}
    return {name: metric for name, metric in made.items() if metric.task == task}


@dataclass(frozen=True)
class Version:
    """What a run was made of: a component's word and the distribution that brought it."""

    word: str
    dist: str
    version: str


def versions(recipe: Recipe) -> list[Version]:
    """The distributions behind every component of the recipe, for provenance."""
    found = []
    for path, kind, table in recipe.components():
        entry = catalog.find(kind, table["use"])
        found.append(Version(f"{path}={entry.word}", entry.dist, entry.version))
    return found
