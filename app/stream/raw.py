"""Pixels as they are: `RGB8`, width and height (uint32, little-endian), then width x height x 3 bytes.

For senders that hold pixels already (a capture card, another process on this machine) and would only encode
them to have them decoded here.
"""

from __future__ import annotations

import struct

import numpy as np

from app.errors import CorruptFrame
from app.frames import Frame, check_size

MAGIC = b"RGB8"
HEADER = struct.Struct("<4sII")


def is_raw(data: bytes) -> bool:
    """Whether these bytes say that they are raw; no image file starts like this."""
    return data.startswith(MAGIC)


def decode(data: bytes, *, max_pixels: int) -> Frame:
    """Raw bytes -> Frame, whose pixels are a view of them.

    Raises:
        CorruptFrame: the header is cut short, a side is 0, or there are more or fewer pixels than it says.
        FrameTooLarge: more than `max_pixels`, or a side longer than is taken.
    """
    if len(data) < HEADER.size:
        raise CorruptFrame(f"Expected a raw frame's header of {HEADER.size} bytes, got {len(data)}: send all of it.")
    _, width, height = HEADER.unpack_from(data)
    check_size(width, height, max_pixels)
    expected, found = width * height * 3, len(data) - HEADER.size
    if found != expected or not found:
        raise CorruptFrame(
            f"A raw frame of {width} x {height} pixels has {expected} bytes after its header, and {found} came: "
            "send rows from top to bottom, 3 bytes a pixel, without padding."
        )
    return Frame(np.frombuffer(data, np.uint8, offset=HEADER.size).reshape(height, width, 3), width, height)
