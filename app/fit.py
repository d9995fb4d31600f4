"""A frame to the network's size, and the network's answer back to the frame's size."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from app import field
from app.field import Part
from app.frames import Frame
from app.manifest import InputSpec

MOST_KEPT = 2**22  # pixels of a frame, 16 MiB of probability, that a thread keeps memory for
_own = threading.local()


@dataclass(frozen=True)
class Fit:
    """Resize a part of the frame to the network's height and width; the aspect ratio is not kept.

    Attributes:
        frame_height, frame_width: the frame's own size.
        height, width: the network's.
        part: rows and columns that the network sees, in the frame's own pixels. Those of a reduced frame may begin
            before its first or end behind its last.
        seen: the same of the pixels that the frame was decoded to; all of them by default.
    """

    frame_height: int
    frame_width: int
    height: int
    width: int
    part: Part
    seen: Part = (slice(None), slice(None))

    @classmethod
    def of(cls, frame: Frame, spec: InputSpec) -> Fit:
        """The fit of this frame to what the network takes: all of it, or its field alone."""
        height, width = frame.pixels.shape[:2]
        seen = field.find(frame.pixels) if spec.fit == "field" else (slice(0, height), slice(0, width))
        rows = _enlarged(seen[0], height, frame.height, mirrored=frame.mirrored[0])
        columns = _enlarged(seen[1], width, frame.width, mirrored=frame.mirrored[1])
        return cls(frame.height, frame.width, spec.height, spec.width, (rows, columns), seen)

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The frame's pixels, uint8 [h, w, 3], maybe reduced -> the tensor `frames`, uint8 [1, height, width, 3]."""
        return self._resize(pixels[self.seen])[None]

    def invert(self, probability: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probability float32 [height, width] -> [frame_height, frame_width], bilinear; 0 outside of the part."""
        whole = np.zeros((self.frame_height, self.frame_width), np.float32)
        there, kept = self._inside
        whole[there] = cv2.resize(probability, self._part_size, interpolation=cv2.INTER_LINEAR)[kept]
        return whole

    def invert_above(self, probability: NDArray[np.float32], threshold: float) -> NDArray[np.uint8]:
        """Where `invert` reaches the threshold: uint8 [frame_height, frame_width], 255 there and 0 elsewhere.

        The probability itself is not kept, so that it is laid into memory that this thread used before: fresh memory
        for 1920 x 1080 took longer than the arithmetic (5.3 ms against 1.0 in all).
        """
        size = self._part_size
        scratch = cv2.resize(probability, size, dst=_scratch(size[::-1]), interpolation=cv2.INTER_LINEAR)
        mask = np.full((self.frame_height, self.frame_width), 0 if threshold > 0 else 255, np.uint8)
        there, kept = self._inside
        above(scratch[kept], threshold, out=mask[there])
        return mask

    def moved(self, probability: NDArray[np.float32], other: Fit, unknown: NDArray[np.float32]) -> NDArray[np.float32]:
        """A probability of this fit as `other`, of a frame of the same size, has it: float32 [height, width], bilinear.

        Args:
            unknown: the same shape; stands where `other` sees what this fit does not.
        """
        (rows, columns), (other_rows, other_columns) = self.part, other.part
        across, right = _across(columns, other_columns, self.width)
        down, below = _across(rows, other_rows, self.height)
        back = np.array([[across, 0, right], [0, down, below]])  # from a pixel of the other to one of this
        return np.asarray(
            cv2.warpAffine(
                probability,
                back,
                (self.width, self.height),
                dst=unknown.copy(),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_TRANSPARENT,
            )
        )

    @property
    def _part_size(self) -> tuple[int, int]:
        """Width and height, as OpenCV has them."""
        rows, columns = self.part
        return columns.stop - columns.start, rows.stop - rows.start

    @property
    def _inside(self) -> tuple[Part, Part]:
        """The part without what stands out over the frame: of the frame, and of an array of the part's size."""
        rows, kept_rows = _overlap(self.part[0], self.frame_height)
        columns, kept_columns = _overlap(self.part[1], self.frame_width)
        return (rows, columns), (kept_rows, kept_columns)

    def _resize(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        # Linear looks at 2 x 2 pixels and so skips some once it shrinks by more than 2; area averages all, in ten times
        # the time (1.8 ms against 0.19 from 960 x 540). Up to 3, what is skipped changes little: see `frames`.
        height, width = pixels.shape[:2]
        if height > 3 * self.height or width > 3 * self.width:
            # A side that grows is left to linear: where one does, OpenCV's area averages neither, and shifts them.
            smaller = min(width, self.width), min(height, self.height)
            pixels = np.asarray(cv2.resize(pixels, smaller, interpolation=cv2.INTER_AREA))
        return np.asarray(cv2.resize(pixels, (self.width, self.height), interpolation=cv2.INTER_LINEAR))


def above(
    probability: NDArray[np.float32], threshold: float, *, out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Probability float32 [H, W] -> uint8 [H, W], 255 where it is at least the threshold and 0 elsewhere.

    Args:
        out: where to; a new array otherwise.
    """
    mask = np.empty(probability.shape, np.uint8) if out is None else out
    np.greater_equal(probability, np.float32(threshold), out=mask.view(np.bool_))
    mask *= 255  # in place: a second array costs as much again
    return mask


def _across(part: slice, other: slice, length: int) -> tuple[float, float]:
    """Scale and offset that take a pixel of `other`, along one axis of `length` pixels, to the same place in `part`."""
    scale = (other.stop - other.start) / (part.stop - part.start)
    start = (other.start - part.start) / (part.stop - part.start) * length
    return scale, start + scale / 2 - 0.5  # centres of pixels lie at a half


def _enlarged(part: slice, length: int, of: int, *, mirrored: bool) -> slice:
    """The same part of a side `of` pixels long, of a part of that side reduced to `length`.

    Reductions are by whole numbers, rounded up, so that 257 of 2049 are of 8 pixels each, and cover 2056.
    """
    pixel = -(-of // length)
    start = of - pixel * length if mirrored else 0
    return slice(start + pixel * part.start, start + pixel * part.stop)


def _overlap(part: slice, length: int) -> tuple[slice, slice]:
    """What of a part lies on a side `length` long: counted along the side, and from the part's own start."""
    start, stop = max(0, part.start), min(length, part.stop)
    return slice(start, stop), slice(start - part.start, stop - part.start)


def _scratch(shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """This thread's own memory, for a frame of this shape; larger frames get fresh memory each time."""
    pixels = shape[0] * shape[1]
    if pixels > MOST_KEPT:
        return None
    known: NDArray[np.float32] | None = getattr(_own, "scratch", None)
    if known is None or known.size < pixels:
        _own.scratch = known = np.empty(pixels, np.float32)
    return known[:pixels].reshape(shape)
