"""Colours, fonts, page layout and saving that all pictures share; matplotlib is imported on first use."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmtk.io.files import atomic, write_text
from mmtk.report.figures import fonts
from mmtk.report.figures.slim import slim
from mmtk.report.figures.smaller import save_chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart by colour-blind readers. Its yellow is left out: unreadable on white.
ORANGE, SKY, GREEN, BLUE = "#E69F00", "#56B4E9", "#009E73", "#0072B2"
VERMILION, PURPLE, GREY = "#D55E00", "#CC79A7", "#6B7280"
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, GREY)
DASHES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))

# On an X-ray two of its hues, one light, one dark; solid against dashed keeps them apart in gray print.
REFERENCE: dict[str, Any] = {"colors": "#45E6B0", "linestyles": "solid"}
PREDICTION: dict[str, Any] = {"colors": "#E85A00", "linestyles": [(0, (3.2, 1.8))]}
HEAT = "inferno"

DPI = 150
LAYOUT = "constrained"  # how the axes of a chart are arranged
GRID = 30  # of an inch: whole dots of DPI and of what an SVG has of them
IN_SVG = 0.8  # of the dots per inch: films and crowds of points inside an SVG, whose base64 takes a third more
MOST_MARKS = 1_000  # points of a picture that its SVG draws one by one, at 100 bytes each; more are one film
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.titlesize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.edgecolor": "#4B5563",
    "grid.color": "#E5E7EB",
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.8,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "text.parse_math": False,  # a $ in a title or an id is a dollar sign
    "svg.hashsalt": "mmtk",  # the same picture, the same bytes
}


@contextmanager
def page(
    path: Path, width: float, height: float, *, layout: Any = "none", vector: bool = False
) -> Iterator[Figure]:
    """A figure of width × height inches, written to ``path`` as PNG on leaving, whole or not at all.

    Starts from matplotlib's defaults, not from the user's matplotlibrc: the same picture on every machine.

    path: of the PNG
    width: in inches
    height: in inches
    layout: matplotlib's layout engine
    vector: write an SVG of the same stem beside it
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**STYLE, "font.family": fonts.families()})
        fig = Figure(figsize=(width, height), layout=layout)
        FigureCanvasAgg(fig)
        yield fig
        path.parent.mkdir(parents=True, exist_ok=True)
        with fonts.missing_signs():
            _save(fig, path, vector)


def _save(fig: Figure, path: Path, vector: bool) -> None:
    """Write the PNG at ``path``, and with ``vector`` the SVG beside it."""
    # Laid out once, here: a figure that has an engine is drawn twice for every file, once without ink.
    if (engine := fig.get_layout_engine()) is not None:
        engine.execute(fig)
        fig.set_layout_engine(None)
    dots = BytesIO()
    fig.savefig(dots, format="rgba")
    width, height = fig.canvas.get_width_height()
    pixels = np.frombuffer(dots.getvalue(), np.uint8).reshape(height, width, 4)
    with atomic(path) as temporary:
        save_chart(pixels[..., :3], temporary, fig.dpi)
    if vector:
        drawn = StringIO()
        fig.savefig(drawn, format="svg", dpi=IN_SVG * fig.dpi, metadata={"Date": None})
        write_text(path.with_suffix(".svg"), slim(drawn.getvalue()))


@contextmanager
def chart(path: Path, title: str, width: float, height: float, *, vector: bool = False) -> Iterator[Figure]:
    """A ``page`` with a ``title``, whose axes arrange themselves.

    ``path``, ``width``, ``height`` and ``vector`` are those of the page.
    """
    with page(path, width, height, layout=LAYOUT, vector=vector) as fig:
        fig.suptitle("\n".join(wrap(title, width)), x=0.1 / width, ha="left", fontsize=11, fontweight="bold")
        yield fig


