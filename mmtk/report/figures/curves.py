"""The learning curves of a single run: weighted loss terms, rates, and validation scores over steps."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmtk.report.figures import style
from mmtk.scores import Scores, first, selecting
from mmtk.tasks import TASKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = dict[str, float]
Series = tuple[np.ndarray, np.ndarray]

Lines = dict[str, tuple[str, dict[str, Any]]]  # label and look by the key of a curve

LOOKS: tuple[dict[str, Any], ...] = (
    {"color": style.BLUE, "ls": "-"},
    {"color": style.VERMILION, "ls": "--"},
    {"color": style.PURPLE, "ls": ":"},
    {"color": style.GREEN, "ls": "-."},
)

# What strategies count beside their losses: shares between 0 and 1.
RATES = ("rate", "accuracy", "share")


def best_epoch(rows: Sequence[Row]) -> Row | None:
    """The validation row with the highest finite ``val/score``, the first of equals; None without a score."""
    scored = [row for row in rows if np.isfinite(row.get("val/score", np.nan))]
    return max(scored, key=lambda row: row["val/score"], default=None)


def score_lines(declared: Mapping[str, Scores]) -> Lines:
    """Validation scores to draw: their mean, and of each task the selecting one and the first of the figures."""
    keys = {
        f"val/{task}/{name}": f"{task}: {declared[task][name].heading}"
        for task in reversed(TASKS)
        if declared.get(task)
        for name in (selecting(declared[task]), first(declared[task]))
    }
    looks = zip(keys.items(), itertools.cycle(LOOKS), strict=False)
    lines: Lines = {"val/score": ("score (selects)", {"color": "black", "lw": 3.2, "alpha": 0.35})}
    return lines | {key: (label, look) for (key, label), look in looks}


def curves(metrics_jsonl: Path, path: Path, title: str, declared: Mapping[str, Scores]) -> Path | None:
    """Draw loss terms, rates and validation scores over steps, with the best step.

    metrics_jsonl: the log of the run
    path: of the PNG
    title: of the picture
    declared: its declared scores by task
    """
    rows = _read(metrics_jsonl)
    # train/loss is the total, train/TASK/TERM a term; train/lr is neither.
    terms = sorted({key for row in rows for key in row if key.startswith("train/") and key.count("/") == 2})
    rates = _series(rows, [key for key in terms if key.endswith(RATES)])
    losses = _series(rows, ["train/loss", *(key for key in terms if not key.endswith(RATES))])
    lines = score_lines(declared)
    scores = _series(rows, list(lines))
    if not losses and not scores:
        return None
    draw_scores = partial(_scores, lines)
    panels: list[tuple[Callable[[Axes, dict[str, Series]], None], dict[str, Series]]] = [(_losses, losses)]
    panels += [*[(_rates, rates)] * bool(rates), (draw_scores, scores)]
    with style.chart(path, title, 3.7 * len(panels), 4.6) as fig:
        for axes, (draw, series) in zip(fig.subplots(1, len(panels)), panels, strict=True):
            axes.set_xlabel("step")
            draw(axes, series)
            if draw is draw_scores:
                _mark_best(axes, best_epoch(rows))
            if series:
                axes.locator_params(axis="x", integer=True, nbins=6, min_n_ticks=1)
                axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), handlelength=3)
            else:
                axes.text(0.5, 0.5, "none recorded", transform=axes.transAxes, ha="center", color=style.GREY)
                axes.set(xticks=[], yticks=[])
    return path


def weights(total: Series, terms: Mapping[str, Series]) -> dict[str, float] | None:
    """The factors with which the terms add up to the total; None where no constant ones do, as with a ramp."""
    from scipy.optimize import nnls

    shared = set(total[0].tolist()).intersection(*(x.tolist() for x, _ in terms.values()))
    if not terms or len(shared) < 2 * len(terms):
        return None
    columns, totals = ([y[np.isin(x, list(shared))] for x, y in series] for series in (terms.values(), [total]))
    table = np.array(columns).T
    weights_of_terms, rest = nnls(table, totals[0])
    exact = rest <= 1e-4 * float(np.linalg.norm(totals[0]))
    return dict(zip(terms, weights_of_terms.tolist(), strict=True)) if exact else None


def _words(key: str) -> str:
    """Name of a term, as the terminal spells it, behind its task."""
    return key.removeprefix("train/").replace("/", ": ")


def _losses(axes: Axes, losses: Mapping[str, Series]) -> None:
    """The weighted terms, stacked to the total; where their weights are not known, lines as they are."""
    terms = {key: series for key, series in losses.items() if key != "train/loss"}
    total = losses.get("train/loss")
    if total is not None:
        axes.plot(*total, color="black", lw=0.6, alpha=0.25)
    factors = weights(total, terms) if total is not None else None
    stacked = factors is not None and all((y >= 0).all() for _, y in terms.values())
    base = np.zeros(1)
    for k, (key, (x, y)) in enumerate(terms.items(), 1):
        name, colour = _words(key), style.CYCLE[k % len(style.CYCLE)]
        name += " (always 0)" * (not y.any())
        if factors is not None and total is not None and stacked:
            share = np.interp(total[0], x, factors[key] * style.smooth(y))
            label = name if abs(factors[key] - 1) < 1e-3 or not y.any() else f"{name} × {factors[key]:.3g}"
            axes.fill_between(total[0], base, base + share, color=colour, alpha=0.45, lw=0, label=label)
            base = base + share
        else:
            marker = "o" if len(x) == 1 else None
            dash: Any = style.DASHES[k % len(style.DASHES)]
            axes.plot(x, style.smooth(y), color=colour, ls=dash, lw=1.6, marker=marker, label=name)
    if total is not None:
        marker = "o" if len(total[0]) == 1 else None
        axes.plot(total[0], style.smooth(total[1]), color="black", lw=1.6, marker=marker, label="total")
    values = np.concatenate([y for _, y in losses.values()] or [np.ones(1)])
    if not stacked and values.max() > 30 * (np.abs(values[values != 0]).min(initial=np.inf)):
        axes.set_yscale("symlog", linthresh=float(np.abs(values[values != 0]).min()))
        axes.yaxis.set_major_formatter("{x:g}")  # matplotlib's own is in math, which is off
    axes.set_ylabel("weighted loss terms, stacked" if stacked else "loss terms, not weighted")


def _rates(axes: Axes, rates: Mapping[str, Series]) -> None:
    """Shares on a scale from 0 to 1; steps in which there was none are left out."""
    for k, (key, (x, y)) in enumerate(rates.items()):
        colour = style.CYCLE[k % len(style.CYCLE)]
        dash: Any = style.DASHES[k % len(style.DASHES)]
        axes.plot(x, y, color=colour, lw=0.6, alpha=0.25)
        marker = "o" if len(x) == 1 else None
        axes.plot(x, style.smooth(y), color=colour, ls=dash, lw=1.6, marker=marker, label=_words(key))
    axes.set(ylim=(-0.02, 1.02), ylabel="rate")


def _scores(lines: Lines, axes: Axes, scores: Mapping[str, Series]) -> None:
    for key, (x, y) in scores.items():
        name, look = lines[key]
        axes.plot(x, y, label=name, marker="o", ms=3 if len(x) > 1 else 6, **look)
    axes.set_ylabel("validation score")


def _mark_best(axes: Axes, best: Row | None) -> None:
    if best is not None and "step" in best:
        step, score = best["step"], best["val/score"]
        look: dict[str, Any] = {
            "ls": "",
            "marker": "*",
            "ms": 14,
            "color": style.ORANGE,
            "mec": "black",
            "zorder": 5,
        }
        axes.plot(step, score, label=f"best: step {step:g}, score {score:.3f}", **look)
        axes.axvline(step, color=style.GREY, lw=1, ls=":", zorder=1)


def _read(path: Path) -> list[Row]:
    """The numbers in each row of a ``metrics.jsonl``, if there is one; lines cut by a crash are left out."""
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []:
        with suppress(ValueError, AttributeError):
            entries = json.loads(line).items()
            rows.append({key: value for key, value in entries if isinstance(value, int | float)})
    return rows


def _series(rows: Sequence[Row], keys: Sequence[str]) -> dict[str, Series]:
    """Finite values by key over steps; where a resumed run repeats a place, its last row counts."""
    series = {}
    for key in keys:
        points = {row.get("step", i): row[key] for i, row in enumerate(rows) if np.isfinite(row.get(key, np.nan))}
        if points:
            x = np.array(sorted(points), float)
            series[key] = (x, np.array([points[step] for step in sorted(points)], float))
    return series
