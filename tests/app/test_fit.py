"""Resizing there and back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from app import frames
from app.field import Part
from app.fit import Fit
from app.frames import Frame
from app.manifest import InputSpec
from tests.synthetic import Pixels, blocks, bordered, encode


def all_of(height: int, width: int) -> Part:
    return slice(0, height), slice(0, width)


def spec(fit: str, height: int = 64, width: int = 32) -> InputSpec:
    return InputSpec.model_validate({"height": height, "width": width, "fit": fit})


def test_tensor_has_the_networks_size() -> None:
    tensor = Fit(90, 120, 64, 32, all_of(90, 120)).apply(np.zeros((45, 60, 3), np.uint8))
    assert (tensor.shape, tensor.dtype) == ((1, 64, 32, 3), np.uint8)


@pytest.mark.parametrize("fit", ["stretch", "field"])
def test_fit_of_a_frame_knows_the_frames_own_size(fit: str) -> None:
    frame = Frame(np.zeros((45, 60, 3), np.uint8), width=120, height=90)
    assert Fit.of(frame, spec(fit)).invert(np.zeros((64, 32), np.float32)).shape == (90, 120)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_blocks_that_fall_on_one_pixel_keep_their_value(scale: int) -> None:
    pixels = blocks(32 * scale, 32 * scale, scale)
    fit = Fit(32, 32, 32, 32, all_of(32, 32))
    np.testing.assert_array_equal(fit.apply(pixels)[0], pixels[::scale, ::scale])


@pytest.mark.parametrize("height", [100, 10])
def test_shrinking_a_lot_averages_every_pixel(height: int) -> None:
    """One bright column in ten, 250, must not vanish between the pixels that linear looks at: 25."""
    pixels = np.zeros((height, 100, 3), np.uint8)
    pixels[:, 4::10] = 250
    for seen, fit in (
        (pixels, Fit(height, 100, 10, 10, all_of(height, 100))),
        (pixels.swapaxes(0, 1), Fit(100, height, 10, 10, all_of(100, height))),
    ):
        np.testing.assert_array_equal(fit.apply(seen), 25)


@pytest.mark.parametrize("size", [(50, 250), (250, 50), (60, 200)])
def test_what_shrinks_one_way_and_grows_the_other_stays_in_its_place(size: tuple[int, int]) -> None:
    """A square in the middle is one there too, as bright in sum."""
    height, width = size
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[height // 2 - 8 : height // 2 + 8, width // 2 - 8 : width // 2 + 8] = 255
    seen = Fit(height, width, 64, 64, all_of(height, width)).apply(pixels)[0]
    np.testing.assert_array_equal(seen, seen[::-1, ::-1])
    assert seen.mean() == pytest.approx(pixels.mean(), rel=0.02)


@pytest.mark.parametrize("size", [(200, 300), (64, 64), (30, 50), (64, 193), (200, 64), (400, 300), (1000, 64)])
def test_what_does_not_grow_beside_is_resized_in_one_step(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    interpolation = cv2.INTER_AREA if max(size) > 3 * 64 else cv2.INTER_LINEAR
    expected = cv2.resize(pixels, (64, 64), interpolation=interpolation)
    np.testing.assert_array_equal(Fit(*size, 64, 64, all_of(*size)).apply(pixels)[0], expected)


def test_probability_comes_back_bilinear_with_pixel_centres_aligned() -> None:
    """Half-pixel centres: 0, 1 doubled in width is 0, 1/4, 3/4, 1."""
    probability = np.array([[0, 1]], np.float32)
    np.testing.assert_allclose(Fit(1, 4, 1, 2, all_of(1, 4)).invert(probability), [[0, 0.25, 0.75, 1]])


@pytest.mark.parametrize("threshold", [0, 0.7])
def test_what_reaches_the_threshold_is_the_same_as_in_the_probability_at_full_size(threshold: float) -> None:
    """Also where one thread has frames of several sizes in turn, whose memory is used again."""
    inner = (slice(9, 80), slice(20, 101))
    for height, width, part in ((90, 121, all_of(90, 121)), (64, 64, all_of(64, 64)), (90, 121, inner)):
        probability = np.random.default_rng(height).random((64, 64), dtype=np.float32)
        fit = Fit(height, width, 64, 64, part)
        mask = fit.invert_above(probability, threshold)
        np.testing.assert_array_equal(mask == 255, fit.invert(probability) >= np.float32(threshold))
        assert mask.dtype == np.uint8
        kept = mask.copy()
        fit.invert_above(np.ones((64, 64), np.float32), threshold)
        np.testing.assert_array_equal(mask, kept)


@pytest.mark.parametrize("reduced", [1, 2])
def test_the_network_sees_what_is_inside_the_border_and_the_answer_goes_back_there(reduced: int) -> None:
    """Also where the frame was decoded at half its size."""
    pixels = bordered(240, 200, rows=slice(40, 200), columns=slice(30, 190))
    frame = Frame(np.ascontiguousarray(pixels[::reduced, ::reduced]), width=200, height=240)
    fit = Fit.of(frame, spec("field", 32, 32))
    assert fit.part == (slice(40, 200), slice(30, 190))
    assert fit.apply(frame.pixels).min() > 32, "nothing of the border"
    whole = fit.invert(np.ones((32, 32), np.float32))
    assert np.argwhere(whole == 1).min(0).tolist() == [40, 30]
    assert (np.count_nonzero(whole), whole.max()) == (160 * 160, 1)


def corner(pixels: Pixels, orientation: int, fit: str, at_least: tuple[int, int] | None) -> list[int]:
    """Row and column from which on red is found, of a JPEG of these pixels and this orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    frame = frames.decode(encode(pixels, "JPEG", quality=98, exif=exif), max_pixels=2**24, at_least=at_least)
    found = Fit.of(frame, spec(fit, 256, 256))
    probability = found.apply(frame.pixels)[0, ..., 0].astype(np.float32) / 255
    mask = found.invert_above(probability, 0.5)
    np.testing.assert_array_equal(mask == 255, found.invert(probability) >= np.float32(0.5))
    return np.argwhere(mask).min(0).tolist()


