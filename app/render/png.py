"""Grey pictures as PNG (W3C, Portable Network Graphics, third edition), by a deflate that is made for speed.

Measured on one core against OpenCV with its quickest options: masks of Kvasir, 511 x 519, .05 ms and 2.0 KB against
.35 ms and 1.4 KB; probabilities in 16 bits, 529 x 622, 1.9 ms and 428 KB against 7.0 ms and 455 KB.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY = 0  # colour type
NONE, UP = 0, 2  # filters of a row: its bytes, or how they differ from those above
LEVEL = 1  # of ISA-L's 0 to 3


def grey(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """A picture [H, W] of 8 or 16 bits, whichever its type has. Those of 16 bits are expected to change gradually."""
    bits = 8 * pixels.itemsize
    rows = pixels.astype(pixels.dtype.newbyteorder(">"), copy=False).view(np.uint8)  # [H, W or 2 W]
    return _file(pixels.shape, bits, _filtered_up(rows) if bits == 16 else _unfiltered(rows))


def black_and_white(mask: NDArray[np.uint8]) -> bytes:
    """A picture [H, W] of one bit: white where the mask is not 0."""
    return _file(mask.shape, 1, _unfiltered(np.packbits(mask, axis=1)))


def _unfiltered(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Each row behind the number of its filter: uint8 [H, 1 + bytes of a row]."""
    framed = np.empty((rows.shape[0], 1 + rows.shape[1]), np.uint8)
    framed[:, 0] = NONE
    framed[:, 1:] = rows
    return framed


def _filtered_up(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    framed = _unfiltered(rows)
    framed[:, 0] = UP  # the first row differs from 0, and so from itself in nothing
    np.subtract(rows[1:], rows[:-1], out=framed[1:, 1:])
    return framed


def _file(shape: tuple[int, ...], bits: int, framed: NDArray[np.uint8]) -> bytes:
    height, width = shape
    header = struct.pack(">IIBBBBB", width, height, bits, GREY, 0, 0, 0)  # deflate, the five filters, no interlace
    data = isal_zlib.compress(framed, LEVEL)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(name)))
