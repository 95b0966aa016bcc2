"""The network as a graph of plain operations, with the bridge's input gradient among them."""

from __future__ import annotations

import copy
import inspect
import itertools
import re
import traceback
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from mmtk.errors import MmtkError
from mmtk.export.gradients import decompositions
from mmtk.model.predictor import Predictor, predict


class Probabilities(nn.Module):
    """Images [B,C,H,W] in [0, 1] at run size → what ``outputs`` names, as a tuple.

    ``classes`` [B,classes] and ``mask`` [B,K,H,W] are probabilities; ``saliency`` [B,1,H,W] is what the bridge
    shows. A frozen copy of the predictor's network.
    """

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.net = copy.deepcopy(predictor.net).cpu().eval().requires_grad_(False)
        for module in self.net.modules():
            if getattr(module, "inplace", False):  # a graph has no memory to write in
                setattr(module, "inplace", False)  # noqa: B010 - nn.Module declares no such attribute
        self.recipe = predictor.recipe
        self.labels = predictor.targets
        self.shape = (predictor.recipe.data.channels, predictor.size, predictor.size)
        with torch.no_grad():
            outputs = self._outputs_by_name(torch.zeros(1, *self.shape))
        self.outputs = tuple(name for name, value in outputs.items() if value is not None)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """[B,C,H,W] → one tensor for each of ``outputs``."""
        outputs = self._outputs_by_name(images)
        return tuple(value for value in outputs.values() if value is not None)

    def _outputs_by_name(self, images: Tensor) -> dict[str, Tensor | None]:
        prediction = predict(self.net, self.recipe, images, self.labels)
        classes, mask = prediction.classification, prediction.segmentation
        return {
            "classes": None if classes is None else self.labels["classification"].probabilities(classes),
            "mask": None if mask is None else self.labels["segmentation"].probabilities(mask),
            "saliency": prediction.saliency,
        }


# --- tracing ----------------------------------------------------------------------------------------------------


def trace(model: Probabilities) -> tuple[GraphModule, Tensor]:
    """The graph of ``model`` for any batch, and the example that it was traced with.

    torch.export cannot follow ``autograd.grad`` within a forward; make_fx records what it computes. Raises
    MmtkError with the component that cannot be followed.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    # Torch takes a batch of one or two for a constant, and one of as many images as another size, such as that of
    # the channels, for the same number.
    used_sizes = {*model.shape, *(side for parameter in model.parameters() for side in parameter.shape)}
    images = next(count for count in itertools.count(3) if count not in used_sizes)
    example = torch.rand(images, *model.shape, generator=torch.Generator().manual_seed(0))
    recorder = make_fx(
        model,
        decomposition_table=decompositions(),
        tracing_mode="symbolic",
        _allow_non_fake_inputs=True,
        record_stack_traces=True,
    )
    try:
        with torch.no_grad():
            return recorder(example), example
    except MmtkError:
        raise
    except Exception as error:
        kinds = [kind for kind in _running(error, model) if kind]
        raise refusal(model, kinds[-1] if kinds else None, str(error)) from error


def _running(error: Exception, model: Probabilities) -> Iterator[str | None]:
    """The kinds of the components whose code was running, outermost first."""
    owner = {id(module): kind for kind, part in _parts(model) for module in part.modules()}
    for frame, _ in traceback.walk_tb(error.__traceback__):
        yield owner.get(id(frame.f_locals.get("self")))


def _parts(model: Probabilities) -> Iterator[tuple[str, nn.Module]]:
    for kind in ("encoder", "decoder", "bridge"):
        for net in model.net.members:
            if (part := getattr(net, kind)) is not None:
                yield kind, part


def refusal(model: Probabilities, kind: str | None, why: str) -> MmtkError:
    """The error that names the component which cannot become a graph, and what to do."""
    part = dict(_parts(model)).get(kind or "")
    who = f"the {kind} ({type(part).__module__}.{type(part).__qualname__})" if part is not None else "the network"
    reason = re.split(r"[\n]|(?<=\w)\. ", why.strip())[0].rstrip(".")[:300] or "no reason given"
    if "data-dependent" in reason:
        reason = "what it does next depends on values that it computed"
    return MmtkError(
        f"{who} cannot be written as ONNX: {reason}.",
        hint="Share the run with --format safetensors, which has no such limit, or train it with another one.",
    )


def culprit(model: Probabilities, graph: GraphModule, why: str) -> str | None:
    """The kind of the component that needs the operator which an error message of the exporter names."""
    match = re.search(r"op='\w+\.(\w+)", why)
    files = {inspect.getsourcefile(type(part)) or "": kind for kind, part in _parts(model)}
    for node in graph.graph.nodes:
        # The exporter may have taken an operator apart: aten.special_bessel_j0 becomes prims.bessel_j0.
        if match and str(node.target).partition(".")[2].partition(".")[0].endswith(match[1]):
            stack = node.meta.get("stack_trace") or ""
            last = max(files, key=stack.rfind)
            if stack.rfind(last) >= 0:
                return files[last]
    return None
