"""Declarations of scores by their metrics, which tables, figures and displays read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from mmtk.errors import MmtkError, listing

Place = Literal["progress", "summary", "tests", "figures", "scores"]
PLACES: tuple[Place, ...] = get_args(Place)


@dataclass(frozen=True)
class ScoreInfo:
    """Declaration of one score.

    label: its name in text and on axes, without the unit
    unit: of its values, such as ``mm``; empty for a number without one
    better: the direction in which it improves
    chance: its value without a look at the image: a number, or the name of another score of the metric
    low, high: the bounds that no value passes; None where there is none
    shown: the places that show it, in the order of declaration: ``progress`` (the line of a validation),
        ``summary`` (the table at the end of a run), ``tests`` (tests and effects of a study, model cards),
        ``figures`` (scores by system and by label budget) and ``scores`` (the table of all scores)
    leads: whether the sentences of a report and the order of systems rest on it; one score of a metric
    selects: whether validation chooses the best weights by it; one score of a metric
    margin: the largest difference that does not matter, above 0; None where nothing is tested for it
    formula: how it follows from the values per image: ``mean:COLUMN`` (what a score with the name of a column is
        without a formula), a name that ``mmtk.stats.formulas`` has, such as ``auroc``, or
        ``package.module:function``, which takes ``{column: [images]}``. Without one, a report has no interval for
        new patients.
    """

    label: str
    unit: str = ""
    better: Literal["higher", "lower"] = "higher"
    chance: float | str | None = None
    low: float | None = None
    high: float | None = None
    shown: tuple[Place, ...] = PLACES
    leads: bool = False
    selects: bool = False
    margin: float | None = None
    formula: str = ""

    def __post_init__(self) -> None:
        wrong = [
            name
            for name, is_right in (
                ("label", isinstance(self.label, str)),
                ("unit", isinstance(self.unit, str)),
                ("better", self.better in ("higher", "lower")),
                ("chance", _is_number(self.chance) or isinstance(self.chance, str)),
                ("low", _is_number(self.low)),
                ("high", _is_number(self.high)),
                ("margin", _is_number(self.margin) and (self.margin is None or self.margin > 0)),
                ("formula", isinstance(self.formula, str)),
                ("shown", not {*self.shown} - {*PLACES}),
            )
            if not is_right
        ]
        if wrong:
            raise MmtkError(
                f"the score '{self.label}' is declared with a wrong {listing(wrong)}.",
                hint=f"better: higher or lower; shown: {listing(PLACES)}; chance: a number or a score's name; "
                "margin: a number above 0.",
            )

    @property
    def heading(self) -> str:
        """The label with its unit, as a column is headed."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def digits(self) -> int:
        """Decimal places in print."""
        return 2 if self.unit else 3

    def improves(self, value: float, other: float) -> bool:
        """Whether ``value`` is better than ``other``."""
        return value > other if self.better == "higher" else value < other

    def level(self, numbers: Mapping[str, float]) -> float | None:
        """The chance level beside the ``numbers`` of one test set."""
        return numbers.get(self.chance) if isinstance(self.chance, str) else self.chance


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and math.isfinite(value))


Scores = Mapping[str, ScoreInfo]  # by the name of the score, in the order in which they are shown


def info(scores: Scores, name: str) -> ScoreInfo:
    """The declaration of a score; of an undeclared one its name as label, and a row in the table of all scores."""
    return scores.get(name) or ScoreInfo(name.replace("-", " "), shown=() if name == "n" else ("scores",))


def shown(scores: Scores, place: Place) -> list[str]:
    """The names of the scores that a place shows, in order."""
    return [name for name, score in scores.items() if place in score.shown]


def leading(scores: Scores) -> str:
    """The score that leads: as declared, else the one that selects; empty where none is declared."""
    return next((name for name, score in scores.items() if score.leads), selecting(scores))


def selecting(scores: Scores) -> str:
    """The score that selects the best weights: as declared, else the first; empty where none is declared."""
    return next((name for name, score in scores.items() if score.selects), next(iter(scores), ""))


def first(scores: Scores) -> str:
    """The first score of the figures, for places with room for one; else the leading one."""
    return next(iter(shown(scores, "figures")), leading(scores))


def to_json(scores: Scores) -> dict[str, Any]:
    """Declarations as JSON holds them: what differs from the defaults."""
    defaults = asdict(ScoreInfo(""))
    return {
        name: {key: value for key, value in asdict(score).items() if value != defaults[key]}
        for name, score in scores.items()
    }


def from_json(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, ScoreInfo]:
    """Declarations read back; keys of later releases are passed over."""
    known_keys = {field.name for field in fields(ScoreInfo)}
    scores = {}
    for name, table in tables.items():
        values = {"label": name} | {key: value for key, value in table.items() if key in known_keys}
        scores[name] = ScoreInfo(**values | {"shown": tuple(values.get("shown", PLACES))})
    return scores


def merged(declarations: Iterable[Mapping[str, Scores]]) -> dict[str, dict[str, ScoreInfo]]:
    """Declarations of several runs by task; the first of a name counts."""
    tasks: dict[str, dict[str, ScoreInfo]] = {}
    for declaration in declarations:
        for task, scores in declaration.items():
            for name, score in scores.items():
                tasks.setdefault(task, {}).setdefault(name, score)
    return tasks
