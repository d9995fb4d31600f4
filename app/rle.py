"""A mask as COCO's compressed run-length encoding, the string that pycocotools reads.

Format: maskApi.c of the COCO API (`rleEncode`, `rleToString`). Written here since it is short, and since
pycocotools is a compiled package that one field of one output does not justify; a test compares the two.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MORE = 0x20
OFFSET = 48


def encode(mask: NDArray[np.uint8]) -> str:
    """Mask uint8 [H, W], 0 or not, to the `counts` of COCO's `{"size": [H, W], "counts": ...}`."""
    return _compress(run_lengths(mask))


def run_lengths(mask: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Lengths of the alternating runs of 0 and 1, column by column; the first run is of 0 and may be empty.

    [[0, 1], [1, 1]] read by columns is 0 1 1 1, so its runs are [1, 3].
    """
    flat = np.asarray(mask, order="F").ravel(order="F") != 0  # [H * W], by columns
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    ends = np.concatenate([[0] if flat[0] else [], changes, [flat.size]]).astype(np.int64)
    return np.diff(ends, prepend=0)


def _compress(counts: NDArray[np.int64]) -> str:
    # From the fourth run on, the difference to the run of the same colour before it: neighbouring columns
    # are alike, so that most differences fit one character.
    values = counts.copy()
    values[3:] -= counts[1:-2]
    return "".join(map(_characters, values.tolist()))


def _characters(value: int) -> str:
    """Five bits a character, lowest first, in two's complement, with a flag while more follow."""
    text = ""
    while True:
        bits, value = value & 0x1F, value >> 5
        done = value == (-1 if bits & 0x10 else 0)
        text += chr((bits if done else bits | MORE) + OFFSET)
        if done:
            return text
