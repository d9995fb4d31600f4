"""Resizing there and back."""

from __future__ import annotations

import numpy as np
import pytest

from app.fit import Stretch
from app.frames import Frame
from tests.synthetic import blocks


def test_tensor_has_the_networks_size() -> None:
    tensor = Stretch(90, 120, 64, 32).apply(np.zeros((45, 60, 3), np.uint8))
    assert (tensor.shape, tensor.dtype) == ((1, 64, 32, 3), np.uint8)


def test_fit_of_a_frame_knows_the_frames_own_size() -> None:
    frame = Frame(np.zeros((45, 60, 3), np.uint8), width=120, height=90)
    assert Stretch.of(frame, 64, 32).invert(np.zeros((64, 32), np.float32)).shape == (90, 120)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_blocks_that_fall_on_one_pixel_keep_their_value(scale: int) -> None:
    pixels = blocks(32 * scale, 32 * scale, scale)
    np.testing.assert_array_equal(Stretch(0, 0, 32, 32).apply(pixels)[0], pixels[::scale, ::scale])


def test_shrinking_a_lot_averages_every_pixel() -> None:
    """One bright column in ten, 250, must not vanish between the pixels that linear looks at: 25."""
    pixels = np.zeros((100, 100, 3), np.uint8)
    pixels[:, 4::10] = 250
    np.testing.assert_array_equal(Stretch(0, 0, 10, 10).apply(pixels), 25)


def test_probability_comes_back_bilinear_with_pixel_centres_aligned() -> None:
    """Half-pixel centres: 0, 1 doubled in width is 0, 1/4, 3/4, 1."""
    probability = np.array([[0, 1]], np.float32)
    np.testing.assert_allclose(Stretch(1, 4, 1, 2).invert(probability), [[0, 0.25, 0.75, 1]])


def test_what_reaches_the_threshold_is_the_same_as_in_the_probability_at_full_size() -> None:
    """Also where one thread has frames of several sizes in turn, whose memory is used again."""
    for height, width in ((90, 121), (64, 64), (90, 121)):
        probability = np.random.default_rng(height).random((64, 64), dtype=np.float32)
        fit = Stretch(height, width, 64, 64)
        mask = fit.invert_above(probability, 0.7)
        np.testing.assert_array_equal(mask == 255, fit.invert(probability) >= np.float32(0.7))
        assert mask.dtype == np.uint8
        kept = mask.copy()
        fit.invert_above(np.ones((64, 64), np.float32), 0.7)
        np.testing.assert_array_equal(mask, kept)
