"""The contracts: all that a component author imports.

A component's positional parameters are wired by name by the host (any subset of what it offers);
its annotated keyword-only parameters are the keys of its recipe table. The signature is the schema.
"""

from pydantic import Field

from mmtk.api.data import Item, LabelSpec, Source, Split, Task
from mmtk.api.metric import Metric
from mmtk.api.parts import SSL, Augment, Bridge, Consistency, Decoder, Encoder, Loss, Strategy
from mmtk.api.step import (
    Classify,
    Labelled,
    Prediction,
    Segment,
    StepContext,
    Supervised,
    Term,
    Terms,
    Twin,
    Unlabelled,
    View,
)
from mmtk.errors import MmtkError
from mmtk.jobs import Job, JobResult, Launcher
from mmtk.scores import ScoreInfo
from mmtk.search import Choice, Draw, Range, Search, Settings, Space, Trial

__all__ = [
    "SSL",
    "Augment",
    "Bridge",
    "Choice",
    "Classify",
    "Consistency",
    "Decoder",
    "Draw",
    "Encoder",
    "Field",
    "Item",
    "Job",
    "JobResult",
    "LabelSpec",
    "Labelled",
    "Launcher",
    "Loss",
    "Metric",
    "MmtkError",
    "Prediction",
    "Range",
    "ScoreInfo",
    "Search",
    "Segment",
    "Settings",
    "Source",
    "Space",
    "Split",
    "StepContext",
    "Strategy",
    "Supervised",
    "Task",
    "Term",
    "Terms",
    "Trial",
    "Twin",
    "Unlabelled",
    "View",
]
