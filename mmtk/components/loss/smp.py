"""Losses of segmentation-models-pytorch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from torch import Tensor

from mmtk.api import Field, Loss, MmtkError
from mmtk.components.loss.cross_entropy import at_least_float32, class_index, require_masks, require_softmax

# SMP's class, and SMP's word for each of our keys that it takes.
LOSSES: dict[str, tuple[str, dict[str, str]]] = {
    "dice": ("DiceLoss", {"smooth": "smooth"}),
    "jaccard": ("JaccardLoss", {"smooth": "smooth"}),
    "tversky": ("TverskyLoss", {"alpha": "alpha", "beta": "beta", "gamma": "gamma", "smooth": "smooth"}),
    "focal": ("FocalLoss", {"alpha": "alpha", "gamma": "gamma"}),
    "lovasz": ("LovaszLoss", {}),
    "mcc": ("MCCLoss", {}),
    "soft-bce": ("SoftBCEWithLogitsLoss", {"smooth": "smooth_factor"}),
}
OVERLAP = ("dice", "jaccard", "tversky")  # a score per channel, the others a mean over all pixels
Share = Annotated[float, Field(ge=0)]


class SmpLoss(Loss):
    """A mask loss of segmentation-models-pytorch, by name, over all pixels of the batch.

    name: dice, jaccard, tversky, focal, lovasz, mcc (one mask channel) or soft-bce (independent masks)
    alpha: tversky: weight of false positives; focal: weight of the positive pixels, 0 to 1
    beta: tversky: weight of false negatives
    gamma: exponent of tversky and focal: 0, or 1 and more (in between its slope is infinite where all is right)
    smooth: dice, jaccard, tversky: added to both sides of the ratio; soft-bce: label smoothing, 0 to 1

    A key left out has SMP's default. Exclusive masks count every channel, the background too.
    """

    tasks = ("segmentation",)

    def __init__(
        self,
        classes: int,
        exclusive: bool,
        *,
        name: Literal["dice", "jaccard", "tversky", "focal", "lovasz", "mcc", "soft-bce"] = "dice",
        alpha: Share | None = None,
        beta: Share | None = None,
        gamma: Share | None = None,
        smooth: Share | None = None,
    ) -> None:
        from segmentation_models_pytorch import losses

        require_softmax(f"smp '{name}'", classes, exclusive)
        if name == "mcc" and (exclusive or classes > 1):
            raise MmtkError(f"loss/smp 'mcc' takes one mask channel, and there are {classes}.", hint=_OTHERS)
        if name == "soft-bce" and exclusive:
            raise MmtkError("loss/smp 'soft-bce' takes independent masks, not exclusive ones.", hint=_OTHERS)
        keys = {"alpha": alpha, "beta": beta, "gamma": gamma, "smooth": smooth}
        keys = {key: value for key, value in keys.items() if value is not None}
        smp_class, takes = LOSSES[name]
        for key in keys:
            if key not in takes:
                raise MmtkError(
                    f"loss/smp '{name}' has no key '{key}'.",
                    hint=f"It takes {', '.join(takes)}." if takes else "It takes no keys but name.",
                )
        if gamma is not None and 0 < gamma < 1:
            raise MmtkError(
                f"loss/smp gamma = {gamma}: between 0 and 1 the gradient of a right prediction is infinite.",
                hint="Choose 0, or 1 and more.",
            )
        options: dict[str, Any] = {takes[key]: value for key, value in keys.items()}
        if name not in ("mcc", "soft-bce"):
            options["mode"] = "multiclass" if exclusive else "multilabel" if name in OVERLAP else "binary"
        if name in OVERLAP:
            options["ignore_index"] = -1
        self.name, self.exclusive = name, exclusive
        self.loss = getattr(losses, smp_class)(**options)

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        """Masks: [B,K,H,W], [B,K,H,W] in {0, 1} with −1 ignored."""
        require_masks("smp", target)
        logits = at_least_float32(logits)
        if self.exclusive:
            target = class_index(target)
            valid = target >= 0
            logits, target = logits.movedim(1, -1)[valid], target[valid]
        elif self.name not in OVERLAP:
            valid = target >= 0
            logits, target = logits[valid], target[valid].to(logits)
        if not (target >= 0).any():
            return (logits * 0).sum()
        if self.name == "lovasz":
            logits = logits.float()  # SMP's Lovász takes nothing else
        # SMP's MCC alone expects probabilities.
        value: Tensor = self.loss(logits.sigmoid() if self.name == "mcc" else logits, target)
        return value


_OTHERS = "Choose dice, jaccard, tversky, focal or lovasz."