@pytest.mark.parametrize("fit", ["stretch", "field"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(1025, 1030), (529, 1081), (2049, 2052)])
def test_what_is_found_in_a_reduced_jpeg_lies_where_it_does_in_the_whole_one(
    size: tuple[int, int], orientation: int, fit: str
) -> None:
    """Up to 7 of the pixels that a last row or column of 1/8 stands for lie beside the frame."""
    down, across = ((length / 4 - np.abs(np.arange(length) - length / 2)) / 32 for length in size)
    soft = np.clip(np.minimum(down[:, None], across), -1, 1)  # its edge falls where linear filters keep it
    pixels = np.full((*size, 3), 60, np.uint8)
    pixels[..., 0] = 127.5 + 70 * soft
    whole, reduced = (corner(pixels, orientation, fit, at_least) for at_least in (None, (256, 256)))
    assert np.abs(np.subtract(whole, reduced)).max() <= 1


def test_a_probability_moves_to_where_another_fit_sees_it() -> None:
    """A ramp along the frame is the same ramp in every part of it; what the first did not see stays as it is given."""
    left, whole = (slice(0, 128), slice(0, 64)), all_of(128, 128)
    rows, columns = (np.arange(32) + 0.5) * 4, (np.arange(32) + 0.5) * 4
    ramp = (rows[:, None] + columns[None]).astype(np.float32)  # of the whole frame, in its own pixels
    narrow = (rows[:, None] + columns[None] / 2).astype(np.float32)
    unknown = np.full((32, 32), -1, np.float32)
    one, other = Fit(128, 128, 32, 32, left), Fit(128, 128, 32, 32, whole)
    np.testing.assert_allclose(other.moved(ramp, one, unknown)[:, 1:], narrow[:, 1:], atol=0.1)
    back = one.moved(narrow, other, unknown)
    np.testing.assert_allclose(back[:, :16], ramp[:, :16], atol=0.1)
    assert (back[:, 16:] == -1).all()
    np.testing.assert_array_equal(one.moved(narrow, one, unknown), narrow)


def test_stretch_sees_the_border_too() -> None:
    frame = Frame(bordered(240, 320, rows=slice(40, 200), columns=slice(60, 300)), width=320, height=240)
    assert Fit.of(frame, spec("stretch")).part == all_of(240, 320)


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (3, 1000), (2, 2)])
def test_frames_of_any_size_have_a_part(size: tuple[int, int]) -> None:
    height, width = size
    for value in (0, 200):
        frame = Frame(np.full((height, width, 3), value, np.uint8), width=8 * width, height=8 * height)
        assert Fit.of(frame, spec("field")).apply(frame.pixels).shape == (1, 64, 32, 3)
