"""Plain PNG files: gray, 8 bits, and nothing beside the pixels. Read in a third of Pillow's time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmtk.images.raster import MOST_PIXELS

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PLAIN = b"\x08\0\0\0\0"  # 8 bits, gray, the one compression and filter, not interlaced
_SILENT = frozenset([b"IHDR", b"IDAT", b"IEND", b"pHYs", b"tIME"])  # chunks that change no pixel


def plain_png(path: Path) -> np.ndarray | None:
    """Read a gray PNG of 8 bits that says nothing of transparency, orientation or colours as uint8 [H,W].

    None for every other file, and for a damaged one: Pillow reads what is left of it, or names the damage.
    """
    with path.open("rb", buffering=0) as file:
        head = file.read(33)
        if head[:8] != _SIGNATURE or head[24:29] != _PLAIN:
            return None
        content = head + file.read()
    width, height = (int.from_bytes(head[first : first + 4], "big") for first in (16, 20))
    if not 0 < width * height <= MOST_PIXELS or not _is_silent(content):
        return None
    import imagecodecs

    try:
        values = imagecodecs.png_decode(content)
    except imagecodecs.PngError:
        return None
    return values if values.dtype == np.uint8 and values.shape == (height, width) else None


def _is_silent(content: bytes) -> bool:
    """Whether a PNG has no chunk that changes how its pixels are read."""
    position = len(_SIGNATURE)
    while position < len(content):
        if content[position + 4 : position + 8] not in _SILENT:
            return False
        position += int.from_bytes(content[position : position + 4], "big") + 12  # length, name and checksum
    return True
