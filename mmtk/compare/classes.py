"""Targets and predictions of classes in a table: names, probabilities, logits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from mmtk.compare.columns import BLANKS, Sheet
from mmtk.compare.layout import PROBABILITY
from mmtk.compare.score_names import plain
from mmtk.counts import counted
from mmtk.errors import MmtkError, listing

NEGATIVE = frozenset(
    ["normal", "negative", "healthy", "benign", "no", "false", "control", "neg", "none", "nofinding", "absent"]
) | {"well"}


@dataclass
class Predictions:
    """Predictions of classes, a value for every row.

    names: of the classes
    columns: ``target``, ``predicted``, and ``p-NAME`` of every class where there are probabilities
    notes: sentences on what was changed
    """

    names: list[str]
    columns: dict[str, np.ndarray]
    notes: list[str] = field(default_factory=list)


def read_predictions(sheet: Sheet, target: str, predicted: str | None, scores: Sequence[str]) -> Predictions:
    """Targets with predicted classes or probabilities, as numbers.

    sheet: the table
    target: column of the true classes
    predicted: column of the predicted classes; None where they follow from the probabilities
    scores: columns of probabilities, one for each class, or one of the positive class
    """
    truth = _classes(sheet, target)
    guesses = None if predicted is None else _classes(sheet, predicted)
    names = _names(sheet, truth, guesses, scores)
    notes: list[str] = []
    columns = {"target": _numbered(sheet, target, truth, names, notes)}
    if _is_confidence(sheet, guesses, scores):
        notes.append(f"'{scores[0]}' is the confidence in the predicted class: the classes alone are read")
        scores = ()
    if scores:
        columns |= _probabilities(sheet, scores, names, notes)
        values = np.array([columns[f"p-{name}"] for name in names])
        columns["predicted"] = np.where(np.isnan(values).any(0), np.nan, values.argmax(0))
    if guesses is not None and predicted is not None:
        columns["predicted"] = _numbered(sheet, predicted, guesses, names, notes)
    if len(scores) == 1 and not PROBABILITY.fullmatch(scores[0]):
        notes.append(
            f"'{scores[0]}' is taken as that of class '{names[1]}': call it p-CLASS where it is another's"
        )
    if len(names) == 2:
        notes.append(f"the positive class is '{names[1]}', not '{names[0]}'")
    return Predictions(names, columns, notes)


def _is_confidence(sheet: Sheet, guesses: list[str] | None, scores: Sequence[str]) -> bool:
    """Whether a single probability is that of the predicted class: never below one half of two classes."""
    if guesses is None or len(scores) != 1 or PROBABILITY.fullmatch(scores[0]):
        return False
    values = sheet.numbers(scores[0])
    classes = len({*guesses} - {""})
    return classes > 2 or (classes == 2 and bool(np.nanmin(values) >= 0.5) and bool(np.nanmax(values) <= 1))


def _classes(sheet: Sheet, column: str) -> list[str]:
    """Classes of a column as texts; whole numbers without a point."""
    texts = sheet.texts(column)
    if sheet.is_numeric(column):
        values = sheet.numbers(column)
        if not (values[np.isfinite(values)] % 1 == 0).all():
            cure = f"Classes are whole numbers or names; is '{column}' a score?"
            raise MmtkError(f"column '{column}' holds numbers that are no classes.", sheet.where, cure)
        return ["" if np.isnan(value) else str(int(value)) for value in values]
    return ["" if text.casefold() in BLANKS - {"none", "-", "na"} else text for text in texts]


def _names(sheet: Sheet, truth: list[str], guesses: list[str] | None, scores: Sequence[str]) -> list[str]:
    """Names of the classes: of the probabilities, else of the targets, the negative one first."""
    matches = [PROBABILITY.fullmatch(name) for name in scores]
    if len(scores) > 1:
        return [match[1].strip() if match else name for name, match in zip(scores, matches, strict=True)]
    distinct = sorted({*truth} - {""}, key=_place)
    distinct += _further(sheet, distinct, dict.fromkeys(guesses or ()))
    if len(distinct) < 2:
        cure = "A score of classes needs cases of two classes or more."
        raise MmtkError(f"all targets are '{distinct[0] if distinct else ''}'.", sheet.where, cure)
    if scores and len(distinct) != 2 and not _is_confidence(sheet, guesses, scores):
        raise MmtkError(
            f"one column of probabilities ('{scores[0]}') for {counted(len(distinct), 'class', 'classes')}: "
            f"{listing(distinct)}.",
            sheet.where,
            "Give a column for each class, called p-CLASS.",
        )
    if matches and matches[0] and (positive := _match(matches[0][1], distinct)) is not None:
        distinct.append(distinct.pop(positive))
    return distinct


def _further(sheet: Sheet, truth: Sequence[str], guesses: Iterable[str]) -> list[str]:
    """Classes that are predicted and never true; MmtkError where they seem to be other names of those that are."""
    spelled = [text for text in guesses if text]
    further = [text for text in spelled if _match(text, truth) is None]
    missing = [name for name in truth if _match(name, spelled) is None]
    if further and all(text.isdigit() for text in further) and not all(name.isdigit() for name in truth):
        return []  # places of the classes
    if further and missing:
        raise MmtkError(
            f"{listing(further)} is predicted, none of the classes of the targets; {listing(missing)} never is.",
            sheet.where,
            "Name a class alike in targets and predictions.",
        )
    return sorted(further, key=_place)


def _place(name: str) -> tuple[bool, float, str]:
    number = float(name) if name.lstrip("-").isdigit() else 0.0
    return plain(name) not in NEGATIVE, number, name


def _match(text: str, names: Sequence[str]) -> int | None:
    """Place of a class among the names, whatever case it is spelled in."""
    spelled = [name for name in names if name == text] or [name for name in names if plain(name) == plain(text)]
    return names.index(spelled[0]) if spelled else None


def _numbered(sheet: Sheet, column: str, texts: list[str], names: Sequence[str], notes: list[str]) -> np.ndarray:
    """Classes as places among the names; NaN of a blank."""
    places = {text: _match(text, names) for text in dict.fromkeys(texts)}
    places.pop("", None)
    unknown_texts = [text for text, position in places.items() if position is None]
    if unknown_texts and all(text.isdigit() and int(text) < len(names) for text in places):
        places = {text: int(text) for text in places}
        order = ", ".join(f"{number} = {name}" for number, name in enumerate(names))
        notes.append(f"numbers in '{column}' are taken as places of the classes: {order}")
    elif unknown_texts:
        row = texts.index(unknown_texts[0])
        raise MmtkError(
            f"'{unknown_texts[0]}' in column '{column}' is none of the classes {listing(names)}.",
            sheet.at(row),
            "Name a class alike in all columns: classes of targets, of predictions, and behind p-.",
        )
    return np.array([np.nan if not text else float(places[text] or 0) for text in texts])


def _probabilities(
    sheet: Sheet, scores: Sequence[str], names: Sequence[str], notes: list[str]
) -> dict[str, np.ndarray]:
    """Probabilities of every class; logits and percent are turned into them, and a note says so."""
    values = np.array([sheet.numbers(name) for name in scores])
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if low >= 0 and 1.5 < high <= 100 and _sums_to(values, 100):
        notes.append("probabilities are in percent, divided by 100")
        values = values / 100
    elif low < 0 or high > 1:
        function = "sigmoid" if len(scores) == 1 else "softmax"
        notes.append(f"values from {low:.3g} to {high:.3g} are no probabilities: taken as logits ({function})")
        values = _softmax(np.concatenate([np.zeros_like(values), values]) if len(scores) == 1 else values)[
            -len(scores) :
        ]
    if len(scores) == 1:
        values = np.concatenate([1 - values, values])
    elif not _sums_to(values, 1):
        notes.append("probabilities of a case do not sum to 1: there is no calibration error")
    return {f"p-{name}": row for name, row in zip(names, values, strict=True)}


def _sums_to(values: np.ndarray, total: float) -> bool:
    """Whether the values of every case have a sum; of one column always."""
    sums = values.sum(0)
    return len(values) == 1 or bool((np.abs(sums[np.isfinite(sums)] - total) < 0.01 * total).all())


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - np.nanmax(logits, axis=0))
    return np.asarray(powers / powers.sum(0))
