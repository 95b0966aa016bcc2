"""SVGs of figures in fewer bytes look as matplotlib writes them."""

from __future__ import annotations

import base64
import re
from io import BytesIO, StringIO

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke
from PIL import Image

from mmtk.report.figures.slim import PASSES, TOLERANCE, slim, thin
from mmtk.report.figures.style import GRID, Sheet


def page() -> str:
    """A picture that comes four times, an outline with a shadow, a curve, points, an opaque picture and words."""
    rng = np.random.default_rng(4)
    fig = Figure(figsize=(4, 3), dpi=GRID)
    film = rng.random((9, 9))
    for column in range(4):
        axes = fig.add_axes((column / 4, 0.5, 1 / 5, 1 / 3))
        axes.imshow(film, cmap="gray", aspect="auto", interpolation="bilinear")
        axes.set_axis_off()
    around = np.linspace(0, 2 * np.pi, 99)
    look = {"path_effects": [Stroke(linewidth=3, foreground="black"), Normal()]}
    axes.plot(4 + 3 * np.sin(around), 4 + 3 * np.cos(around), **look)
    axes = fig.add_axes((0, 0, 1, 0.4))
    axes.fill_between(np.arange(400), rng.random(400).cumsum(), np.arange(400) / 2)
    axes.scatter(range(9), np.linspace(0, 1, 9), rasterized=True)
    stream = StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "mmtk"}):
        fig.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


def corners(svg: str) -> list[tuple[float, float, float, float]]:
    """Left, top, width and height of each picture on the page, those that refer to another one, too."""
    boxes: list[tuple[float, float, float, float]] = []
    first: dict[str, tuple[float, float, float, float]] = {}
    for mark in re.finditer(r"<(?:image|use) [^>]*>", svg):
        value = dict(re.findall(r'([\w:]+)="([^"]*)"', mark[0]))
        name, x, y = value.get("xlink:href", "")[1:], float(value.get("x", 0)), float(value.get("y", 0))
        if mark[0].startswith("<image"):
            wide, tall = float(value["width"]), float(value["height"])
            lift = float(re.search(r"translate\(0 (-?[\d.]+)\)", value["transform"])[1])  # type: ignore[index]
            boxes.append((x, -(y + lift) - tall, wide, tall))
            first.setdefault(value["id"], boxes[-1])
        elif name in first:
            left, top, wide, tall = first[name]
            boxes.append((left + x, top + y, wide, tall))
    return sorted(boxes)


def test_films_and_outlines_that_come_again_stand_once_at_all_their_places() -> None:
    before = page()
    after = slim(before)
    assert (before.count("<image"), after.count("<image")) == (5, 2)
    assert np.allclose(corners(before), corners(after), atol=0.02)
    assert len(after) < 0.6 * len(before)
    (outline,) = re.findall(r'<path id="(outline\d+)"', after)
    assert len(re.findall(rf'href="#{outline}" [^>]*style="[^"]*stroke', after)) == 2
    modes = [
        Image.open(BytesIO(base64.b64decode(code))).mode for code in re.findall(r"base64,\s*([\w+/=\s]+)", after)
    ]
    assert sorted(modes) == ["P", "RGBA"]  # the points are transparent around


def test_thin_lines_lie_where_all_points_lay() -> None:
    """Ends stay; no point is farther from the line than passes may add up to; straight lines are two points."""
    rng = np.random.default_rng(0)
    stairs = np.repeat(rng.random((200, 2)).cumsum(0), 2, 0)
    stairs[1:, 0] = stairs[:-1, 0]
    smooth = np.stack([np.linspace(0, 300, 500), 100 * np.sin(np.linspace(0, 6, 500))], 1)
    straight = np.linspace((0, 0), (7, 3), 50)
    lines = [stairs, straight, smooth, np.ones((1, 2)), np.ones((2, 2))]
    thinned = thin(lines)
    assert [len(line) for line in thinned[3:]] == [1, 2]
    assert len(thinned[1]) == 2
    assert len(thinned[2]) < 125
    for whole, part in zip(lines[:3], thinned[:3], strict=True):
        assert (whole[[0, -1]] == part[[0, -1]]).all()
        start, along = part[:-1], np.diff(part, axis=0)
        share = ((whole[:, None] - start) * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-12)
        gaps = whole[:, None] - start - share.clip(0, 1)[..., None] * along
        assert np.hypot(*np.moveaxis(gaps, -1, 0)).min(1).max() < PASSES * TOLERANCE
    assert thin([]) == []


def test_tiles_of_a_page_are_whole_dots_and_equally_far_apart() -> None:
    sheet = Sheet("Maps", 3, 7, 0.87, 1.0519, above=0.36, left=0.4, below=0.22, group=3)
    boxes = np.array([[sheet.box(row, column) for column in range(7)] for row in range(3)])
    dots = boxes * np.array([sheet.width, sheet.height] * 2) * GRID
    assert np.allclose(dots, dots.round())
    assert len(np.unique(np.diff(dots[..., 1], axis=0).round())) == 1
    assert len(np.unique(np.diff(dots[..., 0], axis=1).round())) == 2  # a little more between groups
    assert np.allclose(
        np.array([sheet.width, sheet.height]) * GRID, np.round([sheet.width * GRID, sheet.height * GRID])
    )
    assert boxes.min() > 0
    assert (boxes[..., :2] + boxes[..., 2:]).max() < 1


def test_points_that_stay_move_by_less_than_a_hundredth_of_a_point() -> None:
    fig = Figure(figsize=(3, 2))
    fig.subplots().plot(np.random.default_rng(4).random(300))
    stream = StringIO()
    fig.savefig(stream, format="svg", metadata={"Date": None})
    before, after = (
        np.array(re.findall(r"-?\d+\.?\d*", " ".join(re.findall(r' d="([^"]*)"', text))), float).reshape(-1, 2)
        for text in (stream.getvalue(), slim(stream.getvalue()))
    )
    assert 300 < len(after) <= len(before)
    assert np.abs(after[:, None] - before).max(-1).min(1).max() < 0.01
