"""Scores of the built-in metrics, without torch: reports read runs of 0.1, which declared none, by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from mmtk.scores import ScoreInfo

_share = partial(ScoreInfo, low=0.0, high=1.0)
FORMULAS = (
    "accuracy",
    "balanced-accuracy",
    "macro-f1",
    "auroc",
    "average-precision",
    "sensitivity",
    "specificity",
    "calibration-error",
)
_distance = partial(ScoreInfo, better="lower", low=0.0)
SHUFFLED = tuple(  # layers whose weights are shuffled, from the head down
    f"shuffled-{part}" for part in ("head", "last-quarter", "last-half", "last-three-quarters", "all-layers")
)


def classification(names: Sequence[str]) -> dict[str, ScoreInfo]:
    """Scores of predicted classes.

    Accuracy leads in the paper; of it, the balanced one has a chance level that no set can shift.
    """
    scores = {
        "accuracy": _share("accuracy", chance="majority-accuracy"),
        "majority-accuracy": _share("always the majority class", shown=("summary",)),
        "balanced-accuracy": _share(
            "balanced accuracy",
            chance=1 / len(names) if names else None,
            shown=("summary", "tests", "scores"),
            leads=True,
            margin=0.02,
        ),
        "macro-f1": _share("macro-F1", shown=("progress", "summary", "tests", "scores"), selects=True),
        "auroc": _share("AUROC", chance=0.5, margin=0.02),
    }
    rest = ("average-precision", "sensitivity", "specificity")
    scores |= {name: _share(_label(name), shown=("scores",)) for name in rest}
    scores["calibration-error"] = _share("calibration error", better="lower", shown=("scores",))
    scores |= {f"f1-{name}": _share(f"F1 of {_label(name)}", shown=("scores",)) for name in names}
    scores = {name: replace(score, formula=formula(name)) for name, score in scores.items()}
    at_threshold = ("accuracy", "balanced-accuracy", "sensitivity", "specificity")
    scores |= {f"{name}-at-threshold": _share(f"{_label(name)} at threshold", shown=()) for name in at_threshold}
    scores["threshold"] = ScoreInfo("threshold", shown=())
    counts = (f"count-{true}-as-{predicted}" for true in names for predicted in names)
    return scores | {name: ScoreInfo(_label(name), shown=()) for name in counts}


def segmentation(channels: Sequence[str]) -> dict[str, ScoreInfo]:
    """Scores of predicted masks; ``channels``: without the background of exclusive ones."""
    scores = {
        "dice": _share("Dice", leads=True, selects=True, margin=0.01),
        "jaccard": _share("Jaccard", shown=("summary", "scores")),
        "ssim": ScoreInfo("SSIM", shown=("summary", "scores")),
        "average-hausdorff": _distance(
            "average Hausdorff distance", unit="px", shown=("summary", "tests", "scores"), margin=0.2
        ),
        "average-hausdorff-mm": _distance("average Hausdorff distance", unit="mm", shown=("summary", "scores")),
        "hd95": _distance("HD95", unit="px", shown=("summary", "scores"), margin=0.2),
        "hd95-mm": _distance("HD95", unit="mm", shown=("summary", "scores")),
    }
    scores |= {name: _share(name, shown=("scores",)) for name in ("precision", "recall")}
    scores |= {f"dice-{name}": _share(f"dice {_label(name)}", shown=("scores",)) for name in channels}
    return scores | {"empty-predictions": ScoreInfo("empty predictions", shown=())}


def of_task(task: str, names: Sequence[str], exclusive: bool) -> dict[str, ScoreInfo]:
    """Scores of the built-in metric of a task; ``names`` and ``exclusive`` as in a LabelSpec."""
    if task == "classification":
        return classification(names)
    return segmentation(names[1:] if exclusive else names) if task == "segmentation" else {}


def saliency() -> dict[str, ScoreInfo]:
    """Scores of saliency maps, means over images; ``excess`` is the share of the mass less that of the area."""
    scores: dict[str, ScoreInfo] = {}
    for region in ("lungs", "boxes"):
        scores |= {
            f"mass-in-{region}": _share(f"mass in {region}", chance=f"area-of-{region}"),
            f"area-of-{region}": _share(f"area of {region}", shown=()),
            f"excess-in-{region}": ScoreInfo(f"mass in {region} − area", chance=0.0, low=-1.0, high=1.0),
        }
    scores |= {
        "hits": _share("pointing game in boxes", chance="area-of-boxes"),
        "deletion": _share("deletion", better="lower"),
        "insertion": _share("insertion"),
    }
    likeness = partial(ScoreInfo, better="lower", low=-1.0, high=1.0)
    scores |= {name: likeness(f"rank correlation, {_label(name)}") for name in SHUFFLED}
    return scores | {"agreement": ScoreInfo("rank correlation of seeds", low=-1.0, high=1.0)}


def formula(name: str) -> str:
    """The formula of a score of the built-in metrics, by which runs are read that declare none; or ""."""
    if name.startswith("f1-"):
        return f"f1:{name[3:]}"
    return name if name in FORMULAS else ""


def _label(name: str) -> str:
    return name.replace("-", " ")
