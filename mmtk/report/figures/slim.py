"""SVGs in fewer bytes that look the same: films and outlines once, fewer digits and points, 256 colours."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from io import BytesIO

import numpy as np

from mmtk.report.figures.smaller import indexed

PICTURE = re.compile(r"(?<=data:image/png;base64,)[\s\w+/=]+")
IMAGE = re.compile(
    r'<image xlink:href="data:image/png;base64,(?P<code>[\s\w+/=]+)" id="(?P<name>\w+)"(?P<turn>[^>]*?)'
    r' x="(?P<x>[-\d.]+)" y="(?P<y>[-\d.]+)"(?P<size>[^>]*)/>'
)
OUTLINE = re.compile(r'<path d="(?P<points>[^"]{200,})"(?P<look>[^>]*)/>')
LINES = re.compile(r' d="M([-\d.MLz\s]+)"')
SIGN = re.compile(r'(<use xlink:href="#[^"]+") transform="translate\(([-\d.]+) (?:0|([-\d.]+))\)"/>')
TOLERANCE = 0.03  # points of 1/72 inch by which a pass may move a line: a sixteenth of a dot
PASSES = 6


def slim(svg: str) -> str:
    """An SVG of matplotlib as it looks, in fewer bytes.

    Coordinates end at a hundredth of a point, points that lie on a line are left out, outlines and films that come
    again refer to the first, all opaque pictures share 256 colours, and lines have no blanks before them.
    """
    unindented = re.sub(r"\n +", "\n", re.sub(r' *<g id="[^"]*"/>\n', "", SIGN.sub(_sign, svg)))
    rounded = re.sub(r' (?:d|x|y)="[^"]*"', lambda part: re.sub(r"(\.\d\d)\d+", r"\1", part[0]), unindented)
    return _coloured(_films_once(_outlines_once(_thinned(rounded))))


def _sign(use: re.Match[str]) -> str:
    """A sign of a text at its place, which takes no transformation."""
    start, x, y = use.groups()
    return f'{start} x="{x}"' + (f' y="{y}"' if y else "") + "/>"


# --- lines ----------------------------------------------------------------------------------------------------


def _thinned(svg: str) -> str:
    """Paths of straight lines without the points that their neighbours' lines pass through."""
    paths = [code[1].split("M") for code in LINES.finditer(svg)]
    parts = [np.array(part.replace("L", "").replace("z", "").split(), float) for path in paths for part in path]
    lines = iter(thin([part.reshape(-1, 2) for part in parts]))

    def written(code: re.Match[str]) -> str:
        return f' d="{" ".join(_path(next(lines), "z" in part) for part in code[1].split("M"))}"'

    return LINES.sub(written, svg)


def _path(points: np.ndarray, is_closed: bool) -> str:
    """Points [N,2] as one part of a path; after M all pairs are lines."""
    numbers = " ".join(f"{number:.2f}".rstrip("0").rstrip(".") for number in points.ravel())
    return f"M{numbers}{'z' * is_closed}"


def thin(lines: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Polylines [N,2] without points that lie within ``TOLERANCE`` of the line between their neighbours.

    Every second of the neighbouring points goes at a time, in ``PASSES`` passes over all lines at once; ends stay.
    """
    if not lines:
        return []
    points = np.concatenate(lines)
    of_line = np.repeat(np.arange(len(lines)), [len(line) for line in lines])
    for parity in range(2 * PASSES):
        before, here, after = points[:-2], points[1:-1], points[2:]
        inside = (of_line[:-2] == of_line[2:]) & (np.arange(1, len(points) - 1) % 2 == parity % 2)
        gone = np.zeros(len(points), bool)
        gone[1:-1] = inside & (_distances(here, before, after) < TOLERANCE)
        points, of_line = points[~gone], of_line[~gone]
    return np.split(points, np.flatnonzero(np.diff(of_line)) + 1)


def _distances(points: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """[N] Distances of points [N,2] to the segments between ``starts`` and ``ends``."""
    along = ends - starts
    length = np.maximum((along**2).sum(1), 1e-12)
    share = np.clip(((points - starts) * along).sum(1) / length, 0, 1)
    distances: np.ndarray = np.hypot(*(points - starts - share[:, None] * along).T)
    return distances


# --- what comes again -----------------------------------------------------------------------------------------


def _outlines_once(svg: str) -> str:
    """Long paths that come again, as an outline and its shadow, drawn from one list of points."""
    counts = Counter(path["points"] for path in OUTLINE.finditer(svg))
    names = {points: f"outline{number}" for number, points in enumerate(p for p, n in counts.items() if n > 1)}
    defined: set[str] = set()

    def referred(path: re.Match[str]) -> str:
        name = names.get(path["points"])
        if name is None:
            return path[0]
        first = "" if name in defined else f'<defs><path id="{name}" d="{path["points"]}"/></defs>'
        defined.add(name)
        return f'{first}<use xlink:href="#{name}"{path["look"]}/>'

    return OUTLINE.sub(referred, svg)


def _films_once(svg: str) -> str:
    """Pictures that come again, as an X-ray under the outlines of every system, moved from the first of them."""
    first: dict[str, re.Match[str]] = {}

    def referred(image: re.Match[str]) -> str:
        earlier = first.setdefault(image["name"], image)  # matplotlib names a picture by its pixels
        if earlier is image or any(image[part] != earlier[part] for part in ("code", "turn", "size")):
            return image[0]
        upwards = "scale(1 -1)" in image["turn"]  # y of the page runs against y of the picture
        right, down = (float(image[axis]) - float(earlier[axis]) for axis in "xy")
        return f'<use xlink:href="#{earlier["name"]}" x="{right:.2f}" y="{-down if upwards else down:.2f}"/>'

    return IMAGE.sub(referred, svg)


# --- colours --------------------------------------------------------------------------------------------------


def _coloured(svg: str) -> str:
    """An SVG whose opaque pictures share one palette."""
    codes = [code for code in PICTURE.findall(svg) if _pixels(code)[..., 3].min() == 255]
    recoded = dict(zip(codes, _recoded([_pixels(code)[..., :3] for code in codes]), strict=True))
    return PICTURE.sub(lambda code: recoded.get(code[0], code[0]), svg)


def _pixels(code: str) -> np.ndarray:
    """A picture in base64 as [H,W,4], 8-bit."""
    from PIL import Image

    return np.asarray(Image.open(BytesIO(base64.b64decode(code))).convert("RGBA"))


def _recoded(pictures: Sequence[np.ndarray]) -> Iterator[str]:
    """Pictures [H,W,3], 8-bit, in base64 with one palette."""
    from PIL import Image

    if not pictures:
        return
    together = indexed(np.concatenate([picture.reshape(1, -1, 3) for picture in pictures], axis=1))
    parts = np.split(
        np.asarray(together)[0], np.cumsum([picture.shape[0] * picture.shape[1] for picture in pictures])
    )
    for picture, part in zip(pictures, parts, strict=False):
        stream, image = BytesIO(), Image.fromarray(part.reshape(picture.shape[:2]))
        image.putpalette(together.getpalette() or [])
        image.save(stream, "PNG")
        yield base64.b64encode(stream.getvalue()).decode()