@dataclass(frozen=True)
class Sheet:
    """A page of equal image tiles under a title; lengths in inches, ``aspect`` is height / width of an image.

    ``below`` is room under each row, ``above``, ``bottom``, ``left`` and ``right`` around all of them;
    every ``group`` columns stand a little apart.
    """

    title: str
    rows: int
    columns: int
    aspect: float
    tile: float
    above: float = 0.0
    bottom: float = 0.15
    left: float = 0.15
    right: float = 0.15
    below: float = 0.0
    gap: float = 0.07
    group: int = 99

    @property
    def width(self) -> float:
        """The width of the page, with room for a title."""
        return whole(max(4.6, self._content + self.left + self.right))

    @property
    def height(self) -> float:
        """The height of the page."""
        return whole(self._top) + whole(self.bottom) + self.rows * self._down - whole(self.gap)

    @property
    def _top(self) -> float:
        return 0.42 + 0.2 * len(wrap(self.title, self.width)) + self.above

    @property
    def _content(self) -> float:
        return self.columns * self._across - self.gap + (self.columns - 1) // self.group * whole(0.15)

    @property
    def _across(self) -> float:
        """From a column to the next."""
        return whole(self.tile + self.gap)

    @property
    def _down(self) -> float:
        """From a row to the next."""
        return whole(self.tile * self.aspect + self.below + self.gap)

    @contextmanager
    def open(self, path: Path, note: str, *, legend: bool = False, vector: bool = False) -> Iterator[Figure]:
        """The page at ``path`` with its title, a ``note`` below it and, with ``legend``, that of the boundaries.

        vector: write an SVG beside the PNG
        """
        from matplotlib.lines import Line2D

        with page(path, self.width, self.height, vector=vector) as fig:
            wrapped = wrap(self.title, self.width)
            x, top = 0.15 / self.width, 1 - 0.12 / self.height
            line = top - (0.2 * len(wrapped) + 0.03) / self.height
            fig.text(x, top, "\n".join(wrapped), fontsize=11, fontweight="bold", va="top", linespacing=1.25)
            fig.text(x, line, note, fontsize=8, va="top", alpha=0.75)
            if legend:
                dashes = {"reference": (REFERENCE, "-"), "prediction": (PREDICTION, PREDICTION["linestyles"][0])}
                handles = [
                    Line2D([], [], color=look["colors"], ls=dash, lw=2, label=name)
                    for name, (look, dash) in dashes.items()
                ]
                anchor = (1 - self.right / self.width, line + 0.03 / self.height)
                fig.legend(
                    handles=handles,
                    loc="upper right",
                    ncols=2,
                    borderpad=0,
                    borderaxespad=0,
                    bbox_to_anchor=anchor,
                )
            yield fig

    def box(self, row: int, column: int) -> tuple[float, float, float, float]:
        """Left, bottom, width and height of a tile as shares of the page, whole dots of it."""
        wide, tall = whole(self.tile), whole(self.tile * self.aspect)
        spare = self.width - self._content - self.left - self.right
        x = whole(self.left + spare / 2) + column * self._across + column // self.group * whole(0.15)
        y = self.height - whole(self._top) - tall - row * self._down
        return x / self.width, y / self.height, wide / self.width, tall / self.height

    def image(self, fig: Figure, row: int, column: int, pixels: np.ndarray) -> Axes:
        """Show ``pixels`` in the tile at ``row`` and ``column`` of ``fig``.

        They are gray, [H,W] in [0, 1], or in colour, [H,W,3].
        """
        from matplotlib.patches import Rectangle

        axes = fig.add_axes(self.box(row, column))
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="bilinear", aspect="auto")
        axes.set(xticks=[], yticks=[])
        axes.grid(False)
        # A hairline bounds X-rays that are white at their edge: one frame, where spines are four paths of an SVG.
        axes.spines[:].set_visible(False)
        frame = Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False, lw=0.5, ec="#9CA3AF", clip_on=False)
        axes.add_patch(frame)
        return axes

    def bar(self, fig: Figure, label: str) -> None:
        """A colour bar of the heat map, one tile high, at the right of the first row."""
        x, y, wide, tall = self.box(0, self.columns - 1)
        axes = fig.add_axes((x + wide + 0.1 / self.width, y, 0.11 / self.width, tall))
        axes.imshow(np.linspace(1, 0, 256)[:, None], cmap=HEAT, aspect="auto", extent=(0, 1, 0, 1))
        axes.set(xticks=[], yticks=[0, 0.5, 1])
        axes.yaxis.tick_right()
        axes.yaxis.set_label_position("right")
        axes.tick_params(length=2, pad=2)
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.set_ylabel(label, fontsize=8, labelpad=3)


def whole(inches: float) -> float:
    """The nearest length of whole dots in PNG and SVG: an image looks the same, to the byte, in every tile."""
    return round(inches * GRID) / GRID


