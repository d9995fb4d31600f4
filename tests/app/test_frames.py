"""Files of every kind to pixels, and what is refused."""

from __future__ import annotations

import io
import struct
import tracemalloc
import warnings
import zlib

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image

from app import frames
from app.errors import CorruptFrame, FrameError, FrameTooLarge, NotAnImage, UnsupportedFrame
from tests.synthetic import colonoscopy, encode

LIMIT = 2**24
LOSSLESS = [("PNG", {}), ("TIFF", {}), ("BMP", {}), ("WEBP", {"lossless": True}), ("TIFF", {"compression": "tiff_lzw"})]
LOSSY = [("JPEG", {"quality": 95}), ("JPEG", {"quality": 95, "progressive": True}), ("WEBP", {"quality": 95})]

# How an upright picture is stored under each EXIF orientation: Pillow's word for the way there.
STORED_AS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def decode(data: bytes, **options: object) -> frames.Frame:
    return frames.decode(data, **{"max_pixels": LIMIT, **options})  # type: ignore[arg-type]


def stored(pixels: np.ndarray, orientation: int, kind: str, **options: object) -> bytes:
    image = Image.fromarray(pixels)
    way = STORED_AS[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(image.transpose(way) if way is not None else image, kind, exif=exif, **options)


@pytest.mark.parametrize(("kind", "options"), LOSSLESS)
def test_lossless_formats_give_the_exact_pixels(kind: str, options: dict) -> None:
    pixels = colonoscopy(90, 121)
    frame = decode(encode(pixels, kind, **options))
    assert (frame.width, frame.height) == (121, 90)
    np.testing.assert_array_equal(frame.pixels, pixels)
    assert frame.pixels.flags.c_contiguous


@pytest.mark.parametrize(("kind", "options"), LOSSY)
def test_lossy_formats_come_close(kind: str, options: dict) -> None:
    pixels = colonoscopy()
    frame = decode(encode(pixels, kind, **options))
    assert np.abs(frame.pixels.astype(int) - pixels).mean() < 3


@pytest.mark.parametrize(
    ("at_least", "shape"),
    [
        ((100, 100), (100, 150)),
        ((101, 100), (200, 300)),
        ((250, 320), (400, 600)),
        ((250, 601), (800, 1200)),
        ((900, 900), (800, 1200)),
    ],
)
def test_jpeg_is_decoded_by_the_smallest_quick_reduction(at_least: tuple[int, int], shape: tuple[int, int]) -> None:
    frame = decode(encode(colonoscopy(800, 1200), "JPEG"), at_least=at_least)
    assert (frame.width, frame.height) == (1200, 800)
    assert frame.pixels.shape == (*shape, 3)


def test_jpeg_smaller_than_needed_is_decoded_whole() -> None:
    assert decode(encode(colonoscopy(50, 60), "JPEG"), at_least=(256, 256)).pixels.shape == (50, 60, 3)


@pytest.mark.parametrize("orientation", STORED_AS)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_orientation_is_applied(kind: str, orientation: int) -> None:
    pixels = colonoscopy(90, 121)
    options = {"lossless": True} if kind == "WEBP" else {}
    frame = decode(stored(pixels, orientation, kind, **options))
    assert (frame.width, frame.height) == (121, 90)
    np.testing.assert_array_equal(frame.pixels, pixels)


@pytest.mark.parametrize("orientation", STORED_AS)
@pytest.mark.parametrize("at_least", [None, (96, 100)])
def test_orientation_is_applied_on_the_jpeg_path(orientation: int, at_least: tuple[int, int] | None) -> None:
    pixels = colonoscopy(480, 640)
    frame = decode(stored(pixels, orientation, "JPEG", quality=95), at_least=at_least)
    assert (frame.width, frame.height) == (640, 480)
    height, width, _ = frame.pixels.shape
    assert (height, width) == (480, 640) if at_least is None else height >= 96 and width >= 100
    expected = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    assert np.abs(frame.pixels.astype(int) - expected).mean() < 3


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_jpeg_on_its_side_is_as_large_as_its_upright_picture_has_to_be(orientation: int) -> None:
    frame = decode(stored(colonoscopy(480, 640), orientation, "JPEG"), at_least=(121, 100))
    assert frame.pixels.shape == (240, 320, 3)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_reserved_orientation_is_taken_as_stored(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 9
    assert decode(encode(colonoscopy(90, 120), kind, exif=exif)).width == 120


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize("exif", [bytes(40), b"II*\0", b"MM\0*\0\0\0\x08" + b"\xff" * 9])
def test_damaged_exif_does_not_cost_the_frame(kind: str, exif: bytes) -> None:
    with warnings.catch_warnings(action="ignore"):  # of Pillow, for the last
        frame = decode(encode(colonoscopy(90, 120), kind, exif=b"Exif\0\0" + exif))
    assert (frame.width, frame.height) == (120, 90)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "JPEG", "WEBP"])
