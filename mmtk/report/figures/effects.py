"""Effects of components on a score: forest plot, and waterfall from the baseline to the full system."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmtk.report.figures import style
from mmtk.report.figures.systems import Figure, folded, seed_counts, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mmtk.stats import Effect

GAIN, LOSS = style.BLUE, style.VERMILION
NAME_WIDTH = 30  # letters of a line of a name


def label(effect: Effect) -> str:
    """The factors of an effect, joined where they act together."""
    return " × ".join(effect.factors)


def places(effects: Sequence[Effect]) -> int:
    """Number of decimals of effects: a fourth one where all are small."""
    small = all(abs(number) < 0.01 for e in effects for number in (e.value, e.low, e.high) if number is not None)
    return 4 if small else 3


def amounts(effects: Sequence[Effect]) -> list[str]:
    """Effects with their sign, and their interval where they have one."""
    digits = places(effects)
    return [
        signed(e.value, digits)
        + ("" if e.low is None or e.high is None else f" [{signed(e.low, digits)}, {signed(e.high, digits)}]")
        for e in effects
    ]


def counted(effects: Sequence[Effect], whiskers: str = "95 % interval") -> str:
    """Number of seeds behind the effects, and meaning of their whiskers."""
    words = seed_counts(effect.n for effect in effects)
    if all(effect.low is None for effect in effects):
        return f"{words}, no interval"
    return f"{words}, whiskers: {whiskers}{' for new patients of these networks' * (words == 'one seed')}"


def effects(
    effects: Sequence[Effect], path: Path, title: str, unit: str, whiskers: str = "95 % interval"
) -> Figure | None:
    """Forest plot: the value of every effect with its interval against zero, in the order given.

    None where there is no effect.

    effects: values with their intervals
    path: of the PNG, with an SVG beside it
    title: of the picture
    unit: what the effects are measured in, as "accuracy"
    whiskers: what the intervals are
    """
    if not effects:
        return None
    names = [folded(label(effect), NAME_WIDTH) for effect in effects]
    rows = _rows(names)
    with style.chart(path, title, 7.4, 1.15 + 0.36 * (rows[-1] + 1), vector=True) as fig:
        axes = fig.add_subplot()
        axes.axvline(0, color="black", lw=1)
        for row, effect in zip(rows, effects, strict=True):
            colour = GAIN if effect.value >= 0 else LOSS
            sure = effect.low is not None and effect.high is not None and effect.low * effect.high > 0
            sure = sure and effect.n > 1
            _whisker(axes, effect, row, 0.0, colour)
            face = colour if sure else "white"
            axes.plot(effect.value, row, "o" if effect.value >= 0 else "s", ms=7, mec=colour, mfc=face, mew=1.6)
        _finish(axes, names, amounts(effects), rows)
        axes.set_xlabel(f"change of {unit} (filled: the interval leaves out zero)")
    interactions = " and of their interactions" * any(len(effect.factors) > 1 for effect in effects)
    caption = f"Effects of the components{interactions} on {unit}; {counted(effects, whiskers)}."
    return Figure(path.stem, title, caption, path, "effects")


def steps(start: float, shares: Sequence[Effect]) -> np.ndarray:
    """Ends of the bars of a waterfall: [shares + 1], from ``start`` to start + Σ shares."""
    return start + np.concatenate([[0.0], np.cumsum([share.value for share in shares])])


def waterfall(start: float, shares: Sequence[Effect], path: Path, title: str, metric: str) -> Figure | None:
    """Shapley shares as bars that lead from the score of the baseline, ``start``, to that of the full system.

    The bars sum to the gain. A share below zero has another colour, hatching and a minus sign; whiskers are
    the 95 % interval of the share, at the bar's end. None where there is no share.

    shares: Shapley shares of the components
    path: of the PNG, with an SVG beside it
    title: of the picture
    metric: the name of the score
    """
    if not shares:
        return None
    ends, last = steps(start, shares), len(shares) + 1
    with style.chart(path, title, 7.4, 1.15 + 0.42 * (last + 1), vector=True) as fig:
        axes = fig.add_subplot()
        for row, share in enumerate(shares, 1):
            colour, hatch = (GAIN, "") if share.value >= 0 else (LOSS, "////")
            axes.barh(
                row,
                share.value,
                left=ends[row - 1],
                height=0.6,
                color=colour + "66",
                edgecolor=colour,
                hatch=hatch,
            )
            _whisker(axes, share, row, ends[row - 1], "black")
        for row, level in enumerate(ends):
            axes.vlines(level, row, row + 1, color=style.GREY, lw=0.9, ls=(0, (2, 2)), zorder=1)
        axes.plot([ends[0], ends[-1]], [0, last], "D", color="black", ms=7, ls="", zorder=4)
        digits = places(shares)
        first, final = (f"{end:.{digits}f}" for end in (ends[0], ends[-1]))
        words = [first, *amounts(shares), f"{final} ({signed(ends[-1] - ends[0], digits)})"]
        names = [folded(name, NAME_WIDTH) for name in ("baseline", *map(label, shares), "full system")]
        _finish(axes, names, words, list(range(last + 1)))
        axes.set_xlabel(metric)
    caption = f"Shapley share of every component in the gain of {metric}, from {first} to {final}; "
    return Figure(path.stem, title, f"{caption}{counted(shares)}.", path, "effects")


def _whisker(axes: Axes, effect: Effect, row: float, start: float, colour: str) -> None:
    if effect.low is not None and effect.high is not None:
        ends = [start + effect.low, start + effect.high]
        axes.plot(ends, [row, row], color=colour, lw=1.4, marker="|", ms=7, mew=1.4, zorder=3)


def _rows(names: Sequence[str]) -> list[float]:
    """Middle of every row, the first at 0: names of more than two lines get the space of theirs."""
    rows = [0.0]
    spaces = [max(1.0, 0.45 * (name.count("\n") + 1)) for name in names]
    for above, below in pairwise(spaces):
        rows.append(rows[-1] + (above + below) / 2)
    return rows


def _finish(axes: Axes, names: Sequence[str], words: Sequence[str], rows: Sequence[float]) -> None:
    """Names at the left, numbers at the right, the first row on top.

    names: of the rows, folded
    words: at the right of every row
    rows: their middles
    """
    axes.set_yticks(rows, names)
    axes.set_ylim(rows[-1] + 0.6, -0.6)
    for row, text in zip(rows, words, strict=True):
        axes.text(1.02, row, text, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    axes.tick_params(axis="y", length=0, labelsize=9)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.use_sticky_edges = False
    axes.margins(x=0.08)
    axes.autoscale_view(scaley=False)
