"""The recipe tables that are not components: data, training budget, evaluation, tracking."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from mmtk.registry import catalog, memo, signature
from mmtk.registry.kinds import KINDS
from mmtk.registry.signature import Table
from mmtk.tasks import TASKS

Positive = Annotated[int, Field(ge=1)]
Labels = Annotated[int, Field(ge=1)] | Literal["full"]
TaskName = Literal["classification", "segmentation"]


Word = TypeVar("Word", bound=str)


def _each_once(words: list[Word]) -> list[Word]:
    """Sort words, since their order means nothing and must not change the digest."""
    if len(set(words)) < len(words):
        raise ValueError("Words should be named once each")
    return sorted(words)


class Top(Table):
    """Keys above all tables."""

    name: str = "unnamed"
    description: str = ""
    profile: str = ""
    tasks: Annotated[
        list[TaskName], Field(min_length=1, json_schema_extra={"uniqueItems": True}), AfterValidator(_each_once)
    ]
    seed: Annotated[int, Field(ge=0)] = 0
    init: Annotated[str | None, Field(description="a run directory to start the weights from")] = None
    others: Annotated[Literal["off", "keep"], Field(description="components that an ablation does not name")] = (
        "keep"
    )


class Origin(Table):
    """Origin of a resolved recipe; its presence marks a recipe that is complete without a profile."""

    recipe: str
    profile: str = ""


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):  # which Python takes for 0 and 1
        raise ValueError("Channels should be 1 or 3")
    return value


class Data(Table):
    """Format of every image."""

    size: Annotated[int, Field(ge=16, le=4096, description="pixels, square")] = 64
    channels: Annotated[Literal[1, 3], BeforeValidator(_no_bool)] = 1
    leaks: Annotated[
        Literal["refuse", "allow"], Field(description="patients or copies of training images that are scored")
    ] = "refuse"
    folds: Annotated[
        int | None,
        Field(
            ge=2, description="folds of patients in place of the sources' parts; the seed is repeat · folds + fold"
        ),
    ] = None
    match: Annotated[
        list[str],
        Field(
            description="attributes such as view, by which test images are matched beside",
            json_schema_extra={"uniqueItems": True},
        ),
        AfterValidator(_each_once),
    ] = []


class TaskData(Table):
    """The label budget of one task; its sources stand in the tables ``source`` and ``cross``."""

    labels: Labels = "full"
    include_labelled: Annotated[
        bool, Field(description="labelled images serve in the unlabelled stream as well")
    ] = False
    cross_split: Annotated[Literal["test", "all"], Field(description="part of the cross-domain source")] = "test"


class ClassificationData(TaskData):
    """The label budget of the classes, and whether their images are normalised as all others are."""

    normalise: Annotated[
        bool, Field(description="map [0, 1] to [−1, 1], in training and prediction; false: as released")
    ] = True


class Train(Table):
    """The training budget: the profile's, the same for every system."""

    steps: Annotated[Positive | None, Field(description="wins over epochs and stretches the schedule")] = None
    epochs: Positive = 24
    epoch_images: Annotated[
        Positive | None, Field(description="images in an epoch; default: the classification training part")
    ] = None
    validate_every: Annotated[Positive | None, Field(description="steps; default: an epoch")] = None
    batch: Annotated[Positive, Field(description="images per stream")] = 10
    ratio: Annotated[Positive, Field(description="unlabelled images per labelled one")] = 1
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: Annotated[float, Field(gt=0)] = 1e-4
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["constant", "step", "cosine"] = "step"
    decay: Annotated[float, Field(gt=0, le=1, description="factor of the step schedule")] = 0.1
    decay_every: Annotated[Positive, Field(description="epochs of the step schedule")] = 8
    warmup: Annotated[float, Field(ge=0, lt=1, description="share of the steps with a rising rate")] = 0.0
    clip: Annotated[float | None, Field(gt=0, description="largest gradient norm")] = None
    ema: Annotated[
        float | None, Field(gt=0, lt=1, description="decay of averaged weights to evaluate, at most 1 − 1/step")
    ] = None
    balance: Annotated[
        Literal["none", "sample", "weight"],
        Field(
            description="of labelled classes: sample draws every class equally often; weight gives the loss class "
            "weights n / (classes · images of the class) of the n labelled images, and needs one that takes them"
        ),
    ] = "none"
    precision: Literal["auto", "fp32", "bf16", "fp64"] = "auto"
    frozen_views: Annotated[
        bool, Field(description="a labelled image keeps its augmentation for an epoch, as released")
    ] = False
    alarm: Annotated[bool, Field(description="warn of loss terms that are dead")] = True


