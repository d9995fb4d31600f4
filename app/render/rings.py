"""A region's boundary along the edges of its pixels: rings whose area is the region's, to the pixel.

`cv2.findContours` walks along the centres of pixels, so that its polygon of a single pixel is a point. On the
region at twice its size it passes the two centres beside each edge, 2i and 2i + 1, and (c + 1) // 2 takes both to
their pixel's own sides, i and i + 1. Its shortcuts at corners join points that then are the same.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from app.lesions import Point

Ring = list[Point]


def polygons(region: NDArray[np.bool_], offset: Point) -> list[list[Ring]]:
    """Polygons of a region bool [h, w]: each its outer ring, then its holes.

    There is more than one where parts of the region touch only at a corner: a ring that met itself there
    would not be simple (OGC 06-103r4, section 6.1.11).

    Rings are closed (the last point is the first). By the numbers of x and y, outer rings run
    counterclockwise and holes clockwise (RFC 7946, section 3.1.6); on a screen, where y points down, it looks
    the other way round.

    Args:
        offset: (x, y) of the region's upper left pixel, whose upper left corner has these coordinates.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(region.view(np.uint8), connectivity=4)
    return [_polygon(labels, stats[label], label, offset) for label in range(1, count)]


def _polygon(labels: NDArray[np.int32], stats: NDArray[np.int32], label: int, offset: Point) -> list[Ring]:
    x, y, width, height = map(int, stats[:4])
    part = labels[y : y + height, x : x + width] == label
    doubled = part.view(np.uint8).repeat(2, axis=0).repeat(2, axis=1)  # [2h, 2w]
    contours, hierarchy = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    # hierarchy [1, contours, 4]: the last column is -1 for the one outer contour.
    outer_first = sorted(zip(contours, hierarchy[0, :, 3], strict=True), key=lambda pair: pair[1])
    return [_ring(contour, (offset[0] + x, offset[1] + y)) for contour, _ in outer_first]


def _ring(contour: NDArray[np.int32], offset: Point) -> Ring:
    points = (contour[:, 0] + 1) // 2 + np.asarray(offset)  # [points, 2]
    corners = _corners(_distinct(points))
    # OpenCV runs outer contours counterclockwise on the screen and holes clockwise: RFC 7946 by the numbers
    # wants the reverse of both.
    ring = [(int(x), int(y)) for x, y in corners[::-1]]
    return [*ring, ring[0]]


def _distinct(points: NDArray[np.int64]) -> NDArray[np.int64]:
    repeated = (points == np.roll(points, 1, axis=0)).all(axis=1)
    return np.asarray(points[~repeated])


def _corners(points: NDArray[np.int64]) -> NDArray[np.int64]:
    """Without those between two others on one line; all edges run along x or y."""
    before, after = np.roll(points, 1, axis=0), np.roll(points, -1, axis=0)
    straight = ((points == before) & (points == after)).any(axis=1)
    return np.asarray(points[~straight])