def outline(axes: Axes, masks: np.ndarray, look: dict[str, Any]) -> bool:
    """Draw the boundaries of masks [K,H,W] in [0, 1], cut at 0.5; whether there is any.

    Ignored pixels (−1, 255) and NaN are outside.
    """
    from matplotlib.patheffects import Normal, Stroke

    inside = (masks > 0.5) & (masks <= 1)
    height, width = masks.shape[-2:]
    for mask in inside[inside.any((1, 2))]:
        # One pixel of padding closes boundaries that run along the edge of the image.
        x, y, padded = np.arange(-1, width + 1), np.arange(-1, height + 1), np.pad(mask, 1).astype(float)
        contour = axes.contour(x, y, padded, levels=[0.5], linewidths=1.3, **look)
        if look is REFERENCE:
            contour.set_path_effects([Stroke(linewidth=2.2, foreground="#00000088"), Normal()])
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    return bool(inside.any())


def caption(axes: Axes, words: list[str]) -> None:
    """Lines of text under an image, the first in bold."""
    for line, word in enumerate(words):
        axes.annotate(
            word,
            (0.5, 0),
            xycoords="axes fraction",
            xytext=(0, -3 - 12 * line),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=8 if line else 9,
            fontweight="normal" if line else "bold",
        )


def tag(axes: Axes, words: str) -> None:
    """White words on black in the lower left corner of an image."""
    box = {"facecolor": "#000000A0", "edgecolor": "none", "pad": 1.5}
    axes.text(0.04, 0.035, words, transform=axes.transAxes, fontsize=8, color="white", bbox=box)


def wrap(title: str, width: float) -> list[str]:
    """The title in as few lines as fit ``width`` inches at a title's size, all of about one length."""
    most = max(20, int(width * 9.5))
    lines = textwrap.wrap(title, most) or [""]
    shorter = (textwrap.wrap(title, size) for size in range(max(1, len(title) // len(lines)), most))
    return next((even for even in shorter if len(even) == len(lines)), lines)


def short(text: object, most: int) -> str:
    """``text`` with its middle cut out where it is longer than ``most``: both ends tell images apart."""
    word, half = str(text), max(1, (most - 1) // 2)
    return word if len(word) <= most else f"{word[:half]}…{word[-half:]}"


def number(value: float | None) -> str:
    """A score for print; a dash where it is unknown or not finite."""
    return "–" if value is None or not np.isfinite(value) else f"{value:.3f}"


def sample(count: int, n: int) -> str:
    """Number of images, and how many of them a picture shows."""
    return f"n = {n}" if count == n else f"the first {count} of n = {n}"


def verdict(probabilities: np.ndarray, names: Sequence[str]) -> list[str]:
    """The most probable class and its probability, for a caption that says that it was predicted."""
    if not np.isfinite(probabilities).all():
        return ["no class", "predicted, p –"]
    best = int(np.argmax(probabilities))
    return [short(names[best], 14), f"predicted, p = {probabilities[best]:.2f}"]


def smooth(values: np.ndarray) -> np.ndarray:
    """[.., T] Centred running means over a twentieth of the points, over fewer at the ends."""
    window = np.ones(2 * (values.shape[-1] // 40) + 1)
    counts = np.convolve(np.ones(values.shape[-1]), window, "same")
    return np.apply_along_axis(np.convolve, -1, values, window, "same") / counts if len(window) > 1 else values


def gray(image: np.ndarray) -> np.ndarray:
    """[H,W], 8-bit or float, as float32 in [0, 1]; floats beyond it are stretched by min–max, NaN is 0."""
    if image.dtype == np.uint8:
        return image.astype(np.float32) / 255
    pixels = np.nan_to_num(np.asarray(image, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(pixels.min()), float(pixels.max())
    return pixels if low >= 0 and high <= 1 else (pixels - low) / max(high - low, 1e-12)


def relative(saliency: np.ndarray) -> np.ndarray:
    """|map| over its 99th percentile (its maximum where that is 0), clipped to [0, 1]; NaN is 0."""
    size = np.abs(np.nan_to_num(np.asarray(saliency, np.float64), nan=0.0, posinf=0.0, neginf=0.0))
    scale = np.percentile(size, 99) or size.max()
    return np.clip(size / scale, 0, 1) if scale > 0 else size


def heat(image: np.ndarray, saliency: np.ndarray) -> np.ndarray:
    """The map as light on a dimmed X-ray, [H,W,3]; where it is zero, only the X-ray shows."""
    import matplotlib

    glow = matplotlib.colormaps[HEAT](relative(saliency))[..., :3]
    lit: np.ndarray = 1 - (1 - 0.5 * gray(image)[..., None]) * (1 - glow)
    return lit