class Groups(Table):
    """Fine-tuning: training of every part of the network, in the tables below; the defaults change nothing."""

    decay_norms: Annotated[
        bool, Field(description="weight decay of norms and biases too; false: of weights with two axes or more")
    ] = True


class Group(Table):
    """Training of one part of the network, the second network of a strategy included."""

    lr: Annotated[float, Field(gt=0, description="factor of train.lr")] = 1.0
    weight_decay: Annotated[float, Field(ge=0, description="factor of train.weight_decay")] = 1.0
    frozen: Annotated[
        Annotated[int, Field(ge=0)] | Literal["always"],
        Field(description="steps in which its weights and the statistics of its norms stay as they are"),
    ] = 0
    norms: Annotated[
        Literal["trained", "frozen"],
        Field(description="frozen: their weights and statistics stay, and normalise images in training too"),
    ] = "trained"


class EncoderGroup(Group):
    """Training of the encoder."""

    layer_decay: Annotated[
        float,
        Field(gt=0, le=1, description="factor of the rate for each level of features that is finer than the last"),
    ] = 1.0


class Evaluate(Table):
    """Settings of the scoring of test sets."""

    batch: Positive = 16
    cases: Annotated[int, Field(ge=0, description="images in each picture")] = 6
    tta: Annotated[
        list[Literal["flip", "scale", "shift"]],
        Field(
            description="views of a scored image whose probabilities are averaged with its own: mirrored; 5 % "
            "larger and smaller; moved by 1/32 of the side in four directions",
            json_schema_extra={"uniqueItems": True},
        ),
        AfterValidator(_each_once),
    ] = []
    dropout: Annotated[bool, Field(description="the encoder's dropout stays on in scoring, as released")] = False
    test: Annotated[bool, Field(description="score the test sets; false: validate alone, as trials of tuning")] = (
        True
    )


class Tracking(Table):
    """The MLflow mirror of a run."""

    enabled: bool = True
    experiment: Annotated[str, Field(min_length=1)] = "mmtk"


FIXED: dict[str, type[Table]] = {
    "origin": Origin,
    "data": Data,
    "data.classification": ClassificationData,
    "data.segmentation": TaskData,
    "train": Train,
    "train.groups": Groups,
    "train.groups.encoder": EncoderGroup,
    "train.groups.head": Group,
    "train.groups.bridge": Group,
    "train.groups.decoder": Group,
    "evaluate": Evaluate,
    "tracking": Tracking,
}

PARTS = tuple(path.removeprefix("train.groups.") for path in FIXED if path.startswith("train.groups."))


# Where components stand in a recipe: dotted table → kind; "*" stands for any name.
PLACES: dict[str, str] = {path: kind.name for kind in KINDS.values() for path in kind.tables}
# The tables that only one task needs; a recipe without that task drops them.
OF_TASK: dict[str, tuple[str, ...]] = {
    task.name: (*(path for path, kind in PLACES.items() if KINDS[kind].task == task.name), *task.tables)
    for task in TASKS.values()
}


def default(key: str) -> Any:
    """Default of a key of a fixed table; None for any other key."""
    path, _, name = key.rpartition(".")
    field = FIXED[path].model_fields.get(name) if path in FIXED else None
    return None if field is None else field.default


def model_of(entry: catalog.Entry) -> type[BaseModel]:
    """The pydantic model of a component's recipe table; loads the component.

    Raises MmtkError where its constructor asks for what no host offers to a component of the kind.
    """
    component, kind = catalog.load(entry), KINDS[entry.kind]
    signature.check_wires(component, entry.word, kind.wires)
    return signature.schema(component, kind.added_keys)


def key_names(entry: catalog.Entry) -> list[str]:
    """The recipe keys of a component, sorted, ``use`` among them; remembered."""
    names: list[str] = memo.recall("names of keys", entry, None, lambda: sorted(model_of(entry).model_fields))
    return names


def tasks_of(key: str) -> set[str]:
    """The tasks that a table, or a key in it, has a meaning for: it needs all of them."""
    tasks = {task for task, paths in OF_TASK.items() if any(f"{key}.".startswith(f"{path}.") for path in paths)}
    return tasks | ({"classification"} if f"{key}.".startswith("bridge.") else set())  # a bridge reads classes
