"""Encoders of timm: any of its models that gives a pyramid of feature maps."""

from __future__ import annotations

from difflib import get_close_matches
from itertools import pairwise
from typing import Annotated, Any

from torch import Tensor, nn

from mmtk.api import Encoder, Field, MmtkError

FAMILIES = "Families that fit: resnet, efficientnet, mobilenetv3, regnet, densenet, convnext, swin, pvt_v2."


class TimmEncoder(Encoder):
    """Any timm model that gives feature maps at increasing strides.

    model: the timm name, such as resnet18, convnext_tiny or swin_tiny_patch4_window7_224
    pretrained: start from timm's weights (fetched once; a local file goes into encoder.weights instead)
    drop_path: rate of stochastic depth, 0 to 1, for the models that have it
    """

    def __init__(
        self,
        in_channels: int,
        *,
        model: str = "resnet18",
        pretrained: bool = False,
        drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__()
        self.model = model
        self.body = _build(model, in_channels, pretrained, drop_path)
        self.pretrained_pixels = _pixels(model)
        info: Any = self.body.feature_info
        self.channels, self.strides = tuple(info.channels()), tuple(info.reduction())
        if any(fine >= coarse for fine, coarse in pairwise(self.strides)):
            raise MmtkError(
                f"The timm model '{model}' has features at strides {self.strides}, "
                "but a decoder needs strides that increase from level to level.",
                hint=FAMILIES,
            )

    def forward(self, x: Tensor) -> list[Tensor]:
        """[B,C,H,W] → one [B,channels[i],H/strides[i],W/strides[i]] per level."""
        try:
            features: list[Tensor] = self.body(x)
        except (AssertionError, RuntimeError) as error:
            # Subclasses (out of memory, a device fault) say nothing about the size.
            if type(error) not in (AssertionError, RuntimeError):
                raise
            raise self._misfit(x, str(error)) from error
        if getattr(self.body, "output_fmt", None) == "NHWC":
            features = [feature.permute(0, 3, 1, 2) for feature in features]
        for feature, stride in zip(features, self.strides, strict=True):
            for length, got in zip(x.shape[-2:], feature.shape[-2:], strict=True):
                if got not in (length // stride, -(-length // stride)):
                    raise self._misfit(x, f"features of {_size(feature)} at stride {stride}")
        return features

    def _misfit(self, x: Tensor, why: str) -> MmtkError:
        return MmtkError(
            f"The timm model '{self.model}' cannot take images of {_size(x)}: {why}",
            hint=f"Some models are made for one image size; take that size or another model. {FAMILIES}",
        )


def _size(x: Tensor) -> str:
    return " × ".join(str(length) for length in x.shape[-2:])


def _pixels(model: str) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Mean and standard deviation of the pixels that timm's weights of a model expect."""
    import timm

    recorded: Any = timm.get_pretrained_cfg(model)
    return (tuple(recorded.mean), tuple(recorded.std)) if recorded is not None else None


def _build(model: str, in_channels: int, pretrained: bool, drop_path: float) -> nn.Module:
    import timm

    if not timm.is_model(model):
        near = get_close_matches(model, timm.list_models(), n=5, cutoff=0.5)
        raise MmtkError(
            f"timm has no model called '{model}'." + (f" Nearest: {', '.join(near)}." if near else ""),
            hint=FAMILIES,
        )
    if pretrained:
        if not timm.is_model_pretrained(model):
            raise missing_weights(f"timm/{model}", "timm has none for it")
        check_network(f"timm/{model}")
    options: dict[str, Any] = {"drop_path_rate": drop_path} if drop_path else {}

    def create(**more: Any) -> nn.Module:
        return timm.create_model(
            model, features_only=True, in_chans=in_channels, pretrained=pretrained, **options, **more
        )

    try:
        recorded: Any = timm.get_pretrained_cfg(model)
        if not recorded.fixed_input_size:
            return create()
        try:
            # Window attention (swin) then takes any size; models that cannot do not know the keyword.
            return create(strict_img_size=False)
        except TypeError:
            return create()
    except OSError as error:
        raise missing_weights(f"timm/{model}", str(error)) from error
    except Exception as error:
        if drop_path and "drop_path_rate" in str(error):
            raise MmtkError(f"The timm model '{model}' has no drop path.", hint="Set drop_path = 0.") from error
        raise MmtkError(f"The timm model '{model}' cannot be made an encoder: {error}", hint=FAMILIES) from error


def check_network(what: str) -> None:
    """Ask the hub once, for at most 5 s: its own download would retry for most of a minute."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:  # cached files only, and at once
        return
    try:
        get_session().head(constants.ENDPOINT, timeout=5)
    except Exception as error:
        raise missing_weights(what, f"{constants.ENDPOINT} cannot be reached ({error})") from error


def missing_weights(what: str, why: str) -> MmtkError:
    """Pretrained weights that cannot be had, and where else they may come from."""
    return MmtkError(
        f"There are no pretrained weights for {what}: {why}",
        hint='Set pretrained = false and give a local file, encoder.weights = "FILE.safetensors"; '
        "if they are in the hub's cache, set the environment variable HF_HUB_OFFLINE=1.",
    )
