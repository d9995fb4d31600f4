"""Masks and lesions, worked by hand on one small frame.

probability      mask at .5     lesions
.9 .7  0  0  0   # # . . .      4 pixels: 2 x 2 at the upper left, mean .7
.7 .5  0  0  0   # # . . .
 0  0  0  0  0   . . . . .
 0  0  0 .6  0   . . . # .      2 pixels that touch at a corner, mean .7
 0  0  0  0 .8   . . . . #
"""

from __future__ import annotations

import numpy as np
import pytest

from app import lesions
from app.fit import above
from app.frames import Frame
from app.lesions import Segmentation, cap_unsure
from tests.synthetic import whole

PROBABILITY = np.array(
    [
        [0.9, 0.7, 0, 0, 0],
        [0.7, 0.5, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0.6, 0],
        [0, 0, 0, 0, 0.8],
    ],
    np.float32,
)


def segmentation(probability: np.ndarray, threshold: float = 0.5) -> Segmentation:
    height, width = probability.shape
    frame = Frame(np.zeros((height, width, 3), np.uint8), width, height)
    return Segmentation.of(frame, whole(frame), probability, threshold)


def test_mask_includes_the_threshold_itself() -> None:
    mask = above(PROBABILITY, 0.5)
    assert mask.dtype == np.uint8
    assert np.argwhere(mask == 255).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [3, 3], [4, 4]]
    assert set(mask.ravel().tolist()) == {0, 255}


@pytest.mark.parametrize(("threshold", "pixels"), [(0, 25), (0.7, 4), (0.9, 1), (1, 0)])
def test_mask_at_other_thresholds(threshold: float, pixels: int) -> None:
    """.7 in single precision counts as reaching .7."""
    assert np.count_nonzero(above(PROBABILITY, threshold)) == pixels


def test_lesions_by_hand() -> None:
    large, small = lesions.find(segmentation(PROBABILITY))
    assert (large.box, large.area, large.fraction) == ((0, 0, 2, 2), 4, 4 / 25)
    assert large.probability == pytest.approx(0.7)
    assert sorted(large.polygon) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert (small.box, small.area, small.fraction) == ((3, 3, 2, 2), 2, 2 / 25)
    assert small.probability == pytest.approx(0.7)
    assert sorted(set(small.polygon)) == [(3, 3), (4, 4)]


def test_empty_frame_stays_empty() -> None:
    assert lesions.find(segmentation(np.full((4, 4), 0.49, np.float32))) == []


def test_probability_never_exceeds_one() -> None:
    (lesion,) = lesions.find(segmentation(np.full((4, 4), np.nextafter(np.float32(1), np.float32(2)))))
    assert lesion.probability == 1


def test_a_hole_is_not_counted() -> None:
    ring = np.ones((5, 5), np.float32)
    ring[2, 2] = 0
    (lesion,) = lesions.find(segmentation(ring))
    assert lesion.area == 24
    assert sorted(lesion.polygon) == [(0, 0), (0, 4), (4, 0), (4, 4)]


def test_lesions_in_one_anothers_boxes_stay_apart() -> None:
    """An L and a pixel inside of its box."""
    probability = np.zeros((5, 5), np.float32)
    probability[:, 0] = probability[4, :] = 0.9
    probability[1, 3] = 0.6
    angle, dot = lesions.find(segmentation(probability))
    assert (angle.area, dot.area) == (9, 1)
    assert (angle.probability, dot.probability) == (pytest.approx(0.9), pytest.approx(0.6))


def test_an_area_that_is_nowhere_sure_is_held_back() -> None:
    """Of the two areas at .5 only the first reaches .9; the corner's two pixels are one area."""
    capped = cap_unsure(PROBABILITY, 0.5, 0.9)
    assert np.argwhere(above(capped, 0.5)).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert capped[3, 3] == capped[4, 4] == pytest.approx(0.5, abs=1e-3)
    assert PROBABILITY[4, 4] == np.float32(0.8), "what was given is not changed"


def test_a_lower_threshold_shows_what_was_held_back() -> None:
    assert (above(cap_unsure(PROBABILITY, 0.5, 0.9), 0.4) == above(PROBABILITY, 0.4)).all()


@pytest.mark.parametrize("peak", [0.0, 0.5, 0.8])
def test_where_every_area_is_sure_nothing_changes(peak: float) -> None:
    assert cap_unsure(PROBABILITY, 0.5, peak) is PROBABILITY
