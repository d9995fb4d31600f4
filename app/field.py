"""Where a frame shows the bowel: processors put a black border around the endoscope's picture, often with text in it.

Data sets of polyps are mostly cut to the picture and video is not, so that networks that learned from the former see
smaller polyps in the latter. `pruning/fit.py` finds the same field; the two packages do not import each other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DARK = 32  # of 255, in the brightest channel: black of video (16) and its noise
SHARE = 0.15  # of a row or column that has to be brighter; a line of text is not
SAMPLES = 128  # rows and columns that are looked at; all of 1920 x 1080 would take as long as decoding it

Part = tuple[slice, slice]  # rows, columns


def find(pixels: NDArray[np.uint8]) -> Part:
    """Rows and columns of uint8 [h, w, 3] inside the border; all where that leaves less than half of either."""
    height, width = pixels.shape[:2]
    down, across = max(1, height // SAMPLES), max(1, width // SAMPLES)
    bright = pixels[::down, ::across].max(2) > DARK
    rows = _extent(bright.mean(1) > SHARE, down, height)
    columns = _extent(bright.mean(0) > SHARE, across, width)
    if 2 * (rows.stop - rows.start) < height or 2 * (columns.stop - columns.start) < width:
        return slice(0, height), slice(0, width)
    return rows, columns


def _extent(lit: NDArray[np.bool_], step: int, length: int) -> slice:
    """From the first to the last that is lit, and the pixels between those and the dark ones next to them."""
    (found,) = np.nonzero(lit)
    if not len(found):
        return slice(0, 0)
    return slice(max(0, int(found[0] - 1) * step + 1), min(length, int(found[-1] + 1) * step))