def test_grey_is_repeated(kind: str) -> None:
    grey = np.full((40, 50), 90, np.uint8)
    pixels = decode(encode(grey, kind)).pixels
    assert pixels.shape == (40, 50, 3)
    assert np.abs(pixels.astype(int) - 90).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_palette_is_looked_up(kind: str) -> None:
    image = Image.new("P", (4, 2))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    pixels = decode(encode(image, kind)).pixels
    assert pixels[0, :2].tolist() == [[10, 20, 30], [200, 100, 50]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_one_bit_is_black_and_white(kind: str) -> None:
    image = Image.new("1", (4, 2))
    image.putpixel((1, 0), 1)
    assert decode(encode(image, kind)).pixels[0, :2].tolist() == [[0, 0, 0], [255, 255, 255]]


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})])
def test_alpha_lies_over_black(kind: str, options: dict) -> None:
    rgba = np.array([[[200, 100, 50, 255], [200, 100, 50, 128], [200, 100, 50, 0]]], np.uint8)
    pixels = decode(encode(rgba, kind, **options)).pixels
    assert pixels[0].tolist() == [[200, 100, 50], [100, 50, 25], [0, 0, 0]]


def test_grey_with_alpha_lies_over_black() -> None:
    image = Image.fromarray(np.array([[[200, 255], [200, 0]]], np.uint8))
    assert decode(encode(image, "PNG")).pixels[0].tolist() == [[200] * 3, [0] * 3]


def test_transparent_palette_entry_lies_over_black() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    assert decode(encode(image, "PNG", transparency=1)).pixels[0].tolist() == [[10, 20, 30], [0, 0, 0]]


