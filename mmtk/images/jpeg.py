"""JPEG files that Pillow does not decode: 12 and 16 bits a sample, and lossless ones. By imagecodecs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # the markers that begin a frame
_LOSSLESS = (0xC3, 0xF7)  # the second is JPEG-LS
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}


@dataclass(frozen=True)
class DeepJpeg:
    """Facts of the header: height and width as stored, whether pixels are exact, and the EXIF block."""

    height: int
    width: int
    lossless: bool
    exif: Image.Exif


def deep_jpeg(path: Path) -> DeepJpeg | None:
    """Read the header of a JPEG file of more than 8 bits or without loss; None for every other file."""
    exif = Image.Exif()
    with path.open("rb") as file:
        if file.read(2) != b"\xff\xd8":
            return None
        while (marker := _marker(file)) is not None:
            if marker in _WITHOUT_LENGTH:
                continue
            content = file.read(max(int.from_bytes(file.read(2), "big") - 2, 0))
            if marker == 0xE1 and content.startswith(b"Exif\0\0"):
                exif.load(content)
            if (marker in _FRAMES or marker in _LOSSLESS) and len(content) >= 5:
                height, width = (int.from_bytes(content[k : k + 2], "big") for k in (1, 3))
                lossless = marker in _LOSSLESS
                return DeepJpeg(height, width, lossless, exif) if lossless or content[0] > 8 else None
    return None


def decode_jpeg(path: Path) -> np.ndarray:
    """[H,W,C] as stored."""
    import imagecodecs

    content = path.read_bytes()
    decode = imagecodecs.jpegls_decode if b"\xff\xf7" in content[:4096] else imagecodecs.jpeg_decode
    return np.atleast_3d(decode(content))


def _marker(file: IO[bytes]) -> int | None:
    """Read the next marker; None at the end of the headers."""
    byte = file.read(1)
    while byte == b"\xff":
        byte = file.read(1)
        if byte not in (b"\xff", b"\0"):
            return byte[0] if byte and byte[0] not in (0xD9, 0xDA) else None
    return None
