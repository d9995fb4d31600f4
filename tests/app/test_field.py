"""Where a frame shows the bowel. Two packages look for it, and have to find the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from app import field
from app.field import Part
from app.fit import Fit
from app.frames import Frame
from app.manifest import InputSpec
from pruning import fit as pruning_fit
from tests.synthetic import Pixels, bordered

BORDERS = [
    (slice(0, 512), slice(0, 640)),  # none
    (slice(20, 500), slice(60, 600)),
    (slice(0, 512), slice(200, 640)),  # a panel on the left
    (slice(1, 511), slice(3, 633)),
    (slice(0, 256), slice(0, 640)),  # half of either, which is still taken for the picture
    (slice(0, 512), slice(0, 320)),
]
BOTH = pytest.mark.parametrize("find", [field.find, pruning_fit.field])


@pytest.mark.parametrize("part", BORDERS)
def test_the_border_is_found(part: Part) -> None:
    """To less than the distance of two rows or columns that are looked at, and never inside of the picture."""
    rows, columns = field.find(bordered(512, 640, rows=part[0], columns=part[1]))
    for found, true, step in ((rows, part[0], 4), (columns, part[1], 5)):
        assert true.start - step < found.start <= true.start
        assert true.stop <= found.stop < true.stop + step


def test_text_in_the_border_is_no_picture() -> None:
    pixels = bordered(512, 640, rows=slice(0, 512), columns=slice(200, 640))
    pixels[100:160:2, 10:150:3] = 255  # lines of text
    assert field.find(pixels)[1].start > 190


def test_black_of_video_and_its_noise_is_dark() -> None:
    rng = np.random.default_rng(0)
    pixels = bordered(512, 640, rows=slice(60, 450), columns=slice(100, 600))
    dark = pixels.max(2) == 0
    pixels[dark] = rng.integers(10, 25, (int(dark.sum()), 3), dtype=np.uint8)
    rows, columns = field.find(pixels)
    assert rows.start > 56
    assert columns.start > 95


@pytest.mark.parametrize("part", [(slice(0, 0), slice(0, 0)), (slice(0, 200), slice(0, 640))])
def test_a_frame_that_is_dark_for_the_most_part_is_taken_whole(part: Part) -> None:
    pixels = bordered(512, 640, rows=part[0], columns=part[1])
    assert field.find(pixels) == (slice(0, 512), slice(0, 640))


@BOTH
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_light_of_one_colour_shows_a_picture_from_32_on(find: Callable[[Pixels], Part], channel: int) -> None:
    part = (slice(60, 448), slice(100, 600))
    pixels = np.zeros((512, 640, 3), np.uint8)
    pixels[..., channel][part] = 31
    assert find(pixels) == (slice(0, 512), slice(0, 640))
    pixels[..., channel][part] = 32
    rows, columns = find(pixels)
    assert 56 < rows.start <= 60
    assert 448 <= rows.stop < 452
    assert 95 < columns.start <= 100
    assert 600 <= columns.stop < 605


@BOTH
def test_a_round_picture_is_taken_with_its_dark_corners(find: Callable[[Pixels], Part]) -> None:
    """It begins where a chord is 15% of the side: in row 21 and column 83, or up to a step of 4 or 5 before."""
    row, column = np.mgrid[:512, :640]
    pixels = np.zeros((512, 640, 3), np.uint8)
    pixels[(row - 256) ** 2 + (column - 320) ** 2 < 240**2] = 120
    rows, columns = find(pixels)
    assert 17 < rows.start <= 21
    assert 78 < columns.start <= 83


@pytest.mark.parametrize("size", [(288, 384), (512, 640), (1080, 1920), (40, 50)])
@pytest.mark.parametrize("seed", range(4))
def test_pruning_and_the_service_fit_alike(size: tuple[int, int], seed: int) -> None:
    """What networks are trained and measured on is what they are served: the part exactly, there and back."""
    height, width = size
    rng = np.random.default_rng(seed)
    top, left = int(rng.integers(0, height // 3)), int(rng.integers(0, width // 3))
    pixels = bordered(height, width, rows=slice(top, height - top // 2), columns=slice(left, width))
    assert pruning_fit.field(pixels) == field.find(pixels)
    served = Fit.of(Frame(pixels, width, height), InputSpec(height=64, width=64, fit="field"))
    probability = rng.random((64, 64), dtype=np.float32)
    np.testing.assert_array_equal(pruning_fit.fit_back(probability, pixels), served.invert(probability))
    assert served.apply(pixels).shape == pruning_fit.fit(pixels, 64)[None].shape


def test_masks_are_cut_as_their_frames_are() -> None:
    pixels = bordered(240, 200, rows=slice(40, 200), columns=slice(30, 190))
    mask = (pixels.max(2) > 0).astype(np.uint8)
    assert pruning_fit.fit_mask(mask, pixels, 64).all()
