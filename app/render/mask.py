"""The mask as a PNG."""

from __future__ import annotations

from app.lesions import Segmentation
from app.render import png


def mask_png(segmentation: Segmentation, *, bits: bool = False) -> bytes:
    """The mask as a grey PNG at the frame's own size: 8 bits of 0 or 255, or one bit a pixel."""
    return png.black_and_white(segmentation.mask) if bits else png.grey(segmentation.mask)
