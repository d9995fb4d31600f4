"""Ids that stay with a lesion from frame to frame, by the overlap of boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]  # x, y, width, height

# Overlap from which on two boxes may be one lesion: the default of SORT's reference code (github.com/abewley/sort,
# after Bewley et al., ICIP 2016). Not tuned on videos of polyps.
MIN_IOU = 0.3

# Frames for which a lesion that is not seen keeps its id: a mask at the edge of detection flickers.
# A choice, not a measurement: a fifth of a second at 25 answers a second.
PATIENCE = 5


@dataclass
class Track:
    """A lesion that is followed: where it was seen last, and how many frames ago."""

    id: int
    box: Box
    missed: int = 0


class Tracks:
    """The lesions of one stream. Ids count up from 0 and are never given again."""

    def __init__(self) -> None:
        self._tracks: list[Track] = []
        self._next = 0

    def forget(self) -> None:
        """End all tracks: what comes next is new."""
        self._tracks = []

    def follow(self, boxes: list[Box]) -> list[int]:
        """The ids of one frame's boxes, in their order.

        Greedy, the greatest overlap first. Lesions of one frame do not touch, so that two seldom claim the same
        track; and where they do, the Hungarian method, which maximises the sum of overlaps, may give up a sure
        match for two poor ones (and would bring scipy into the service).
        """
        before = self._tracks
        matches = match(iou(boxes, [track.box for track in before]))
        seen = [self._seen(box, before[matches[row]] if row in matches else None) for row, box in enumerate(boxes)]
        missed = [track for column, track in enumerate(before) if column not in matches.values()]
        for track in missed:
            track.missed += 1
        self._tracks = seen + [track for track in missed if track.missed <= PATIENCE]
        return [track.id for track in seen]

    def _seen(self, box: Box, track: Track | None) -> Track:
        if track is not None:
            return Track(track.id, box)
        self._next += 1
        return Track(self._next - 1, box)


def match(overlaps: NDArray[np.float64]) -> dict[int, int]:
    """IoU float64 [rows, columns] -> row: column, each used once at most, none below MIN_IOU."""
    pairs = np.argwhere(overlaps >= MIN_IOU)  # [pairs, 2]
    order = np.argsort(-overlaps[pairs[:, 0], pairs[:, 1]], kind="stable")
    matches: dict[int, int] = {}
    for row, column in pairs[order].tolist():
        if row not in matches and column not in matches.values():
            matches[row] = column
    return matches


def iou(boxes: list[Box], others: list[Box]) -> NDArray[np.float64]:
    """Intersection over union of n with m boxes, float64 [n, m]."""
    low, high = _corners(boxes)  # [n, 2]
    other_low, other_high = _corners(others)  # [m, 2]
    sides = np.minimum(high[:, None], other_high) - np.maximum(low[:, None], other_low)  # [n, m, 2]
    shared = sides.clip(0).prod(axis=2)
    area, other_area = (high - low).prod(axis=1), (other_high - other_low).prod(axis=1)
    return np.asarray(shared / (area[:, None] + other_area - shared))


def _corners(boxes: list[Box]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    corners = np.array(boxes, np.float64).reshape(-1, 4)
    return corners[:, :2], corners[:, :2] + corners[:, 2:]
