"""Names of scores in tables of other programs, with direction and bounds."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from unicodedata import normalize

from mmtk import builtin_scores
from mmtk.scores import ScoreInfo

ALIASES = {
    "dice": "dice meandice valmeandice dsc dicescore dicecoefficient dicesimilaritycoefficient dicesimilarity "
    "dicesc f1dice dicemetric",
    "jaccard": "jaccard iou jaccardindex intersectionoverunion meaniou miou jc",
    "hd95": "hd95 hausdorffdist95 hausdorff95 hausdorffdistance95 95hd hausdorffdistance95percentile "
    "percentile95hausdorff",
    "hausdorff": "hd hausdorff hausdorffdistance maxhausdorff",
    "average-hausdorff": "averagehausdorff averagehausdorffdistance ahd",
    "assd": "assd asd averagesurfacedistance averagesymmetricsurfacedistance masd surfacedistance",
    "nsd": "nsd normalizedsurfacedice normalisedsurfacedice surfacedice normalizedsurfacedistance",
    "accuracy": "accuracy acc testaccuracy testacc top1 top1accuracy genauigkeit exactitude exactitud accuratezza",
    "balanced-accuracy": "balancedaccuracy bacc balancedacc bac",
    "macro-f1": "macrof1 f1macro",
    "F1": "f1 f1score fscore f1measure",
    "auroc": "auroc auc rocauc aucroc areaunderroc testauc",
    "average-precision": "averageprecision ap auprc prauc auprcscore",
    "sensitivity": "sensitivity recall tpr sens sensitivitat sensibilite sensibilidad sensibilita",
    "specificity": "specificity tnr spec spezifitat specificite especificidad specificita",
    "precision": "precision ppv",
    "calibration-error": "calibrationerror ece expectedcalibrationerror",
    "ssim": "ssim structuralsimilarity",
}
SUMMARY = frozenset(
    [
        *("mean", "average", "avg", "std", "sd", "median", "overall", "all", "total", "min", "max", "mittelwert"),
        *("macro avg", "micro avg", "weighted avg", "samples avg", "p", "p-value", "mean ± sd", "mean±std", "sem"),
    ]
)
_NAMES = {alias: name for name, aliases in ALIASES.items() for alias in aliases.split()}
_LOWER = re.compile(
    r"loss|error|\berr\b|mae\b|mse|rmse|hd\b|hd95|hausdorff|assd|asd|distance|fpr|fnr|brier|ece\d*\b|eer\b|nll|"
    r"perplexity|\b(fp|fn)\b|difference|deviation|seconds|latency|\btime\b|false (positive|negative)"
)
_NO_CLASS = re.compile(
    r"mean|avg|average|overall|all|total|std|sd|stdev|se|sem|var|ci|low|high|lower|upper|min|max|median|best|last|final|"
    r"train|training|val|valid|validation|test|mm|px|(seed|fold|run|rep|trial|epoch|step)\d*",
    re.IGNORECASE,
)
_SEEN = frozenset(["train", "training", "val", "valid", "validation"])  # parts that a system has seen
SPREADS = frozenset(["sd", "std", "stdev", "sem", "se", "var", "variance", "ci", "low", "high", "min", "max"])
_LOGGED = re.compile(r"(?:metrics?|summary)[./]", re.IGNORECASE)  # before the names in exports of trackers


def plain(name: str) -> str:
    """A name as names are compared: lower case, letters and digits alone, without accents."""
    return re.sub(r"[\W_]+", "", normalize("NFKD", name)).casefold()


def score_name(name: str) -> str:
    """The name of a score: mmtk's where it is a known one, else as it is spelled; blanks become hyphens."""
    name = _LOGGED.sub("", name.strip(), count=1)
    return _NAMES.get(plain(name), re.sub(r"[\s/]+", "-", name))


def is_score_name(name: str, whole: bool = False) -> bool:
    """Whether a column is a known score, or speaks of one, as ``dice_left``; the ``whole`` name: is one."""
    return plain(name) in _NAMES if whole else bool(known_score(name))


def _whole_score(name: str) -> str:
    """The known score that a name is beside words for statistics and parts of the data: Dice of ``val_dice``."""
    words = [word for word in words_of(name) if not is_statistic(word) and word.casefold() != "eval"]
    whole = _NAMES.get(plain(" ".join(words)), "")
    return name if name in _NAMES.values() else "" if is_spread(name) else whole


def is_spread(name: str) -> bool:
    """Whether a column is the spread of a score, such as ``dice_std``."""
    return bool(SPREADS & {word.casefold() for word in words_of(name)})


def known_score(name: str) -> str:
    """The known score that a name speaks of, such as Dice of ``results_dice``; "" of none."""
    words = [name, *words_of(name)]
    return next((_NAMES[plain(word)] for word in words if plain(word) in _NAMES), "")


def scores_of_classes(names: Collection[str]) -> dict[str, list[str]]:
    """Columns of the classes of a score that has no column of its own: ``Dice_1`` and ``Dice_2`` of Dice.

    What is behind the score's name is a class, unless it names a statistic, a part of the data or a run.
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        score, _, kind = re.sub(r"[\s_\-./()]+", " ", name).strip().rpartition(" ")
        if plain(score) in _NAMES and not is_statistic(kind):
            groups.setdefault(_NAMES[plain(score)], []).append(name)
    whole = {score_name(name) for name in names}
    return {score: columns for score, columns in groups.items() if len(columns) > 1 and score not in whole}


def is_statistic(name: str) -> bool:
    """Whether a word names a statistic, a part of the data or a run: no class, and no score."""
    return bool(_NO_CLASS.fullmatch(name))


def words_of(name: str) -> list[str]:
    """Words of a name, without what stands between them."""
    return [word for word in re.split(r"[\s_\-./()]+", name) if word]


def declare(name: str, lower: Collection[str] = ()) -> tuple[ScoreInfo, bool]:
    """Declaration of a score by its name, and whether its direction is certain.

    name: as of ``score_name``
    lower: names of scores that improve downwards, as the user says
    """
    builtin = builtin_scores.segmentation(()) | builtin_scores.classification(())
    if name in builtin:
        # What follows from values per case is their mean: the formula of a name needs targets.
        info = replace(builtin[name], chance=None, formula="", shown=("summary", "tests", "figures", "scores"))
        return replace(info, unit="", leads=False, selects=False), True
    is_lower = name in lower or bool(_LOWER.search(re.sub(r"[\W_]+", " ", name.casefold())))
    is_share = bool(_whole_score(name)) and not is_lower
    low, high = (0.0, 1.0) if is_share else (None, None)
    certain = is_share or is_lower or is_score_name(name)
    label = name if name != "nsd" else "NSD"
    return ScoreInfo(label, better="lower" if is_lower else "higher", low=low, high=high), certain


def order(names: Collection[str]) -> list[str]:
    """Names of scores with the one that leads first: Dice, balanced accuracy, else the first.

    Scores of training and validation stand behind those of test sets. Dice of a test set (``test-dice``) leads
    where there is none of all.
    """
    of_tests = [name for name in names if _SEEN.isdisjoint(word.casefold() for word in words_of(name))]
    leads = [name for lead in ("dice", "balanced-accuracy") for name in of_tests if name == lead]
    leads += [name for lead in ("dice", "balanced-accuracy") for name in of_tests if known_score(name) == lead]
    return sorted(names, key=lambda name: (name not in leads[:1], name not in of_tests))
