"""A finished run as a predictor: classes, masks and saliency for images of any size."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import IOBase
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np
import torch
from PIL.Image import Image as Picture
from PIL.Image import fromarray
from torch.nn import functional as F

from mmtk import api
from mmtk.api import LabelSpec
from mmtk.data.batches import network_input
from mmtk.errors import MmtkError
from mmtk.images import files
from mmtk.images.loader import gray_pixels, read_image, resize_image
from mmtk.io import status_line
from mmtk.model import build, weight_files
from mmtk.model.device_choice import choose_device
from mmtk.model.ensemble import Ensemble, Net, disagreement, mean_prediction
from mmtk.model.views import seen
from mmtk.recipe.recipe import Recipe
from mmtk.recipe.resolved import read_resolved
from mmtk.runs.folder import RunDir
from mmtk.runs.result import html_table
from mmtk.tasks import TASKS


@dataclass(frozen=True)
class Case:
    """Prediction of a run for one image: class probabilities, mask [K,H,W] and saliency [H,W] at its own size.

    A task that the run was not trained for is None, as is the saliency of a system without a bridge. Of several
    runs it is the mean of their probabilities, and ``disagreement`` says how far they are apart, from 0 to 1, on
    the ``class`` and on every organ.
    """

    classes: dict[str, float] | None
    mask: np.ndarray | None
    saliency: np.ndarray | None
    disagreement: dict[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        """The classes; of arrays their shapes."""
        arrays = {"mask": self.mask, "saliency": self.saliency}
        shapes = (f"{name} {list(array.shape)}" for name, array in arrays.items() if array is not None)
        classes = [f"{name} {value:.3f}" for name, value in (self.classes or {}).items()]
        return f"Case({', '.join([*classes, *shapes])})"


def predict(net: Net, recipe: Recipe, images: torch.Tensor, targets: Mapping[str, LabelSpec]) -> api.Prediction:
    """Predict images [B,C,H,W] in [0, 1] at run size, each task by its own input.

    net: of the recipe
    recipe: with the views of an image that count
    images: on the device of the network
    targets: labels by task
    """
    views = seen(net, recipe, targets)
    prediction: api.Prediction = views(network_input(images, recipe, "segmentation"))
    if prediction.classification is not None and not recipe.normalises("classification"):
        prediction.classification = views.classify(network_input(images, recipe, "classification"))
    return prediction


Image: TypeAlias = str | Path | Picture | np.ndarray


def image_pixels(image: object) -> np.ndarray:
    """The path of an image, a PIL image or a uint8 array [H,W], [H,W,3] or [H,W,4] → gray uint8 [H,W]."""
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if isinstance(image, Picture):
        return gray_pixels(image)
    if not isinstance(image, np.ndarray):
        raise _no_image(image)
    if image.dtype == np.uint8 and image.size and image.ndim == 2:
        return image
    if image.dtype == np.uint8 and image.size and _has_colour(image):
        return gray_pixels(fromarray(image))
    raise _no_image(f"an array {list(image.shape)} of {image.dtype}{_scaling(image)}")


def _scaling(array: np.ndarray) -> str:
    """Hint for an array of another type: how it becomes gray levels, if that can be seen."""
    if array.dtype == np.uint8 or not array.size or array.dtype.kind not in "bf":
        return ""
    inside = array.min() >= 0 and array.max() <= 1  # false for NaN
    return "; from values in [0, 1]: numpy.rint(255 * image).astype('uint8')" if inside else ""


def _has_colour(array: np.ndarray) -> bool:
    return array.ndim == 3 and array.shape[2] in (3, 4)


def _is_one(images: object) -> bool:
    """Whether the input is one image and not several."""
    if isinstance(images, np.ndarray):
        return images.ndim < 3 or _has_colour(images)
    return isinstance(images, str | Path | Picture)


def _several(images: object) -> list[Any]:
    """The images one by one; one alone is a list of one."""
    if _is_one(images):
        return [images]
    # Bytes, a dict and an open file can be iterated, but what comes is no image.
    if isinstance(images, bytes | bytearray | Mapping | IOBase) or not isinstance(images, Iterable):
        raise _no_image(images)
    return list(images)


def _no_image(value: object) -> MmtkError:
    came = value if isinstance(value, str) else f"{type(value).__name__}: {' '.join(repr(value).split())[:40]}"
    return MmtkError(
        f"this is no image: {came}.",
        hint="Give a path, a PIL image, a uint8 array [H,W], [H,W,3] or [H,W,4] from 0 to 255, or several.",
    )


class Predictor:
    """A trained network, or an ensemble, with its recipe (of the first run), ready for images."""

    def __init__(self, recipe: Recipe, net: Net, targets: dict[str, LabelSpec], device: str = "cpu") -> None:
        self.recipe, self.net, self.targets = recipe, net.to(device).eval(), targets
        self.device = torch.device(device)

    @property
    def size(self) -> int:
        """The side in pixels at which the network works."""
        side: int = self.recipe.data.size
        return side

    def __repr__(self) -> str:
        names = [f"{task}: {', '.join(target.names)}" for task, target in self.targets.items()]
        count = len(self.net.members)
        runs = f"{count} runs, the first " if count > 1 else ""
        return f"Predictor({runs}{self.recipe.name} {self.recipe.digest} on {self.device}; {'; '.join(names)})"

    def _repr_html_(self) -> str:
        rows = [
            *((task, ", ".join(target.names)) for task, target in self.targets.items()),
            ("images", f"of any size, scored at {self.size} × {self.size} pixels on {self.device}"),
            ("use", "predictor(IMAGE): a path, a PIL image or an array, or a list of them"),
        ]
        return html_table(f"{self.recipe.name} {self.recipe.digest}", ("", ""), rows)

    def logits(self, images: Image | Iterable[Image]) -> api.Prediction:
        """Prediction of the network at run size, for images of any size as of a call."""
        members = self._members([image_pixels(image) for image in _several(images)])
        return mean_prediction(members, self.targets)

    def _members(self, images: Sequence[np.ndarray]) -> list[api.Prediction]:
        """Prediction of every network at run size."""
        pixels = np.stack([resize_image(image, self.size) for image in images]).astype(np.float32) / 255
        batch = torch.from_numpy(pixels)[:, None].expand(-1, self.recipe.data.channels, -1, -1)
        with torch.no_grad():
            inputs = batch.to(self.device)
            return [predict(net, self.recipe, inputs, self.targets) for net in self.net.members]

    @overload
    def __call__(self, images: Image) -> Case: ...  # type: ignore[overload-overlap]  # a str is iterable
    @overload
    def __call__(self, images: Iterable[Image]) -> list[Case]: ...
    def __call__(self, images: Image | Iterable[Image]) -> Case | list[Case]:
        """Predict one image (a Case) or several (a list of Cases).

        An image is the path of a file (DICOM too), a PIL image, or a uint8 array [H,W], [H,W,3] or [H,W,4], of any
        size; of colours the luminance counts. Raises MmtkError for anything else.
        """
        if _is_one(images):
            return self._cases([image_pixels(images)])[0]
        return self._cases([image_pixels(image) for image in _several(images)])

    def _cases(self, images: Sequence[np.ndarray]) -> list[Case]:
        if not images:
            return []
        members = self._members(images)
        prediction, distances = mean_prediction(members, self.targets), self._disagreement(members)
        return [
            self._case(prediction, index, image.shape, {name: values[index] for name, values in distances.items()})
            for index, image in enumerate(images)
        ]

    def _disagreement(self, members: Sequence[api.Prediction]) -> dict[str, list[float]]:
        """Disagreement of several networks for every image, on the class and on each organ."""
        columns: dict[str, list[float]] = {}
        for task, labels in self.targets.items() if len(members) > 1 else ():
            distances = disagreement([getattr(one, task).float() for one in members], labels)
            names = labels.names if TASKS[task].has_masks else ("class",)
            columns |= dict(zip(names, distances.reshape(len(distances), -1).T.tolist(), strict=True))
        return columns

    def _case(
        self, prediction: api.Prediction, index: int, shape: tuple[int, ...], distances: dict[str, float]
    ) -> Case:
        height, width = shape[:2]
        classes = mask = saliency = None
        if prediction.classification is not None:
            labels = self.targets["classification"]
            probabilities = labels.probabilities(prediction.classification[index : index + 1].float())[0].tolist()
            classes = dict(zip(labels.names, probabilities, strict=True))
        if prediction.segmentation is not None:
            logits = prediction.segmentation[index : index + 1].float()
            logits = F.interpolate(logits, (height, width), mode="bilinear", align_corners=False)
            mask = self.targets["segmentation"].decode(logits)[0].cpu().numpy()
        if prediction.saliency is not None:
            saliency_map = F.interpolate(prediction.saliency[index : index + 1], (height, width), mode="bilinear")
            saliency = saliency_map[0, 0].cpu().numpy()
        return Case(classes, mask, saliency, distances)


def load(run_dir: str | Path | Sequence[str | Path], device: str = "auto") -> Predictor:
    """The predictor of a run directory that has been validated once, or of a folder that ``mmtk export`` wrote.

    Of several it is their ensemble: probabilities are averaged. MmtkError for runs that do not predict the same.
    """
    paths = [Path(run_dir)] if isinstance(run_dir, str | Path) else [Path(path) for path in run_dir]
    predictors = [_load_one(path, device) for path in paths]
    if len(predictors) == 1:
        return predictors[0]
    check_members(paths, [(one.recipe, one.targets) for one in predictors])
    first = predictors[0]
    net = Ensemble([member for one in predictors for member in one.net.members], first.targets)
    return Predictor(first.recipe, net, first.targets, str(first.device))


def check_members(paths: Sequence[Path], members: Sequence[tuple[Recipe, Mapping[str, LabelSpec]]]) -> None:
    """Raise MmtkError unless runs have the same labels and images, and each is there once.

    paths: of the runs, for the message
    members: recipe and labels of each
    """
    if not paths:
        raise MmtkError("an ensemble needs runs: none was given.", hint="Give run directories.")
    places = [path.resolve() for path in paths]
    if twice := next((path for path in paths if places.count(path.resolve()) > 1), None):
        raise MmtkError("is given twice, so it would count twice.", str(twice), "Name each run once.")
    first = _interface(*members[0])
    for path, member in zip(paths, members, strict=True):
        for what, value in _interface(*member).items():
            if value != first[what]:
                message = f"is no ensemble with {paths[0]}: {what}: {value} here, {first[what]} there."
                raise MmtkError(message, str(path), "Take runs with the same labels and data.size.")


def _interface(recipe: Recipe, targets: Mapping[str, LabelSpec]) -> dict[str, str]:
    """Labels and images of a run, in words: networks of an ensemble have the same."""
    facts = {}
    for task in TASKS:
        labels = targets.get(task)
        facts[f"labels of {task}"] = "none" if labels is None else ", ".join(labels.names)
        exclusive = labels is not None and labels.exclusive
        facts[f"kind of labels of {task}"] = "exclusive" if exclusive else "independent"
    facts["size of images"] = f"{recipe.data.size} × {recipe.data.size} pixels × {recipe.data.channels}"
    facts["range of pixels"] = "[−1, 1]" if recipe.normalises("classification") else "[0, 1]"
    return facts


def _load_one(path: Path, device: str) -> Predictor:
    """The predictor of one run or exported folder."""
    status_line.stage("loading the weights")
    folder = RunDir(path)
    recipe = folder.recipe
    targets = {}
    for task, facts in _targets(folder).items():
        swap = tuple((pair[0], pair[1]) for pair in facts["swap"])
        targets[task] = LabelSpec(facts["task"], tuple(facts["names"]), facts["exclusive"], swap)
    # The weights replace whatever the recipe starts from.
    plain = recipe.with_values({"encoder.pretrained": False}) if "pretrained" in recipe.encoder else recipe
    net = build.network(plain, targets, from_files=False)
    weight_files.load_weights(net, folder.path)
    return Predictor(recipe, net, targets, choose_device(device))


def _targets(folder: RunDir) -> dict[str, Any]:
    """Classes and organs by task, as the run or the exported weights say them."""
    if folder.model.is_file():
        from mmtk.model.exported import read_about

        about = read_about(folder.path)
        read_resolved(folder.recipe_file, about["digest"])
        exported: dict[str, Any] = about["targets"]
        return exported
    targets: dict[str, Any] = folder.provenance["targets"]
    if not folder.best.is_file():
        raise MmtkError("has no trained weights yet.", str(folder.path), f"Finish it: {folder.command('run')}")
    return targets


def find_images(paths: Iterable[Path]) -> list[Path]:
    """List image files: those given, and those below folders, in order."""
    images: list[Path] = []
    for path in paths:
        if os.path.isdir(path):  # a name that is too long for any file is none
            if not (inside := files.find_images(path)):
                raise MmtkError(
                    "no image in this folder.", str(path), f"Known: {', '.join(sorted(files.SUFFIXES))}."
                )
            images += inside
        else:
            images.append(path)
    return images
