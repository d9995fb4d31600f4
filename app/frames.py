"""Bytes of an image -> `Frame`: header and limits first, pixels after.

An ordinary JPEG takes the fast path (simplejpeg, decoded at about the size that is needed); everything else
goes through Pillow. Both refuse a truncated file: a half-grey frame would give a mask that looks right.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from app.errors import CorruptFrame, FrameTooLarge, NotAnImage, UnsupportedFrame

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"BM")

# JPEG (overlay) ends at 65535, WebP at 16383; no endoscope comes near.
MAX_SIDE = 16384

# Each scan of a progressive JPEG visits every pixel again, so a small file with many scans is a bomb.
# libjpeg's own script has 10; 64 over 4096 x 4096 pixels, 100 KB in all, took 0.7 s.
MAX_SCANS = 64
START_OF_SCAN, END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"

# ITU T.81, table B.1: the markers that a length follows, and the end; an honest file has some dozens. Reserved ones are
# left out: where libjpeg looks for a restart, it passes over them and reads what lies behind.
MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
MAX_SEGMENTS = 4096

# libjpeg-turbo has vector code for these reductions, in eighths, and for no other. Of 640 x 512 the whole frame took
# 0.66 ms and five eighths 1.16, although fewer pixels; of 1920 x 1080 four eighths took 2.6 ms and three 3.4. What the
# network got was closer to an exact resize too: off by 2.1 against 3.7 of 255, and 1.7 against 3.8 (root mean square,
# 60 and 30 real frames).
QUICK_EIGHTHS = (1, 2, 4, 8)

# TIFF 6.0, section 15. A tile may stand out over the frame's edge; those of honest writers have 256 or 512 a side.
TIFF_TILE_WIDTH, TIFF_TILE_LENGTH = 322, 323
MAX_TILE_PIXELS = 1024 * 1024

# `read_header` applies the service's own limit before anything is decoded, so that Pillow's, which warns
# where ours refuses, is switched off.
Image.MAX_IMAGE_PIXELS = None

# EXIF 2.32, tag 274: the stored rows and columns -> upright, for pixels [height, width, 3].
UPRIGHT = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: pixels.transpose(1, 0, 2)[:, ::-1],
    7: lambda pixels: pixels.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda pixels: pixels.transpose(1, 0, 2)[::-1],
}
SIDEWAYS = (5, 6, 7, 8)
ROWS_MIRRORED, COLUMNS_MIRRORED = (3, 4, 7, 8), (2, 3, 6, 7)


@dataclass(frozen=True)
class Spacing:
    """Millimetres between the centres of neighbouring pixels.

    Attributes:
        row: between rows, so down the frame.
        column: between columns, so across it.
        attribute: of DICOM, which says what the distance was measured on.
    """

    row: float
    column: float
    attribute: str


@dataclass(frozen=True)
class Frame:
    """One frame, upright (EXIF orientation applied).

    Attributes:
        pixels: uint8 [h, w, 3], RGB, contiguous. May be smaller than the frame: each is then a square of the frame's
            pixels, and the last row and column may stand out over the frame's edge.
        width, height: the frame's own size in pixels, upright. Masks are given at this size.
        mirrored: whether rows, and columns, run against those of the file: it is the first that stands out then.
        spacing: of the frame's own pixels, where the file knows it.
        source: the DICOM object that the frame is from, for `app.dicom`; None for any other file.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    spacing: Spacing | None = None
    source: object | None = None
    mirrored: tuple[bool, bool] = (False, False)


def decode(data: bytes, *, max_pixels: int, at_least: tuple[int, int] | None = None) -> Frame:
    """Decode one frame; of an animation or a multi-page file, the first.

    Args:
        data: a JPEG, PNG, TIFF, BMP or WebP file.
        max_pixels: width x height above which a frame is refused by its header.
        at_least: (height, width) that the caller needs. A JPEG may then be decoded smaller than it is, yet
            not smaller than this. None for all pixels.

    Raises:
        NotAnImage, UnsupportedFrame, FrameTooLarge, CorruptFrame.
    """
    with corrupt_unless_decoded():
        image = read_header(data, max_pixels)
        if image.format in ("JPEG", "MPO"):
            check_scans(data)
            if image.mode in ("L", "RGB"):
                return _decode_jpeg(data, image, max_pixels, at_least)
        return _decode_other(image)


