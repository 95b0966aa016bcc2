"""Learning curves with and without a component, and the arrow that says what it is worth in labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmtk.report.figures import style
from mmtk.report.figures.systems import Figure, folded, in_brackets, label_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mmtk.report.worth import Answer

PANELS = 6
WITH, WITHOUT = style.VERMILION, style.BLUE


def worth(answers: Sequence[Answer], path: Path) -> Figure | None:
    """Scores with and without a component over the labels of a task; None where there is no answer.

    answers: of the study; those in-domain are drawn, at most PANELS components
    path: of the PNG, with an SVG beside it
    """
    groups: dict[tuple[str, str, str], list[Answer]] = {}
    for one in answers:
        rest = str({task: label for task, label in one.labels.items() if task != one.task})
        if one.domain == "in-domain":
            groups.setdefault((one.what, one.info.label, rest), []).append(one)
    curves = list(groups.values())[:PANELS]
    if not curves:
        return None
    columns = min(len(curves), 2)
    rows = -(-len(curves) // columns)
    title = "Worth in labels"
    with style.chart(path, title, 0.6 + 4.3 * columns, 0.9 + 2.9 * rows, vector=True) as fig:
        panels = fig.subplots(rows, columns, squeeze=False)
        for index, group in enumerate(curves):
            _panel(panels[index // columns, index % columns], group)
        for index in range(len(curves), rows * columns):
            panels[index // columns, index % columns].set_visible(False)
    caption = (
        "Mean score over the labels of the task, of the systems with a component (orange, squares) and without it "
        "(blue, dots). The arrow leads from the first budget at which it helps to the labels that the others need "
        "for the same score, the bar is its 95 % interval; an end without a bar lies beyond the budgets."
    )
    return Figure(path.stem, title, caption, path, "worth")


def _panel(axes: Axes, group: Sequence[Answer]) -> None:
    first = group[0]
    counts = sorted(first.curve)
    axes.plot(counts, [first.curve[count] for count in counts], "o-", color=WITHOUT, lw=1.5, label="without it")
    axes.plot(
        [one.count for one in group], [one.score for one in group], "s--", color=WITH, lw=1.5, label="with it"
    )
    axes.set_xscale("log")
    axes.set_xticks(counts, [f"{count:,.0f}" for count in counts])
    axes.minorticks_off()
    inside = (one for one in group if one.worth.labels and math.isfinite(one.worth.labels))
    if (answer := next((one for one in inside if one.worth.labels != one.count), None)) is not None:
        _arrow(axes, answer)
    others = {task: label for task, label in first.labels.items() if task != first.task}
    axes.set_title(folded(f"{first.what}{in_brackets(others)}", 40), fontsize=9)
    axes.set(xlabel=label_words(first.task), ylabel=first.info.heading)
    axes.legend(fontsize=7, loc="best")


def _arrow(axes: Axes, answer: Answer) -> None:
    """From the budget to the worth, at the height of the score; below it the interval."""
    one, height = answer.worth, answer.score
    style_of_arrow = {"arrowstyle": "->", "color": "black", "lw": 1.3, "shrinkA": 4, "shrinkB": 0}
    axes.annotate("", (one.labels or 0.0, height), (answer.count, height), arrowprops=style_of_arrow)
    low, high = max(one.low, one.smallest), min(one.high, one.largest)
    axes.plot([low, high], [height, height], color="black", lw=4, alpha=0.25, solid_capstyle="butt")
    for end in (one.low, one.high):
        if one.smallest <= end <= one.largest:
            axes.plot([end], [height], "|", color="black", ms=9)
    axes.annotate(
        one.text, ((one.labels or 0.0), height), (0, 7), textcoords="offset points", fontsize=8, ha="center"
    )
