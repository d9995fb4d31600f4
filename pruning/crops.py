"""Views of mucosa without a polyp, cut out of frames that show one."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import torch

from pruning.data import Frames, Pair
from pruning.fit import Bytes, fit

LEAST = 1 / 3  # of the frame's shorter side; less is a blur at the network's size


def polyp_free(frame: Bytes, mask: Bytes) -> Bytes | None:
    """The largest square of a frame, uint8 [H, W, 3], in which its mask, uint8 [H, W] of 0 and 1, is empty.

    None where its side is less than a third of the frame's shorter one.
    """
    free = cv2.copyMakeBorder(1 - mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    reach = cv2.distanceTransform(free, cv2.DIST_C, cv2.DIST_MASK_3)  # to the next polyp or edge, as squares grow
    row, column = np.unravel_index(int(reach.argmax()), reach.shape)
    half = int(reach[row, column]) - 1
    top, left, side = int(row) - 1 - half, int(column) - 1 - half, 2 * half + 1
    if side < LEAST * min(mask.shape):
        return None
    return frame[top : top + side, left : left + side]


def squares(pairs: list[Pair]) -> Iterator[Bytes]:
    """Those of the frames that have one."""
    for pair in pairs:
        square = polyp_free(*pair.read())
        if square is not None:
            yield square


def mucosa(pairs: list[Pair], size: int) -> Frames:
    """The squares as frames to learn from, `size` × `size`, with empty masks."""
    fitted = [fit(square, size) for square in squares(pairs)]
    images = torch.from_numpy(np.array(fitted, np.uint8).reshape(-1, size, size, 3)).permute(0, 3, 1, 2).contiguous()
    return Frames(images, torch.zeros_like(images[:, :1]), ["mucosa"] * len(fitted))
