"""From a probability to a mask, and from a mask to its lesions."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from app.fit import Fit
from app.frames import Frame

Point = tuple[int, int]


@dataclass(frozen=True)
class Segmentation:
    """What the network says about one frame, at the frame's own size.

    Attributes:
        frame: the decoded frame; its pixels may be smaller than the mask.
        threshold: probability from which on a pixel is polyp.
        mask: uint8 [height, width], 0 or 255.
        further: masks of the frames that follow, where more than one was asked for.
    """

    frame: Frame
    threshold: float
    mask: NDArray[np.uint8]
    further: tuple[NDArray[np.uint8], ...] = ()
    _fit: Fit = field(kw_only=True)
    _small: NDArray[np.float32] = field(kw_only=True)

    @classmethod
    def of(cls, frame: Frame, fit: Fit, probability: NDArray[np.float32], threshold: float) -> Segmentation:
        """Of the network's probability, float32 [h, w] at its own size, and the way back from there."""
        return cls(frame, threshold, fit.invert_above(probability, threshold), _fit=fit, _small=probability)

    @cached_property
    def probability(self) -> NDArray[np.float32]:
        """Float32 [height, width]; made when it is asked for, since a mask alone does not need it."""
        return self._fit.invert(self._small)


@dataclass(frozen=True)
class Lesion:
    """One connected area of a mask (pixels that touch at a side or a corner).

    Attributes:
        box: x, y, width, height in pixels.
        polygon: outer boundary, (x, y) of pixel centres; holes are not in it, the RLE has them.
        area: in pixels, holes not counted.
        fraction: area over the frame's pixels.
        probability: mean over its pixels.
        inside: bool [height, width] of the box, its own pixels.
    """

    box: tuple[int, int, int, int]
    polygon: list[Point]
    area: int
    fraction: float
    probability: float
    inside: NDArray[np.bool_] = field(repr=False, compare=False)


def cap_unsure(probability: NDArray[np.float32], threshold: float, peak: float) -> NDArray[np.float32]:
    """Hold back areas that nowhere reach `peak`: there the probability stays just below `threshold`.

    This is thresholding with hysteresis (Canny 1986): an area of at least the threshold counts where some pixel of it
    is sure. A lower threshold shows the areas that were held back as they were.

    Args:
        probability: float32 [H, W]; not changed.

    Returns:
        float32 [H, W]; the same array where nothing is held back.
    """
    if peak <= threshold:
        return probability
    marked = (probability >= threshold).view(np.uint8)
    part = _marked_part(marked)
    if part is None:
        return probability
    count, labels = cv2.connectedComponents(marked[part], connectivity=8)
    sure = np.zeros(count, dtype=bool)
    sure[0] = True  # the background
    sure[labels[probability[part] >= peak]] = True
    if sure.all():
        return probability
    capped = probability.copy()
    # Not at the threshold itself: bilinear weights add up to 1 but for rounding.
    np.minimum(capped[part], np.float32(threshold * 0.999), out=capped[part], where=~sure[labels])
    return capped


def find(segmentation: Segmentation, at_most: int | None = None) -> list[Lesion]:
    """All lesions, or `at_most` of them, the largest first."""
    part = _marked_part(segmentation.mask)
    if part is None:
        return []
    _, labels, stats, _ = cv2.connectedComponentsWithStats(segmentation.mask[part], connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]  # 0 is the background
    largest = 1 + np.argsort(-areas, kind="stable")[:at_most]
    rows, columns = part
    offset = (columns.start, rows.start)
    return [_lesion(segmentation, labels, stats[label], label, offset) for label in largest.tolist()]


def _marked_part(mask: NDArray[np.uint8]) -> tuple[slice, slice] | None:
    """Rows and columns of the smallest box around what is not 0: a whole frame takes four times as long to label.

    None where there is nothing, of which OpenCV's labels must not be asked: it crashes.
    """
    x, y, width, height = cv2.boundingRect(mask)
    return (slice(y, y + height), slice(x, x + width)) if width else None


def _lesion(
    segmentation: Segmentation, labels: NDArray[np.int32], stats: NDArray[np.int32], label: int, offset: Point
) -> Lesion:
    left, top, width, height, area = map(int, stats)
    inside = labels[top : top + height, left : left + width] == label  # this lesion, and no neighbour in its box
    x, y = left + offset[0], top + offset[1]
    probability = segmentation.probability[y : y + height, x : x + width]  # [height, width], as `inside`
    return Lesion(
        box=(x, y, width, height),
        polygon=_boundary(inside, (x, y)),
        area=area,
        fraction=area / segmentation.mask.size,
        # Bilinear weights add up to 1 but for rounding, so that a sure lesion may come out a hair above 1.
        probability=min(1.0, float(probability[inside].mean(dtype=np.float64))),
        inside=inside,
    )


def _boundary(inside: NDArray[np.bool_], offset: Point) -> list[Point]:
    contours, _ = cv2.findContours(inside.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=offset)
    return [(int(x), int(y)) for x, y in contours[0].reshape(-1, 2)]