@pytest.mark.parametrize("kind", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_are_scaled_by_the_range_of_the_type(kind: str, channels: int) -> None:
    """0x4000 of 0xffff is a quarter, 0x40, however bright the rest of the frame is."""
    samples = np.full((8, 8, channels), 0x4000, np.uint16)
    samples[..., 3:] = 0xFFFF
    pixels = decode(cv2.imencode(kind, samples)[1].tobytes()).pixels
    assert pixels.dtype == np.uint8
    assert pixels.shape == (8, 8, 3)
    assert set(pixels.ravel().tolist()) == {0x40}


def strips(planes: np.ndarray, *, bits: int, photometric: int, planar: int = 2, packed: bool = False) -> bytes:
    """A little-endian TIFF of uint8 [n, h, w] (TIFF 6.0, section 2), each plane a strip of its own.

    Args:
        bits: 8, 12 or 16 of a sample, of which those below the highest 8 are 0.
        photometric: 0: white is 0, 1: black is 0, 2: RGB.
        planar: 2: in planes, 1: the samples of a pixel together, which is the same for one sample.
        packed: deflated.
    """
    count, height, width = planes.shape
    numbers = [int("".join(f"{value << bits - 8:0{bits}b}" for value in plane.ravel().tolist()), 2) for plane in planes]
    data = [number.to_bytes(height * width * bits // 8, "big") for number in numbers]
    data = [np.frombuffer(strip, ">u2").astype("<u2").tobytes() for strip in data] if bits == 16 else data
    data = [zlib.compress(strip) for strip in data] if packed else data
    lengths = [len(strip) for strip in data]
    starts = [8 + sum(lengths[:number]) for number in range(count)]
    shorts = {256: [width], 257: [height], 258: [bits] * count, 259: [8 if packed else 1], 262: [photometric]}
    longs = {273: starts, 277: [count], 278: [height], 279: lengths, 284: [planar]}
    entries, beside = struct.pack("<H", len(shorts) + len(longs)), b""
    for tag, values in (shorts | longs).items():
        kind, letter = (3, "H") if tag in shorts else (4, "I")
        value = struct.pack(f"<{len(values)}{letter}", *values)
        if len(value) > 4:
            value, beside = struct.pack("<I", 8 + sum(lengths) + 126 + len(beside)), beside + value
        entries += struct.pack("<HHI", tag, kind, len(values)) + value.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<I", 8 + sum(lengths)) + b"".join(data) + entries + bytes(4) + beside


@pytest.mark.parametrize(("bits", "packed"), [(8, False), (8, True), (16, True)])
def test_tiff_in_planes(bits: int, packed: bool) -> None:
    pixels = colonoscopy(40, 50)
    data = strips(pixels.transpose(2, 0, 1), bits=bits, photometric=2, packed=packed)
    np.testing.assert_array_equal(decode(data).pixels, pixels)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("bits", "photometric"), [(8, 0), (8, 1), (16, 1)])
def test_tiff_with_white_or_black_as_0(bits: int, photometric: int, packed: bool) -> None:
    grey = colonoscopy(40, 50)[..., 0]
    samples = grey if photometric else 255 - grey
    data = strips(samples[None], bits=bits, photometric=photometric, planar=1, packed=packed)
    np.testing.assert_array_equal(decode(data).pixels, np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize(
    ("bits", "photometric", "planar", "packed"),
    [(12, 1, 1, False), (12, 1, 1, True), (16, 0, 1, False), (16, 0, 1, True), (16, 1, 2, False), (8, 0, 2, False)],
)
def test_grey_tiff_that_pillow_misreads_is_refused(bits: int, photometric: int, planar: int, packed: bool) -> None:
    grey = colonoscopy(40, 50)[None, ..., 0]
    with pytest.raises(UnsupportedFrame, match=f"of {bits} bits, .* save it again with 8 bits"):
        decode(strips(grey, bits=bits, photometric=photometric, planar=planar, packed=packed))


def test_tiff_of_16_bits_in_uncompressed_planes_is_refused() -> None:
    with pytest.raises(UnsupportedFrame, match="of 16 bits, "):
        decode(strips(colonoscopy(40, 50).transpose(2, 0, 1), bits=16, photometric=2))


def test_what_is_said_of_a_header_is_true_of_unknown_kinds_and_of_cut_files() -> None:
    """Pillow does not tell them apart."""
    unknown = strips(colonoscopy(40, 50).transpose(2, 0, 1), bits=12, photometric=2)
    for data in (unknown, encode(colonoscopy(), "TIFF")[:6]):
        with pytest.raises(
            CorruptFrame, match="damaged, or of a kind that is not read: send the whole file, or save it"
        ):
            decode(data)


def test_float_samples_are_refused_since_their_range_is_unknown() -> None:
    with pytest.raises(UnsupportedFrame, match="'F'"):
        decode(encode(Image.new("F", (8, 8)), "TIFF"))


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(kind: str) -> None:
    image = Image.new("CMYK", (32, 32), (0, 255, 255, 0))  # no cyan, all magenta and yellow: red
    red, green, blue = decode(encode(image, kind)).pixels.reshape(-1, 3).mean(axis=0)
    assert red > 250
    assert max(green, blue) < 5


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})])
def test_first_of_several_frames(kind: str, options: dict) -> None:
    first, second = (Image.new("RGB", (16, 12), color) for color in ("red", "blue"))
    data = encode(first, kind, save_all=True, append_images=[second], **options)
    assert decode(data).pixels[0, 0].tolist() == [255, 0, 0]