@contextmanager
def corrupt_unless_decoded() -> Iterator[None]:
    """Turn whatever a decoder raises into CorruptFrame, and let our own errors pass.

    Broad on purpose: hostile bytes make Pillow raise OSError, SyntaxError, ValueError, struct.error,
    zlib.error, IndexError, KeyError, OverflowError and more, and all of them mean the same here.
    """
    try:
        yield
    except (NotAnImage, UnsupportedFrame, FrameTooLarge, CorruptFrame):
        raise
    except Exception as error:
        message = str(error) or type(error).__name__
        raise CorruptFrame(f"The frame could not be decoded whole: {message}") from error


def read_header(data: bytes, max_pixels: int) -> Image.Image:
    """Open without decoding, and refuse by what the header says.

    Raises:
        NotAnImage: the bytes start like none of the formats.
        CorruptFrame: they do, and the header is damaged or of an unknown kind.
        FrameTooLarge: more than `max_pixels`, or a side longer than MAX_SIDE.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        if data.startswith(SIGNATURES) or (data[:4], data[8:12]) == (b"RIFF", b"WEBP"):
            raise CorruptFrame(
                "The frame's header is cut short, damaged, or of a kind that is not read: send the whole file, or save "
                "it again as JPEG or PNG."
            ) from error
        raise NotAnImage(NotAnImage.example) from error
    check_size(*image.size, max_pixels)
    return image


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raise FrameTooLarge for more pixels, or a longer side, than are decoded here."""
    if width * height > max_pixels:
        raise FrameTooLarge(
            f"The frame is {width} x {height} pixels, and at most {max_pixels} are taken: send a smaller one."
        )
    if max(width, height) > MAX_SIDE:
        raise FrameTooLarge(
            f"The frame is {width} x {height} pixels, and no side may exceed {MAX_SIDE}: send a smaller one."
        )


def decode_jpeg(data: bytes, *, max_pixels: int, at_least: tuple[int, int] | None) -> NDArray[np.uint8]:
    """A JPEG's pixels as stored, uint8 [h, w, 3] RGB: no orientation applied, and no smaller than `at_least`.

    Raises:
        FrameTooLarge: by its header.
        ValueError: of simplejpeg, for bytes that are damaged.
    """
    height, width, *_ = simplejpeg.decode_jpeg_header(data)
    check_size(width, height, max_pixels)
    if at_least is None:
        return np.asarray(simplejpeg.decode_jpeg(data, fastdct=True))
    least_height, least_width = _reduced(height, width, at_least)
    pixels = simplejpeg.decode_jpeg(data, fastdct=True, min_height=least_height, min_width=least_width)
    return np.asarray(pixels)


