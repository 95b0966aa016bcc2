"""Test-time augmentation: the mean of the probabilities of several views of an image, mapped back to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmtk.api import LabelSpec, Prediction
from mmtk.model.ensemble import Net, events, logits_of, mean_logits
from mmtk.recipe.recipe import Recipe

SHIFT = 1 / 32  # of the side, in whole pixels
SCALE = 0.95


class View(NamedTuple):
    """Place of a view in the image: mirrored where ``flip`` is −1, ``scale`` of its side, moved by shares."""

    flip: float = 1.0
    scale: float = 1.0
    right: float = 0.0
    down: float = 0.0

    def matrix(self, side: int, back: bool) -> list[list[float]]:
        """Affine matrix [2,3] in coordinates from −1 to 1; moves are of whole pixels.

        side: of the image in pixels
        back: from the view to the image
        """
        x, y = (2 * round(share * side) / side for share in (self.right, self.down))
        if not back:
            return [[self.flip * self.scale, 0.0, x], [0.0, self.scale, y]]
        return [[self.flip / self.scale, 0.0, -x * self.flip / self.scale], [0.0, 1 / self.scale, -y / self.scale]]

    def of(self, images: Tensor) -> Tensor:
        """The view of images [B,C,H,W]; beyond their border it repeats it."""
        return self._warped(images, False, "border")

    def back(self, values: Tensor) -> Tensor:
        """Values [B,K,H,W] of the view at their places in the image, 0 where the view has none."""
        return self._warped(values, True, "zeros")

    def _warped(self, x: Tensor, back: bool, beyond: str) -> Tensor:
        matrix = torch.tensor(self.matrix(x.shape[-1], back), dtype=x.dtype, device=x.device)
        grid = F.affine_grid(matrix.expand(len(x), 2, 3), list(x.shape), align_corners=False)
        return F.grid_sample(x, grid, padding_mode=beyond, align_corners=False)


VIEWS = {
    "flip": (View(flip=-1.0),),
    "shift": (View(right=SHIFT), View(right=-SHIFT), View(down=SHIFT), View(down=-SHIFT)),
    "scale": (View(scale=SCALE), View(scale=1 / SCALE)),
}


class Viewed(nn.Module):
    """A network that looks at an image as it is, and at views of it; called like the network."""

    def __init__(self, net: Net, views: Sequence[View], targets: Mapping[str, LabelSpec]) -> None:
        super().__init__()
        self.net, self.views, self.targets = net, views, targets

    def forward(self, x: Tensor) -> Prediction:
        """[B,C,H,W], normalised → logits of the mean probabilities; the saliency is that of the image as it is."""
        plain: Prediction = self.net(x)
        if plain.classification is not None and "classification" in self.targets:
            plain.classification = self._classes(x, plain.classification)
        if plain.segmentation is not None and "segmentation" in self.targets:
            plain.segmentation = self._masks(x, plain.segmentation)
        return plain

    def classify(self, x: Tensor) -> Tensor:
        """[B,C,H,W] → class logits [B,classes]."""
        return self._classes(x, self.net.classify(x))

    def segment(self, x: Tensor) -> Tensor:
        """[B,C,H,W] → mask logits [B,K,H,W]."""
        return self._masks(x, self.net.segment(x))

    def _classes(self, x: Tensor, plain: Tensor) -> Tensor:
        others = [self.net.classify(view.of(x)) for view in self.views]
        return mean_logits([plain, *others], self.targets["classification"])

    def _masks(self, x: Tensor, plain: Tensor) -> Tensor:
        """Means over the views that have a pixel."""
        labels = self.targets["segmentation"]
        summands = [events(plain, labels)]
        total = torch.ones_like(summands[0][:, :1])
        for view in self.views:
            logits = self.net.segment(view.of(x))
            logits = logits[:, _mirrored(labels)] if view.flip < 0 else logits
            summands.append(view.back(events(logits, labels).exp()).log())
            total = total + view.back(torch.ones_like(summands[0][:, :1]))
        return logits_of(torch.stack(summands).logsumexp(0) - total.log(), labels)


def _mirrored(labels: LabelSpec) -> list[int]:
    """Channels with those exchanged that a horizontal flip exchanges."""
    order = [*range(len(labels.names))]
    for one, other in labels.swap:
        order[one], order[other] = other, one
    return order


def seen(net: Net, recipe: Recipe, targets: Mapping[str, LabelSpec]) -> Net | Viewed:
    """The network with the views of ``evaluate.tta``; itself where there are none.

    net: called by tasks
    recipe: of the evaluation
    targets: labels of the tasks that are looked at in views
    """
    views = [view for word in recipe.evaluate.tta for view in VIEWS[word]]
    return Viewed(net, views, targets) if views else net
