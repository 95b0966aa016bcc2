"""JPEG Lossless, JPEG-LS, 12-bit JPEG and high-throughput JPEG 2000 for pydicom, by imagecodecs."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom import uid
from pydicom.pixels.decoders.base import get_decoder

LABEL = "imagecodecs"
SYNTAXES = (
    uid.JPEGExtended12Bit,
    uid.JPEGLossless,
    uid.JPEGLosslessSV1,
    uid.JPEGLSLossless,
    uid.JPEGLSNearLossless,
    uid.HTJ2KLossless,
    uid.HTJ2KLosslessRPCL,
    uid.HTJ2K,
)
DECODER_DEPENDENCIES = dict.fromkeys(SYNTAXES, ("imagecodecs",))


def register() -> None:
    """Register the decoders with pydicom, behind its own."""
    for syntax in SYNTAXES:
        decoder = get_decoder(syntax)
        if LABEL not in decoder.available_plugins:
            decoder.add_plugin(LABEL, (__name__, "decode_frame"))


def is_available(syntax: str) -> bool:
    """Whether a transfer syntax is decoded here (called by pydicom)."""
    return syntax in SYNTAXES


def decode_frame(source: bytes, runner: Any) -> bytes:
    """Decode one frame to bytes, colour by pixel, and set the bits of a sample."""
    import imagecodecs

    syntax = runner.transfer_syntax
    if syntax in uid.JPEGLSTransferSyntaxes:
        decode = imagecodecs.jpegls_decode
    elif syntax in uid.JPEG2000TransferSyntaxes:
        decode = imagecodecs.jpeg2k_decode
    else:
        decode = imagecodecs.jpeg_decode
    frame: np.ndarray = decode(source)
    runner.set_option("bits_allocated", 8 * frame.dtype.itemsize)
    if frame.ndim == 3:
        runner.set_option("planar_configuration", 0)
    return frame.tobytes()
