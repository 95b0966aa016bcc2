"""Folders in which training shares images or patients with what is scored: films, copies of them, and tables."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

COUNTS = {"train": 12, "val": 6, "test": 6}
SIDE = 96


def film(number: int, side: int = SIDE) -> Image.Image:
    """A film of its own: shades common to all, ribs and structure of this number."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:side, :side] / side
    shade = 120 + 80 * np.cos(2 * np.pi * (x - 0.5)) - 40 * y
    texture = Image.fromarray(rng.integers(0, 255, (side, side), dtype=np.uint8))
    blurred = np.asarray(texture.filter(ImageFilter.GaussianBlur(side / 48)), float)
    blurred = 25 * (blurred - blurred.mean()) / blurred.std()
    return Image.fromarray(np.clip(shade + blurred, 0, 255).astype(np.uint8))


def recompressed(quality: int) -> Callable[[Image.Image], Image.Image]:
    """The film after a JPEG of this quality."""

    def again(image: Image.Image) -> Image.Image:
        memory = io.BytesIO()
        image.save(memory, "JPEG", quality=quality)
        return Image.open(memory).convert("L")

    return again


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "jpeg 50": recompressed(50),
    "jpeg 75": recompressed(75),
    "jpeg 95": recompressed(95),
    "smaller": lambda image: image.resize((64, 64), Image.Resampling.LANCZOS),
    "larger": lambda image: image.resize((250, 250), Image.Resampling.BICUBIC),
    "flipped": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "upside down": lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    "turned by 90": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "turned by 180, jpeg 75": lambda image: recompressed(75)(image.transpose(Image.Transpose.ROTATE_180)),
    "transposed": lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    "negative": lambda image: image.point(lambda level: 255 - level),
    "negative, turned by 270": lambda image: image.point(lambda level: 255 - level).transpose(
        Image.Transpose.ROTATE_270
    ),
    "brighter": lambda image: image.point(lambda level: min(255, round(0.9 * level + 20))),
    "gamma": lambda image: image.point(lambda level: round(255 * (level / 255) ** 0.8)),
    "flipped, smaller, jpeg 50": lambda image: recompressed(50)(
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((64, 64), Image.Resampling.LANCZOS)
    ),
}


def write_set(folder: Path, first: int, patients: bool = False) -> dict[str, list[str]]:
    """Films and a table with a split of its own; gives the names of each part. Class a and b take turns."""
    (folder / "films").mkdir(parents=True)
    rows, parts, number = [], {}, first
    for part, count in COUNTS.items():
        parts[part] = [f"{part}-{first + n}.png" for n in range(count)]
        for n, name in enumerate(parts[part]):
            film(number).save(folder / "films" / name)
            number += 1
            rows.append(f"{name},{'ab'[n % 2]},{part}" + (f",{name}-p" if patients else ""))
    head = "image,label,split" + (",patient" if patients else "")
    (folder / "films.csv").write_text("\n".join([head, *rows]) + "\n")
    return parts


def replace_image(folder: Path, name: str, image: Image.Image) -> None:
    """Another picture under a name that is there."""
    image.save(folder / "films" / name)


def replace_patient(folder: Path, name: str, patient: str) -> None:
    """Another patient of an image in the table."""
    table = folder / "films.csv"
    lines = [
        line.rpartition(",")[0] + f",{patient}" if line.startswith(f"{name},") else line
        for line in table.read_text().splitlines()
    ]
    table.write_text("\n".join(lines) + "\n")