def _reduced(height: int, width: int, at_least: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the smallest quick reduction that covers `at_least`; the frame's own if none does.

    libjpeg rounds up: 1025 by 1/8 is 129, of which the last covers one pixel of the frame and seven beside it.
    """
    sizes = ((-(-height * eighths // 8), -(-width * eighths // 8)) for eighths in QUICK_EIGHTHS)
    return next((size for size in sizes if size[0] >= at_least[0] and size[1] >= at_least[1]), (height, width))


def check_scans(data: bytes) -> None:
    """Raise CorruptFrame for a JPEG with more scans than any camera or editor writes."""
    if data.count(START_OF_SCAN) > MAX_SCANS and not _ends_within_the_limit(data):
        raise CorruptFrame(f"The JPEG has more than {MAX_SCANS} scans: save it again as a baseline JPEG.")


def _ends_within_the_limit(data: bytes) -> bool:
    """Whether the picture, as libjpeg reads it, ends before it has too many scans.

    What lies in a segment, such as a preview, or behind the end, such as a phone's video, is passed over.
    """
    scans = place = 0
    for _ in range(MAX_SEGMENTS):
        marker = MARKER.search(data, place)
        if marker is None or marker[0] == END_OF_IMAGE:
            return scans <= MAX_SCANS
        scans += marker[0] == START_OF_SCAN
        place = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    return False


def _decode_jpeg(data: bytes, image: Image.Image, max_pixels: int, at_least: tuple[int, int] | None) -> Frame:
    # simplejpeg reads the header by itself: a file may show the two readers different sizes.
    height, width, *_ = simplejpeg.decode_jpeg_header(data)
    orientation = _orientation(image)
    sideways = orientation in SIDEWAYS
    if at_least is not None and sideways:
        at_least = at_least[::-1]
    stored = decode_jpeg(data, max_pixels=max_pixels, at_least=at_least)
    mirrored = (orientation in ROWS_MIRRORED, orientation in COLUMNS_MIRRORED)
    size = (height, width) if sideways else (width, height)
    return Frame(_upright(stored, orientation), *size, mirrored=mirrored)


def _orientation(image: Image.Image) -> int:
    """EXIF's; 1, as stored, where EXIF is damaged or the value reserved, like every viewer: the pixels are whole."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except (SyntaxError, ValueError, struct.error):
        return 1
    return orientation if orientation in UPRIGHT else 1


def _upright(stored: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    return np.ascontiguousarray(UPRIGHT[orientation](stored))


def check_tiles(image: Image.Image) -> None:
    """Raise CorruptFrame for a TIFF with tiles larger than it is: libtiff holds a whole one, whatever it shows."""
    width, height = (int(image.getexif().get(tag, 0)) for tag in (TIFF_TILE_WIDTH, TIFF_TILE_LENGTH))
    if width * height > max(image.width * image.height, MAX_TILE_PIXELS):
        raise CorruptFrame(
            f"The TIFF has tiles of {width} x {height} pixels, and only {image.width} x {image.height} in all: "
            "save it again, in strips or smaller tiles."
        )


def check_samples(image: TiffImageFile) -> None:
    """Raise UnsupportedFrame for a TIFF that Pillow reads wrongly without a word.

    It takes 12 bits for 16, white as 0 for black as 0 in 16 bits, and what uncompressed planes hold for 8 bits, black
    as 0.
    """
    tags = image.tag_v2
    bits = max(tags.get(ExifTags.Base.BitsPerSample, (1,)))
    white_is_0 = tags.get(ExifTags.Base.PhotometricInterpretation, 0) == 0
    in_planes = tags.get(ExifTags.Base.PlanarConfiguration, 1) == 2 and tags.get(ExifTags.Base.Compression, 1) == 1
    if 8 < bits < 16 or (bits == 16 and white_is_0) or (in_planes and (bits != 8 or white_is_0)):
        raise UnsupportedFrame(
            f"The TIFF's samples, of {bits} bits, are not read as they are stored: save it again with 8 bits, 0 as "
            "black and the colours of a pixel together, or as PNG."
        )


def _decode_other(image: Image.Image) -> Frame:
    if isinstance(image, TiffImageFile):
        check_tiles(image)
        check_samples(image)
    image.load()  # Pillow turns a TIFF upright here, and forgets its orientation
    pixels = _upright(_rgb(image), _orientation(image))
    return Frame(pixels, pixels.shape[1], pixels.shape[0])


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Pixels uint8 [h, w, 3]: grey repeated, palette looked up, alpha over black, 16 bits cut to 8."""
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image) >> 8).astype(np.uint8)  # [h, w]; the range of the type, never the frame's own
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("I", "F", "LAB", "HSV"):
        raise UnsupportedFrame(
            f"Frames with samples of type {image.mode!r} are not read: send grey or RGB of 8 or 16 bits."
        )
    if image.has_transparency_data:
        return _over_black(image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))


def _over_black(image: Image.Image) -> NDArray[np.uint8]:
    canvas = Image.new("RGB", image.size)
    canvas.paste(image, mask=image.getchannel("A"))
    return np.asarray(canvas)