def test_first_of_a_multi_picture_jpeg() -> None:
    first, second = (Image.new("RGB", (16, 12), color) for color in ("red", "blue"))
    red, green, blue = decode(encode(first, "MPO", save_all=True, append_images=[second])).pixels[0, 0]
    assert red > 250
    assert max(green, blue) < 5


@pytest.mark.parametrize("data", [b"hello, this is text", b"%PDF-1.7", b"GIF89a\1\0\1\0", b"\0" * 100, b"RIFF....WAVE"])
def test_not_an_image(data: bytes) -> None:
    with pytest.raises(NotAnImage):
        decode(data)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(("kind", "options"), [*LOSSLESS, *LOSSY])
def test_truncated_file_is_refused_or_whole(kind: str, options: dict, mode: str) -> None:
    check_every_cut(Image.fromarray(colonoscopy(60, 80)).convert(mode), kind, options)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_truncated_cmyk_file_is_refused_or_whole(kind: str) -> None:
    check_every_cut(Image.fromarray(colonoscopy(60, 80)).convert("CMYK"), kind, {})


def check_every_cut(image: Image.Image, kind: str, options: dict) -> None:
    """Never half a frame, wherever the file ends."""
    data = encode(image, kind, **options)
    whole = decode(data).pixels
    for end in {*range(12, len(data) - 1, max(1, len(data) // 40)), len(data) - 2, len(data) - 1}:
        try:
            pixels = decode(data[:end]).pixels
        except FrameError:
            continue
        np.testing.assert_array_equal(pixels, whole, err_msg=f"{kind} cut at {end} of {len(data)}")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP", "WEBP"])
def test_damaged_file_raises_nothing_but_frame_errors(kind: str) -> None:
    data = encode(colonoscopy(40, 50), kind)
    random = np.random.default_rng(3)
    for _ in range(200):
        damaged = bytearray(data)
        for place in random.integers(0, len(data), 4):
            damaged[place] = random.integers(256)
        try:
            frame = decode(bytes(damaged))
        except FrameError:
            continue
        assert frame.pixels.shape[2] == 3


def test_pixel_limit_is_by_the_header() -> None:
    data = encode(colonoscopy(100, 100))
    assert decode(data, max_pixels=10_000).width == 100
    with pytest.raises(FrameTooLarge, match="100 x 100 pixels, and at most 9999"):
        decode(data, max_pixels=9_999)


def test_longest_side_is_limited_too() -> None:
    with pytest.raises(FrameTooLarge, match="no side"):
        decode(encode(np.zeros((1, frames.MAX_SIDE + 1), np.uint8)))


def png_bomb(side: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 10**6))


def lying_jpeg(height: int, width: int) -> bytes:
    """A small JPEG whose header claims another size (start of frame, ITU T.81 table B.2)."""
    data = bytearray(encode(colonoscopy(64, 64), "JPEG"))
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize("data", [png_bomb(16_000), lying_jpeg(65_500, 65_500)], ids=["png", "jpeg"])
def test_bomb_is_refused_before_it_is_decoded(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(FrameTooLarge):
            decode(data)
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_lying_header_within_the_limit_is_corrupt() -> None:
    with pytest.raises(CorruptFrame):
        decode(lying_jpeg(4000, 4000))


def test_two_headers_with_different_sizes() -> None:
    """Pillow takes the last start of frame, libjpeg none but one."""
    small, large = encode(colonoscopy(64, 64), "JPEG"), lying_jpeg(65_500, 65_500)
    start = large.index(b"\xff\xc0")
    marker = large[start : start + 19]
    for data in (small[:2] + marker + small[2:], small[:start] + marker + small[start:]):
        with pytest.raises((CorruptFrame, FrameTooLarge)):
            decode(data)


def test_jpeg_with_many_scans_is_refused() -> None:
    data = encode(colonoscopy(64, 64), "JPEG", progressive=True)
    scan = data.rindex(b"\xff\xda")
    bomb = data[:-2] + data[scan:-2] * (frames.MAX_SCANS + 1) + data[-2:]
    with pytest.raises(CorruptFrame, match="scans"):
        decode(bomb)


SCANS = frames.START_OF_SCAN * (frames.MAX_SCANS + 1)


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_scans_behind_the_picture_or_in_a_segment_do_not_count(mode: str, progressive: bool) -> None:
    """A phone's video behind its photograph holds some such bytes in each megabyte; a preview is a JPEG of its own."""
    image = Image.fromarray(colonoscopy(64, 64)).convert(mode)
    data = encode(image, "JPEG", progressive=progressive, restart_marker_rows=1)
    preview = frames.END_OF_IMAGE + SCANS
    segment = b"\xff\xe2" + struct.pack(">H", 2 + len(preview)) + preview
    expected = decode(data).pixels
    np.testing.assert_array_equal(decode(data[:2] + segment + data[2:] + SCANS).pixels, expected)


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
@pytest.mark.parametrize(
    "before",
    [
        frames.END_OF_IMAGE[:1] * 3 + b"\xe0\0\4" + frames.END_OF_IMAGE,  # in a segment, after fill bytes
        b"\xff\x01\xff\xd0",  # without a length
        b"\xff\x02\xff\xff",  # reserved
        b"\xff\xe0\0\0",  # a length less than its own
        b"\xff\xe0\0\2" * frames.MAX_SEGMENTS,
        b"\xff\0\xd9",
    ],
)
def test_scans_cannot_hide_behind_an_end_that_is_none(mode: str, before: bytes) -> None:
    data = encode(Image.fromarray(colonoscopy(64, 64)).convert(mode), "JPEG", progressive=True)
    scan = data.rindex(frames.START_OF_SCAN)
    with pytest.raises(CorruptFrame, match="scans"):
        decode(data[:scan] + before + data[scan:-2] * (frames.MAX_SCANS + 1) + data[-2:])


def test_scans_cannot_hide_behind_a_reserved_marker_where_a_restart_is_due() -> None:
    data = encode(colonoscopy(64, 64), "JPEG", progressive=True, restart_marker_rows=1)
    restart = data.index(b"\xff\xd0", data.index(frames.START_OF_SCAN))
    scan = data.rindex(frames.START_OF_SCAN)
    hidden = data[restart:-2] + data[scan:-2] * (frames.MAX_SCANS + 1)
    assert len(hidden) < 0xFFFF
    with pytest.raises(CorruptFrame, match="scans"):
        decode(data[:restart] + b"\xff\x02\xff\xff" + hidden + data[-2:])


def test_strict_jpeg_decoder_is_the_one_in_use() -> None:
    """The guard of the fast path: simplejpeg raises where libjpeg only warns."""
    data = encode(colonoscopy(), "JPEG")
    with pytest.raises(ValueError, match="Premature"):
        simplejpeg.decode_jpeg(data[: len(data) // 2])


def test_rgb_colourspace_jpeg() -> None:
    pixels = colonoscopy()
    data = encode(pixels, "JPEG", quality=95, keep_rgb=True)
    assert np.abs(decode(data).pixels.astype(int) - pixels).mean() < 3


def test_pillow_reads_from_memory_only() -> None:
    """A frame is bytes; no path in it is ever opened."""
    assert isinstance(frames.read_header(encode(colonoscopy()), LIMIT).fp, io.BytesIO)
