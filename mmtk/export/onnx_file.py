"""One ONNX file of a finished run, written only if onnxruntime agrees with the live model."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from mmtk.components.source.phantom import Phantom
from mmtk.errors import MmtkError
from mmtk.export.graph import Probabilities, culprit, refusal, trace
from mmtk.export.origin import origin_of_all, place, same_run
from mmtk.images.loader import resize_image
from mmtk.io import status_line
from mmtk.io.extras import install_line
from mmtk.io.outputs import OutputFolder
from mmtk.io.spelling import quoted
from mmtk.model.predictor import load

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18
TOLERANCE = 1e-4
BATCHES = (1, 3, 5)
DOMAINS: tuple[Literal["chex", "jsrt", "mcu", "nihx"], ...] = ("chex", "jsrt", "mcu", "nihx")


@dataclass(frozen=True)
class Written:
    """An ONNX file that was written: where, its bytes, and by output how far it is from the live model."""

    path: Path
    size: int
    differences: Mapping[str, float]


def write_onnx(path: Path | Sequence[Path], out: Path | None = None) -> Written:
    """Write a finished run or an exported folder as one ONNX file (default ``PATH/exports/RUN.onnx``).

    Of several runs it is their ensemble, whose probabilities are averaged; it needs ``out``.

    Input ``image`` [B,C,H,W] in [0, 1] at the run's size. Outputs, as far as the system has them: ``classes``
    [B,classes] and ``mask`` [B,K,H,W], probabilities, and ``saliency`` [B,1,H,W]. Raises MmtkError for what is
    no finished run, for a component that has no ONNX form, for a file of others at ``out`` or one that was changed
    since it was exported, and, without writing anything, where onnxruntime and the live model differ by more
    than 1e-4.
    """
    _required()
    paths = [path] if isinstance(path, Path) else path
    facts = origin_of_all(paths)
    chosen_here = out is None
    if out is None and len(paths) > 1:
        raise MmtkError("an ensemble has no folder of its own.", hint="Say where to write: --out FILE.onnx")
    out = out or paths[0] / "exports" / f"{facts['run']}.onnx"
    if out.is_dir():
        file = out / f"{facts['run']}.onnx"
        raise MmtkError("is a folder, not a file.", str(out), f"Name the file: --out {quoted(file)}")
    place(out, lambda: same_run(read_metadata(out), facts))
    output = OutputFolder(out.parent, "export", set_aside=chosen_here)
    output.check([out.name])
    model = Probabilities(load(paths, "cpu"))
    status_line.stage("converting")
    data = convert(model, facts).SerializeToString()
    status_line.stage("comparing with onnxruntime")
    gaps = differences(model, data)
    check(gaps)
    with output.file(out.name) as temporary:
        temporary.write_bytes(data)
    return Written(out, len(data), gaps)


def _required() -> None:
    try:
        for name in ("onnx", "onnxruntime", "onnxscript"):
            import_module(name)
    except ImportError as error:
        raise MmtkError(
            f"the format onnx needs {error.name}, which is not installed.",
            hint=f"Install it: {install_line('onnx')}",
        ) from error


def read_metadata(file: Path) -> dict[str, str]:
    """Read the metadata of an ONNX file; {} for any other file."""
    import onnx
    from google.protobuf.message import DecodeError

    try:  # as ONNX whatever the suffix says: onnx.load would take model.json for text
        model = onnx.load_model_from_string(file.read_bytes())
        return {entry.key: entry.value for entry in model.metadata_props}
    except (DecodeError, OSError, ValueError):
        return {}


# --- the file ---------------------------------------------------------------------------------------------------


def convert(model: Probabilities, facts: Mapping[str, Any]) -> ModelProto:
    """The model as ONNX with its metadata; MmtkError names a component that has no ONNX form."""
    graph, example = trace(model)
    batch = torch.export.Dim("batch")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                graph,
                (example,),
                dynamo=True,
                dynamic_shapes=({0: batch},),
                input_names=["image"],
                output_names=list(model.outputs),
                opset_version=OPSET,
                external_data=False,
                verbose=False,
            )
    except Exception as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        why = str(cause)
        raise refusal(model, culprit(model, graph, why), why) from error
    assert program is not None
    proto = program.model_proto
    for part in (*proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        del part.metadata_props[:]  # traces of source files, with paths of this machine
    del proto.metadata_props[:]
    for key, value in metadata(facts, model).items():
        proto.metadata_props.add(key=key, value=value)
    proto.producer_name, proto.producer_version = "mmtk", facts["mmtk"]
    proto.doc_string = f"{facts['name']}, run {facts['run']} of mmtk {facts['mmtk']}. For research only."
    return proto


def metadata(facts: Mapping[str, Any], model: Probabilities) -> dict[str, str]:
    """The metadata of the file: lists as JSON, everything else as it is."""
    targets = facts["targets"]
    entries: dict[str, Any] = {
        key: facts[key] for key in ("name", "run", "digest", "seed", "mmtk", "size", "channels")
    }
    entries["input"] = "image: float32 [batch,channels,size,size], gray values in [0, 1], not normalised"
    meaning = {
        "classes": "probability of each class [batch,classes]",
        "mask": "probability of each organ at each pixel [batch,organs,size,size]",
        "saliency": "what the bridge shows the decoder [batch,1,size,size]",
    }
    entries |= {f"output-{name}": meaning[name] for name in model.outputs}
    if "classes" in model.outputs:
        entries["classes"] = targets["classification"]["names"]
        if (threshold := facts["thresholds"]["classification"]) is not None:
            entries["class-threshold"] = threshold
    if "mask" in model.outputs:
        entries["organs"] = targets["segmentation"]["names"]
        entries["exclusive"] = targets["segmentation"]["exclusive"]
        if not targets["segmentation"]["exclusive"]:
            entries["mask-threshold"] = facts["thresholds"]["segmentation"]
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in entries.items()}


# --- the check --------------------------------------------------------------------------------------------------


def samples(model: Probabilities) -> Iterator[torch.Tensor]:
    """Batches [B,C,H,W] in [0, 1] for the check: noise and synthetic X-rays, of several sizes of batch."""
    channels, size, _ = model.shape
    side = min(max(size, 32), 1024)
    films = [Phantom("classification", domain=domain, test=sum(BATCHES), size=side) for domain in DOMAINS]
    turns = zip(cycle(films), range(sum(BATCHES)), strict=False)
    pictures = [resize_image(film.image(film.items("test")[row]), size) for film, row in turns]
    chests = torch.from_numpy(np.stack(pictures)).float()[:, None].div(255).expand(-1, channels, -1, -1)
    noise = torch.rand(chests.shape, generator=torch.Generator().manual_seed(1))
    for images in (noise, chests):
        yield from images.contiguous().split(BATCHES)


def differences(model: Probabilities, data: bytes) -> dict[str, float]:
    """Largest difference between onnxruntime and the live model, by output.

    For probabilities, the largest difference there is. A gradient jumps where a maximum is tied or an activation
    is zero, and there the live model in float32 differs from itself in float64; for the saliency it is therefore
    the largest difference in an image, as a share of its largest value, in the median image.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    gaps: dict[str, list[np.ndarray]] = {name: [] for name in model.outputs}
    for images in samples(model):
        with torch.no_grad():
            live = model(images)
        for name, live_output, onnx_output in zip(
            model.outputs, live, session.run(None, {"image": images.numpy()}), strict=True
        ):
            gap = np.abs(live_output.numpy() - onnx_output).reshape(len(images), -1).max(1)
            if name == "saliency":
                gap = gap / np.maximum(np.abs(live_output.numpy()).reshape(len(images), -1).max(1), 1e-30)
            gaps[name].append(gap)
    # A NaN wins in both: what is no number agrees with nothing.
    return {
        name: float((np.median if name == "saliency" else np.max)(np.concatenate(values)))
        for name, values in gaps.items()
    }


def check(gaps: Mapping[str, float]) -> None:
    """Raise MmtkError if an output differs by more than 1e-4."""
    wrong = [f"{name} by {gap:.1e}" for name, gap in gaps.items() if not gap <= TOLERANCE]
    if wrong:
        raise MmtkError(
            f"the ONNX file would differ from the live model: {', '.join(wrong)}; {TOLERANCE:.0e} is allowed. "
            "Nothing was written.",
            hint="A component that draws at random or keeps a state has no ONNX form; share the run with "
            "--format safetensors.",
        )
