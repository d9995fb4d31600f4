"""Masks, overlays and reports as bytes."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from app import render
from app.frames import Frame
from app.lesions import Segmentation
from app.render import Style
from tests.synthetic import colonoscopy, decode, whole


def segmentation(pixels: np.ndarray) -> Segmentation:
    probability = pixels[..., 0].astype(np.float32) / 255
    height, width = probability.shape
    frame = Frame(pixels, width, height)
    return Segmentation.of(frame, whole(frame), probability, 0.5)


@pytest.mark.parametrize("size", [(96, 128), (1, 1), (1, 500), (333, 7)])
def test_mask_is_an_8_bit_grey_png_of_0_and_255(size: tuple[int, int]) -> None:
    given = segmentation(colonoscopy(*size))
    data = render.mask_png(given)
    assert Image.open(io.BytesIO(data)).mode == "L"
    np.testing.assert_array_equal(decode(data), given.mask)


@pytest.mark.parametrize("size", [(96, 128), (1, 1), (1, 500), (333, 7)])
def test_mask_of_one_bit_a_pixel(size: tuple[int, int]) -> None:
    given = segmentation(colonoscopy(*size))
    data = render.mask_png(given, bits=True)
    assert data[24:26] == b"\1\0"  # IHDR: bit depth 1, colour type 0 (grey); PNG specification, section 11.2.1
    assert Image.open(io.BytesIO(data)).mode == "1"
    np.testing.assert_array_equal(decode(data), given.mask == 255)


def test_probability_is_a_16_bit_grey_png() -> None:
    probability = np.linspace(0, 1, 65536, dtype=np.float32).reshape(128, 512)
    probability[-1, -1] = np.nextafter(np.float32(1), np.float32(2))  # as bilinear weights may give
    frame = Frame(colonoscopy(128, 512), 512, 128)
    given = Segmentation.of(frame, whole(frame), probability, 0.5)
    data = render.probability_png(given)
    assert Image.open(io.BytesIO(data)).mode == "I;16"
    np.testing.assert_array_equal(decode(data), np.arange(65536).reshape(128, 512))


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (333, 7), (64, 64)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_any_grey_picture_is_read_back(size: tuple[int, int], kind: type[np.unsignedinteger[Any]]) -> None:
    pixels = np.random.default_rng(0).integers(0, np.iinfo(kind).max, size, dtype=kind, endpoint=True)
    data = render.png.grey(pixels)
    np.testing.assert_array_equal(decode(data), pixels)  # Pillow
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), pixels)


def test_numpy_is_the_probability_itself() -> None:
    given = segmentation(colonoscopy())
    loaded = np.load(io.BytesIO(render.probability_npy(given)), allow_pickle=False)
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, given.probability)


def painted(**style: Any) -> tuple[np.ndarray, Segmentation]:
    """An overlay as a PNG, so that every pixel is what was painted."""
    given = segmentation(colonoscopy(240, 320))
    return decode(render.overlay(given, Style(**style), "png")).astype(int), given


def test_overlay_without_opacity_and_contour_is_the_frame() -> None:
    overlay, given = painted(opacity=0, contour=False)
    np.testing.assert_array_equal(overlay, given.frame.pixels)


@pytest.mark.parametrize("opacity", [0.3, 0.75, 1])
def test_overlay_fill_changes_the_mask_and_nothing_else(opacity: float) -> None:
    overlay, given = painted(colour=(10, 200, 250), opacity=opacity, contour=False)
    pixels, marked = given.frame.pixels, given.mask == 255
    np.testing.assert_array_equal(overlay[~marked], pixels[~marked])
    expected = pixels[marked] * (1 - opacity) + opacity * np.array((10, 200, 250))
    assert np.abs(overlay[marked] - expected).max() <= 1


def test_overlay_contour_changes_the_boundary_and_nothing_else() -> None:
    overlay, given = painted(colour=(0, 0, 255), opacity=0)
    marked = given.mask == 255
    boundary = marked & ~ndimage.binary_erosion(marked)  # marked pixels beside unmarked ones
    drawn = (overlay == (0, 0, 255)).all(axis=-1)
    assert drawn[boundary].all()
    np.testing.assert_array_equal(overlay[~drawn], given.frame.pixels[~drawn])
    assert not drawn[~ndimage.binary_dilation(boundary, np.ones((3, 3)))].any()


def test_overlay_tints_the_mask_and_leaves_the_rest() -> None:
    pixels = colonoscopy(240, 320)
    given = segmentation(pixels)
    overlay = decode(render.overlay(given, Style(), "jpeg")).astype(int)
    assert overlay.shape == pixels.shape
    inside = np.s_[84 - 10 : 84 + 10, 96 - 10 : 96 + 10]  # the middle of the ellipse
    tinted = 0.7 * pixels[inside] + 0.3 * np.array(Style().colour)
    assert np.abs(overlay[inside] - tinted).mean() < 4
    outside = np.s_[200:, 200:]
    assert np.abs(overlay[outside] - pixels[outside]).mean() < 4


def test_overlay_draws_the_outline() -> None:
    overlay = decode(render.overlay(segmentation(colonoscopy(240, 320)), Style(), "jpeg"))
    red, green, blue = overlay[84, 96 - 57 : 96 - 53].astype(int).T  # where the ellipse ends on the left
    assert (green - red).max() > 60
    assert (green - blue).max() > 60


def test_overlay_of_an_empty_mask_is_the_frame() -> None:
    pixels = np.full((80, 90, 3), 40, np.uint8)
    assert np.abs(decode(render.overlay(segmentation(pixels), Style(), "jpeg")).astype(int) - 40).max() <= 2


def test_overlay_leaves_the_frame_itself_alone() -> None:
    pixels = colonoscopy()
    render.overlay(segmentation(pixels), Style(), "jpeg")
    np.testing.assert_array_equal(pixels, colonoscopy())
