"""Masks, overlays and reports as bytes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from app import render
from app.frames import Frame
from app.lesions import Segmentation, mask_of
from tests.synthetic import colonoscopy, decode


def segmentation(pixels: np.ndarray) -> Segmentation:
    probability = pixels[..., 0].astype(np.float32) / 255
    height, width = probability.shape
    return Segmentation(Frame(pixels, width, height), probability, 0.5, mask_of(probability, 0.5))


@pytest.mark.parametrize("size", [(96, 128), (1, 1), (1, 500), (333, 7)])
def test_mask_is_an_8_bit_grey_png_of_0_and_255(size: tuple[int, int]) -> None:
    given = segmentation(colonoscopy(*size))
    data = render.mask_png(given)
    assert Image.open(io.BytesIO(data)).mode == "L"
    np.testing.assert_array_equal(decode(data), given.mask)


def test_overlay_tints_the_mask_and_leaves_the_rest() -> None:
    pixels = colonoscopy(240, 320)
    given = segmentation(pixels)
    overlay = decode(render.overlay_jpeg(given)).astype(int)
    assert overlay.shape == pixels.shape
    inside = np.s_[84 - 10 : 84 + 10, 96 - 10 : 96 + 10]  # the middle of the ellipse
    tinted = 0.7 * pixels[inside] + 0.3 * np.array(render.TINT)
    assert np.abs(overlay[inside] - tinted).mean() < 4
    outside = np.s_[200:, 200:]
    assert np.abs(overlay[outside] - pixels[outside]).mean() < 4


def test_overlay_draws_the_outline() -> None:
    overlay = decode(render.overlay_jpeg(segmentation(colonoscopy(240, 320))))
    red, green, blue = overlay[84, 96 - 57 : 96 - 53].astype(int).T  # where the ellipse ends on the left
    assert (green - red).max() > 60
    assert (green - blue).max() > 60


def test_overlay_of_an_empty_mask_is_the_frame() -> None:
    pixels = np.full((80, 90, 3), 40, np.uint8)
    assert np.abs(decode(render.overlay_jpeg(segmentation(pixels))).astype(int) - 40).max() <= 2


def test_overlay_leaves_the_frame_itself_alone() -> None:
    pixels = colonoscopy()
    render.overlay_jpeg(segmentation(pixels))
    np.testing.assert_array_equal(pixels, colonoscopy())
